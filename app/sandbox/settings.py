"""The one document that says how an account behaves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from app.sandbox.faults import Rule, read_faults
from app.sandbox.habits import Habits
from app.sandbox.limits import Limit, read_limits
from app.sandbox.vocabulary import mapping, number, read, setting, whole

_NESTED: Final = ("habits", "faults", "limits")


@dataclass(frozen=True)
class Plain:
    """The settings that are one number each."""

    records: int = setting(1000, whole(0, 100_000_000), "how many records this account has, ids 1..N")
    seed: int = setting(0, whole(0, 2**63), "another seed, other records")
    page_max: int = setting(1000, whole(1, 1_000_000), "largest page this vendor serves")
    latency_ms: float = setting(0, number(0, 3_600_000), "time each answer takes")
    concurrent_max: int = setting(0, whole(0, 100_000), "parallel calls before 429; 0 = no limit")


@dataclass(frozen=True)
class Settings:
    """How an account behaves; made by :func:`read_settings`, never changed."""

    plain: Plain
    habits: Habits = field(default_factory=Habits)
    limits: tuple[Limit, ...] = ()
    faults: tuple[Rule, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


def read_settings(document: object, defaults: Plain) -> Settings:
    """Check a whole document: ``{records, seed, page_max, latency_ms, concurrent_max, habits, limits, faults}``.

    What is not given has the server's default. Raises BadDocumentError, which names field, value and what is accepted.
    """
    given = mapping(document, "account", [*asdict(defaults), *_NESTED])
    numbers = {key: value for key, value in given.items() if key not in _NESTED}
    return Settings(
        plain=read(Plain, {**asdict(defaults), **numbers}, "account"),
        habits=read(Habits, given.get("habits", {}), "habits"),
        limits=read_limits(given.get("limits", [])),
        faults=read_faults(given.get("faults", [])),
        document=dict(given),
    )
