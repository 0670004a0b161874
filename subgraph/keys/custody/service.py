"""Attaches, suspends and resumes keys, and makes the data keys that they wrap."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from subgraph.db import idempotency
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import data_key_store, events, store
from subgraph.keys.custody.model import (
    PURPOSE,
    CustomerKey,
    DataKeyState,
    KeyState,
    KeyVersion,
    KeyVersionState,
    StoredDataKey,
)
from subgraph.keys.custody.ownership import check_owner
from subgraph.keys.custody.rules import check_reason
from subgraph.keys.custody.wrapping import Wrappers
from subgraph.kms.contract import KeyDescription, KeyProvider, WrapContext
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.model import EventType
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

DATA_KEY_BYTES = 32
_ATTEMPTS = 5
_ATTACH = "attachKey"


@dataclass(frozen=True, slots=True)
class _Attachment:
    provider: KeyProvider
    key_uri: str
    idempotency_key: str

    @property
    def digest(self) -> bytes:
        return idempotency.digest({"provider": self.provider.value, "keyUri": self.key_uri})


class KeyCustody:
    """The keys of all tenants; each change is an event in the tenant's ledger.

    `turned` is told which tenant's key was suspended or resumed; other processes notice by
    themselves.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        wrappers: Wrappers,
        turned: Callable[[str, KeyState], None],
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._wrappers = wrappers
        self._turned = turned
        self._making: dict[tuple[str, str], asyncio.Task[StoredDataKey | None]] = {}

    async def attach(
        self, tenant: str, provider: KeyProvider, key_uri: str, *, idempotency_key: str, by: str
    ) -> CustomerKey:
        """Take a key as the tenant's, once it has wrapped and a fresh client has unwrapped.

        Attaching the key that is attached changes nothing. Another key takes the place of the one
        before: new data keys are wrapped by it, older ones once they are rewrapped. A repeat
        changes nothing, however late it comes.

        Raises `KeyProviderError` for what the provider says, `INVALID_INPUT` for a key that bears
        another name than the tenant's, `UNKNOWN_OBJECT` for a tenant that is not registered,
        `IDEMPOTENCY_CONFLICT`, `BAD_USER_INPUT`.
        """
        check_owner(tenant, provider, key_uri)
        idempotency.check_key(idempotency_key)
        request = _Attachment(provider, key_uri, idempotency_key)
        standing = await self._attached(tenant, request)
        if standing is not None:
            return standing
        described = await self.prove(tenant, provider, key_uri, create=True)
        async with self._database.transaction(tenant) as transaction:
            fresh = _new_key(tenant, provider, key_uri)
            first = await store.insert_key(transaction, tenant, fresh)
            before = await store.lock_key(transaction, tenant)
            assert before is not None
            # A repeat that arrives late does not bring back a key that was replaced since.
            repeated = not (await _enter(transaction, tenant, request, before.key_id)).fresh
            if not first and (repeated or _is(before, provider, key_uri)):
                return before
            key = before if first else replace(before, provider=provider, key_uri=key_uri)
            if not first:
                await store.move_key(transaction, tenant, provider, key_uri)
            event = events.attached(key, by=by, before=None if first else before)
            await append_about(transaction, self._ledger, event, key.key_id)
            await self.activate(transaction, key, described, by=by)
        return (await store.keys(self._database, [tenant]))[tenant]

    async def prove(
        self, tenant: str, provider: KeyProvider, key_uri: str, *, create: bool = False
    ) -> KeyDescription:
        """Describe a key that wraps and, through a fresh client, unwraps; raises otherwise.

        With `create` a LOCAL key that is missing is made.
        """
        async with self._wrappers.using(provider, key_uri, tenant, create=create) as wrapper:
            described = await wrapper.describe()
        context = WrapContext(tenant, uuid4(), "attach")
        sample = secrets.token_bytes(DATA_KEY_BYTES)
        wrapped = await self._wrappers.wrap_proven(provider, key_uri, sample, context)
        return replace(described, provider_version=wrapped.provider_version)

    async def activate(
        self, transaction: Transaction, key: CustomerKey, described: KeyDescription, *, by: str
    ) -> KeyVersion:
        """Enter the version that wraps now; the caller holds the lock on the key.

        Answers the active version as it stands when it is the one described.
        """
        tenant = key.tenant_id
        active = await store.active_version(transaction, tenant)
        if active is not None and _describes(described, active):
            return active
        version = KeyVersion(
            tenant_id=tenant,
            number=await store.newest_number(transaction, tenant) + 1,
            version_id=uuid4(),
            provider=described.provider,
            key_uri=described.key_uri,
            provider_version=described.provider_version,
            state=KeyVersionState.ACTIVE,
            origin=described.origin,
            protection_level=described.protection_level,
            region=described.region,
            created_at=datetime.now(UTC),
        )
        await store.activate_version(transaction, version, by=by)
        event = events.version_activated(version, described, by=by)
        await append_about(transaction, self._ledger, event, key.key_id, version.version_id)
        return version

    async def suspend(self, tenant: str, reason: str, *, by: str) -> CustomerKey:
        """Stop all use of the key at once; repeating it changes nothing."""
        return await self._turn(tenant, KeyState.SUSPENDED, EventType.KEY_SUSPENDED, reason, by=by)

    async def resume(self, tenant: str, reason: str, *, by: str) -> CustomerKey:
        """Take a suspension back; repeating it changes nothing."""
        return await self._turn(tenant, KeyState.ACTIVE, EventType.KEY_RESUMED, reason, by=by)

    async def schedule_rotation(self, tenant: str, days: int | None, *, by: str) -> CustomerKey:
        """Have the key rotated every so many days from now on; None: only when asked."""
        async with self._database.transaction(tenant) as transaction:
            key = await self._locked(transaction, tenant)
            await store.schedule_rotation(transaction, tenant, days)
            event = events.about_key(EventType.KEY_ROTATION_SCHEDULED, key, by=by, everyDays=days)
            await append_about(transaction, self._ledger, event, key.key_id)
        return replace(key, rotate_every_days=days)

    async def attached(self, tenants: Sequence[str]) -> dict[str, CustomerKey]:
        """The keys of those tenants that have attached one; one statement."""
        return await store.keys(self._database, tenants)

    async def versions(self, tenant: str, *, first: int, before: int) -> list[KeyVersion]:
        """Versions with numbers below `before`, newest first."""
        return await store.version_page(self._database, tenant, first=first, before=before)

    async def unwrap(self, tenant: str, data_key_id: UUID) -> bytes:
        """The data key, from its provider. Raises `KeyProviderError`.

        KEY_DISABLED while the tenant's key is suspended. CONFIG for a data key that the tenant does
        not have, or that was destroyed: that says nothing against the tenant's other data keys.
        """
        stored = await data_key_store.data_key(self._database, tenant, data_key_id)
        owner = (await store.keys(self._database, [tenant])).get(tenant)
        if stored is None or owner is None:
            message = "the data key was destroyed, and with it what it had encrypted"
            raise KeyProviderError(KeyFault.CONFIG, message)
        _refuse_suspended(owner)
        return await self._wrappers.unwrap(stored.provider, stored.wrapped_key, stored.context)

    async def probe(self, tenant: str) -> None:
        """Have the provider unwrap the tenant's current data key, past every cache.

        Raises `KeyProviderError`; KEY_DISABLED while the key is suspended.
        """
        newest = await data_key_store.newest_data_key(self._database, tenant)
        if newest is not None:
            await self.unwrap(tenant, newest.data_key_id)

    async def active_data_key(self, tenant: str, object_type: str, *, by: str) -> StoredDataKey:
        """The data key for new records of a type; made if there is none.

        Raises `KeyProviderError`, and `KEY_NOT_FOUND` for a tenant without a key.
        """
        name = (tenant, object_type)
        for _ in range(_ATTEMPTS):
            found = await data_key_store.active_data_key(self._database, tenant, object_type)
            if found is not None:
                return found
            # Of this process only one asks the provider, and all share what it answers; of
            # several processes the first one wins.
            making = self._making.get(name)
            if making is None:
                making = asyncio.create_task(
                    self.new_generation(tenant, object_type, after=0, by=by)
                )
                self._making[name] = making
                making.add_done_callback(lambda task: self._made(name, task))
            await asyncio.shield(making)
        raise KeyProviderError(KeyFault.UNAVAILABLE, "the key is being replaced; try again")

    def _made(self, name: tuple[str, str], task: asyncio.Task[StoredDataKey | None]) -> None:
        del self._making[name]
        if not task.cancelled():
            # Those who waited may all have gone; then nobody else looks at its failure.
            task.exception()

    async def new_generation(
        self, tenant: str, object_type: str, *, after: int, by: str
    ) -> StoredDataKey | None:
        """Make the data key behind generation `after` and let new records use it.

        Its wrap is undone by a fresh client before it is stored. None when somebody else made it
        first, or when the version that wrapped it was replaced meanwhile.
        """
        owner = (await store.keys(self._database, [tenant])).get(tenant)
        if owner is None:
            raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
        _refuse_suspended(owner)
        data_key_id = uuid4()
        wrapped = await self._wrappers.wrap_proven(
            owner.provider,
            owner.key_uri,
            secrets.token_bytes(DATA_KEY_BYTES),
            WrapContext(tenant, data_key_id, PURPOSE),
        )
        described = await self._described(owner, wrapped.provider_version)
        async with self._database.transaction(tenant) as transaction:
            key = await self._locked(transaction, tenant)
            _refuse_suspended(key)
            if not _is(key, owner.provider, owner.key_uri):
                return None
            version = await store.active_version(transaction, tenant)
            if version is None or version.provider_version != wrapped.provider_version:
                if described is None:
                    return None
                version = await self.activate(transaction, key, described, by=by)
            made = StoredDataKey(
                tenant_id=tenant,
                data_key_id=data_key_id,
                object_type=object_type,
                generation=after + 1,
                state=DataKeyState.ACTIVE,
                key_version=version.number,
                wrapped=wrapped.ciphertext,
                provider=version.provider,
                key_uri=version.key_uri,
                provider_version=version.provider_version,
            )
            if not await data_key_store.replace_data_key(transaction, tenant, made):
                return None
            event = events.data_key(EventType.DATA_KEY_CREATED, made, by=by)
            await append_about(transaction, self._ledger, event, key.key_id, version.version_id)
        return made

    async def _attached(self, tenant: str, request: _Attachment) -> CustomerKey | None:
        """The key as it stands, when nothing is left to do for the request."""
        async with self._database.transaction(tenant) as transaction:
            if not await store.registered(transaction, tenant):
                raise SubgraphError(ErrorCode.UNKNOWN_OBJECT, "there is no such tenant")
            standing = await store.lock_key(transaction, tenant)
            key = request.idempotency_key
            repeated = await idempotency.find(transaction, tenant, _ATTACH, key)
            if repeated is not None:
                idempotency.same(repeated, request.digest)
                return standing
            if standing is None or not _is(standing, request.provider, request.key_uri):
                return None
            await _enter(transaction, tenant, request, standing.key_id)
        return standing

    async def _described(self, owner: CustomerKey, provider_version: str) -> KeyDescription | None:
        """What the provider says of a version that is not entered yet: it was rotated there."""
        active = await self._active(owner.tenant_id)
        if active is not None and active.provider_version == provider_version:
            return None
        async with self._wrappers.using(owner.provider, owner.key_uri, owner.tenant_id) as wrapper:
            described = await wrapper.describe()
        return described if described.provider_version == provider_version else None

    async def _active(self, tenant: str) -> KeyVersion | None:
        async with self._database.transaction(tenant) as transaction:
            return await store.active_version(transaction, tenant)

    async def _turn(
        self, tenant: str, state: KeyState, kind: EventType, reason: str, *, by: str
    ) -> CustomerKey:
        check_reason(reason)
        async with self._database.transaction(tenant) as transaction:
            key = await self._locked(transaction, tenant)
            if key.state is not state:
                await store.set_state(transaction, tenant, state)
                await store.forget_verdict(transaction, tenant)
                event = events.about_key(kind, key, by=by, reason=reason)
                await append_about(transaction, self._ledger, event, key.key_id)
        self._turned(tenant, state)
        return replace(key, state=state)

    @staticmethod
    async def _locked(transaction: Transaction, tenant: str) -> CustomerKey:
        key = await store.lock_key(transaction, tenant)
        if key is None:
            raise SubgraphError(ErrorCode.KEY_NOT_FOUND, "the tenant has attached no key")
        return key


async def _enter(
    transaction: Transaction, tenant: str, request: _Attachment, key_id: UUID
) -> idempotency.Claim:
    claim = await idempotency.enter(
        transaction,
        tenant,
        _ATTACH,
        request.idempotency_key,
        request_digest=request.digest,
        result=key_id,
    )
    return idempotency.same(claim, request.digest)


def _refuse_suspended(key: CustomerKey) -> None:
    if key.state is KeyState.SUSPENDED:
        raise KeyProviderError(KeyFault.KEY_DISABLED, "the key is suspended")


def _new_key(tenant: str, provider: KeyProvider, key_uri: str) -> CustomerKey:
    now = datetime.now(UTC)
    return CustomerKey(tenant, uuid4(), provider, key_uri, KeyState.ACTIVE, None, now, now)


def _is(key: CustomerKey, provider: KeyProvider, key_uri: str) -> bool:
    return (key.provider, key.key_uri) == (provider, key_uri)


def _describes(described: KeyDescription, version: KeyVersion) -> bool:
    return (described.provider, described.key_uri, described.provider_version) == (
        version.provider,
        version.key_uri,
        version.provider_version,
    )
