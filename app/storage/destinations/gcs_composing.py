"""One object that Google makes of others of the bucket, 32 a call, at a name of the attempt's own, then copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from app.domain.compose_tree import Step, Temporary, levels, steps, temporaries
from app.errors import HaulageError, StorageError
from app.storage.destinations.gcs_api import GcsApi
from app.storage.destinations.model import Composing, NotComposedError, Note
from app.storage.destinations.names import compose_name, part_name
from app.storage.destinations.stored import StoredOutput

_COMPOSE = "compose "
_SENT_LEVEL = 0
"""Below the tree: pieces that are no objects, by their order."""


class Temporaries:
    """Names of what one attempt makes on its way: all of them follow from its nonce and the levels of its tree."""

    def __init__(self, prefix: str, nonce: str) -> None:
        self._prefix = prefix
        self._nonce = nonce

    @property
    def result(self) -> str:
        """The name of what is copied to its place in the end."""
        return part_name(self._prefix, self._nonce)

    def of(self, made: Temporary) -> str:
        return compose_name(self._prefix, self._nonce, made.level, made.slot)

    def note(self, level_count: int, sent_count: int) -> str:
        """What `noted` needs."""
        return f"{_COMPOSE}{level_count} {sent_count}"

    def noted(self, notes: Sequence[str]) -> Iterator[str]:
        """Whatever an attempt with these notes may have made, but the result."""
        for note in notes:
            if note.startswith(_COMPOSE):
                level_count, sent_count = map(int, note.removeprefix(_COMPOSE).split())
                yield from map(self.of, [Temporary(_SENT_LEVEL, slot) for slot in range(sent_count)])
                yield from map(self.of, temporaries(level_count))


class GcsComposing(Composing):
    """Note: `compose <levels of the tree> <pieces that are sent>`, before anything is made."""

    def __init__(self, api: GcsApi, name: str, names: Temporaries, output: StoredOutput, note: Note) -> None:
        self._api = api
        self._name = name
        self._names = names
        self._output = output
        self._note = note
        self._made: dict[str, str] = {}
        """Name of each object that was made and not deleted -> its generation."""
        self._sent: dict[int, str] = {}
        """Number of a piece that is no object -> the name under which it was sent."""

    def compose(self) -> Iterator[int]:
        count = len(self._output.pieces)
        sent_count = sum(not self._output.is_object(each) for each in range(count))
        self._note(self._names.note(levels(count), sent_count))
        try:
            self._send_pieces()
            for step in steps(count):
                self._make(step, is_last=step.end - step.first == count)
                yield sum(self._output.size(each, each + 1) for each in step.sources if isinstance(each, int))
            for name in [each for each in self._made if each != self._names.result]:
                self._delete(name)
                yield 0
        except StorageError as error:
            raise NotComposedError(error.message) from error

    def _send_pieces(self) -> None:
        for number, piece in enumerate(self._output.pieces):
            if isinstance(piece, bytes):
                name = self._names.of(Temporary(_SENT_LEVEL, len(self._sent)))
                self._made[name] = ""
                self._api.put(name, piece, generation="0")
                self._sent[number] = name

    def _make(self, step: Step, *, is_last: bool) -> None:
        """The answer tells the length, which an object that is not as its row says would change."""
        name = self._names.result if is_last else self._names.of(step.target)
        sources = [self._source(each) for each in step.sources]
        self._made[name] = ""
        found = self._api.compose(sources, name)
        if str(found["size"]) != str(self._output.size(step.first, step.end)):
            raise NotComposedError(f"object {name}: objects were put together that have another length than expected")
        self._made[name] = str(found["generation"])

    def _source(self, source: int | Temporary) -> tuple[str, str]:
        """Name and generation, which is known of what was made here."""
        if isinstance(source, Temporary):
            name = self._names.of(source)
            return name, self._made[name]
        return self._sent.get(source) or self._output.name(source), ""

    def state(self) -> Any:
        """Its generation, which is another one after each change."""
        return self._api.generation(self._name)

    def publish(self, state: Any) -> None:
        result = self._names.result
        self._api.rewrite(result, self._made[result], self._name, generation=state)
        self._delete(result)

    def _delete(self, name: str) -> None:
        self._api.delete(name)
        del self._made[name]

    def abandon(self) -> None:
        for name in list(self._made):
            with suppress(HaulageError):
                self._delete(name)
        self._made.clear()
