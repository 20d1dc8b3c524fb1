"""From a page of records to an answer: JSON form, gzip, cookies; and the answers that are no pages."""

import json
import re
import zlib
from dataclasses import replace
from functools import lru_cache
from html import escape
from itertools import count
from typing import Final

from app.sandbox.habits import Habits
from app.sandbox.kinds import Page, Question
from app.sandbox.records import Shape
from app.sandbox.selection import PageCache
from app.sandbox.wire import Answer

_WORDS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_LARGEST_KEPT_BYTES: Final = 1024 * 1024
_cookie_numbers: Final = count(1)


def page_answer(page: Page, question: Question, shape: Shape, cache: PageCache) -> Answer:
    """The answer of a page kind, written as the habits have it."""
    habits, ids = question.habits, question.selection.ids
    body = page.opening + cache.joined(question.selection, page.start, page.stop, shape) + page.closing
    if habits.json == "pretty":
        body = _kept_pretty(body) if len(body) <= _LARGEST_KEPT_BYTES else pretty(body)
    elif habits.json == "bom":
        body = b"\xef\xbb\xbf" + body
    answer = Answer(
        200,
        body,
        (("Content-Type", habits.content_type), *page.headers),
        record_count=page.stop - page.start,
        record_ids=(ids[page.start], ids[page.stop - 1]) if page.start < page.stop else None,
    )
    return _packed(answer, habits, question.headers.get("accept-encoding", ""))


def dressed(answer: Answer, habits: Habits) -> Answer:
    """What every answer of an account has, page or not."""
    if habits.cookies:
        answer = answer.plus(("Set-Cookie", f"session={next(_cookie_numbers)}; Path=/; HttpOnly"))
    return replace(
        answer,
        chunked=habits.chunked,
        close=habits.connection == "close",
        clock_skew_s=habits.clock_skew_s,
    )


def _packed(answer: Answer, habits: Habits, accepted: str) -> Answer:
    if habits.gzip == "never" or (habits.gzip != "always" and "gzip" not in accepted):
        return answer
    members = 2 if habits.gzip == "members" else 1
    pack = _kept_gzip if len(answer.body) <= _LARGEST_KEPT_BYTES else gzip_members
    return replace(answer, body=pack(answer.body, members)).plus(
        ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")
    )


def gzip_members(body: bytes, members: int) -> bytes:
    """The body as one gzip member, or as several one behind the other (legal, and often read wrong)."""
    size = -(-len(body) // members) or 1
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    return b"".join(zlib.compress(part, 1, wbits=31) for part in parts)


def pretty(body: bytes) -> bytes:
    """The same JSON with line ends and indents; numbers and strings keep their bytes."""
    out: list[str] = []
    depth = 0
    words = _WORDS.findall(body.decode())
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in "]}":
            depth -= 1
            out.append(word if before in "[{" else f"\n{'  ' * depth}{word}")
        elif word in "[{":
            depth += 1
            out.append(word if after in "]}" else f"{word}\n{'  ' * depth}")
        else:
            out.append({",": f",\n{'  ' * depth}", ":": " : "}.get(word, word))
    return ("".join(out) + "\n").encode()


_kept_pretty = lru_cache(maxsize=64)(pretty)
_kept_gzip = lru_cache(maxsize=256)(gzip_members)


def json_answer(status: int, document: object) -> Answer:
    return Answer(status, json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def error_answer(status: int, code: str, message: str) -> Answer:
    return json_answer(status, {"error": {"code": code, "message": message}})


def html_answer(status: int, title: str, content_type: str = "text/html") -> Answer:
    shown = escape(title)
    page = f"<!DOCTYPE html>\n<html><head><title>{shown}</title></head><body><h1>{shown}</h1></body></html>\n"
    return Answer(status, page.encode(), (("Content-Type", content_type),))
