"""Whether a kept connection is still good."""

import os
import socket
from pathlib import Path

from app.idle_connections import KnownConnections, was_closed


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


def test_one_dead_connection_is_told_until_it_is_closed() -> None:
    known, pairs = KnownConnections(), [socket.socketpair() for _ in range(3)]
    assert not known.is_any_dead()
    known.add(-1)
    for ours, _ in pairs:
        known.add(ours.fileno())
        known.add(ours.fileno())
    pairs[0][1].send(b"unread")
    assert not known.is_any_dead()
    pairs[1][1].close()
    assert known.is_any_dead()
    assert known.is_any_dead()
    pairs[1][0].close()
    assert not known.is_any_dead()
    pairs[0][1].close()
    assert known.is_any_dead()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert not known.is_any_dead()


def test_a_descriptor_that_something_else_has_now_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "segment").write_bytes(b"records")
    known = KnownConnections()
    ours, theirs = socket.socketpair()
    other, its_peer = socket.socketpair()
    known.add(ours.fileno())
    its_peer.close()
    os.dup2(other.fileno(), ours.fileno())
    assert not known.is_any_dead()
    known.add(ours.fileno())
    assert known.is_any_dead()
    with (tmp_path / "segment").open("rb") as file:
        os.dup2(file.fileno(), ours.fileno())
        assert not known.is_any_dead()
    for each in (ours, theirs, other):
        each.close()
