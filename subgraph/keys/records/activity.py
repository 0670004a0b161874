"""How often records are written and read, as one event a minute instead of one a read.

The counts are in memory until they are flushed: a process that is killed loses those of its last
minute, which sum up what is allowed anyway. What is not, such as break-glass, is recorded one by
one, before it happens.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

from subgraph.db.service import Database
from subgraph.errors import JSONValue, SubgraphError
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger

_PERIOD_SECONDS = 60.0
_MOST_TYPES = 200
"""Object types in one event; an entry of the ledger has at most 64 KiB."""
_ACTOR = "deployment"

_log = logging.getLogger(__name__)


class Activity(Enum):
    """What was done with a record."""

    PUT = "puts"
    DECRYPT = "decrypts"


_Counts = Counter[tuple[str, Activity]]


class RecordActivity:
    """Counts by tenant and object type, flushed into the tenants' ledgers."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._sleep = sleep
        self._counts: dict[str, _Counts] = {}

    def note(self, tenant: str, object_type: str, activity: Activity) -> None:
        """Count one record."""
        counts = self._counts.get(tenant)
        if counts is None:
            counts = self._counts.setdefault(tenant, Counter())
        counts[object_type, activity] += 1

    async def run(self) -> None:
        """Flush every minute until cancelled."""
        while True:
            await self._sleep(_PERIOD_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Record what was counted; what cannot be recorded now is kept for the next time."""
        counted, self._counts = self._counts, {}
        try:
            while counted:
                tenant, counts = counted.popitem()
                kept = await self._recorded(tenant, counts)
                self._keep(tenant, kept)
        finally:
            for tenant, counts in counted.items():
                self._keep(tenant, counts)

    async def _recorded(self, tenant: str, counts: _Counts) -> _Counts:
        """Record the counts of a tenant; those that could not be are returned."""
        kept = Counter(counts)
        names = sorted({name for name, _ in counts})
        try:
            for at in range(0, len(names), _MOST_TYPES):
                chosen = names[at : at + _MOST_TYPES]
                event = NewEvent(
                    EventType.RECORD_ACTIVITY, _ACTOR, tenant, payload=_payload(chosen, counts)
                )
                async with self._database.transaction(tenant) as transaction:
                    await self._ledger.append(transaction, event)
                for name in chosen:
                    for activity in Activity:
                        del kept[name, activity]
        except SubgraphError as error:
            _log.warning("record activity is not in the ledger yet: %s", error.code.name)
        except asyncio.CancelledError:
            self._keep(tenant, kept)
            raise
        return kept

    def _keep(self, tenant: str, counts: _Counts) -> None:
        if counts:
            self._counts.setdefault(tenant, Counter()).update(counts)


def _payload(names: Sequence[str], counts: _Counts) -> dict[str, JSONValue]:
    types: dict[str, JSONValue] = {}
    for object_type in names:
        types[object_type] = {
            activity.value: str(counts[object_type, activity])
            for activity in Activity
            if counts[object_type, activity]
        }
    return {"objectTypes": types}
