"""Destroys what a version of a key wrapped, once two other people have agreed.

What goes are our wraps of data keys: without them nothing that they ever encrypted can be read,
from whatever backup, unless the backup holds the wraps too. The version at the provider is its
owner's to destroy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from subgraph.approvals.model import ApprovalRequest, NewRequest, RequestKey, RequestState
from subgraph.approvals.service import ApprovalService
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, JSONValue, SubgraphError
from subgraph.keys.custody import data_key_store, events, store
from subgraph.keys.custody.model import KeyVersion, KeyVersionState
from subgraph.keys.custody.rules import check_reason
from subgraph.ledger import canonical
from subgraph.ledger.model import EventType
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

KIND = "keyDestruction"


@dataclass(frozen=True, slots=True)
class Destruction:
    """A request to destroy the version with the id `version_id`."""

    approval: ApprovalRequest
    version_id: UUID


class KeyDestructions:
    """Requests and approvals of destructions; the last approval that is needed destroys."""

    def __init__(self, database: Database, ledger: Ledger, approvals: ApprovalService) -> None:
        self._database = database
        self._ledger = ledger
        self._approvals = approvals

    async def request(
        self, tenant: str, version_id: UUID, reason: str, *, idempotency_key: str, by: str
    ) -> Destruction:
        """Ask for the destruction of a version that nothing depends on.

        Raises `UNKNOWN_OBJECT`, `KEY_IN_USE`, `INVALID_INPUT`, and what
        `ApprovalService.request` raises.
        """
        check_reason(reason)
        asked: dict[str, JSONValue] = {"keyVersionId": str(version_id), "reason": reason}
        async with self._database.transaction(tenant) as transaction:
            await store.lock_key(transaction, tenant)
            version = await self._version(transaction, tenant, version_id)
            payload: dict[str, JSONValue] = {
                **asked,
                "number": version.number,
                "keyUri": version.key_uri,
            }
            wanted = NewRequest(KIND, by, payload, asked, idempotency_key)
            request, new = await self._approvals.request(transaction, tenant, wanted)
            if new:
                # Of a repeat it was true when it was made; by now the version may be gone.
                await self._require_idle(transaction, version)
        return _destruction(request)

    async def approve(
        self, tenant: str, request_id: UUID, *, digest: str, by: str, token_id: str
    ) -> Destruction:
        """Approve a destruction; the approval that completes the number carries it out.

        Raises what `ApprovalService.approve` and `consume` raise, and `KEY_IN_USE` when something
        has come to depend on the version since.
        """
        key = RequestKey(tenant, KIND, request_id)
        request = await self._approvals.approve(key, digest=digest, approver=by, token_id=token_id)
        if request.state is not RequestState.APPROVED:
            return _destruction(request)
        keys = await self._approvals.published_keys()
        async with self._database.transaction(tenant) as transaction:
            locked = await self._approvals.lock(transaction, key)
            if locked.state is RequestState.APPLIED:
                return _destruction(locked)
            await store.lock_key(transaction, tenant)
            version_id = _destruction(request).version_id
            version = await self._version(transaction, tenant, version_id)
            await self._require_idle(transaction, version)
            used = await self._approvals.consume(transaction, key, by=by, keys=keys)
            destroyed = await data_key_store.destroy_data_keys(transaction, tenant, version.number)
            await store.set_version_state(
                transaction, tenant, version.number, KeyVersionState.DESTROYED
            )
            event = events.about_version(
                EventType.KEY_VERSION_DESTROYED, version, by=by, dataKeys=destroyed
            )
            await append_about(transaction, self._ledger, event, version.version_id, request_id)
        return _destruction(used)

    async def load_many(
        self, keys: Sequence[tuple[str, UUID]]
    ) -> dict[tuple[str, UUID], Destruction]:
        """The requests that exist, by tenant and id; one statement."""
        named = [RequestKey(tenant, KIND, request_id) for tenant, request_id in keys]
        found = await self._approvals.load_many(named)
        return {(key.tenant, key.request_id): _destruction(found[key]) for key in found}

    @staticmethod
    async def _version(transaction: Transaction, tenant: str, version_id: UUID) -> KeyVersion:
        version = await store.version(transaction, tenant, version_id)
        if version is None:
            raise SubgraphError(ErrorCode.UNKNOWN_OBJECT, "there is no such version of the key")
        return version

    @staticmethod
    async def _require_idle(transaction: Transaction, version: KeyVersion) -> None:
        if version.state is not KeyVersionState.DISABLED:
            message = f"the version is {version.state.value}; only a DISABLED one is destroyed"
            raise SubgraphError(ErrorCode.KEY_IN_USE, message)
        if await data_key_store.records_under(transaction, version.tenant_id, version.number):
            raise SubgraphError(ErrorCode.KEY_IN_USE)


def _destruction(request: ApprovalRequest) -> Destruction:
    payload = canonical.parse(request.payload.encode())
    assert isinstance(payload, dict)
    return Destruction(request, UUID(str(payload["keyVersionId"])))
