"""Cutting a page into records without decoding them: the vendor's bytes stay the vendor's bytes.

One msgspec pass with a Struct made from the connector's pointers finds the records as raw slices and decodes the few
small values beside them. What that pass cannot read though it is JSON (lone surrogate escapes, an array where an
object was declared, array indexes in pointers) goes through the slow scanner, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from app.connectors.faults import PageFault
from app.connectors.guards import print_of
from app.connectors.model import ListSpec, PageSpec
from app.connectors.pointers import Missing, find_raw, find_small, find_value, split_pointer
from app.connectors.scanner import NotJsonError, scan_items
from app.connectors.tombstones import marked
from app.domain.selection import Record

Raw = msgspec.Raw

Hide = Callable[[str], str]

_QUOTABLE_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


class Page(msgspec.Struct, frozen=True):
    """One answer. `records`: JSON texts in order, on one line each. `values`: what the connector's pointers found."""

    records: list[Record]
    values: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"Page({self.count} records)"

    @property
    def count(self) -> int:
        """How many records."""
        return len(self.records)

    def chosen(self, skip: int, count: int) -> list[Record]:
        """At most `count` records behind the first `skip`."""
        if skip == 0 and count >= len(self.records):
            return self.records
        return self.records[skip : skip + count]

    def fingerprint(self, id_pointer: str | None) -> str:
        """What tells this page from its neighbour: `i…` from record ids where they have one, else `r…` from bytes."""
        if not self.records:
            return ""
        samples = (self.records[0], self.records[len(self.records) // 2], self.records[-1])
        ids = [find_small(sample, id_pointer) for sample in samples] if id_pointer is not None else [None]
        known = [each for each in ids if each is not None]
        is_by_id = len(known) == len(ids)
        mark = print_of(b"\n".join([b"%d" % len(self.records), *(known if is_by_id else samples)]))
        return ("i" if is_by_id else "r") + mark

    def last_key(self, pointer: str) -> str | None:
        """The text or number at `pointer` of the last record, numbers as the vendor wrote them."""
        raw = find_raw(self.records[-1], pointer) if self.records else None
        if raw is None or bytes(raw)[:1] in {b"{", b"[", b"n", b"t", b"f"}:
            return None
        text = bytes(raw)
        return str(find_value(text, "")) if text.startswith(b'"') else text.decode()


EMPTY_PAGE = Page([])


class PageReader:
    """Reads the answers of one list. Made once a declaration (see `page_reader`), used by any thread."""

    def __init__(self, list_spec: ListSpec) -> None:
        self._records = list_spec.records
        self._record = list_spec.record
        self._marks = list_spec.deleted if list_spec.deleted and list_spec.deleted.do == "mark" else None
        self._is_missing_empty = list_spec.missing == "empty"
        self._pointers = _value_pointers(list_spec, list_spec.page)
        tree = _tree_of(self._records, self._pointers)
        self._decoder = None if tree is None else msgspec.json.Decoder(_type_of(tree))
        if tree is not None:
            self._records_at = _attributes(tree, self._records)
            self._values_at = [(name, _attributes(tree, pointer)) for name, pointer in self._pointers.items()]

    def read(self, body: bytes, hide: Hide = str) -> Page:
        """Cut `body`. Raises PageFault: not JSON, not UTF-8, nested too deep, or no list where one is declared.

        `hide` takes secrets out of the text that a fault quotes.
        """
        body = body.removeprefix(_BOM)
        _check_text(body)
        try:
            records, values = self._read_fast(body, hide)
        except msgspec.MsgspecError:
            records, values = self._read_slow(body, hide)
        except RecursionError:
            raise PageFault("not_json", "The answer is nested too deep.") from None
        if records is None and not self._is_missing_empty:
            raise self._missing(body, hide)
        return Page(_on_one_line(self._unwrapped(records or [], body, hide), body), values)

    def _read_fast(self, body: bytes, hide: Hide) -> tuple[list[Record] | None, dict[str, Any]]:
        if self._decoder is None:
            return self._read_slow(body, hide)
        tree = self._decoder.decode(body)
        return _walk(tree, self._records_at), {name: _walk(tree, names) for name, names in self._values_at}

    def _read_slow(self, body: bytes, hide: Hide) -> tuple[list[Record] | None, dict[str, Any]]:
        if body.lstrip()[:1] not in {b"{", b"["}:
            raise PageFault("not_json", f"The answer is no JSON object or array: {_excerpt(body, hide)}")
        try:
            found = find_raw(body, self._records)
            values = {name: find_value(body, pointer) for name, pointer in self._pointers.items()}
            items = None if found is None else scan_items(bytes(found))
        except RecursionError:
            raise PageFault("not_json", "The answer is nested too deep.") from None
        except (Missing, NotJsonError):
            raise PageFault("not_json", f"The answer is not JSON: {_excerpt(body, hide)}") from None
        # Some servers write an empty list as `{}` or `""`; anything else that is no array is wrong however declared.
        if found is not None and items is None and bytes(found).strip() not in {b"{}", b'""'}:
            raise self._missing(body, hide)
        return (None if items is None else [*items]), values

    def _unwrapped(self, items: list[Record], body: bytes, hide: Hide) -> list[Record]:
        """The records in the elements of the list, deleted ones with a mark where that is declared."""
        if self._record:
            found = [find_raw(item, self._record) for item in items]
            items = [record for record in found if record is not None]
            if len(items) < len(found):
                text = f"An element of the list has nothing at {self._record!r}: {_excerpt(body, hide)}"
                raise PageFault("missing_records", text)
        return items if self._marks is None else [marked(self._marks, item) for item in items]

    def _missing(self, body: bytes, hide: Hide) -> PageFault:
        return PageFault(
            "missing_records",
            f"There is no array of records at {self._records!r}: {_excerpt(body, hide)} "
            f"If that means an empty list, declare `missing: empty` in the connector.",
        )


class RecordReader(PageReader):
    """Reads an answer that is one record, or holds one. Where there is none, the page is empty."""

    def read(self, body: bytes, hide: Hide = str) -> Page:
        """Raises PageFault: not JSON, not UTF-8, nested too deep, or no object where one is declared."""
        body = body.removeprefix(_BOM)
        _check_text(body)
        try:
            found = find_raw(body, self._records)
        except (Missing, RecursionError):
            raise PageFault("not_json", f"The answer is not JSON: {_excerpt(body, hide)}") from None
        if found is None:
            return EMPTY_PAGE
        record = bytes(found).strip()
        if not record.startswith(b"{"):
            raise PageFault("missing_records", f"There is no record at {self._records!r}: {_excerpt(body, hide)}")
        return Page([_compact(record)])


@lru_cache(maxsize=512)
def page_reader(list_spec: ListSpec) -> PageReader:
    """The reader of `list_spec`, compiled once a process."""
    return RecordReader(list_spec) if list_spec.is_single else PageReader(list_spec)


def _value_pointers(list_spec: ListSpec, page: PageSpec) -> dict[str, str]:
    declared = {"token": page.at, "total": list_spec.total, "more": page.more, "pages": page.pages}
    return {name: pointer for name, pointer in declared.items() if pointer is not None}


_Tree = dict[str, Any]
"""Key -> what is there: another tree, or the type to decode."""


def _tree_of(records: str, values: Mapping[str, str]) -> _Tree | None:
    """What the pointers look at, empty for an answer that is the list; None where they have no common root."""
    if records == "":
        return None if values else {}
    tree: _Tree = {}
    for pointer, leaf in [(records, list[Raw] | None), *((each, Any) for each in values.values())]:
        *path, last = split_pointer(pointer)
        node = tree
        for key in path:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                return None
        if node.setdefault(last, leaf) is not leaf:
            return None
    return tree


def _type_of(tree: _Tree) -> Any:
    """A Struct that mirrors the tree; its attributes are numbered."""
    if not tree:
        return list[Raw]
    fields = [
        (f"f{number}", _type_of(kind) | None if isinstance(kind, dict) else kind, None)
        for number, kind in enumerate(tree.values())
    ]
    names = {f"f{number}": key for number, key in enumerate(tree)}
    return msgspec.defstruct("Node", fields, rename=names, frozen=True, gc=False)


def _attributes(tree: _Tree, pointer: str) -> tuple[str, ...]:
    """The names of the attributes that lead to what the pointer means."""
    names = []
    for key in split_pointer(pointer):
        names.append(f"f{[*tree].index(key)}")
        tree = tree[key]
    return tuple(names)


def _walk(node: Any, attributes: tuple[str, ...]) -> Any:
    for name in attributes:
        if node is None:
            return None
        node = getattr(node, name)
    return node


def _check_text(body: bytes) -> None:
    if body.isascii():
        return
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise PageFault("not_json", f"The answer is not UTF-8 (byte {error.start}).") from None


def _on_one_line(records: list[Record], body: bytes) -> list[Record]:
    """Line breaks can only be space between tokens, since JSON text escapes its own; such records are rewritten."""
    if b"\n" not in body and b"\r" not in body:
        return records
    joined = b"".join(records)
    if b"\n" not in joined and b"\r" not in joined:
        return records
    return [_compact(bytes(record)) for record in records]


def _compact(record: bytes) -> bytes:
    if b"\n" not in record and b"\r" not in record:
        return record
    try:
        return bytes(msgspec.json.format(record, indent=-1))
    except msgspec.MsgspecError:  # lone surrogate escapes
        return _SPACE.sub(rb"\1", record)


def _excerpt(body: bytes, hide: Hide) -> str:
    """The beginning of a body for a message: 80 printable characters, cut behind `hide`, which needs whole secrets."""
    text = hide(body[:_QUOTABLE_BYTES].decode("utf-8", "replace"))[:200]
    shown = re.sub(r"[^\x20-\x7e\xa0-\uffff]+", " ", text).strip()[:80]
    if shown.startswith("<"):
        return f"it is HTML or XML ({shown})."
    return f"it begins with {shown!r}." if shown else "it is empty."
