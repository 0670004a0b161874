"""Protected records by id, and pages of a tenant's records."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.keys.records import store
from subgraph.keys.records.model import RecordPage, StoredRecord
from subgraph.policy.scopes import Scope

RecordKey = tuple[str, UUID]
PageKey = tuple[str, RecordPage]
RecordLoader = BatchLoader[RecordKey, StoredRecord | None]
RecordPageLoader = BatchLoader[PageKey, Sequence[StoredRecord]]


def record_loader(database: Database, visibility: Visibility) -> RecordLoader:
    """Loads records by tenant and key, None where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[RecordKey]) -> Mapping[RecordKey, StoredRecord]:
        visible = await visibility.tenants(Scope.RECORDS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.records(database, asked) if asked else {}

    return BatchLoader(read, missing=None)


def record_page_loader(database: Database, visibility: Visibility) -> RecordPageLoader:
    """Loads pages by tenant, empty where the caller sees none; a statement a kind of page."""

    async def read(keys: Sequence[PageKey]) -> Mapping[PageKey, Sequence[StoredRecord]]:
        visible = await visibility.tenants(Scope.RECORDS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await store.record_pages(database, asked) if asked else {}

    return BatchLoader(read, missing=())
