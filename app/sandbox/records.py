"""The sandbox's records: record n of a seed is always the same bytes.

A record is written as text, never through a JSON encoder, so that it holds what vendors send and decoders lose:
``1.10`` with its last zero, an integer of 30 digits, ``1.5E+3``, a key order that is not alphabetical. Groups of five
records share one ``updatedAt``, as bulk edits do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

_MASK: Final = (1 << 64) - 1
_EPOCH_S: Final = 1_704_067_200  # 2024-01-01T00:00:00Z: record n was created n minutes later
_GIVEN: Final = (
    "Ada",
    "Grace",
    "Alan",
    "Edsger",
    "Barbara",
    "Donald",
    "Zoë",
    "Łukasz",
    "Jürgen",
    "Nguyễn",
    "李",
    "Olena",
)
_FAMILY: Final = ("Hopper", "Lovelace", "Turing", "Liskov", "Knuth", "Müller", "Ørsted", "Hamilton", "Noether", "Gödel")
_CITIES: Final = ("Berlin", "Łódź", "São Paulo", "Kyoto", "Reykjavík", "Oslo", "Québec")
GROUPS: Final = "abcde"
_TAGS: Final = ("[]", '["new"]', '["new","vip"]', '["a,b","c\\"d"]', '[["nested"],{"k":1}]')

# JSON string contents that break decoders which are only nearly right; each is legal JSON text.
_STRANGE: Final = (
    "emoji \U0001f600 and flag \U0001f1ea\U0001f1fa",
    "lone surrogate \\ud83d here",
    "reversed pair \\ude00\\ud83d",
    "controls \\u0000\\u0001\\u001f\\b\\f",
    "lines \\r\\n\\t end",
    "separators \u2028\u2029",
    'quote \\" backslash \\\\ slash \\/',
    "right to left \u202e\u05e9\u05dc\u05d5\u05dd",
    "combining e\u0301 and escaped \\u00e9",
    "delete \x7f and no-break\u00a0space",
    '=HYPERLINK(\\"x\\")',
    "byte order mark \ufeff inside",
    "",
    "comma, semicolon; tab\\t",
)


@dataclass(frozen=True)
class Shape:
    """How records are written. Everything a record's bytes depend on, beside its number."""

    seed: int = 0
    text: str = "plain"  # or "strange"
    ascii: bool = False  # every character beyond ASCII as \\uXXXX
    dates: str = "iso"
    numbers: str = "raw"  # or "strings"
    wrap_records: str = ""
    tombstones_every: int = 0
    pad_bytes: int = 0
    pad_every: int = 1


class Facts(NamedTuple):
    """What a record can be filtered by, as the text a query parameter would carry."""

    name: str
    email: str
    group: str
    active: str
    archived: str


FILTERABLE: Final = Facts._fields


def expected_record(n: int, shape: Shape | None = None, *, seed: int = 0) -> bytes:
    """Record ``n`` (from 1) in compact form, as UTF-8 without a line end, exactly as a page serves it."""
    shape = shape or Shape(seed=seed)
    if shape.tombstones_every and n % shape.tombstones_every == 0:
        return b'{"id":%d,"deleted":true}' % n
    text = _write(n, shape)
    if shape.wrap_records:
        text = f'{{"{shape.wrap_records}":{text}}}'
    return (_escape_non_ascii(text) if shape.ascii else text).encode()


