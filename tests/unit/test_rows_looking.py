"""How a file is written, found out from its head: character set, delimiter, header, array or lines."""

import codecs
import encodings.aliases
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import HEAD_BYTES, InputForm, InputPosition, UnreadableInputError, look
from app.domain.rows.charsets import _BY_LINE, _NO_CHARSETS, Charset, charset_of
from app.domain.uploads import UploadOptions
from tests.fakes.row_files import CSV, JSON, read

TEXT = 'n\u00e4me,b\n"J\u00f6rg\r\nX",1\n\u20ac,2\n'


def stated(encoding: str = "", **others: str) -> UploadOptions:
    return UploadOptions("x", encoding=encoding, delimiter=others.get("delimiter", ""), quote=others.get("quote", ""))


@pytest.mark.parametrize(
    ("written", "said", "known_as", "mark_bytes"),
    [
        ("utf-8", "", "utf-8", 0),
        ("utf-8-sig", "", "utf-8", 3),
        ("utf-8-sig", "UTF8", "utf-8", 3),
        ("utf-8", "utf-8-sig", "utf-8", 0),
        ("utf-16", "", "utf-16-le", 2),
        ("utf-16", "UTF-16", "utf-16-le", 2),
        ("utf-16", "utf-16le", "utf-16-le", 2),
        ("utf-16-be", "utf-16", "utf-16-be", 0),
        ("utf-16-le", "utf-16", "utf-16-le", 0),
        ("utf-32", "", "utf-32-le", 4),
        ("utf-32-be", "utf-32", "utf-32-be", 0),
        ("cp1252", "windows-1252", "cp1252", 0),
        ("iso8859-15", "ISO-8859-15", "iso8859-15", 0),
        ("cp1140", "cp1140", "cp1140", 0),
        ("gb18030", "GB18030", "gb18030", 0),
        ("utf-7", "utf-7", "utf-7", 0),
    ],
)
def test_a_file_is_read_in_its_character_set(written: str, said: str, known_as: str, mark_bytes: int) -> None:
    raw = TEXT.encode(written)
    for size in (1, 2, 3, 65536):
        found = read(raw, stated(said), sizes=[size])
        assert found.records == [{"n\u00e4me": "J\u00f6rg\r\nX", "b": "1"}, {"n\u00e4me": "\u20ac", "b": "2"}]
        assert found.rows[-1].behind == InputPosition(len(raw), 5, 2)
    assert charset_of(raw, said) == (Charset(known_as), mark_bytes)


def _python_names() -> list[str]:
    return sorted(set(encodings.aliases.aliases.values()))


@pytest.mark.parametrize("name", _python_names())
def test_every_text_encoding_of_python_is_read_or_refused_by_name(name: str) -> None:
    sample = "id,name\n1,x\n2,y\n"
    try:
        raw = sample.encode(name)
        raw.decode(name)
    except LookupError:
        with pytest.raises(UnreadableInputError, match="character set"):
            look(b"id\n", stated(name), is_whole=True)
        return
    if codecs.lookup(name).name in _NO_CHARSETS:
        with pytest.raises(UnreadableInputError, match="character set"):
            look(raw, stated(name), is_whole=True)
        return
    assert read(raw, stated(name), sizes=[3]).records == [{"id": "1", "name": "x"}, {"id": "2", "name": "y"}]


@pytest.mark.parametrize("name", _python_names())
def test_all_sets_that_are_measured_by_character_have_one_width(name: str) -> None:
    """So every other set of the standard library, now and later, must be among those that go by line."""
    try:
        charset, _ = charset_of(b"", name)
    except UnreadableInputError:
        return
    if charset.is_by_line or charset.name.startswith("utf"):
        return
    every = bytes(range(256))
    text = "".join(charset.texts([every[:77], every[77:]]))
    assert len(text) == charset.width(text) == 256
    assert text == "".join("".join(charset.texts([bytes([byte])])) for byte in every)


