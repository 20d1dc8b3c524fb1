"""The CSRF token and the cookies that some vendors want with each write: fetched with a GET, renewed on a 403."""

from __future__ import annotations

from collections.abc import Sequence

from app.connectors.classify import Verdict, classify_response
from app.connectors.client import Sender
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.outgoing import Outgoing
from app.connectors.redaction import Redactor
from app.connectors.write_model import CsrfSpec
from app.connectors.write_results import OutRow, Postponed, Refused, RowOutcome
from app.connectors.write_verdicts import id_at
from app.domain.uploads import RowVerdict
from app.errors import ConfigError
from app.http_client import Beat, Headers, Response, TransportError

_FORBIDDEN = 403
_REQUIRED = "required"
_MOST_FRUITLESS = 2
"""So many fresh tokens in a row may be refused."""


class CsrfSession:
    """Token and cookies of one client. Kept in memory only, never shared between instances."""

    def __init__(
        self, connector: Connector, spec: CsrfSpec, outgoing: Outgoing, redactor: Redactor, http: Sender
    ) -> None:
        self._connector, self._spec, self._outgoing = connector, spec, outgoing
        self._redactor, self._http = redactor, http
        self._token: str | None = None
        self._cookies: dict[str, str] = {}
        self._renewed_for: set[str] = set()
        self._fruitless = 0

    def fetch(self, beat: Beat | None) -> Postponed | Refused | None:
        """Have a token; one call where none is held. What keeps us from it is returned, and nothing was written then.

        Raises Interrupted, and what the sender raises instead of sending.
        """
        if self._token is not None:
            return None
        wish = {self._spec.header: self._spec.fetch_value} if self._spec.fetch_value else {}
        try:
            request = self._outgoing.request(self._spec, "GET", headers=wish)
            response = self._http.start(request).result(beat)
        except ConfigError as error:
            return _refused(None, ErrorClass.CONFIG, str(error))
        except TransportError as error:
            return self._unreached(error)
        return self._read(response)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes with each write."""
        jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return ((self._spec.header, self._token or ""), *([("Cookie", jar)] if jar else []))

    def keep_cookies(self, headers: Headers) -> None:
        """Take over what the vendor sets; attributes do not matter, since all goes to one origin."""
        for line in headers.get_all("Set-Cookie"):
            name, equals, value = line.partition(";")[0].partition("=")
            if equals and name.strip():
                self._cookies[name.strip()] = value.strip()

    @property
    def token(self) -> str | None:
        """The one that is held, None before the first fetch and after a refusal."""
        return self._token

    def renews(self, rows: Sequence[OutRow], used: str | None, response: Response) -> bool:
        """Whether this refusal is the fault of the token `used`: then the rows are sent again with another one.

        A vendor that says so is believed, unless fresh tokens change nothing; one that only says 403 once a row.
        """
        keys = {row.key for row in rows}
        if response.status != _FORBIDDEN:
            self._renewed_for -= keys
            self._fruitless = 0
            return False
        if used != self._token:
            return True
        is_said = (response.headers.get(self._spec.header) or "").lower() == _REQUIRED
        if self._fruitless >= _MOST_FRUITLESS or (keys <= self._renewed_for and not is_said):
            return False
        self._renewed_for |= keys
        self._fruitless += 1
        self._token = None
        self._cookies.clear()
        return True

    def _read(self, response: Response) -> Postponed | Refused | None:
        self.keep_cookies(response.headers)
        pointer = self._spec.token_at
        token = response.headers.get(self._spec.header) if pointer is None else id_at(response.body, pointer)
        if token and token.lower() != _REQUIRED:
            self._token = token
            return None
        said = classify_response(self._connector, response.status, response.headers, response.body)
        if said.action in {Action.RETRY, Action.WAIT, Action.REFRESH_AUTH}:
            return Postponed(said, response.status)
        text = f"HTTP {response.status}: the vendor gave no CSRF token: {self._redactor.excerpt(response.body)}"
        return _refused(response.status, ErrorClass.CONFIG, self._redactor.cut(text))

    def _unreached(self, error: TransportError) -> Postponed | Refused:
        text = self._redactor.cut(str(error))
        if error.kind == "refused_address":
            return _refused(None, ErrorClass.CONFIG, text)
        return Postponed(Verdict(Action.RETRY, ErrorClass.TRANSIENT, text))


def _refused(status: int | None, error_class: ErrorClass, text: str) -> Refused:
    return Refused(RowOutcome(RowVerdict.FAILED, None, status, error_class, text))
