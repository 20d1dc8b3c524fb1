import pytest

from app.db import idempotency
from app.db.idempotency import Claimed, Existing
from app.errors import ConflictError, IdempotencyMismatchError
from tests.fixtures.door import Door


def test_a_key_gives_its_answer_again(door: Door) -> None:
    organisation = door.acme.organisation_id
    with door.ctx.db.transaction() as conn:
        assert idempotency.claim(conn, organisation, "k", "digest") == Claimed()
        idempotency.complete(conn, organisation, "k", {"id": "1"})

    with door.ctx.db.transaction() as conn:
        assert idempotency.claim(conn, organisation, "k", "digest") == Existing({"id": "1"})
        assert idempotency.claim(conn, door.globex.organisation_id, "k", "digest") == Claimed()
        with pytest.raises(IdempotencyMismatchError, match="'k'"):
            idempotency.claim(conn, organisation, "k", "other")


def test_a_request_in_progress_is_told_at_once(door: Door) -> None:
    organisation = door.acme.organisation_id
    with door.ctx.db.transaction() as first, door.ctx.db.transaction() as second:
        assert idempotency.claim(first, organisation, "k", "digest") == Claimed()
        with pytest.raises(ConflictError, match="in progress"):
            idempotency.claim(second, organisation, "k", "digest")


def test_a_submission_that_failed_leaves_no_key(door: Door) -> None:
    organisation = door.acme.organisation_id

    def fail() -> None:
        with door.ctx.db.transaction() as conn:
            idempotency.claim(conn, organisation, "k", "digest")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with door.ctx.db.transaction() as conn:
        assert idempotency.claim(conn, organisation, "k", "digest") == Claimed()


def test_a_key_is_forgotten_after_a_day(door: Door) -> None:
    organisation = door.acme.organisation_id
    with door.ctx.db.transaction() as conn:
        for key in ("old", "older", "new"):
            idempotency.claim(conn, organisation, key, "digest")
            idempotency.complete(conn, organisation, key, {})
    door.execute("update idempotency_keys set created_at = now() - interval '25 hours' where key <> 'new'")

    with door.ctx.db.transaction() as conn:
        assert idempotency.claim(conn, organisation, "old", "another digest") == Claimed(), "as good as new"
    with door.ctx.db.connection() as conn:
        assert idempotency.delete_expired(conn, 10) == 1
        assert idempotency.delete_expired(conn, 10) == 0
