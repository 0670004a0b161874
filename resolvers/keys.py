"""`CustomerManagedKey`, its versions, and their destruction."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from resolvers.approvals import Approval, RequestState, approvals_of, request_state
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.entities import by_tenant, load_by_id
from resolvers.events import events_about
from resolvers.key_provider import KeyProvider
from resolvers.ledger import LedgerEvent
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.federation.access import scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.federation.scalars import Digest, UInt64
from subgraph.keys.custody import model
from subgraph.keys.custody.destruction import Destruction
from subgraph.policy.scopes import Scope

if TYPE_CHECKING:
    from resolvers.tenants import Tenant

_READ = scope(Scope.KEYS_READ)
_LEDGER = scope(Scope.LEDGER_READ)
_NEWEST = 2**31 - 1

described_enum(
    model.KeyState,
    {
        "ACTIVE": "It wraps and unwraps.",
        "SUSPENDED": "Nothing that it protects can be written or read.",
    },
)
described_enum(
    model.KeyVersionState,
    {
        "ACTIVE": "It wraps data keys.",
        "DECRYPT_ONLY": "It only unwraps what it has wrapped.",
        "DISABLED": "Nothing in use depends on it; it can be destroyed.",
        "DESTROYED": "What it has wrapped is erased here.",
    },
)


@object_type(access=_READ, key="id")
class KeyVersion:
    """A version of a tenant's key."""

    record: strawberry.Private[model.KeyVersion]
    id: strawberry.ID = attribute("The id of the version.")
    number: int = attribute("Counts from 1, over all keys of the tenant.")
    state: model.KeyVersionState = attribute("What it still does.")
    provider_version: str = attribute("The version in the provider's words.")
    origin: str = attribute("Where the key comes from, as the provider says.")
    protection_level: str = attribute("How the key is protected, such as SOFTWARE or HSM.")
    created_at: datetime = attribute("When it was first used here.")

    @field()
    async def records_remaining(self, info: Info) -> UInt64:
        """How many records still depend on this version."""
        key = (self.record.tenant_id, self.record.number)
        return UInt64(await info.context.loaders.records_remaining.load(key))

    @field(access=_LEDGER, paged=True)
    async def events(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LedgerEvent] | None:
        """What happened to this version, oldest first."""
        record = self.record
        return await events_about(info.context, record.tenant_id, record.version_id, first, after)

    @classmethod
    def of(cls, version: model.KeyVersion) -> "KeyVersion":
        """The GraphQL object of a version."""
        return cls(
            record=version,
            id=strawberry.ID(ids.encode(IdKind.KEY_VERSION, version.tenant_id, version.version_id)),
            number=version.number,
            state=version.state,
            provider_version=version.provider_version,
            origin=version.origin,
            protection_level=version.protection_level,
            created_at=version.created_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["KeyVersion | None"]:
        """The versions with these ids; one statement."""
        loader = context.loaders.key_versions
        return await load_by_id(IdKind.KEY_VERSION, keys, loader, by_tenant, cls.of)


@object_type(access=_READ, key="id")
class CustomerManagedKey:
    """The key that a tenant brought, under which its data keys are wrapped."""

    record: strawberry.Private[model.CustomerKey]
    id: strawberry.ID = attribute("The id of the key.")
    provider: KeyProvider = attribute("Who holds the key.")
    key_uri: str | None = attribute("Its address at the provider, without a version.")
    state: model.KeyState = attribute("Whether it may be used.")
    created_at: datetime = attribute("When the tenant first attached a key.")
    last_rotated_at: datetime = attribute("When its newest version came into use.")

    @field()
    async def tenant(
        self, info: Info
    ) -> Annotated["Tenant", strawberry.lazy("resolvers.tenants")] | None:
        """The tenant that the key belongs to."""
        from resolvers.tenants import tenant_of

        return await tenant_of(self.record.tenant_id, info.context)

    @field()
    def revocation_bound_seconds(self, info: Info) -> int:
        """The longest time a revoked key may still serve reads, before the provider's own delay."""
        return info.context.services.revocation_bound_seconds

    @field()
    async def current_version(self, info: Info) -> KeyVersion | None:
        """The version that wraps data keys now."""
        page = await info.context.services.keys.versions(
            self.record.tenant_id, first=1, before=_NEWEST
        )
        return KeyVersion.of(page[0]) if page else None

    @field(paged=True)
    async def versions(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[KeyVersion] | None:
        """All versions, newest first."""
        checked_first(first)
        services = info.context.services
        identity = ListIdentity("keyVersions", self.record.tenant_id, "number desc")
        behind = position(services.cursors, identity, after)
        before = _NEWEST if behind is None else int(behind)
        found = await services.keys.versions(self.record.tenant_id, first=first + 1, before=before)
        return page_of(
            [KeyVersion.of(version) for version in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda version: version.number,
        )

    @field(access=_LEDGER, paged=True)
    async def events(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LedgerEvent] | None:
        """What happened to the key, oldest first."""
        record = self.record
        return await events_about(info.context, record.tenant_id, record.key_id, first, after)

    @classmethod
    def of(cls, key: model.CustomerKey) -> "CustomerManagedKey":
        """The GraphQL object of a key."""
        return cls(
            record=key,
            id=strawberry.ID(ids.encode(IdKind.CUSTOMER_KEY, key.tenant_id, key.key_id)),
            provider=key.provider,
            key_uri=key.key_uri,
            state=key.state,
            created_at=key.created_at,
            last_rotated_at=key.last_rotated_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["CustomerManagedKey | None"]:
        """The keys with these ids; one statement."""
        entities = [ids.decode(IdKind.CUSTOMER_KEY, key) for key in keys]
        asked = [entity.tenant for entity in entities if entity is not None]
        loaded = iter(await context.loaders.customer_keys.load_many(asked))
        found = [(entity, None if entity is None else next(loaded)) for entity in entities]
        return [
            cls.of(key)
            if entity is not None and key is not None and key.key_id == entity.key
            else None
            for entity, key in found
        ]


@object_type(access=_READ, key="id")
class KeyDestruction:
    """A request to destroy what a version of a key has wrapped."""

    record: strawberry.Private[Destruction]
    id: strawberry.ID = attribute("The id of the request.")
    state: RequestState = attribute("What became of it.")
    request_digest: Digest = attribute("What an approver signs for.")
    approvals: list[Approval] = attribute("Who approved.", at_most=3)
    approvals_needed: int = attribute("How many people have to approve.")
    created_at: datetime = attribute("When it was made.")

    @field()
    async def key_version(self, info: Info) -> KeyVersion | None:
        """The version that is to be destroyed."""
        tenant = self.record.approval.key.tenant
        key = (tenant, self.record.version_id)
        found = await info.context.loaders.key_versions.load(key)
        return None if found is None else KeyVersion.of(found)

    @classmethod
    def of(cls, destruction: Destruction) -> "KeyDestruction":
        """The GraphQL object of a request."""
        request = destruction.approval
        return cls(
            record=destruction,
            id=strawberry.ID(
                ids.encode(IdKind.KEY_DESTRUCTION, request.key.tenant, request.key.request_id)
            ),
            state=request_state(request),
            request_digest=Digest(request.digest),
            approvals=approvals_of(request),
            approvals_needed=request.needed,
            created_at=request.created_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["KeyDestruction | None"]:
        """The requests with these ids; one statement."""
        loader = context.loaders.key_destructions
        return await load_by_id(IdKind.KEY_DESTRUCTION, keys, loader, by_tenant, cls.of)
