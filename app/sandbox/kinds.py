"""Page kinds: how a list is cut into pages and how the next page is named. One function a kind, one table.

A kind reads a :class:`Question` and answers with a :class:`Page`: a window of the selection and the JSON text around
it. It knows nothing of credentials, faults or sockets.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from app.sandbox.habits import Habits
from app.sandbox.selection import Selection

DEFAULT_SIZE: Final = 100
_TOKEN_PREFIX: Final = "v1+"  # noqa: S105 - no secret; a client that forgets to encode the plus gets 400


class QuestionError(Exception):
    """A request this vendor refuses, as (status, code, message)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Question:
    """One request for a page, as a page kind needs to see it."""

    query: Mapping[str, str]
    headers: Mapping[str, str]  # lower-case names
    origin: str  # http://host:port the client used
    path: str
    selection: Selection
    page_max: int
    habits: Habits
    twist: str = ""  # "repeat_page" or "same_cursor": a fault for this page only


class Page(NamedTuple):
    """Records ``start`` to ``stop`` of the selection, between two pieces of JSON text."""

    start: int
    stop: int
    opening: bytes
    closing: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Kind(NamedTuple):
    answer: Callable[[Question], Page]
    example: str
    about: str


class Token(NamedTuple):
    """Where a token leads: behind record ``after`` (0 = the beginning), page number, empty pages already served."""

    after: int = 0
    page: int = 1
    empties: int = 0

    def text(self) -> str:
        return _TOKEN_PREFIX + b64encode(f"{self.after}.{self.page}.{self.empties}".encode()).decode()


def _read_token(text: str | None) -> Token:
    if text is None or text == "":
        return Token()
    version, plus, packed = text.partition("+")
    try:
        return Token(
            *map(int, b64decode(packed if version + plus == _TOKEN_PREFIX else "?", validate=True).split(b"."))
        )
    except (ValueError, TypeError):
        raise QuestionError(400, "bad_cursor", f"{text!r} is no cursor of this list") from None


def _whole(question: Question, name: str, default: int, low: int) -> int:
    text = question.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < low:
        raise QuestionError(
            400, "bad_parameter", f"{name}: {text!r} is not accepted; accepted: a whole number from {low}"
        )
    return int(text)


def _fit(question: Question, size: int) -> int:
    """The page size used: what was asked for, within this vendor's maximum."""
    if size > question.page_max and question.habits.over_max == "400":
        raise QuestionError(400, "page_size_too_large", f"page size {size} is above the maximum {question.page_max}")
    return min(size, question.page_max)


def _size(question: Question, name: str) -> int:
    return _fit(question, _whole(question, name, min(DEFAULT_SIZE, question.page_max), 1))


def _total(question: Question, key: str) -> bytes:
    """``,"key":N`` as the habit has it."""
    total = question.habits.total
    if total == "absent":
        return b""
    return b',"%s":%d' % (key.encode(), len(question.selection.ids) if total == "exact" else int(total))


def _window(question: Question, start: int, size: int) -> tuple[int, int]:
    """The window of a kind that can be asked past the end."""
    count = len(question.selection.ids)
    if start >= count > 0:
        past_end = question.habits.past_end
        if past_end in {"400", "404"}:
            raise QuestionError(int(past_end), "page_out_of_range", f"the list has {count} records")
        if past_end == "repeat_last":
            start = (count - 1) // size * size
    return _twisted(question, min(start, count), size)


def _twisted(question: Question, start: int, size: int) -> tuple[int, int]:
    if question.twist == "repeat_page":
        start = max(0, start - size)
    return start, min(start + size, len(question.selection.ids))


def _none(question: Question) -> Page:
    return Page(0, len(question.selection.ids), b"[", b"]")


