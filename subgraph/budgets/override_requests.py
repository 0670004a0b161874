"""Overrides under dual control: a warrant is requested, and the last approval applies it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from subgraph.approvals import store as approval_store
from subgraph.approvals.model import ApprovalRequest, NewRequest, RequestKey, RequestState
from subgraph.approvals.service import ApprovalService
from subgraph.approvals.wording import name
from subgraph.budgets import store
from subgraph.budgets.epsilon import format_epsilon, parse_epsilon, to_quanta
from subgraph.budgets.model import Override, Warrant
from subgraph.budgets.overrides import apply_override
from subgraph.budgets.windows import write_instant
from subgraph.db.binding import tenant_read
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, JSONValue, SubgraphError
from subgraph.ledger import canonical
from subgraph.ledger.service import Ledger

KIND = "budgetOverride"

_OF_WINDOW = tenant_read(
    # One that was applied belongs to the window that it was added to; any other one to the
    # window in which it was made.
    "SELECT r.request_id, r.created_at FROM approval_request r LEFT JOIN dp_override o"
    "  ON o.tenant_id = r.tenant_id AND o.approval_request_id = r.request_id"
    f" WHERE r.tenant_id = bound.tenant AND r.kind = '{KIND}'"
    " AND CASE WHEN o.window_start IS NULL THEN r.created_at >= $2 AND r.created_at < $3"
    "          ELSE o.window_start = $2 END"
    " AND (r.created_at, r.request_id) < (coalesce($4, 'infinity'::timestamptz),"
    "  coalesce($5, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))"
    " ORDER BY r.created_at DESC, r.request_id DESC LIMIT $6"
)


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """A request for more epsilon, and how far it has come."""

    approval: ApprovalRequest
    epsilon: Decimal
    warrant: Warrant


class BudgetOverrides:
    """Requests and decisions; the approval that completes the number applies the override."""

    def __init__(self, database: Database, ledger: Ledger, approvals: ApprovalService) -> None:
        self._database = database
        self._ledger = ledger
        self._approvals = approvals

    async def request(
        self, tenant: str, epsilon: Decimal, warrant: Warrant, *, idempotency_key: str, by: str
    ) -> OverrideRequest:
        """Ask for epsilon on top of the current window's limit.

        Raises `BUDGET_NOT_SET`, `INVALID_INPUT` for a warrant that does not hold now, and what
        `ApprovalService.request` raises.
        """
        to_quanta(epsilon)
        name("reference", warrant.reference)
        name("issuedBy", warrant.issued_by)
        payload: dict[str, JSONValue] = {
            "epsilon": format_epsilon(epsilon),
            "warrant": {
                "reference": warrant.reference,
                "issuedBy": warrant.issued_by,
                "issuedAt": write_instant(warrant.issued_at),
                "expiresAt": write_instant(warrant.expires_at),
                "documentDigest": warrant.document_digest,
            },
        }
        wanted = NewRequest(KIND, by, payload, payload, idempotency_key)
        async with self._database.transaction(tenant) as transaction:
            opened = await store.open_window(transaction, tenant)
            if opened is None:
                raise SubgraphError(ErrorCode.BUDGET_NOT_SET)
            if not warrant.issued_at <= opened["held_at"] < warrant.expires_at:
                raise SubgraphError(ErrorCode.INVALID_INPUT, "the warrant does not hold now")
            request, _ = await self._approvals.request(transaction, tenant, wanted)
        return read_request(request)

    async def approve(
        self, tenant: str, request_id: UUID, *, digest: str, by: str, token_id: str
    ) -> OverrideRequest:
        """Approve an override; the approval that completes the number applies it.

        Raises what `ApprovalService.approve` and `consume` and `apply_override` raise.
        """
        key = RequestKey(tenant, KIND, request_id)
        request = await self._approvals.approve(key, digest=digest, approver=by, token_id=token_id)
        if request.state is not RequestState.APPROVED:
            return read_request(request)
        keys = await self._approvals.published_keys()
        async with self._database.transaction(tenant) as transaction:
            # The budget first, then the ledger: whoever spends locks in this order.
            if await store.open_window(transaction, tenant) is None:
                raise SubgraphError(ErrorCode.BUDGET_NOT_SET)
            locked = await self._approvals.lock(transaction, key)
            if locked.state is RequestState.APPLIED:
                return read_request(locked)
            used = await self._approvals.consume(transaction, key, by=by, keys=keys)
            wanted = read_request(used)
            override = Override(request_id, request_id, wanted.epsilon, wanted.warrant, by)
            await apply_override(transaction, self._ledger, tenant, override)
        return wanted

    async def reject(
        self, tenant: str, request_id: UUID, *, reason: str, by: str
    ) -> OverrideRequest:
        """Refuse an override. Raises what `ApprovalService.reject` raises."""
        key = RequestKey(tenant, KIND, request_id)
        return read_request(await self._approvals.reject(key, by=by, reason=reason))


async def load_many(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], OverrideRequest]:
    """The requests that exist, by tenant and id; one statement."""
    named = [RequestKey(tenant, KIND, request_id) for tenant, request_id in keys]
    found = await approval_store.load(database, named)
    return {(key.tenant, key.request_id): read_request(found[key]) for key in found}


async def requests_of_window(
    database: Database,
    tenant: str,
    window: tuple[datetime, datetime],
    *,
    first: int,
    after: tuple[datetime, UUID] | None = None,
) -> list[UUID]:
    """At most `first` ids of requests of the window (start, end), newest first, behind a place."""
    rows = await database.read(_OF_WINDOW, tenant, *window, *(after or (None, None)), first)
    return [row["request_id"] for row in rows]


def read_request(request: ApprovalRequest) -> OverrideRequest:
    """What is asked for, from the text that approvers sign for."""
    payload = canonical.parse(request.payload.encode())
    assert isinstance(payload, dict)
    warrant = payload["warrant"]
    assert isinstance(warrant, dict)
    said = {name: str(value) for name, value in warrant.items()}
    return OverrideRequest(
        request,
        parse_epsilon(payload["epsilon"]),
        Warrant(
            reference=said["reference"],
            issued_by=said["issuedBy"],
            issued_at=datetime.fromisoformat(said["issuedAt"]),
            expires_at=datetime.fromisoformat(said["expiresAt"]),
            document_digest=said["documentDigest"],
        ),
    )
