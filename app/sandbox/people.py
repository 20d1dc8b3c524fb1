"""What is written to an account: one table of people, with a count of how often each one was created."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from app.sandbox.habits import Habits

Record = dict[str, Any]
_MOST_KEYS: Final = 100_000


class Outcome(NamedTuple):
    """What came of one write: an HTTP status, the record as it is now, or what is wrong with it."""

    status: int
    record: Record | None = None
    code: str = ""
    message: str = ""

    @property
    def is_good(self) -> bool:
        return self.status < 300  # noqa: PLR2004 - HTTP's successes


class People:
    """The table. All methods are safe for threads; `habits` say what a duplicate gets."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[int, Record] = {}
        self._by_email: dict[str, int] = {}
        self._last_id = 0
        self._remembered: dict[str, tuple[bytes, Any]] = {}
        self.created: Counter[str] = Counter()
        """E-mail (or the JSON text, where there is none) -> how often a record with it was made."""

    def clear(self) -> None:
        """Forget rows, counts and idempotency keys; ids go on."""
        with self._lock:
            self._rows.clear()
            self._by_email.clear()
            self._remembered.clear()
            self.created.clear()

    def rows(self, *, after_id: int = 0, limit: int | None = None, email: str | None = None) -> list[Record]:
        """The rows behind `after_id`, oldest first."""
        with self._lock:
            if email is not None:
                found = [self._by_email[email]] if email in self._by_email else []
            else:
                found = [n for n in self._rows if n > after_id]
            return [dict(self._rows[n]) for n in found[:limit]]

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, number: int) -> Outcome:
        with self._lock:
            found = self._rows.get(number)
        return Outcome(200, dict(found)) if found is not None else _missing(number)

    def create(self, given: object, habits: Habits) -> Outcome:
        with self._lock:
            problem = _problem(given)
            if problem is not None or not isinstance(given, dict):
                return problem or _missing(0)
            email = given.get("email")
            if email in self._by_email and habits.duplicates != "accept":
                return _duplicate(habits.duplicates, self._rows[self._by_email[email]])
            self._last_id += 1
            record = {"id": self._last_id, **{key: value for key, value in given.items() if key != "id"}}
            self._keep(self._last_id, record)
            self.created[email or json.dumps(given, sort_keys=True)] += 1
            return Outcome(201, dict(record))

    def update(self, number: int, given: object) -> Outcome:
        with self._lock:
            if number not in self._rows:
                return _missing(number)
            problem = _problem(given)
            if problem is not None or not isinstance(given, dict):
                return problem or _missing(number)
            record = {**self._rows[number], **given, "id": number}
            self._by_email.pop(self._rows[number].get("email", ""), None)
            self._keep(number, record)
            return Outcome(200, dict(record))

    def upsert(self, email: str, given: object, habits: Habits) -> Outcome:
        with self._lock:
            number = self._by_email.get(email)
            if number is not None:
                return self.update(number, given)
            return self.create({"email": email, **given} if isinstance(given, dict) else given, habits)

    def delete(self, number: int) -> Outcome:
        with self._lock:
            found = self._rows.pop(number, None)
            if found is None:
                return _missing(number)
            self._by_email.pop(found.get("email", ""), None)
            return Outcome(204)

    def create_all(self, given: list[object], habits: Habits) -> list[Outcome]:
        """All of them, or none: then the outcomes of those that were in the way."""
        with self._lock:
            emails = Counter(one.get("email") for one in given if isinstance(one, dict))
            problems = []
            for one in given:
                email = one.get("email") if isinstance(one, dict) else None
                known = self._by_email.get(email) if isinstance(email, str) else None
                if problem := _problem(one):
                    problems.append(problem)
                elif habits.duplicates != "accept" and (known is not None or (email is not None and emails[email] > 1)):
                    problems.append(_duplicate(habits.duplicates, self._rows.get(known or 0, {})))
            return problems or [self.create(one, habits) for one in given]

    def once(self, key: str, fingerprint: bytes, act: Callable[[], Any]) -> Any:
        """What `act` gives, or gave when this idempotency key came first; None for another request under it."""
        with self._lock:
            if key not in self._remembered:
                if len(self._remembered) >= _MOST_KEYS:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[key] = (fingerprint, act())
            known, answer = self._remembered[key]
            return answer if known == fingerprint else None

    def _keep(self, number: int, record: Record) -> None:
        self._rows[number] = record
        if isinstance(record.get("email"), str):
            self._by_email[record["email"]] = number


def _missing(number: int) -> Outcome:
    return Outcome(404, code="not_found", message=f"there is no person {number}")


def _duplicate(form: str, old: Mapping[str, Any]) -> Outcome:
    if form == "200":
        return Outcome(200, dict(old))
    status = 500 if form == "500_html" else int(form)
    return Outcome(status, code="duplicate", message=f"duplicate key: email {old.get('email')!r} is taken")


def _problem(given: object) -> Outcome | None:
    if not isinstance(given, dict):
        return Outcome(422, code="invalid", message="a record is an object")
    email, age = given.get("email", "@"), given.get("age", 0)
    if not isinstance(email, str) or "@" not in email:
        return Outcome(422, code="invalid", message=f"email {email!r} is none; accepted: a text with @")
    if not isinstance(age, int) or isinstance(age, bool):
        return Outcome(422, code="invalid", message=f"age {age!r} is none; accepted: a whole number")
    return None
