"""Requests under dual control, and the readings of an open break-glass session."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from dataloaders.batching import BatchLoader
from dataloaders.visibility import Visibility
from subgraph.keys.breakglass.model import BreakGlassRequest, Place
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.keys.custody.destruction import Destruction, KeyDestructions
from subgraph.policy.scopes import Scope

RequestKey = tuple[str, UUID]
ReadKey = tuple[str, UUID, Place]
BreakGlassLoader = BatchLoader[RequestKey, BreakGlassRequest | None]
BreakGlassReadLoader = BatchLoader[ReadKey, str | None]
DestructionLoader = BatchLoader[RequestKey, Destruction | None]


def break_glass_loader(service: BreakGlassService, visibility: Visibility) -> BreakGlassLoader:
    """Loads break-glass requests by tenant and id; one statement a batch."""

    async def read(keys: Sequence[RequestKey]) -> Mapping[RequestKey, BreakGlassRequest]:
        visible = await visibility.tenants(Scope.BREAKGLASS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await service.load_many(asked) if asked else {}

    return BatchLoader(read, missing=None)


def break_glass_read_loader(
    service: BreakGlassService, visibility: Visibility
) -> BreakGlassReadLoader:
    """Loads the markers of values by recording that they are read; one transaction a session.

    A marker is there once its reading is committed to the ledger.
    """

    async def read(keys: Sequence[ReadKey]) -> Mapping[ReadKey, str]:
        principal = visibility.principal
        if principal is None:
            return {}
        sessions: dict[RequestKey, list[Place]] = {}
        for tenant, request_id, place in keys:
            sessions.setdefault((tenant, request_id), []).append(place)
        found: dict[ReadKey, str] = {}
        for (tenant, request_id), places in sessions.items():
            markers = await service.authorise_reads(
                tenant, request_id, places, by=principal.subject
            )
            found.update({(tenant, request_id, place): markers[place] for place in places})
        return found

    return BatchLoader(read, missing=None)


def destruction_loader(service: KeyDestructions, visibility: Visibility) -> DestructionLoader:
    """Loads requests to destroy key versions by tenant and id; one statement a batch."""

    async def read(keys: Sequence[RequestKey]) -> Mapping[RequestKey, Destruction]:
        visible = await visibility.tenants(Scope.KEYS_READ, {tenant for tenant, _ in keys})
        asked = [key for key in keys if key[0] in visible]
        return await service.load_many(asked) if asked else {}

    return BatchLoader(read, missing=None)
