"""When a fault strikes: rules over the calls of an account. What it does stands in :mod:`app.sandbox.troubles`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from app.sandbox.records import mix
from app.sandbox.troubles import TROUBLES, Trouble
from app.sandbox.vocabulary import BadDocumentError, either, mapping, matching, number, read, setting, whole

_MANY: Final = 1_000_000_000


@dataclass(frozen=True)
class When:
    """Which calls a rule strikes; all given conditions must hold. Calls count from 1 since the settings were set."""

    calls: int | str = setting(
        "1..",
        either(whole(1, _MANY), matching(r"\d+(\.\.\d*)?", '"3", "3..5" or "3.."')),
        "call numbers, both ends included",
    )
    every: int = setting(1, whole(1, _MANY), "only calls whose number is a multiple of this")
    rate: float = setting(1.0, number(0, 1), "share of the calls, drawn by seed and call number")
    seed: int = setting(0, whole(0, _MANY), "seed of the draw")
    times: int = setting(_MANY, whole(1, _MANY), "strike at most so often")
    path: str = setting("", matching(r".*", "a path prefix such as /page/"), "only requests whose path begins so")


@dataclass(frozen=True)
class Rule:
    when: When
    name: str
    trouble: Trouble
    first: int
    last: int

    def fits(self, call: int, path: str, struck: int) -> bool:
        """Whether the rule strikes this call, having struck ``struck`` times."""
        when = self.when
        return (
            self.first <= call <= self.last
            and call % when.every == 0
            and path.startswith(when.path)
            and struck < when.times
            and (when.rate >= 1 or _draw(when.seed, call) < when.rate)
        )


def _draw(seed: int, call: int) -> float:
    """A number in [0, 1) that depends on nothing but seed and call: runs can be repeated."""
    return mix(call, seed) / 2**64


def read_faults(document: object) -> tuple[Rule, ...]:
    """Rules from JSON: ``[{"calls": "3..5", "do": "status", "status": 503}, ...]``. Raises BadDocumentError."""
    if not isinstance(document, list | tuple):
        raise BadDocumentError("faults", document, "an array of fault rules")
    return tuple(_read_rule(one, f"faults[{i}]") for i, one in enumerate(document))


def _read_rule(document: object, where: str) -> Rule:
    name: Any = document.get("do") if isinstance(document, Mapping) else document
    if not isinstance(document, Mapping) or not isinstance(name, str) or name not in TROUBLES:
        raise BadDocumentError(f"{where}.do", name, " | ".join(f'"{name}"' for name in TROUBLES))
    when_keys, own_keys = _keys(When), _keys(TROUBLES[name])
    mapping(document, where, ["do", *when_keys, *own_keys])
    when = read(When, {key: document[key] for key in when_keys if key in document}, where)
    trouble = read(TROUBLES[name], {key: document[key] for key in own_keys if key in document}, where)
    first, dots, last = str(when.calls).partition("..")
    return Rule(when, name, trouble, int(first), int(last) if last else (_MANY if dots else int(first)))


def _keys(declaration: type[Any]) -> list[str]:
    return [one.name for one in fields(declaration)]


class Script:
    """The rules of an account with their counts. Not safe for threads: the account holds its lock."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._struck = [0] * len(self._rules)
        self._call = 0

    def strike(self, path: str) -> Rule | None:
        """The first rule that strikes the next call. Counts the call."""
        self._call += 1
        for i, rule in enumerate(self._rules):
            if rule.fits(self._call, path, self._struck[i]):
                self._struck[i] += 1
                return rule
        return None
