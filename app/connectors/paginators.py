"""From a declaration and a cursor to a request, and from an answer to the next cursor. Pure.

A cursor is a JSON object that holds everything that going on needs, in constant size, so that it can lie in a row:
where the page is (`page`, `offset`, `token`, `url` or `key`), `size` asked, `learnt` (largest page seen), `seen`
(records before it), `total` known, and what page sanity needs (`print` of the page before, the loop `guard`, `empty`
pages in a row). The first cursor is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from app.connectors.faults import PageFault
from app.connectors.guards import advance_guard, print_of
from app.connectors.links import link_target, resolve_link, with_param
from app.connectors.model import PageKind, PageSpec

Json = Any
Cursor = dict[str, Any]

MAX_EMPTY_PAGES = 1000
MAX_TOKEN_CHARS = 16 * 1024
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
_LARGEST_COUNT = 2**63 - 1
_TOKEN_TYPES = frozenset({str, int, float})
URL_KINDS = frozenset({PageKind.NEXT_URL, PageKind.LINK, PageKind.ODATA})
COUNTED_KINDS = frozenset({PageKind.PAGE, PageKind.OFFSET, PageKind.KEYSET})


class HeaderLookup(Protocol):
    """Response headers."""

    def get(self, name: str) -> str | None:
        """The first value."""

    def get_all(self, name: str) -> tuple[str, ...]:
        """Every value."""


class PageRequest(msgspec.Struct, frozen=True):
    """What to add to the list's request. With `url` set, ask exactly that URL."""

    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    url: str | None = None
    repeat_params: bool = True


class PageView(msgspec.Struct, frozen=True):
    """What the paginator may see of one answer.

    `fingerprint` tells two pages apart: begins with `i` when made from record ids, `r` when from raw records; empty
    where pages are not compared. `last_key`: the keyset field of the last record as text. `values`: `token`, `total`,
    `more`, `pages` as decoded, only those that the connector declares. `origins`: where credentials may go, the
    instance's own first.
    """

    record_count: int
    fingerprint: str
    values: Mapping[str, Json]
    headers: HeaderLookup
    url: str
    origins: tuple[str, ...]
    last_key: str | None = None
    secret_params: tuple[str, ...] = ()


class Next(msgspec.Struct, frozen=True):
    """Where to go on. `is_discarded`: this page repeats the one before it past the end; deliver none of its records."""

    cursor: Cursor | None
    is_exhausted: bool
    is_discarded: bool = False


def first_request(page: PageSpec, cursor: Json | None, size: int) -> PageRequest:
    """The request for the page at `cursor` (None: the first one)."""
    state: Cursor = cursor or {}
    asked = str(state.get("size", size))
    headers = (("Prefer", f"odata.maxpagesize={asked}"),) if _prefers(page) else ()
    if "url" in state:
        return PageRequest(headers=headers, url=state["url"])
    params = [(page.size_param, asked)] if page.size_param else []
    position = _position(page, state)
    if position is not None:
        params.append((page.param, position))
    if page.following_params and state.keys() & {"page", "offset", "token", "key"}:
        params.extend(page.following_params)
    is_following = "token" in state or "key" in state
    return PageRequest(tuple(params), headers, repeat_params=page.repeat_params or not is_following)


def next_cursor(page: PageSpec, cursor: Json | None, size: int, view: PageView) -> Next:
    """The cursor behind the page that `view` shows. Raises PageFault when the page cannot be right."""
    step = _Step.of(page, cursor or {}, size, view)
    step.check_collapse()
    if page.kind is PageKind.NONE:
        return step.end()
    if page.kind in COUNTED_KINDS:
        return _next_counted(step)
    step.check_repeat()
    return _next_url(step) if page.kind in URL_KINDS else _next_token(step)


