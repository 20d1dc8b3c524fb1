"""What a leg does for its chain: leave out what the chain has delivered, and note what must not come again.

Only jobs with filterDateField on an object with an id keep such an account; the others know nothing of it. What is
noted counts with the checkpoint that commits its records, and not before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import structs

from app.connectors.client import GotPage, VendorClient
from app.connectors.pointers import Missing, find_small
from app.db import chains
from app.db.jobs import Job
from app.db.pool import Connection
from app.domain.chains import US_A_SECOND, Dates, Mark, Noted, Version, us_of, version_of
from app.domain.criteria import DownloadCriteria
from app.domain.instants import parse_instant
from app.domain.selection import Record, Selected
from app.services.lease import Lease

Choose = Callable[[Sequence[Record], int | None], Selected]
Lookup = Callable[[list[bytes]], dict[bytes, bytes]]

_LEG_S = 600.0
"""Rather more than a leg takes from its first call to its first checkpoint."""


class Overlap:
    """One leg's view of the chain. Used by the leg's thread alone."""

    def __init__(
        self,
        mark: Mark,
        dates: Dates,
        id_pointer: str,
        lookback_us: int,
        *,
        lookup: Lookup,
        now: Callable[[], datetime],
    ) -> None:
        """`lookback_us`: how far behind its highest date this pass has to be remembered. `lookup`: id key -> digest of
        what the chain delivered last. `now`: for vendors that tell no time.
        """
        self.chain_id = mark.chain_id
        self._mark = mark
        self._dates = dates
        self._id_pointer = id_pointer
        self._lookback_us = lookback_us
        self._lookup = lookup
        self._now = now
        self._began_at = time.monotonic()
        self._noted = Noted()
        self._sealed = Noted()

    def note_call(self, got: GotPage) -> None:
        """The first page of a pass tells when it began, by the vendor's clock.

        The header is written when the answer is ready; the list may have been read as much earlier as the call took.
        """
        if self._mark.clock_us is not None:
            return
        told_us = us_of(parse_instant(got.date_header))
        if told_us is None:
            told_us = int(self._now().timestamp() * US_A_SECOND)
        clock_us = told_us - int(time.monotonic() - self._began_at) * US_A_SECOND
        self._mark = replace(self._mark, clock_us=clock_us)
        self._noted.clock_us = clock_us

    def choose(self, records: Sequence[Record], room: int | None, choose: Choose) -> Selected:
        """What `choose` leaves of the records that the chain has not delivered yet, as they came.

        `consumed` of the answer counts all records, `choose` sees the new ones only. Raises what looking up raises.
        """
        instants = self._dates.of(records)
        repeated = self._repeated(records, instants)
        new = [at for at in range(len(records)) if at not in repeated]
        chosen = choose([records[at] for at in new] if repeated else records, room)
        consumed = len(records) if chosen.consumed == len(new) else new[chosen.consumed]
        self._noted.repeated_count += consumed - chosen.consumed
        self._note(chosen.records, dict(zip(map(id, records), instants, strict=True)))
        return structs.replace(chosen, consumed=consumed, repeated=consumed - chosen.consumed)

    def _repeated(self, records: Sequence[Record], instants: list[int | None]) -> set[int]:
        """Which of the records are, in that very state, what the chain delivered last of them."""
        floor_us = self._mark.floor_us
        if floor_us is None:
            return set()
        asked = {
            at: self._version(record, instant_us)
            for at, (record, instant_us) in enumerate(zip(records, instants, strict=True))
            if instant_us is not None and instant_us >= floor_us
        }
        last = self._last_delivered({each.id_key for each in asked.values()})
        return {at for at, version in asked.items() if last.get(version.id_key) == version.digest}

    def _last_delivered(self, id_keys: set[bytes]) -> dict[bytes, bytes]:
        """By id key; what this leg delivered itself may not be committed yet."""
        sealed, noted = self._sealed.versions, self._noted.versions
        mine = {key: (noted.get(key) or sealed[key]).digest for key in id_keys if key in noted or key in sealed}
        unknown = sorted(id_keys - mine.keys())
        return mine | self._lookup(unknown) if unknown else mine

    def _note(self, chosen: Sequence[Record], instants: dict[int, int | None]) -> None:
        dated = [(record, at_us) for record in chosen if (at_us := instants[id(record)]) is not None]
        if not dated:
            return
        high_us = max(at_us for _, at_us in dated)
        self._noted.high_us = _later(high_us, self._noted.high_us)
        self._mark = replace(self._mark, high_us=_later(high_us, self._mark.high_us))
        next_floor_us = self._mark.ahead(self._lookback_us)
        for record, at_us in dated:
            if next_floor_us is None or at_us >= next_floor_us:
                version = self._version(record, at_us)
                self._noted.versions[version.id_key] = version

    def _version(self, record: Record, at_us: int) -> Version:
        try:
            raw_id = find_small(record, self._id_pointer)
        except (Missing, RecursionError):
            raw_id = None
        return version_of(bytes(record), None if raw_id is None else bytes(raw_id), at_us)

    def seal(self) -> Noted:
        """What was noted since the last time. Called once what was sealed before is committed."""
        floor_us = self._mark.ahead(self._lookback_us)
        self._sealed, self._noted = self._noted, Noted()
        if floor_us is not None:
            kept = {key: each for key, each in self._sealed.versions.items() if each.at_us >= floor_us}
            self._sealed.versions = kept
        return self._sealed


def _later(one_us: int, other_us: int | None) -> int:
    return one_us if other_us is None else max(one_us, other_us)


def _uncertain_s(job: Job, now: datetime) -> float:
    """How much earlier the pass may have begun than its mark says.

    The first call of another slice may have come first and count last: no earlier than the run, and a leg's time ago.
    """
    if job.slice_count == 1:
        return 0.0
    return _LEG_S if job.started_at is None else _LEG_S + max(0.0, (now - job.started_at).total_seconds())


def load_overlap(
    conn: Connection,
    job: Job,
    criteria: DownloadCriteria,
    client: VendorClient,
    lease: Lease,
    now: Callable[[], datetime],
) -> Overlap | None:
    """None where the job keeps no account: no filterDateField, no id, begun behind pages that nobody noted, or with
    `child`, whose records are delivered apart from their page.
    """
    if not criteria.filter_date_field or not client.id_pointer or criteria.child is not None:
        return None
    mark = chains.find_mark(conn, job.id)
    if mark is None:
        if job.page_count or criteria.continue_from_job_id is not None:
            return None
        mark = Mark(job.id)
    lookback_us = int((client.lookback_s + _uncertain_s(job, now())) * US_A_SECOND)
    chains.prune(conn, mark.chain_id, job.id, floor_us=mark.floor_us, own_floor_us=mark.ahead(lookback_us))

    def lookup(id_keys: list[bytes]) -> dict[bytes, bytes]:
        return lease.persist(lambda conn: chains.find_delivered(conn, mark.chain_id, id_keys))

    return Overlap(mark, Dates(criteria.filter_date_field), client.id_pointer, lookback_us, lookup=lookup, now=now)
