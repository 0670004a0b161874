"""Ledger events by id, and the proofs that they are in their log."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.ledger.model import Inclusion, RecordedEvent
from subgraph.ledger.reading import LedgerReader
from subgraph.policy.scopes import Scope

EventKey = tuple[str | None, UUID]
"""Tenant, or None for the log of the deployment, and event id."""

InclusionKey = tuple[str | None, int, int | None]
"""Tenant or None, index, and the size of the checkpoint or None for the newest."""

EventLoader = BatchLoader[EventKey, RecordedEvent | None]
InclusionLoader = BatchLoader[InclusionKey, Inclusion | None]


def event_loader(reader: LedgerReader, visibility: Visibility) -> EventLoader:
    """Loads events, None where the caller sees none; one statement a batch."""

    async def read(keys: Sequence[EventKey]) -> Mapping[EventKey, RecordedEvent]:
        tenants = {tenant for tenant, _ in keys if tenant is not None}
        visible: set[str | None] = set(await visibility.tenants(Scope.LEDGER_READ, tenants))
        asks_deployment = any(tenant is None for tenant, _ in keys)
        if asks_deployment and await visibility.deployment(Scope.LEDGER_DEPLOYMENT):
            visible.add(None)
        asked = [key for key in keys if key[0] in visible]
        return await reader.events_by_id(asked) if asked else {}

    return BatchLoader(read, missing=None)


def inclusion_loader(reader: LedgerReader) -> InclusionLoader:
    """Loads proofs of events that the caller was given; two statements a log and size."""

    async def read(keys: Sequence[InclusionKey]) -> Mapping[InclusionKey, Inclusion]:
        groups: dict[tuple[str | None, int | None], list[int]] = {}
        for tenant, index, size in keys:
            groups.setdefault((tenant, size), []).append(index)
        found: dict[InclusionKey, Inclusion] = {}
        for (tenant, size), indices in groups.items():
            for index, proof in (await reader.inclusions(tenant, indices, size)).items():
                found[tenant, index, size] = proof
        return found

    return BatchLoader(read, missing=None)
