"""Whether a kept connection is still good."""

import socket
from pathlib import Path

from app.idle_connections import was_closed


def test_what_the_other_side_closed_and_what_we_closed_are_told() -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    assert not was_closed(-1)
    assert not was_closed(number)
    theirs.close()
    assert was_closed(number)
    ours.close()
    assert was_closed(number)


def test_a_number_that_is_a_file_now_is_that_of_a_closed_connection(tmp_path: Path) -> None:
    (tmp_path / "segment").write_bytes(b"records")
    with (tmp_path / "segment").open("rb") as file:
        assert was_closed(file.fileno())