def facts(n: int, seed: int) -> Facts:
    """The filterable fields of record ``n``."""
    mixed = mix(n, seed)
    name = f"{_GIVEN[mixed % 12]} {_FAMILY[mixed // 12 % 10]}"
    return Facts(
        name=name,
        email=f"user{n}.{mixed % 9973}@example.test",
        group=GROUPS[mixed // 120 % 5],
        active="true" if mixed & 64 else "false",
        archived="true" if n % 3 == 0 else "false",
    )


def comparable(n: int, seed: int) -> dict[str, int | str | bool | datetime]:
    """What an OData filter knows of record ``n``, as values that can be compared."""
    known = facts(n, seed)
    created, updated = (datetime.fromtimestamp(second, UTC) for second in (created_s(n), updated_s(n)))
    flags = {"active": known.active == "true", "archived": known.archived == "true"}
    return {**known._asdict(), **flags, "id": n, "createdAt": created, "updatedAt": updated}


def created_s(n: int) -> int:
    """When record ``n`` was created, in seconds since 1970."""
    return _EPOCH_S + n * 60


def updated_s(n: int) -> int:
    """When record ``n`` was changed last, in seconds since 1970."""
    return _EPOCH_S + 86_400 + n // 5 * 300


def mix(n: int, seed: int) -> int:
    """Spread (n, seed) over 64 bits; the same on every machine and in every version of Python."""
    mixed = (n * 0x9E3779B97F4A7C15 ^ (seed + 1) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = (mixed ^ mixed >> 31) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 29


def _write(n: int, shape: Shape) -> str:
    mixed = mix(n, shape.seed)
    name, email, group, active, archived = facts(n, shape.seed)
    if shape.text == "strange":
        name = _STRANGE[n % len(_STRANGE)]
    date = _DATES[shape.dates]
    quote = '"' if shape.numbers == "strings" else ""
    padding = f',"padding":"{"x" * shape.pad_bytes}"' if shape.pad_bytes and n % shape.pad_every == 0 else ""
    return (
        f'{{"id":{quote}{n}{quote},"name":"{name}","email":"{email}","group":"{group}",'
        f'"active":{active},"archived":{archived},'
        f'"createdAt":{date(created_s(n))},"updatedAt":{date(updated_s(n))},'
        f'"amount":{quote}{mixed % 9973}.{mixed // 7 % 10}0{quote},'
        f'"balance":{quote}{1 + mixed % 9}{mixed:020d}{n % 1_000_000_000:09d}{quote},'
        f'"score":{quote}{mixed % 10}.5E+{mixed // 11 % 10}{quote},'
        f'"note":{"null" if mixed & 1 else f"{chr(34)}note {mixed % 101}{chr(34)}"},'
        f'"address":{{"zip":"{mixed % 100_000:05d}","city":"{_CITIES[mixed % 7]}",'
        f'"geo":{{"lat":{mixed % 90}.{mixed // 13 % 1000:03d},"lon":-{mixed % 180}.{mixed // 17 % 100:02d}0}}}},'
        f'"tags":{_TAGS[mixed // 19 % 5]}{padding}}}'
    )


@lru_cache(maxsize=4096)
def _iso(second: int) -> str:
    return f'"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}Z"'


def _spaced(second: int) -> str:
    return f'"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"'


def _naive(second: int) -> str:
    return f'"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"'


_DATES: Final[Mapping[str, Callable[[int], str]]] = {
    "iso": _iso,
    "space": _spaced,
    "naive": _naive,
    "epoch": str,
    "epoch_ms": lambda second: f"{second}000",
    "odata2": lambda second: f'"/Date({second}000)/"',
}
DATE_FORMS: Final = tuple(_DATES)


def written_date(form: str, second: int) -> str:
    """A date in one of the forms, without quotes."""
    return _DATES[form](second).strip('"')


def date_s(form: str, text: str) -> float:
    """The seconds since 1970 of what `written_date` writes. Raises ValueError for any other text."""
    digits = {"epoch": f"{text}000", "epoch_ms": text, "odata2": text[6:-2]}
    is_count = form in digits
    second = int(digits[form]) / 1000 if is_count else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    if written_date(form, int(second)) != text:
        raise ValueError(text)
    return second


def _escape_non_ascii(text: str) -> str:
    return re.sub(r"[^\x00-\x7f]", lambda found: _escapes(found.group()), text)


def _escapes(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