def _page(question: Question) -> Page:
    size = _size(question, "per_page")
    start, stop = _window(question, (_whole(question, "page", 1, 1) - 1) * size, size)
    total = _total(question, "total")
    pages = -(-int(total.rpartition(b":")[2]) // size) if total else 0
    return Page(start, stop, b'{"data":[', b"]" + total + (b',"pages":%d}' % pages if total else b"}"))


def _page_from_zero(question: Question) -> Page:
    size = _size(question, "per_page")
    start, stop = _window(question, _whole(question, "page", 0, 0) * size, size)
    return Page(start, stop, b"[", b"]")


def _offset(question: Question) -> Page:
    start, stop = _window(question, _whole(question, "offset", 0, 0), _size(question, "limit"))
    return Page(start, stop, b'{"records":[', b"]" + _total(question, "count") + b"}")


def _keyset(question: Question) -> Page:
    start = question.selection.after(_whole(question, "after_id", 0, 0))
    start, stop = _window(question, start, _size(question, "limit"))
    return Page(start, stop, b'{"records":[', b"]}")


def _follow(question: Question, token_text: str | None, size: int) -> tuple[int, int, str | None]:
    """Window and next token of the kinds whose vendor names the next page."""
    token, habits, ids = _read_token(token_text), question.habits, question.selection.ids
    begin = question.selection.after(token.after or None)
    if question.twist == "same_cursor":
        following: Token | None = token
    elif token.empties < habits.empty_pages and begin < len(ids):
        return begin, begin, token._replace(empties=token.empties + 1).text()
    elif habits.cursor_loop and token.page >= habits.cursor_loop and ids:
        following = _loop_back(question, token, begin, size)
    else:
        end = min(begin + size, len(ids))
        more = end < len(ids) or (habits.trailing_token and begin < end)
        following = Token(ids[end - 1], token.page + 1) if more else None
    start, stop = _twisted(question, begin, size)
    return start, stop, following.text() if following else None


def _loop_back(question: Question, token: Token, begin: int, size: int) -> Token:
    back = min(question.habits.cursor_loop_length, token.page) - 1
    start = max(0, begin - back * size)
    return Token(question.selection.ids[start - 1] if start else 0, token.page - back)


def _cursor(question: Question) -> Page:
    start, stop, following = _follow(question, question.query.get("after"), _size(question, "limit"))
    paging = b"]}" if following is None else b'],"paging":{"next":{"after":"%s"}}}' % following.encode()
    return Page(start, stop, b'{"results":[', paging)


def _cursor_header(question: Question) -> Page:
    start, stop, following = _follow(question, question.query.get("cursor"), _size(question, "size"))
    return Page(start, stop, b"[", b"]", (("X-Next-Cursor", following),) if following else ())


def _next_url(question: Question) -> Page:
    start, stop, following = _follow(question, question.query.get("cursor"), _size(question, "limit"))
    link = b"null" if following is None else b'"%s"' % _link(question, cursor=following).encode()
    return Page(start, stop, b'{"items":[', b'],"links":{"next":' + link + b"}}")


def _link_header(question: Question) -> Page:
    start, stop, following = _follow(question, question.query.get("cursor"), _size(question, "per_page"))
    first = f'<{_link(question, cursor=Token().text())}>; rel="first"'
    links = first if following is None else f'{first}, <{_link(question, cursor=following)}>; rel="next"'
    return Page(start, stop, b"[", b"]", (("Link", links),))


def _link(question: Question, **changed: str) -> str:
    """The URL of another page of this list, in the form the habit has; the credential is the client's to add."""
    kept = {name: value for name, value in question.query.items() if name != "api_key"}
    query = urlencode({**kept, **changed}, quote_via=quote, safe="$")
    if question.habits.encode_dollar:
        query = query.replace("$", "%24")
    return _origin(question) + question.path + "?" + query


def _origin(question: Question) -> str:
    form = question.habits.next_links
    if form == "other_host":
        there, back = ("127.0.0.1", "localhost") if "127.0.0.1" in question.origin else ("localhost", "127.0.0.1")
        return question.origin.replace(there, back)
    return {"absolute": question.origin, "relative": ""}.get(form, form)


def _odata_window(question: Question) -> tuple[int, int, str | None]:
    """Window and next link. ``$top`` limits the whole list, as the protocol says, and stays in the next link."""
    prefer = question.headers.get("prefer", "")
    _, _, asked = prefer.partition("odata.maxpagesize=")
    digits = asked.split(",")[0].split(";")[0].strip()
    size = _fit(question, int(digits)) if digits.isdigit() and int(digits) else min(DEFAULT_SIZE, question.page_max)
    top = _whole(question, "$top", -1, 0) if "$top" in question.query else None
    if top is not None:
        size = min(size, top)
    start, stop, following = _follow(question, question.query.get("$skiptoken"), size)
    if following is None or (top is not None and stop - start >= top):
        return start, stop, None
    left = {} if top is None else {"$top": str(top - (stop - start))}
    return start, stop, _link(question, **{"$skiptoken": following, **left})


def _odata4(question: Question) -> Page:
    start, stop, link = _odata_window(question)
    wanted = question.query.get("$count") == "true"
    count = _total(question, "@odata.count")[1:] + b"," if wanted and _total(question, "") else b""
    closing = b"]}" if link is None else b'],"@odata.nextLink":"%s"}' % link.encode()
    return Page(start, stop, b"{" + count + b'"value":[', closing, (("OData-Version", "4.0"),))


def _odata2(question: Question) -> Page:
    start, stop, link = _odata_window(question)
    total = _total(question, "").rpartition(b":")[2]
    wanted = question.query.get("$inlinecount") == "allpages"
    count = b'"__count":"%s",' % total if wanted and total else b""
    closing = b"]}}" if link is None else b'],"__next":"%s"}}' % link.encode()
    return Page(start, stop, b'{"d":{' + count + b'"results":[', closing, (("DataServiceVersion", "2.0"),))


KINDS: Final[Mapping[str, Kind]] = {
    "none": Kind(_none, "/none/records", "the whole list, a bare array"),
    "page": Kind(_page, "/page/records?page=1&per_page=100", '{"data": [...], "total": N, "pages": P}, pages from 1'),
    "page0": Kind(_page_from_zero, "/page0/records?page=0&per_page=100", "a bare array, pages from 0, no total"),
    "offset": Kind(_offset, "/offset/records?offset=0&limit=100", '{"records": [...], "count": N}'),
    "cursor": Kind(
        _cursor, "/cursor/records?after=TOKEN&limit=100", '{"results": [...], "paging": {"next": {"after": TOKEN}}}'
    ),
    "cursor-header": Kind(
        _cursor_header, "/cursor-header/records?cursor=TOKEN&size=100", "a bare array, next token in X-Next-Cursor"
    ),
    "next-url": Kind(_next_url, "/next-url/records?limit=100", '{"items": [...], "links": {"next": URL or null}}'),
    "link": Kind(_link_header, "/link/records?per_page=100", 'a bare array, Link: <URL>; rel="next"'),
    "keyset": Kind(_keyset, "/keyset/records?after_id=0&limit=100", '{"records": [...]} ordered by id'),
    "odata": Kind(_odata4, "/odata/records", '{"value": [...], "@odata.nextLink": URL}, Prefer: odata.maxpagesize=N'),
    "odata2": Kind(_odata2, "/odata2/records", '{"d": {"results": [...], "__next": URL}}, Prefer: odata.maxpagesize=N'),
}
