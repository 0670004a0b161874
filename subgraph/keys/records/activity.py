"""How often records are written and read, as one event a minute instead of one a read.

The counts are in memory until they are flushed: a process that is killed loses those of its last
minute, which sum up what is allowed anyway. What is not, such as break-glass, is recorded one by
one, before it happens.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum

from subgraph.db.service import Database
from subgraph.errors import JSONValue, SubgraphError
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger

_PERIOD_SECONDS = 60.0
_ACTOR = "deployment"

_log = logging.getLogger(__name__)


class Activity(Enum):
    """What was done with a record."""

    PUT = "puts"
    DECRYPT = "decrypts"


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
        self._counts: dict[str, Counter[tuple[str, Activity]]] = {}

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
        for tenant, counts in counted.items():
            event = NewEvent(EventType.RECORD_ACTIVITY, _ACTOR, tenant, payload=_payload(counts))
            try:
                async with self._database.transaction(tenant) as transaction:
                    await self._ledger.append(transaction, event)
            except SubgraphError as error:
                _log.warning("record activity is not in the ledger yet: %s", error)
                self._counts.setdefault(tenant, Counter()).update(counts)


def _payload(counts: Counter[tuple[str, Activity]]) -> dict[str, JSONValue]:
    types: dict[str, JSONValue] = {}
    for object_type in sorted({name for name, _ in counts}):
        types[object_type] = {
            activity.value: str(counts[object_type, activity])
            for activity in Activity
            if counts[object_type, activity]
        }
    return {"objectTypes": types}