def test_the_names_of_sets_are_those_of_python() -> None:
    assert all(charset_of(b"", name)[0].name == name for name in _BY_LINE)


@pytest.mark.parametrize(
    "name",
    ["klingon", "rot13", "base64", "hex", "idna", "punycode", "unicode_escape", "undefined", "a\0b", "x" * 300, "../x"],
)
def test_an_unknown_character_set_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnreadableInputError, match="accepted: utf-8") as refused:
        look(b"a\n1\n", stated(name), is_whole=True)
    assert repr(name)[1:5] in refused.value.message


@pytest.mark.parametrize(("written", "said"), [("utf-8-sig", "latin-1"), ("utf-16", "utf-8"), ("utf-16", "utf-16-be")])
def test_a_mark_that_says_otherwise_is_told(written: str, said: str) -> None:
    with pytest.raises(UnreadableInputError, match="byte order mark"):
        look(TEXT.encode(written), stated(said), is_whole=True)


def test_a_shift_that_outlives_its_line_ends_the_reading() -> None:
    raw = b"a,b\n1,2\n\x1b$BF|\n,x\n"
    for sizes in ([1], [65536]):
        found = read(raw, stated("iso2022_jp", delimiter=","), sizes=sizes)
        assert found.records == [{"a": "1", "b": "2"}]
        assert found.place[0] == 3
        assert "accepted" in found.error
    with pytest.raises(UnreadableInputError, match=r"ASCII.*\(line 3\)"):
        look(raw, stated("iso2022_jp"), is_whole=True)


@given(
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp1252", "ascii", "cp424"]),
    st.binary(max_size=40),
    st.integers(1, 5),
)
def test_every_bytes_have_a_text_that_tells_their_number(name: str, raw: bytes, size: int) -> None:
    charset = Charset(name)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    text = "".join(charset.texts(pieces))
    units = {"utf-16": 2, "utf-32": 4}.get(name[:6], 1)
    assert charset.width(text) == -(-len(raw) // units) * units
    assert text == "".join(charset.texts([raw]))


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a\tb\n1,5\t2;3\n", "\t"),
        ("a|b|c\n1|2,5|3\n", "|"),
        ("date;amount, net;x\n2020;1,5;y\n", ";"),
        ('"Last, First";"b"\n"Doe, J";1\n', ";"),
        ("a\n1,2\n", ","),
        ("a", ","),
        ('a;"b\n;;;;"\n1;2', ";"),
        ('a;b\n1;"unclosed', ";"),
    ],
)
def test_the_delimiter_is_found_out(head: str, delimiter: str) -> None:
    assert look(head.encode(), CSV, is_whole=True).delimiter == delimiter


@pytest.mark.parametrize("mark", ["ab", "\n", "\r", "\0"])
def test_a_mark_is_one_character(mark: str) -> None:
    for option in ("delimiter", "quote"):
        with pytest.raises(UnreadableInputError, match=f"metaData.{option}"):
            look(b"a\n", stated(**{option: mark}), is_whole=True)
    with pytest.raises(UnreadableInputError, match="must differ"):
        look(b"a\n", stated(delimiter="|", quote="|"), is_whole=True)