def shrink(page: PageSpec, cursor: Json | None, size: int, *, floor: int = 1) -> tuple[Cursor, int] | None:
    """The same record position with smaller pages, and the new size; None when it cannot be made smaller."""
    state: Cursor = dict(cursor or {})
    asked = int(state.get("size", size))
    if not page.is_size_sent or page.kind is PageKind.NONE:
        return None
    smaller = _smaller_page(page, state, asked) if page.kind is PageKind.PAGE else asked // 2
    if smaller is None or smaller < max(1, floor):
        return None
    if "url" in state and not _prefers(page):
        url = with_param(state["url"], page.size_param, str(smaller))
        if url is None:
            return None
        state["url"] = url
    if page.kind is PageKind.PAGE and "page" in state:
        start = int(page.start if page.start is not None else 1)
        state["page"] = start + (state["page"] - start) * (_true_size(page, state, asked) // smaller)
    state.pop("learnt", None)
    state |= {"size": smaller, "wanted": state.get("wanted", asked)}
    return state, smaller


def wanted_size(cursor: Json | None, size: int) -> int:
    """The page size asked for before anything made it smaller."""
    return int((cursor or {}).get("wanted", (cursor or {}).get("size", size)))


class _Step(msgspec.Struct, frozen=True):
    page: PageSpec
    state: Cursor
    asked: int
    view: PageView
    known_total: int | None
    stated_total: int | None

    @classmethod
    def of(cls, page: PageSpec, state: Cursor, size: int, view: PageView) -> _Step:
        stated = count_of(view.values.get("total"), "total")
        known = stated or state.get("total", stated)
        return cls(page, state, int(state.get("size", size)), view, known, stated)

    @property
    def seen(self) -> int:
        return int(self.state.get("seen", 0)) + self.view.record_count

    @property
    def exact_total(self) -> int | None:
        """None too where one page had more records than the total counts: some vendors always say 0 or 1."""
        total = self.known_total if self.page.is_total_exact else None
        return None if total is not None and total < max(self.view.record_count, self.state.get("learnt", 0)) else total

    @property
    def more(self) -> bool | None:
        return _flag_of(self.view.values.get("more"))

    @property
    def is_repeat(self) -> bool:
        """Whether this page is the one before once more."""
        if not self.view.record_count or not self.view.fingerprint or self.view.fingerprint != self.state.get("print"):
            return False
        # Records without an id may really be equal; an exact total that still has room for them says that they are.
        is_explained = (
            self.view.fingerprint.startswith("r") and self.exact_total is not None and self.seen <= self.exact_total
        )
        return not is_explained

    @property
    def is_same_key(self) -> bool:
        """Whether a keyset page ends with the record that it should begin behind."""
        key = self.view.last_key
        return self.page.kind is PageKind.KEYSET and key is not None and key == self.state.get("key")

    def check_repeat(self) -> None:
        """The same records under another position: the vendor lost its place. Delivering them would double them."""
        if self.is_repeat:
            raise PageFault("repeat", "A page came twice: the vendor ignores the position, or repeats its last page.")

    def check_collapse(self) -> None:
        """An expired session often answers 200 with nothing and total 0: that is not the end of the list."""
        before = self.state.get("total")
        if self.view.record_count == 0 and before and self.stated_total == 0 and self.seen < before:
            raise PageFault(
                "collapse",
                f"The vendor's total fell from {before} to 0 after {self.seen} records; nothing was read here.",
            )

    def check_early_end(self) -> None:
        """An empty page far before the stated total: an answer of a sick vendor rather than the end of its list.

        A total that is no exact one may be off by what changed meanwhile, which is granted up to one page.
        """
        total = None if self.view.record_count or self.more is False else self.known_total
        if total is not None and total - self.seen > max(self.asked, self.state.get("learnt", 0)):
            raise PageFault(
                "short_end",
                f"An empty page after {self.seen} records, while the vendor's total is {total}. If its total counts "
                "more than the list gives, take `total` out of the connector.",
            )

    def end(self, *, is_discarded: bool = False) -> Next:
        seen = self.seen - (self.view.record_count if is_discarded else 0)
        if self.exact_total is not None and seen < self.exact_total:
            raise PageFault(
                "short_end", f"The list ended after {seen} records, but its exact total is {self.exact_total}."
            )
        return Next(None, is_exhausted=True, is_discarded=is_discarded)

    def go_on(self, **position: Json) -> Next:
        """The common part of the next cursor, and `position`."""
        count = self.view.record_count
        empty = self.state.get("empty", 0) + 1 if count == 0 else 0
        if empty > MAX_EMPTY_PAGES:
            raise PageFault("too_many_empty", f"{MAX_EMPTY_PAGES} empty pages in a row; the list does not end.")
        cursor = {
            "size": self.asked,
            "wanted": self.state.get("wanted"),
            "learnt": max(count, self.state.get("learnt", 0)) or None,
            "seen": self.seen,
            "total": self.known_total,
            "empty": empty or None,
            "print": (self.view.fingerprint if count else self.state.get("print")) or None,
            **position,
        }
        return Next({key: value for key, value in cursor.items() if value is not None}, is_exhausted=False)


def _next_counted(step: _Step) -> Next:
    """page, offset, keyset: the vendor does not say where the next page is, so counts decide."""
    if step.page.past_end == "repeat" and (step.is_repeat or step.is_same_key):
        return step.end(is_discarded=True)
    step.check_repeat()
    return step.end() if _is_counted_end(step) else _COUNTED[step.page.kind](step)


def _is_counted_end(step: _Step) -> bool:
    """Exact evidence first (`more`, `pages`, an exact total), then an empty page, then a short one where declared."""
    if step.more is not None:
        return not step.more
    page_count = count_of(step.view.values.get("pages"), "pages")
    if page_count and step.page.kind is PageKind.PAGE:
        return _page_index(step.page, step.state) + 1 >= page_count
    if step.exact_total is not None:
        return step.view.record_count == 0 or step.seen >= step.exact_total
    if step.view.record_count == 0:
        step.check_early_end()
        return True
    # A short first page proves nothing: the vendor may have cut the size without a word. The second one is judged
    # by what the first one taught.
    return step.page.stop == "short" and step.view.record_count < step.state.get("learnt", 0)


def _after_page(step: _Step) -> Next:
    start = int(step.page.start if step.page.start is not None else 1)
    return step.go_on(page=int(step.state.get("page", start)) + 1)


def _after_offset(step: _Step) -> Next:
    offset = int(step.state.get("offset", step.page.start or 0))
    advance = step.asked if step.page.step == "size" else step.view.record_count
    if advance == 0:
        raise PageFault("loop", f"An empty page at offset {offset}, and the vendor says that there is more.")
    return step.go_on(offset=offset + advance)


def _after_key(step: _Step) -> Next:
    key = step.view.last_key if step.view.record_count else step.state.get("key")
    if key is None:
        raise PageFault("bad_cursor", f"The last record has no text or number at {step.page.field!r} to go on from.")
    if key == step.state.get("key"):
        raise PageFault("loop", "The last record of the page is the one that the page should begin behind.")
    _check_kept(key, "key of the last record")
    return step.go_on(key=key, guard=advance_guard(step.state.get("guard"), print_of(key)))


_COUNTED: dict[PageKind, Callable[[_Step], Next]] = {
    PageKind.PAGE: _after_page,
    PageKind.OFFSET: _after_offset,
    PageKind.KEYSET: _after_key,
}


def _next_token(step: _Step) -> Next:
    token = step.view.headers.get(step.page.header) if step.page.header else step.view.values.get("token")
    if step.more is False or _is_nothing(token):
        return _end_of_chain(step)
    if type(token) not in _TOKEN_TYPES:
        raise PageFault("bad_cursor", f"The next token is {type(token).__name__}; a text or number is accepted.")
    text = str(token)
    _check_kept(text, "next token")
    if text == step.state.get("token"):
        raise PageFault("loop", "The vendor gave the same next token again.")
    return step.go_on(token=text, guard=advance_guard(step.state.get("guard"), print_of(text)))


def _next_url(step: _Step) -> Next:
    link = _link_of(step)
    if step.more is False or _is_nothing(link):
        return _end_of_chain(step)
    if not isinstance(link, str):
        raise PageFault("bad_link", f"The next link is {type(link).__name__}; a text is accepted.")
    view = step.view
    url = resolve_link(
        link,
        base=view.url,
        origins=view.origins,
        is_rewritten=step.page.link_host == "rewrite",
        secret_params=view.secret_params,
    )
    if url == step.state.get("url", view.url):
        raise PageFault("loop", "The next link is the link of this page.")
    return step.go_on(url=url, guard=advance_guard(step.state.get("guard"), print_of(url)))


def _end_of_chain(step: _Step) -> Next:
    if step.more:
        raise PageFault("bad_cursor", "The vendor says that there is more, but gives no way to it.")
    step.check_early_end()
    return step.end()


def _link_of(step: _Step) -> Json:
    if step.page.kind is PageKind.LINK:
        return link_target(step.view.headers.get_all(step.page.header or "Link"), step.page.rel)
    if step.page.header:
        return step.view.headers.get(step.page.header)
    return step.view.values.get("token")


def _prefers(page: PageSpec) -> bool:
    return page.kind is PageKind.ODATA and page.prefer_maxpagesize


def _position(page: PageSpec, state: Cursor) -> str | None:
    if page.kind is PageKind.PAGE:
        return str(state.get("page", 1 if page.start is None else page.start))
    if page.kind is PageKind.OFFSET:
        return str(state.get("offset", page.start or 0))
    if page.kind is PageKind.KEYSET:
        first = None if page.start is None else str(page.start)
        return state.get("key", first)
    return state.get("token") if page.kind is PageKind.CURSOR else None


def _page_index(page: PageSpec, state: Cursor) -> int:
    start = int(page.start if page.start is not None else 1)
    return int(state.get("page", start)) - start


def _true_size(page: PageSpec, state: Cursor, asked: int) -> int:
    """The size that page numbers really count in: what came back, if every page was cut alike, else what was asked."""
    learnt, index = state.get("learnt"), _page_index(page, state)
    return int(learnt) if learnt and index and state.get("seen") == learnt * index else asked


def _smaller_page(page: PageSpec, state: Cursor, asked: int) -> int | None:
    """The largest proper divisor, so that a page boundary of the new size lies at the same record."""
    size = _true_size(page, state, asked) if _page_index(page, state) else asked
    return next((size // factor for factor in range(2, size + 1) if size % factor == 0), None)


def _check_kept(text: str, name: str) -> None:
    """Refuse what JSON can say, but neither a row nor a URL can hold."""
    if len(text) > MAX_TOKEN_CHARS:
        raise PageFault("bad_cursor", f"The {name} is longer than {MAX_TOKEN_CHARS} characters.")
    if _UNKEEPABLE.search(text):
        raise PageFault("bad_cursor", f"The {name} holds U+0000 or half a surrogate pair, which cannot be sent back.")


def _is_nothing(value: Json) -> bool:
    return value is None or value is False or value == ""


def count_of(value: Json, name: str) -> int | None:
    """A count that may be spelled as text; a negative one says nothing. Raises PageFault for anything else."""
    if value is None or value == "":
        return None
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = None
    if count is None or count > _LARGEST_COUNT:
        raise PageFault("bad_cursor", f"The {name} is {str(value)[:40]!r}; a number is accepted.")
    return None if count < 0 else count


def _flag_of(value: Json) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "y": True, "yes": True, "": None}.get(value.strip().lower(), False)
    return None if value is None else bool(value)
