"""Habits: how this vendor always behaves. Each was met at a real vendor and cost a naive client something."""

from dataclasses import dataclass
from typing import Final

from app.sandbox.records import DATE_FORMS, Shape
from app.sandbox.vocabulary import choice, either, flag, matching, number, setting, whole

WRONG_AUTH: Final = ("401", "401_html", "401_empty", "403", "200_empty", "200_public")
_MANY: Final = 1_000_000_000
_WRONG: Final = "what a wrong credential gets; 200_public: group a only, and X-User: anonymous"


@dataclass(frozen=True)
class Habits:
    """All habits of an account; every default is what a well-behaved vendor does."""

    # Where lists end
    past_end: str = setting(
        "empty", choice("empty", "repeat_last", "400", "404"), "a page past the end (page, offset, keyset)"
    )
    total: str | int = setting(
        "exact", either(choice("exact", "absent"), whole(0, _MANY)), "the total shown; a number is a lie"
    )
    trailing_token: bool = setting(
        default=False, accepts=flag(), about="a next token also on the last page: one empty call more"
    )
    empty_pages: int = setting(0, whole(0, 10_000), "empty pages with a new token before each real one (token kinds)")
    cursor_loop: int = setting(
        0, whole(0, 1_000_000), "from this page (1 = first) the next token leads back (token kinds)"
    )
    cursor_loop_length: int = setting(1, whole(1, 1000), "pages in that loop; 1 repeats the same token")
    # Page size
    over_max: str = setting("cut", choice("cut", "400"), "a page size above page_max: cut silently, or refused")
    # Links
    next_links: str = setting(
        "absolute",
        either(
            choice("absolute", "relative", "other_host"),
            matching(r"https?://[\w.:\[\]-]+", "an origin such as http://10.0.0.1"),
        ),
        "form of next links (next-url, link, odata); other_host swaps localhost and 127.0.0.1",
    )
    encode_dollar: bool = setting(default=False, accepts=flag(), about="%24 for $ in next links")
    # Which records, in what order
    order: str = setting(
        "oldest_first", choice("oldest_first", "newest_first"), "default order (?sort=id and keyset: oldest first)"
    )
    grows: int = setting(0, whole(0, 1000), "records added at each call")
    hide_archived: bool = setting(
        default=False, accepts=flag(), about="archived records only with ?archived=true or all"
    )
    tombstones_every: int = setting(0, whole(0, _MANY), 'every n-th record is {"id": n, "deleted": true}')
    # How records are written
    text: str = setting("plain", choice("plain", "strange"), "strange: emoji, control characters, lone surrogates ...")
    dates: str = setting("iso", choice(*DATE_FORMS), "form of createdAt and updatedAt")
    numbers: str = setting("raw", choice("raw", "strings"), "strings: numbers in quotes")
    wrap_records: str = setting(
        "", matching(r"[A-Za-z_]{0,40}", "a key, or empty"), 'each record inside {"key": record}'
    )
    pad_bytes: int = setting(0, whole(0, 200_000_000), "padding in a record: giant records and pages")
    pad_every: int = setting(1, whole(1, _MANY), "only every n-th record is padded")
    # How the answer is written
    json: str = setting("compact", choice("compact", "pretty", "ascii", "bom"), "form of the JSON text")
    gzip: str = setting(
        "never", choice("never", "accepted", "always", "members"), "members: two gzip members, if accepted"
    )
    chunked: bool = setting(default=False, accepts=flag(), about="Transfer-Encoding: chunked instead of a length")
    connection: str = setting("keep", choice("keep", "close"), "close: Connection: close after each answer")
    cookies: bool = setting(default=False, accepts=flag(), about="a new Set-Cookie on each answer")
    content_type: str = setting(
        "application/json", matching(r"[\w/+.;= -]{1,80}", "a media type"), "Content-Type of pages"
    )
    clock_skew_s: float = setting(
        0, number(-(10**7), 10**7), "how far this vendor's clock is ahead (Date, reset headers)"
    )
    # How people are written
    duplicates: str = setting(
        "409",
        choice("409", "422", "400", "500_html", "200", "accept"),
        "a second person with an email; 200: the old record, unchanged; accept: it is taken",
    )
    written: str = setting("record", choice("record", "id", "empty"), "what a good write of one record answers with")
    write_wrap: str = setting(
        "", matching(r"[A-Za-z_]{0,40}", "a key, or empty"), 'written records are {"key": record}, answers too'
    )
    csrf_calls: int = setting(0, whole(0, _MANY), "writes that a CSRF token is good for; 0: none is asked for")
    # Credentials
    wrong_auth: str = setting("401", choice(*WRONG_AUTH), _WRONG)
    token_calls: int = setting(0, whole(0, _MANY), "calls after which a secret expires (another secret works again)")
    token_expired: str = setting("401", choice(*WRONG_AUTH), "what an expired secret gets")

    def shape(self, seed: int) -> Shape:
        """How records are written under these habits."""
        return Shape(
            seed=seed,
            text=self.text,
            ascii=self.json == "ascii",
            dates=self.dates,
            numbers=self.numbers,
            wrap_records=self.wrap_records,
            tombstones_every=self.tombstones_every,
            pad_bytes=self.pad_bytes,
            pad_every=self.pad_every,
        )
