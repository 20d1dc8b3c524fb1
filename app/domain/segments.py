"""What a stored segment is: its row, its key, and the arithmetic over several of them."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from app.domain.crc import crc32_combine

Encoding = Literal["deflate", "plain"]

_SUFFIXES: dict[Encoding, str] = {"deflate": ".jsonl.deflate", "plain": ".jsonl"}
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_KEY = re.compile(
    r"jobs/(?P<job_id>[A-Za-z0-9_-]{1,64})/(?P<run>[0-9]{1,10})/(?P<slice>[0-9]{1,10})"
    r"/(?P<sequence>[0-9]{8,12})-(?P<claim>[0-9]{1,19})-(?P<nonce>[A-Za-z0-9_]{1,64})(?P<suffix>\.jsonl(?:\.deflate)?)"
)


@dataclass(frozen=True, slots=True)
class FlushPoint:
    """Where reading may begin inside a segment: so many records, plain bytes and stored bytes lie before it."""

    record: int
    plain: int
    packed: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable object of JSON Lines, as its row in the database describes it.

    `crc32` is over the plain bytes. The start and the end of the segment are no flush points of the list.
    `columns` are the CSV columns first seen in this segment (spelling: `app.storage.columns`).
    """

    object_key: str
    encoding: Encoding
    record_count: int
    plain_bytes: int
    stored_bytes: int
    crc32: int
    flush_points: tuple[FlushPoint, ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """The parts of an object key. Claim and nonce make sure that no key is ever written twice."""

    job_id: str
    run_number: int
    slice_number: int
    sequence: int
    claim: int
    nonce: str
    encoding: Encoding = "deflate"

    def __str__(self) -> str:
        return (
            f"{job_prefix(self.job_id)}{self.run_number}/{self.slice_number}"
            f"/{self.sequence:08d}-{self.claim}-{self.nonce}{_SUFFIXES[self.encoding]}"
        )

    @classmethod
    def parse(cls, key: str) -> Self:
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(
                f"segment key {key!r} is not of the form jobs/JOB/RUN/SLICE/SEQUENCE-CLAIM-NONCE.jsonl[.deflate]"
            )
        return cls(
            job_id=match["job_id"],
            run_number=int(match["run"]),
            slice_number=int(match["slice"]),
            sequence=int(match["sequence"]),
            claim=int(match["claim"]),
            nonce=match["nonce"],
            encoding="deflate" if match["suffix"] == _SUFFIXES["deflate"] else "plain",
        )


def job_prefix(job_id: str | int) -> str:
    """The folder, with its closing slash, that holds every object of a job and of no other job."""
    return f"jobs/{job_id}/"


def segment_key(
    job_id: str | int,
    run_number: int,
    slice_number: int,
    sequence: int,
    claim: int,
    nonce: str,
    encoding: Encoding = "deflate",
) -> str:
    """`jobs/{job}/{run}/{slice}/{sequence:08d}-{claim}-{nonce}.jsonl[.deflate]`; ValueError if a part does not fit."""
    if not _NAME.fullmatch(nonce):
        raise ValueError(f"nonce {nonce!r} must be 1 to 64 letters, digits or underscores")
    key = str(SegmentKey(str(job_id), run_number, slice_number, sequence, claim, nonce, encoding))
    SegmentKey.parse(key)
    return key


def parse_segment_key(key: str) -> SegmentKey:
    """The parts of a key made by `segment_key`; ValueError for any other string."""
    return SegmentKey.parse(key)


def combined_crc32(segments: Iterable[Segment]) -> int:
    """CRC-32 of the plain bytes of all segments, one after another, without reading them."""
    crc = 0
    for segment in segments:
        crc = crc32_combine(crc, segment.crc32, segment.plain_bytes)
    return crc


def total_records(segments: Iterable[Segment]) -> int:
    return sum(segment.record_count for segment in segments)


def total_plain_bytes(segments: Iterable[Segment]) -> int:
    return sum(segment.plain_bytes for segment in segments)


def column_union(segments: Iterable[Segment]) -> tuple[str, ...]:
    """All columns in the order in which they were first seen."""
    return tuple(dict.fromkeys(column for segment in segments for column in segment.columns))


def etag(segments: Sequence[Segment], representation: str) -> str:
    """A strong ETag, with its quotes: equal only if the bytes of this representation are equal."""
    digest = hashlib.sha256(representation.encode())
    for segment in segments:
        line = f"\n{segment.object_key} {segment.record_count} {segment.plain_bytes} {segment.crc32:08x}"
        digest.update(line.encode())
    return f'"{digest.hexdigest()[:32]}"'
