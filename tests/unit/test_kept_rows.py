"""Rows that one job gives to another arrive byte for byte, from any row on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import KEPT_FORM, InputForm, InputPosition, Row, UnreadableInputError, kept_line, read_rows

RECORDS = st.one_of(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers(), st.none()), max_size=4).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    ),
    st.sampled_from([b"{}", b'{"a": 1.10,  "b":{"c":"}}"}}', b'{"number":1,"record":{}}', b'{"t":"\\ud83d\\ude00"}']),
)
KEPT = st.lists(
    st.tuples(st.integers(1, 10**12), st.integers(1, 10**12), st.none() | st.integers(1, 2**31 - 1), RECORDS),
    max_size=8,
)
WHOLE = [kept_line(number, number + 1, None, b'{"a":%d}' % number) for number in (3, 7, 9)]


def read(content: bytes, at: InputPosition = KEPT_FORM.body_at, piece: int = 7) -> list[Row]:
    chunks = (content[start : start + piece] for start in range(at.offset, len(content), piece))
    found = list(read_rows(chunks, KEPT_FORM, {}, at))
    assert all(isinstance(row, Row) for row in found)
    return [row for row in found if isinstance(row, Row)]


@given(KEPT, st.integers(1, 200))
def test_what_is_kept_comes_back(rows: list[tuple[int, int, int | None, bytes]], piece: int) -> None:
    content = b"".join(kept_line(*row) for row in rows)
    found = read(content, piece=piece)
    assert [(row.number, row.line, row.keyed_by, row.record) for row in found] == rows


@given(KEPT, st.data())
def test_it_goes_on_behind_any_row(rows: list[tuple[int, int, int | None, bytes]], data: st.DataObject) -> None:
    content = b"".join(kept_line(*row) for row in rows)
    whole = read(content)
    at = data.draw(st.integers(0, len(rows)))
    behind = whole[at - 1].behind if at else KEPT_FORM.body_at
    assert read(content, InputPosition.from_json(behind.as_json())) == whole[at:]


@pytest.mark.parametrize(
    "content",
    [
        b"".join(WHOLE)[:-1],
        b"".join(WHOLE)[:-9],
        WHOLE[0] + b"\n",
        WHOLE[0] + b'{"a":1}\n',
        WHOLE[0].replace(b"3", b"-3"),
        WHOLE[0].replace(b"}}", b"}"),
    ],
)
def test_damaged_rows_are_told_and_not_guessed(content: bytes) -> None:
    with pytest.raises(UnreadableInputError, match=r"kept for this job .*line [1-3]"):
        read(content)


def test_the_form_can_be_kept() -> None:
    assert InputForm.from_json(KEPT_FORM.as_json()) == KEPT_FORM
