"""One object that is sent to a bucket: a single PUT, or a multipart upload whose parts go up beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.parts import part_bytes, parts_at_once
from app.errors import ObjectMissingError
from app.storage.destinations.model import Note, Writing
from app.storage.destinations.parallel import ParallelParts
from app.storage.destinations.s3_bucket import S3Bucket
from app.storage.destinations.s3_upload import S3Upload


class S3Writing(S3Upload, Writing):
    """The multipart upload begins with the second part, so that small outputs cost one call."""

    def __init__(self, bucket: S3Bucket, name: str, nonce: str, most_bytes: int, note: Note) -> None:
        super().__init__(bucket, name, nonce, note)
        self._part_bytes = part_bytes(most_bytes)
        self._part = bytearray()
        self._filled = 0
        self._spare: list[bytearray] = []  # filled anew: parts that came and went would scatter over the heap
        self._parts: ParallelParts[bytearray, str] = ParallelParts(self._send, parts_at_once(self._part_bytes))

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            if self._filled == self._part_bytes:
                self._add_part()
            taken = rest[: self._part_bytes - self._filled]
            self._part[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rest = rest[len(taken) :]

    def _add_part(self) -> None:
        self._begin_upload()
        part = self._part
        del part[self._filled :]
        self._parts.add(part)
        self._part = self._spare.pop() if self._spare else bytearray()
        self._filled = 0

    def _send(self, number: int, part: bytearray) -> str:
        try:
            etag = self._bucket.send_part(self._name, self._upload_id, number, part)
        except ObjectMissingError as error:
            raise self._gone() from error
        self._spare.append(part)
        return etag

    def _sent(self) -> Sequence[str]:
        if self._upload_id and self._filled:
            self._add_part()
        return self._parts.finish() if self._upload_id else []

    def _finish(self, etags: Sequence[str], condition: Mapping[str, str]) -> None:
        if self._upload_id:
            super()._finish(etags, condition)
        else:
            self._bucket.put(self._name, self._part, self._nonce, condition)

    def _stop(self) -> None:
        self._parts.stop()
        self._part, self._spare = bytearray(), []
