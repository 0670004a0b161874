"""Dual control: a request takes effect once enough other people have approved its digest."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from subgraph.approvals import events, store
from subgraph.approvals.digest import (
    check_dual_control,
    digest_of,
    recomputed,
    request_digest,
    statement,
)
from subgraph.approvals.errors import not_distinct, unknown
from subgraph.approvals.model import (
    APPROVAL_WINDOW,
    APPROVALS_NEEDED,
    Approval,
    ApprovalRequest,
    NewRequest,
    Rejection,
    RequestKey,
    RequestState,
)
from subgraph.approvals.wording import name, prose
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger import canonical
from subgraph.ledger.model import KeyPurpose, NewEvent, VerificationKey
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import ProcessKeys
from subgraph.ledger.subjects import append_all_about

ReadTime = Callable[[Transaction], Awaitable[datetime]]
"""The time inside a transaction; production asks the database's clock."""

_OPEN = (RequestState.REQUESTED, RequestState.APPROVED)


class ApprovalService:
    """Makes requests, takes decisions on them and lets each take effect once.

    Every step is an event in the tenant's ledger, in the transaction that makes it. Whether a
    caller may request or decide at all is checked before; that nobody decides on their own
    request, or twice, is checked here and by the tables. An unknown key is `INVALID_ID`
    throughout, and another kind's request is unknown.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        keys: ProcessKeys,
        reader: LedgerReader,
        *,
        now: ReadTime = store.now,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._keys = keys
        self._reader = reader
        self._now = now

    async def request(
        self, transaction: Transaction, tenant: str, wanted: NewRequest
    ) -> tuple[ApprovalRequest, bool]:
        """Make a request, in the transaction of whoever keeps more about it.

        Answers the request and whether it is new: an idempotency key that the requester used for
        the same input answers the request of then. Raises `IDEMPOTENCY_CONFLICT` for another
        input, `INVALID_INPUT` for what a ledger entry cannot hold.
        """
        name("requester", wanted.requester)
        name("idempotencyKey", wanted.idempotency_key)
        input_digest = digest_of({"input": dict(wanted.input)})
        at = await self._now(transaction)
        key = RequestKey(tenant, wanted.kind, uuid4())
        payload = dict(wanted.payload)
        expires_at = at + APPROVAL_WINDOW
        made = ApprovalRequest(
            key=key,
            requester=wanted.requester,
            payload=canonical.encode(payload).decode(),
            digest=request_digest(
                key,
                requester=wanted.requester,
                payload=payload,
                needed=APPROVALS_NEEDED,
                created_at=at,
                expires_at=expires_at,
            ),
            state=RequestState.REQUESTED,
            needed=APPROVALS_NEEDED,
            created_at=at,
            expires_at=expires_at,
            approvals=(),
            rejection=None,
        )
        if await store.insert_request(
            transaction, tenant, made, wanted.idempotency_key, input_digest
        ):
            await self._record(transaction, key, events.requested(made))
            return made, True
        standing = await store.repeated(transaction, tenant, wanted)
        if standing["input_digest"] != input_digest:
            raise SubgraphError(ErrorCode.IDEMPOTENCY_CONFLICT)
        return await store.request(transaction, tenant, standing["request_id"], at), False

    async def approve(
        self, key: RequestKey, *, digest: str, approver: str, token_id: str
    ) -> ApprovalRequest:
        """Approve exactly the request with `digest`; a repeat by the approver changes nothing.

        `token_id` names the token that the approver presented: its `jti`, or a digest of it.
        Raises `APPROVAL_DIGEST_MISMATCH`, `APPROVER_NOT_DISTINCT` for the requester and for a
        token that approved for somebody else, `REQUEST_EXPIRED`, `REQUEST_NOT_OPEN`, and
        `LEDGER_KEY_UNAVAILABLE`.
        """
        name("approver", approver)
        name("tokenId", token_id)
        async with self._database.transaction(key.tenant) as transaction:
            request, at = await self._locked(transaction, key)
            if digest != request.digest or digest != recomputed(request):
                raise SubgraphError(ErrorCode.APPROVAL_DIGEST_MISMATCH)
            if approver == request.requester:
                raise not_distinct("The requester does not approve the own request.")
            if approver in {given.approver for given in request.approvals}:
                return request
            _require(request, RequestState.REQUESTED)
            if token_id in {given.token_id for given in request.approvals}:
                raise not_distinct("This token has approved for another person.")
            approval = self._sign(request, approver, token_id, at)
            await store.insert_approval(
                transaction, key.tenant, key.request_id, request.requester, approval
            )
            if len(request.approvals) + 1 >= request.needed:
                await store.move(transaction, key.tenant, key.request_id, RequestState.APPROVED)
            await self._record(transaction, key, events.approved(request, approval))
            return await store.request(transaction, key.tenant, key.request_id, at)

    async def reject(self, key: RequestKey, *, by: str, reason: str) -> ApprovalRequest:
        """Refuse a request that is not used yet, even one that is approved.

        An equal repeat changes nothing. Raises `APPROVER_NOT_DISTINCT` for the requester, who
        cancels instead, `REQUEST_EXPIRED`, `REQUEST_NOT_OPEN`, `GRANT_CONSUMED`.
        """
        name("by", by)
        reason = prose("reason", reason)
        async with self._database.transaction(key.tenant) as transaction:
            request, at = await self._locked(transaction, key)
            if by == request.requester:
                raise not_distinct("The requester cancels the own request instead.")
            if request.rejection is not None:
                if (request.rejection.by, request.rejection.reason) == (by, reason):
                    return request
                raise SubgraphError(ErrorCode.REQUEST_NOT_OPEN)
            _require(request, *_OPEN)
            rejection = Rejection(by, at, reason)
            await store.reject(transaction, key.tenant, key.request_id, rejection)
            await self._record(transaction, key, events.rejected(request, by, at, reason))
            return await store.request(transaction, key.tenant, key.request_id, at)

    async def cancel(
        self, transaction: Transaction, key: RequestKey, *, by: str
    ) -> ApprovalRequest:
        """Withdraw a request that is not used yet; a repeat changes nothing.

        Raises `FORBIDDEN` for anybody but the requester, `REQUEST_EXPIRED`, `REQUEST_NOT_OPEN`,
        `GRANT_CONSUMED`.
        """
        request, at = await self._locked(transaction, key)
        if by != request.requester:
            raise SubgraphError(ErrorCode.FORBIDDEN, "Only the requester withdraws a request.")
        if request.state is RequestState.CANCELLED:
            return request
        _require(request, *_OPEN)
        await store.move(transaction, key.tenant, key.request_id, RequestState.CANCELLED)
        await self._record(transaction, key, events.cancelled(request, by))
        return await store.request(transaction, key.tenant, key.request_id, at)

    async def expire(self, key: RequestKey) -> bool:
        """Record that the time of a request is over; False when it is not, or was recorded."""
        async with self._database.transaction(key.tenant) as transaction:
            request, _ = await self._locked(transaction, key)
            over = request.state is RequestState.EXPIRED
            if not over or not await store.is_open(transaction, key.tenant, key.request_id):
                return False
            await store.move(transaction, key.tenant, key.request_id, RequestState.EXPIRED)
            await self._record(transaction, key, events.expired(request))
            return True

    async def due(self, transaction: Transaction, *, limit: int) -> list[RequestKey]:
        """What a sweep expires; the transaction is the system role's."""
        return await store.due(transaction, await self._now(transaction), limit)

    async def lock(self, transaction: Transaction, key: RequestKey) -> ApprovalRequest:
        """The request, which nobody else can decide on or use until the transaction ends."""
        request, _ = await self._locked(transaction, key)
        return request

    async def published_keys(self) -> Mapping[str, VerificationKey]:
        """The keys that `consume` verifies approvals with; read before its transaction."""
        return {key.key_id: key for key in await self._reader.keys(KeyPurpose.PROCESS)}

    async def consume(
        self,
        transaction: Transaction,
        key: RequestKey,
        *,
        by: str,
        keys: Mapping[str, VerificationKey],
    ) -> ApprovalRequest:
        """Use what was approved: it succeeds once, in the transaction that gives it effect.

        The approvals are counted and their signatures verified anew. Raises
        `DUAL_CONTROL_REQUIRED`, `REQUEST_EXPIRED`, `REQUEST_NOT_OPEN`, and `GRANT_CONSUMED` when
        it was used before.
        """
        request, at = await self._locked(transaction, key)
        _require(request, *_OPEN)
        check_dual_control(request, keys)
        await store.move(transaction, key.tenant, key.request_id, RequestState.APPLIED)
        await self._record(transaction, key, events.applied(request, by))
        return await store.request(transaction, key.tenant, key.request_id, at)

    async def load_many(self, keys: Sequence[RequestKey]) -> dict[RequestKey, ApprovalRequest]:
        """The requests that exist, of any tenants, by key; one statement."""
        return await store.load(self._database, keys)

    async def _locked(
        self, transaction: Transaction, key: RequestKey
    ) -> tuple[ApprovalRequest, datetime]:
        if not await store.lock(transaction, key.tenant, key.kind, key.request_id):
            raise unknown()
        # Only after the lock: the wait for it may have outlasted the request.
        at = await self._now(transaction)
        return await store.request(transaction, key.tenant, key.request_id, at), at

    async def _record(self, transaction: Transaction, key: RequestKey, event: NewEvent) -> None:
        await append_all_about(transaction, self._ledger, key.tenant, (event, [key.request_id]))

    def _sign(
        self, request: ApprovalRequest, approver: str, token_id: str, at: datetime
    ) -> Approval:
        signer = self._keys.current(at)
        signed = statement(request.key, request.digest, approver=approver, token_id=token_id, at=at)
        signature = signer.sign(signed)
        return Approval(approver, token_id, request.digest, at, signer.key_id, signature)


def _require(request: ApprovalRequest, *states: RequestState) -> None:
    if request.state in states:
        return
    if request.state is RequestState.EXPIRED:
        raise SubgraphError(ErrorCode.REQUEST_EXPIRED)
    if request.state is RequestState.APPLIED:
        raise SubgraphError(ErrorCode.GRANT_CONSUMED)
    raise SubgraphError(ErrorCode.REQUEST_NOT_OPEN)
