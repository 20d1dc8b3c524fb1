from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.file_names import LONGEST_WISH, PATTERNS, FileNameError, check, render

MOMENT = datetime(2026, 3, 1, 14, 5, 9, 7000, tzinfo=UTC)

# What Java's SimpleDateFormat gives for this moment in UTC and English.
WRITTEN = {
    "yyyy-MM-dd'T'HH:mm:ssXXX": "2026-03-01T14:05:09Z",
    "yyyy-MM-dd'T'HH:mm:ss'Z'": "2026-03-01T14:05:09Z",
    "yyyy-MM-dd'T'HH:mm:ss.SXXX": "2026-03-01T14:05:09.7Z",
    "yyyy-MM-dd'T'HH:mm:ss.SSSXXX": "2026-03-01T14:05:09.007Z",
    "yyyy-MM-dd'T'HH:mm:ss.SSSZ": "2026-03-01T14:05:09.007+0000",
    "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'": "2026-03-01T14:05:09.007Z",
    "yyyy-MM-dd HH:mm:ss": "2026-03-01 14:05:09",
    "yyyy.MM.dd G 'at' HH:mm:ss z": "2026.03.01 AD at 14:05:09 UTC",
    "h:mm a": "2:05 PM",
    "yyyyy.MMMMM.dd GGG hh:mm aaa": "02026.March.01 AD 02:05 PM",
    "yyMMddHHmmssZ": "260301140509+0000",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_documented_pattern_is_written_as_java_does(pattern: str) -> None:
    assert render(f"{{{pattern}}}_MyJob", MOMENT, "csv") == f"{WRITTEN[pattern]}_MyJob.csv"


def test_every_documented_pattern_is_there() -> None:
    assert set(PATTERNS) == set(WRITTEN)


@pytest.mark.parametrize(("hour", "written"), [(0, "12:00 AM"), (1, "1:00 AM"), (12, "12:00 PM"), (23, "11:00 PM")])
def test_clock_of_twelve_hours(hour: int, written: str) -> None:
    assert render("{h:mm a}", datetime(2026, 1, 1, hour, tzinfo=UTC), "csv") == f"{written}.csv"


def test_several_patterns_in_one_name() -> None:
    assert render("a{h:mm a}b{yyMMddHHmmssZ}", MOMENT, "jsonl") == "a2:05 PMb260301140509+0000.jsonl"


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("contacts", "contacts.json"),
        ("contacts.json", "contacts.json"),
        ("contacts.CSV", "contacts.json"),
        ("contacts.txt", "contacts.txt.json"),
        ("../../etc/passwd", "passwd.json"),
        ("C:\\temp\\x", "x.json"),
        (".hidden", "hidden.json"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie: b.json"),
        ("\u202etxt", "_txt.json"),
        ("Kunden Übersicht 😀", "Kunden Übersicht 😀.json"),
        ('say "hi"', 'say "hi".json'),
        ("csv.csv", "csv.json"),
        (".csv", "csv.json"),
    ],
)
def test_a_name_has_no_folder_nothing_invisible_and_the_right_extension(wish: str, name: str) -> None:
    assert render(wish, MOMENT, "json") == name


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("{yyyy}_x", "'yyyy'"),
        ("{}", "date pattern ''"),
        ("a{b", "brace"),
        ("a}b", "brace"),
        ("", "1 to 200"),
        ("x" * (LONGEST_WISH + 1), "201 characters"),
        ("a/", "names no file"),
        ("..", "names no file"),
        ("\ud800", None),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_what_is_accepted(wish: str, told: str | None) -> None:
    if told is None:
        assert render(wish, MOMENT, "csv") == "_.csv"
        return
    with pytest.raises(FileNameError, match=told):
        check(wish)


@given(wish=st.text(min_size=1, max_size=LONGEST_WISH))
def test_whatever_is_accepted_is_safe_to_save_under(wish: str) -> None:
    try:
        check(wish)
    except FileNameError:
        return
    name = render(wish, MOMENT, "csv")
    assert name.endswith(".csv")
    assert len(name.encode()) <= 200
    assert not set(name) & set("/\\\r\n\0")
    assert not name.startswith((".", " "))
