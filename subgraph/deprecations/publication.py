"""Records the lifecycle records of a release in the deployment log."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from subgraph.db.service import Database
from subgraph.deprecations.model import Deprecation
from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.ledger.model import DEPLOYMENT, EventType, NewEvent
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.service import Ledger

_ACTOR = "deployment"


class Publication:
    """Publishes each version of a record once, whichever process starts first."""

    def __init__(self, database: Database, ledger: Ledger, reader: LedgerReader) -> None:
        self._database = database
        self._ledger = ledger
        self._reader = reader

    async def publish(self, records: Sequence[Deprecation]) -> None:
        """Record those that the ledger does not have as they are now."""
        events = [_published(record) for record in records]
        asked = [(None, event.event_id) for event in events if event.event_id is not None]
        known = await self._reader.events_by_id(asked)
        missing = [event for event in events if (None, event.event_id) not in known]
        if missing:
            async with self._database.transaction(DEPLOYMENT) as transaction:
                await self._ledger.append_many(transaction, missing)


def _published(record: Deprecation) -> NewEvent:
    payload: dict[str, JSONValue] = {
        "id": record.id,
        "coordinate": record.coordinate,
        "announced": record.announced.isoformat(),
        "since": record.since.isoformat(),
        "until": record.until.isoformat(),
        "graceDays": record.grace.days,
        "reason": record.reason,
        "owner": record.owner,
        "replacement": record.replacement,
        "shim": record.shim,
    }
    version = canonical.encode(payload).decode()
    return NewEvent(
        EventType.DEPRECATION_PUBLISHED,
        _ACTOR,
        None,
        payload,
        event_id=uuid5(NAMESPACE_URL, f"deprecation:{version}"),
    )
