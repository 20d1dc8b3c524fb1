"""Every process of the Procfile starts, says when it is ready, and ends politely when asked."""

import signal

import httpx
import pytest

from tests.fixtures.processes import Product, answers


def test_the_web_process_serves_and_ends_on_sigterm(product: Product) -> None:
    web = product.start("web")
    assert answers(f"{web.url}/health")
    assert web.terminate() == 0
    assert not answers(f"{web.url}/health")


@pytest.mark.parametrize("name", ["worker", "callbacks", "sweeper"])
def test_a_process_of_the_engine_ends_on_sigterm(product: Product, name: str) -> None:
    process = product.start(name)
    assert process.alive
    assert process.terminate() == 0


def test_release_can_be_run_again_and_again(product: Product) -> None:
    product.release()
    product.release()


def test_flower_lets_nobody_in_without_the_password_and_changes_nothing(product: Product) -> None:
    flower = product.start("flower")
    assert not answers(f"{flower.url}/api/workers")
    assert answers(f"{flower.url}/healthcheck")
    login = httpx.BasicAuth(*flower.environment["FLOWER_BASIC_AUTH"].split(":"))
    with httpx.Client(base_url=flower.url, auth=login) as client:
        assert client.get("/api/workers").status_code == 200
        refused = client.post("/api/worker/shutdown/anyone")
    assert refused.status_code == 403
    assert "Read only mode" in refused.text


def test_a_frozen_process_goes_on_when_thawed(product: Product) -> None:
    web = product.start("web")
    web.freeze()
    web.thaw()
    assert answers(f"{web.url}/health")


def test_a_killed_process_is_seen_as_dead(product: Product) -> None:
    sweeper = product.start("sweeper")
    sweeper.kill()
    assert not sweeper.alive
    assert sweeper.process.wait(0) == -signal.SIGKILL
