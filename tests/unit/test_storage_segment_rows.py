from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.segments import (
    Encoding,
    Segment,
    SegmentKey,
    column_union,
    etag,
    job_prefix,
    parse_segment_key,
    segment_key,
)

SEGMENT = Segment("jobs/1/1/0/00000000-1-aa.jsonl", "plain", 3, 30, 30, 7, ())


@given(
    numbers=st.tuples(*[st.integers(0, 2**31 - 1)] * 5),
    nonce=st.from_regex(r"[A-Za-z0-9_]{1,64}", fullmatch=True),
    encoding=st.sampled_from(["deflate", "plain"]),
)
def test_key_is_parsed_into_what_it_was_made_of(
    numbers: tuple[int, int, int, int, int], nonce: str, encoding: Encoding
) -> None:
    job_id, run, slice_number, sequence, claim = numbers
    key = segment_key(job_id, run, slice_number, sequence, claim, nonce, encoding)
    assert parse_segment_key(key) == SegmentKey(str(job_id), run, slice_number, sequence, claim, nonce, encoding)
    assert key.startswith(job_prefix(job_id))


def test_keys_of_a_slice_sort_by_sequence() -> None:
    keys = [segment_key(7, 1, 0, sequence, 3, "n") for sequence in (0, 2, 9, 10, 11, 100)]
    assert keys == sorted(keys)


def test_key_has_the_documented_form() -> None:
    assert segment_key(12, 1, 0, 3, 4, "ab") == "jobs/12/1/0/00000003-4-ab.jsonl.deflate"
    assert segment_key(12, 1, 0, 3, 4, "ab", "plain") == "jobs/12/1/0/00000003-4-ab.jsonl"


@pytest.mark.parametrize("nonce", ["", "a/b", "a-b", "..", "a.b", "x" * 65, "a\n"])
def test_nonce_that_would_blur_the_key_is_refused(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        segment_key(1, 1, 0, 0, 1, nonce)


@pytest.mark.parametrize("job_id", ["..", "a/b", "", "x y"])
def test_job_id_that_would_leave_its_folder_is_refused(job_id: str) -> None:
    with pytest.raises(ValueError, match="segment key"):
        segment_key(job_id, 1, 0, 0, 1, "n")


@pytest.mark.parametrize(
    "key",
    ["", "jobs/1", "jobs/1/1/0/00000000-1-aa.jsonl.gz", "x/jobs/1/1/0/00000000-1-aa.jsonl", "jobs/1/1/0/1-1-a.jsonl"],
)
def test_foreign_key_is_not_parsed(key: str) -> None:
    with pytest.raises(ValueError, match="segment key"):
        parse_segment_key(key)


def test_prefix_of_a_job_does_not_match_another_job() -> None:
    assert not segment_key(12, 1, 0, 0, 1, "n").startswith(job_prefix(1))


def test_etag_is_strong_and_changes_with_content_and_representation() -> None:
    tags = {
        etag([SEGMENT], "jsonl"),
        etag([SEGMENT], "csv"),
        etag([SEGMENT, SEGMENT], "jsonl"),
        etag([], "jsonl"),
        etag([replace(SEGMENT, crc32=8)], "jsonl"),
        etag([replace(SEGMENT, object_key="other")], "jsonl"),
    }
    assert len(tags) == 6
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)
    assert etag([SEGMENT], "jsonl") == etag([SEGMENT], "jsonl")


def test_column_union_keeps_the_order_of_first_sight() -> None:
    segments = [replace(SEGMENT, columns=("b", "a")), SEGMENT, replace(SEGMENT, columns=("a", "c"))]
    assert column_union(segments) == ("b", "a", "c")