@pytest.mark.parametrize(
    ("head", "column", "told"),
    [
        (b"a,b,a\n", 3, "'a' is there twice"),
        (b"a,a.b\n", 2, "inside 'a', which is a column"),
        (b"a.b.c,x,a.b\n", 3, "'a.b' is a column, and others are inside it"),
        (b"a, a \n", 2, "is there twice"),
        (b"a,,b\n", 2, "is empty"),
        (b"a,b..c\n", 2, "empty part"),
        (b".a\n", 1, "empty part"),
        (b"." * 200 + b"\n", 1, "empty part"),
        (b"a." * 200 + b"a\n", 1, "at most 100"),
        (b"a,\xe4\n", 2, "windows-1252"),
        (b"a\0,\0b\0\n\0", 1, "UTF-16"),
    ],
)
def test_a_header_that_makes_no_record_is_refused(head: bytes, column: int, told: str) -> None:
    with pytest.raises(UnreadableInputError) as refused:
        look(b"\n" + head, CSV, is_whole=True)
    assert (refused.value.line, refused.value.column) == (2, column)
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("head", "is_whole", "told"),
    [
        (b"", True, "the file is empty; accepted: a header line"),
        (b"\xef\xbb\xbf\r\n \n", True, "the file is empty"),
        (b"\0" * 100, True, "the file is empty"),
        (b" " * HEAD_BYTES, False, "blank"),
        (b"a," * (HEAD_BYTES // 2), False, "does not end within"),
        (b'"a' + b"\n" * (HEAD_BYTES - 2), False, "does not end within"),
        (b'"a\n', True, "never closed"),
        (b'"a"b\n', True, "closing quote"),
        (b'{"email":"a@x.test","age":1}\n', True, "for JSON Lines state metaData.format json"),
        (b",,\n\n", True, "does not end"),
    ],
)
def test_a_file_without_a_header_is_refused(head: bytes, is_whole: bool, told: str) -> None:
    with pytest.raises(UnreadableInputError, match=told):
        look(head, CSV, is_whole=is_whole)


@pytest.mark.parametrize("format_options", [CSV, JSON])
@given(data=st.data())
def test_a_head_that_is_cut_anywhere_tells_the_same_form(format_options: UploadOptions, data: st.DataObject) -> None:
    raw = TEXT.encode() * 3 if format_options is CSV else b' \r\n[{"a":1}]'
    least = raw.index(b"[") + 1 if format_options is JSON else raw.index(b"\n") + 1
    cut = data.draw(st.integers(least, len(raw)))
    assert look(raw[:cut], format_options, is_whole=False) == look(raw, format_options, is_whole=True)


def test_no_more_than_the_head_is_looked_at() -> None:
    raw = b"a,b\n" + b"1,2\n" * HEAD_BYTES
    assert look(raw, CSV, is_whole=True).header == ("a", "b")


@pytest.mark.parametrize(
    ("raw", "layout", "body_at"),
    [
        (b" \r\n\r [", "array", InputPosition(6, 3, 0, 3)),
        (b"[", "array", InputPosition(1, 1, 0, 2)),
        (b'\n{"a":1}', "lines", InputPosition(0)),
        ("\ufeff\n[".encode("utf-16-le"), "array", InputPosition(6, 2, 0, 2)),
    ],
)
def test_array_or_lines_is_told_by_the_first_character(raw: bytes, layout: str, body_at: InputPosition) -> None:
    form = look(raw, JSON, is_whole=True)
    assert (form.format, form.body_at) == (layout, body_at)


def test_an_array_in_a_set_without_widths_is_refused_and_lines_are_read() -> None:
    options = UploadOptions("x", format="json", encoding="shift_jis")
    with pytest.raises(UnreadableInputError, match="or one object a line"):
        look(b"[{}]", options, is_whole=True)
    assert read('{"a":"\u65e5"}\n'.encode("shift_jis"), options).records == [{"a": "\u65e5"}]


@pytest.mark.parametrize("raw", [b"a.b;\xc3\xa9\n", b"a\n"])
def test_a_form_is_kept_as_json(raw: bytes) -> None:
    form = look(raw, CSV, is_whole=True)
    assert InputForm.from_json(json.loads(json.dumps(form.as_json()))) == form


@given(st.integers(0), st.integers(1), st.integers(0), st.integers(1))
def test_a_position_is_kept_as_json(offset: int, line: int, row: int, column: int) -> None:
    position = InputPosition(offset, line, row, column)
    kept = position.as_json()
    assert InputPosition.from_json(json.loads(json.dumps(kept))) == position
    assert {"offset": offset, "line": line, "row": row}.items() <= kept.items()
    assert InputPosition.from_json({"offset": 3, "line": 2, "row": 1}) == InputPosition(3, 2, 1)
