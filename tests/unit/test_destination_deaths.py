"""Workers that die or freeze in the midst of publishing, where that takes several calls: Google and Azure."""

from __future__ import annotations

import pytest

from app.errors import StorageUnavailableError
from app.storage.destinations.azure_container import AzureContainer
from app.storage.destinations.gcs_api import GcsApi
from app.storage.destinations.model import Writing
from tests.fixtures.destinations.model import Place

NONCE = "0123456789abcdef"
PATH = "x.jsonl"


_CALLS = {
    ("gcs", "copying"): (GcsApi, "rewrite"),
    ("gcs", "delete"): (GcsApi, "delete"),
    ("azure", "copying"): (AzureContainer, "copy"),
    ("azure", "delete"): (AzureContainer, "delete"),
}


class _Death(BaseException):
    pass


@pytest.mark.parametrize("call", ["copying", "delete"])
@pytest.mark.parametrize("kind", ["gcs", "azure"])
def test_a_worker_that_dies_while_it_publishes_leaves_nothing_half(
    kind: str, call: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the copy the old object is there, behind it the new one; the temporary one goes either way."""
    place: Place = request.getfixturevalue(f"{kind}_place")
    name = place.prefix + PATH
    place.put(name, b"old")
    content = bytes(place.large_bytes)
    notes: list[str] = []
    dying = place.settings.open()
    writing = dying.begin(PATH, nonce=NONCE, most_bytes=len(content), note=notes.append)
    writing.write(content)

    def die(*_: object, **__: object) -> None:
        raise _Death

    with monkeypatch.context() as patched:
        patched.setattr(*_CALLS[kind, call], die)
        with pytest.raises(_Death):
            writing.publish(writing.state())
    assert place.unfinished() != []
    assert place.read(name) == (content if call == "delete" else b"old")

    other = place.settings.open()
    other.discard(PATH, nonce=NONCE, notes=notes)
    assert place.unfinished() == []
    assert place.names() == [name]
    assert place.read(name) == (content if call == "delete" else b"old")
    for destination in (dying, other):
        destination.close()


@pytest.mark.parametrize("kind", ["gcs", "azure"])
def test_a_frozen_worker_whose_work_was_discarded_fails_and_leaves_nothing(
    kind: str, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(f"{kind}_place")
    notes: list[str] = []
    destination = place.settings.open()
    half = bytes(place.large_bytes // 2)
    frozen = destination.begin(PATH, nonce=NONCE, most_bytes=2 * len(half), note=notes.append)
    frozen.write(half)
    destination.discard(PATH, nonce=NONCE, notes=notes)
    with pytest.raises(StorageUnavailableError, match="meanwhile"):
        _go_on(frozen, half)
    frozen.abandon()
    assert (place.names(), place.unfinished()) == ([], [])
    destination.close()


def _go_on(writing: Writing, content: bytes) -> None:
    writing.write(content)
    writing.publish(writing.state())
