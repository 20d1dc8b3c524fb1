"""One object that a bucket makes of others of its own: long ones are copied, part by part; short ones are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.domain.part_copies import Part, Piece, plan_parts
from app.domain.parts import LEAST_PART_BYTES, MOST_OBJECT_BYTES, USUAL_PART_BYTES, part_bytes, parts_at_once
from app.errors import ObjectMissingError, StorageError
from app.storage.destinations.model import Composing, NotComposedError, Note
from app.storage.destinations.parallel import ParallelParts
from app.storage.destinations.s3_bucket import S3Bucket
from app.storage.destinations.s3_upload import S3Upload
from app.storage.destinations.stored import StoredOutput


def plan(output: StoredOutput) -> list[Part] | None:
    """None where nothing of it can be copied, or all of it is sent in one call."""
    if not USUAL_PART_BYTES < output.total_bytes <= MOST_OBJECT_BYTES:
        return None
    numbers = range(len(output.pieces))
    pieces = [Piece(output.size(each, each + 1), output.is_object(each)) for each in numbers]
    if not any(piece.is_object and piece.size >= LEAST_PART_BYTES for piece in pieces):
        return None
    parts = plan_parts(pieces)
    return parts if any(part.is_copied for part in parts) else None


class S3Composing(S3Upload, Composing):
    """What is sent is read by the threads that send it, so that it is in memory no longer than a part must be."""

    def __init__(
        self, bucket: S3Bucket, name: str, nonce: str, output: StoredOutput, parts: Sequence[Part], note: Note
    ) -> None:
        super().__init__(bucket, name, nonce, note)
        self._output = output
        self._plan = parts
        at_once = parts_at_once(part_bytes(output.total_bytes))
        self._parts: ParallelParts[Part, str] = ParallelParts(self._send, at_once)

    def compose(self) -> Iterator[int]:
        self._begin_upload()
        try:
            for part in self._plan:
                self._parts.add(part)
                yield part.size
            self._parts.finish()
            self._check()
        except StorageError as error:
            raise NotComposedError(error.message) from error

    def _send(self, number: int, part: Part) -> str:
        if not part.is_copied:
            content = bytearray()
            for span in part.spans:
                content += self._output.read(span.piece, span.start, span.end)
            return self._bucket.send_part(self._name, self._upload_id, number, content)
        [span] = part.spans
        is_whole = span.size == self._output.size(span.piece, span.piece + 1)
        source = self._output.name(span.piece)
        byte_range = None if is_whole else (span.start, span.end)
        return self._bucket.copy_part(self._name, self._upload_id, number, source, byte_range)

    def _check(self) -> None:
        """An object that is longer than its row says is damaged, and a server may know no ranges."""
        if self._bucket.part_sizes(self._name, self._upload_id) != [part.size for part in self._plan]:
            raise NotComposedError(f"{self._bucket.url}{self._name}: parts were copied with another length than asked")

    def _sent(self) -> Sequence[str]:
        return self._parts.finish()

    def _finish(self, etags: Sequence[str], condition: Mapping[str, str]) -> None:
        try:
            super()._finish(etags, condition)
        except ObjectMissingError:
            raise
        except StorageError as error:  # as by a server that wants parts of one length
            raise NotComposedError(error.message) from error

    def _stop(self) -> None:
        self._parts.stop()
