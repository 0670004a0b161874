"""Break-glass: requests, the one session that an approved request opens, and its reads."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from subgraph.approvals.errors import unknown
from subgraph.approvals.events import SWEEPER
from subgraph.approvals.model import NewRequest, RequestKey, RequestState
from subgraph.approvals.service import ApprovalService, ReadTime
from subgraph.approvals.store import now as database_clock
from subgraph.approvals.wording import name
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.breakglass import events, store, watermark
from subgraph.keys.breakglass.errors import closed, not_the_requester
from subgraph.keys.breakglass.model import (
    KIND,
    Attribution,
    BreakGlassPage,
    BreakGlassRequest,
    BreakGlassState,
    NewBreakGlass,
    Outcome,
    Place,
    Session,
    Terms,
    scope_payload,
)
from subgraph.keys.breakglass.rules import checked
from subgraph.ledger import canonical
from subgraph.ledger.entry import SALT_BYTES, commitment
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_all_about

_LONGEST_TEXT = 1_000_000
_PENDING = (BreakGlassState.REQUESTED, BreakGlassState.APPROVED, BreakGlassState.ACTIVE)


class BreakGlassService:
    """Asks for, opens, uses and closes break-glass; an unknown request is `INVALID_ID` throughout.

    It gives nobody a key: values are decrypted with the tenant's ordinary keys, so what the
    tenant has revoked stays closed. A session's watermark key stands in its row under row-level
    security: the tenant's other rows and the system role do not reach it, the database's
    superuser and a copy of the disk do, and could make markers of that session. They could make
    no commitment in the ledger that fits another key, and read no value by it.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        approvals: ApprovalService,
        *,
        now: ReadTime = database_clock,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._approvals = approvals
        self._now = now

    async def request(
        self, tenant: str, wanted: NewBreakGlass, *, by: str, idempotency_key: str
    ) -> BreakGlassRequest:
        """Ask for break-glass; a repeat with an equal input answers the request of then.

        Raises `InvalidBreakGlass` for a field that breaks a rule, `IDEMPOTENCY_CONFLICT`.
        """
        wanted = checked(wanted)
        salt = secrets.token_bytes(SALT_BYTES)
        terms = Terms(
            wanted.reason_code,
            commitment(salt, canonical.encode(wanted.justification)),
            wanted.scope,
            wanted.duration_minutes,
        )
        asked = NewRequest(
            kind=KIND,
            requester=by,
            payload=terms.payload(),
            input={
                "reasonCode": wanted.reason_code.value,
                "justification": wanted.justification,
                "scope": scope_payload(wanted.scope),
                "durationMinutes": wanted.duration_minutes,
            },
            idempotency_key=idempotency_key,
        )
        async with self._database.transaction(tenant) as transaction:
            approval, new = await self._approvals.request(transaction, tenant, asked)
            request_id = approval.key.request_id
            if new:
                await store.insert_justification(
                    transaction, tenant, request_id, salt, wanted.justification
                )
            return await self._request(transaction, tenant, request_id)

    async def approve(
        self, tenant: str, request_id: UUID, *, digest: str, approver: str, token_id: str
    ) -> BreakGlassRequest:
        """Approve a request; raises what `ApprovalService.approve` raises."""
        key = RequestKey(tenant, KIND, request_id)
        await self._approvals.approve(key, digest=digest, approver=approver, token_id=token_id)
        return await self._standing(tenant, request_id)

    async def reject(
        self, tenant: str, request_id: UUID, *, by: str, reason: str
    ) -> BreakGlassRequest:
        """Refuse a request; raises what `ApprovalService.reject` raises."""
        await self._approvals.reject(RequestKey(tenant, KIND, request_id), by=by, reason=reason)
        return await self._standing(tenant, request_id)

    async def open(
        self, tenant: str, request_id: UUID, *, by: str, token_id: str, idempotency_key: str
    ) -> BreakGlassRequest:
        """Use the grant, once: the session begins now.

        An equal idempotency key answers the session of then, as long as it is open. Raises
        `FORBIDDEN` for anybody but the requester, `GRANT_CONSUMED`, and what
        `ApprovalService.consume` raises.
        """
        name("tokenId", token_id)
        name("idempotencyKey", idempotency_key)
        key = RequestKey(tenant, KIND, request_id)
        keys = await self._approvals.published_keys()
        async with self._database.transaction(tenant) as transaction:
            approval = await self._approvals.lock(transaction, key)
            if by != approval.requester:
                raise not_the_requester()
            if approval.state is RequestState.APPLIED:
                standing = await self._request(transaction, tenant, request_id)
                return _repeated(standing, idempotency_key)
            used = await self._approvals.consume(transaction, key, by=by, keys=keys)
            at = await self._now(transaction)
            session = Session(
                short_id=watermark.short_id(tenant, request_id),
                opened_at=at,
                expires_at=at + timedelta(minutes=Terms.read(used.payload).duration_minutes),
                ended_at=None,
                outcome=None,
                idempotency_key=idempotency_key,
                watermark_key=secrets.token_bytes(watermark.KEY_BYTES),
            )
            await store.insert_session(transaction, tenant, request_id, session, token_id)
            told = events.opened(used, session, token_id)
            await append_all_about(transaction, self._ledger, tenant, (told, [request_id]))
            return await self._request(transaction, tenant, request_id)

    async def authorise_reads(
        self, tenant: str, request_id: UUID, places: Sequence[Place], *, by: str
    ) -> dict[Place, str]:
        """Record each read, and answer the marker that each value must end in.

        The caller decrypts and shows only after this has returned: by then every read is an event
        in a committed transaction. When it raises, nothing may be shown. Raises
        `BREAK_GLASS_CLOSED` unless the session is open by the database's clock, `FORBIDDEN` for
        anybody but the requester, `BREAK_GLASS_OUT_OF_SCOPE`, and what the ledger raises.
        """
        async with self._database.transaction(tenant) as transaction:
            # Held, so that no read is recorded behind the end of its session.
            await store.hold_session(transaction, tenant, request_id)
            request = await self._request(transaction, tenant, request_id)
            session = request.session
            if by != request.approval.requester:
                raise not_the_requester()
            if session is None or request.state is not BreakGlassState.ACTIVE:
                raise closed()
            if not all(request.terms.scope.covers(place) for place in places):
                raise SubgraphError(ErrorCode.BREAK_GLASS_OUT_OF_SCOPE)
            tags = {place: watermark.tag(session.watermark_key, tenant, place) for place in places}
            told = [
                (events.read(request.approval, place, tag), (request_id, place.record_id))
                for place, tag in tags.items()
            ]
            await append_all_about(transaction, self._ledger, tenant, *told)
        return {place: watermark.marker(session.short_id, tag) for place, tag in tags.items()}

    async def close(self, tenant: str, request_id: UUID, *, by: str) -> BreakGlassRequest:
        """End the session, or withdraw a request that was not opened; a repeat changes nothing.

        Anybody whom the caller lets may end a session, and the ledger names them; only the
        requester withdraws. Raises what `ApprovalService.cancel` raises.
        """
        key = RequestKey(tenant, KIND, request_id)
        async with self._database.transaction(tenant) as transaction:
            approval = await self._approvals.lock(transaction, key)
            if approval.state is RequestState.APPLIED:
                await self._end(transaction, tenant, request_id, by=by)
            else:
                await self._approvals.cancel(transaction, key, by=by)
            return await self._request(transaction, tenant, request_id)

    async def close_expired(self, tenant: str, request_id: UUID) -> bool:
        """Record that the time of a session is over; False when it is not, or was recorded."""
        async with self._database.transaction(tenant) as transaction:
            request = await self._request(transaction, tenant, request_id)
            if request.state is not BreakGlassState.EXPIRED:
                return False
            return await self._end(transaction, tenant, request_id, by=SWEEPER)

    async def due(self, transaction: Transaction, *, limit: int) -> list[tuple[str, UUID]]:
        """The tenant and id of the sessions that `close_expired` ends.

        The transaction is the system role's.
        """
        return await store.due(transaction, await self._now(transaction), limit)

    async def erase_justification(self, tenant: str, request_id: UUID) -> bool:
        """Erase why a request was made, once nothing depends on it; False when there is nothing.

        Raises `REQUEST_NOT_OPEN` while the request can still be approved or used.
        """
        async with self._database.transaction(tenant) as transaction:
            request = await self._request(transaction, tenant, request_id)
            if request.state in _PENDING:
                message = "The justification is needed until the request has ended."
                raise SubgraphError(ErrorCode.REQUEST_NOT_OPEN, message)
            return await store.erase_justification(transaction, tenant, request_id)

    async def attribute(self, tenant: str, text: str) -> list[Attribution]:
        """The requests of the tenant that the markers in a leaked text name, each marker once.

        Raises `INVALID_INPUT` for a text of more than a million characters.
        """
        if len(text) > _LONGEST_TEXT:
            message = f"a text has at most {_LONGEST_TEXT} characters"
            raise SubgraphError(ErrorCode.INVALID_INPUT, message)
        found = watermark.find(text)
        if not found:
            return []
        named = await store.named(self._database, tenant, [part.short_id for part in found])
        places = {
            request.request_id: _tags(tenant, request)
            for requests in named.values()
            for request in requests
        }
        return [
            Attribution(
                request.request_id,
                part.short_id,
                None if part.tag is None else places[request.request_id].get(part.tag),
            )
            for part in found
            for request in named.get(part.short_id, ())
        ]

    async def load_many(
        self, keys: Sequence[tuple[str, UUID]]
    ) -> dict[tuple[str, UUID], BreakGlassRequest]:
        """The requests that exist, by tenant and id; one statement."""
        return await store.load(self._database, keys)

    async def page(self, tenant: str, asked: BreakGlassPage) -> list[BreakGlassRequest]:
        """Requests of a tenant, newest first; one statement."""
        return await store.page(self._database, tenant, asked)

    async def _end(
        self, transaction: Transaction, tenant: str, request_id: UUID, *, by: str
    ) -> bool:
        request = await self._request(transaction, tenant, request_id)
        at = await self._now(transaction)
        over = request.expires_at <= at
        outcome = Outcome.EXPIRED if over else Outcome.CLOSED
        ended = await store.end_session(
            transaction, tenant, request_id, at=at, by=by, outcome=outcome
        )
        if ended:
            told = events.closed(request.approval, outcome, by=by)
            await append_all_about(transaction, self._ledger, tenant, (told, [request_id]))
        return ended

    async def _request(
        self, transaction: Transaction, tenant: str, request_id: UUID
    ) -> BreakGlassRequest:
        at = await self._now(transaction)
        request = await store.request(transaction, tenant, request_id, at)
        if request is None:
            raise unknown()
        return request

    async def _standing(self, tenant: str, request_id: UUID) -> BreakGlassRequest:
        async with self._database.transaction(tenant) as transaction:
            return await self._request(transaction, tenant, request_id)


def _repeated(standing: BreakGlassRequest, idempotency_key: str) -> BreakGlassRequest:
    session = standing.session
    same = session is not None and session.idempotency_key == idempotency_key
    if not same or standing.state is not BreakGlassState.ACTIVE:
        raise SubgraphError(ErrorCode.GRANT_CONSUMED)
    return standing


def _tags(tenant: str, request: BreakGlassRequest) -> Mapping[str, Place]:
    assert request.session is not None
    key = request.session.watermark_key
    return {watermark.tag(key, tenant, place): place for place in request.terms.scope.places()}
