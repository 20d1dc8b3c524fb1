"""What this vendor can do, for people: GET /, ``--help`` and the control API's vocabulary, all from the same tables."""

from typing import Any

from app.sandbox.children import CHILDREN
from app.sandbox.faults import When
from app.sandbox.habits import Habits
from app.sandbox.kinds import KINDS
from app.sandbox.limits import Limit
from app.sandbox.settings import Plain
from app.sandbox.troubles import TROUBLES
from app.sandbox.vocabulary import describe
from app.sandbox.writes import GUIDE

_AUTH = """\
  none                            the account "public"
  Authorization: Basic            the user is the account, any password but "wrong"
  Authorization: Bearer           ACCOUNT.SECRET, any secret but "wrong"
  X-API-Key: ACCOUNT.SECRET
  ?api_key=ACCOUNT.SECRET
  Below /auth/basic, /auth/bearer, /auth/header and /auth/query each path accepts just that one.
  An account exists once it is named; each has its own data, settings, counters and log."""

_DATES = """\
  ?created_from=2024-01-31T08:30:00Z and created_to, both included; updated_from and, not included, updated_to"""

_CONTROL = """\
  PUT    /_control/accounts/NAME          replace all settings: {"records": 250, "habits": {...}, "faults": [...]}
  PATCH  /_control/accounts/NAME          replace only the named ones
  GET    /_control/accounts/NAME          settings, calls, counters (these never roll)
  DELETE /_control/accounts/NAME          forget the account
  GET    /_control/accounts/NAME/log      its last 10,000 calls as JSON lines (?after=NUMBER)
  DELETE /_control/accounts/NAME/log      clear log and counters
  POST   /_control/accounts/NAME/release  let the calls go that a "hold" fault holds
  GET    /_control/accounts/NAME/people   what was written, and how often each person was created
  DELETE /_control/accounts/NAME/people   forget all that
  GET    /_control/vocabulary             all of this as JSON"""


def vocabulary() -> dict[str, Any]:
    """Every word of the control document, as JSON."""
    return {
        "kinds": {name: {"example": kind.example, "about": kind.about} for name, kind in KINDS.items()},
        "settings": describe(Plain),
        "habits": describe(Habits),
        "limits": describe(Limit),
        "faults": {
            "when": describe(When),
            "do": {name: {"about": _first_line(one), "keys": describe(one)} for name, one in TROUBLES.items()},
        },
    }


def guide(base_url: str) -> str:
    """The whole manual as plain text."""
    sections = [
        ("The Haulage sandbox: a vendor that behaves as badly as you ask it to.\n", curl_lines(base_url)),
        (
            "\nLists (all GET, all the same records; ?group=a and other fields filter, odata by $filter, too)",
            f"{_DATES}\n{_kinds()}",
        ),
        ("\nWhat belongs to records", _children()),
        ("\nWrites (one table an account; an Idempotency-Key is remembered)", _writes()),
        ("\nCredentials", _AUTH),
        ("\nControl (needs no credential)", _CONTROL),
        ("\nSettings of an account", _rows(Plain)),
        ("\nhabits: how the vendor always behaves", _rows(Habits)),
        ("\nlimits: an array; each at most `calls` in `per_s` seconds", _rows(Limit)),
        ("\nfaults: an array of rules, the first that fits strikes; when:", _rows(When)),
        ('\nand what, as "do" with keys of its own:', _troubles()),
    ]
    return "\n".join(f"{title}\n{body}" for title, body in sections) + "\n"


def curl_lines(base_url: str) -> str:
    """Calls to try first."""
    fault = '{"faults": [{"calls": "2..3", "do": "status", "status": 503}]}'
    return "\n".join(
        (
            f"  curl '{base_url}/page/records?page=1&per_page=3'",
            f"  curl -i -H 'Authorization: Bearer demo.secret' '{base_url}/link/records?per_page=3'",
            f"  curl -X PUT -d '{fault}' {base_url}/_control/accounts/demo",
            f"  curl {base_url}/_control/accounts/demo/log",
        )
    )


def _kinds() -> str:
    return "\n".join(f"  {kind.example:<46}{kind.about}" for kind in KINDS.values())


def _children() -> str:
    return "\n".join(f"  {'/' + '/'.join(child.parts):<46}{child.about}" for child in CHILDREN.values())


def _writes() -> str:
    return "\n".join(f"  {call:<46}{about}" for call, about in GUIDE.items())


def _troubles() -> str:
    return "\n".join(
        f"  {name:<16}{_first_line(one)}\n{_rows(one, indent=6)}".rstrip() for name, one in TROUBLES.items()
    )


def _rows(declaration: type[Any], indent: int = 2) -> str:
    """One line a key: name, default, explanation, what is accepted."""
    lines = []
    for row in describe(declaration):
        default = (
            str(row["default"]).lower() if isinstance(row["default"], bool) else repr(row["default"]).replace("'", '"')
        )
        lines.append(f"{' ' * indent}{row['key']:<20}{row['about']} [{row['accepts']}; default {default}]")
    return "\n".join(lines)


def _first_line(documented: type[Any]) -> str:
    return (documented.__doc__ or "").partition("\n")[0]
