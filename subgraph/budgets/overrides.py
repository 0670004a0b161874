"""Applies an approved override: more epsilon for the current window, never a reset.

The same is added to the lifetime's cap. What is spent stays, and every override is kept for the
manifests of later exports.
"""

from subgraph.budgets import store
from subgraph.budgets.epsilon import format_epsilon, to_quanta
from subgraph.budgets.model import AppliedOverride, Override
from subgraph.budgets.windows import write_instant
from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger


async def apply_override(
    transaction: Transaction, ledger: Ledger, tenant: str, override: Override
) -> AppliedOverride:
    """Add the override to the current window; called once two distinct approvers have agreed.

    Raises `BUDGET_NOT_SET`, `ALREADY_EXISTS` for an approval that was used, and `INVALID_INPUT` for
    a warrant that does not hold now; the transaction is to be rolled back then.
    """
    to_quanta(override.epsilon)
    opened = await store.open_window(transaction, tenant)
    if opened is None:
        raise SubgraphError(ErrorCode.BUDGET_NOT_SET)
    at, window_start = opened["held_at"], opened["window_start"]
    warrant = override.warrant
    if not warrant.issued_at <= at < warrant.expires_at:
        raise SubgraphError(ErrorCode.INVALID_INPUT, "the warrant does not hold now")
    if not await store.insert_override(transaction, tenant, override, window_start, at):
        raise SubgraphError(ErrorCode.ALREADY_EXISTS, "this override was applied before")
    event = NewEvent(
        EventType.BUDGET_OVERRIDDEN,
        override.applied_by,
        tenant,
        {
            "overrideId": str(override.override_id),
            "approvalRequestId": str(override.approval_request_id),
            "windowStart": write_instant(window_start),
            "epsilon": format_epsilon(override.epsilon),
            "warrant": {
                "reference": warrant.reference,
                "issuedBy": warrant.issued_by,
                "issuedAt": write_instant(warrant.issued_at),
                "expiresAt": write_instant(warrant.expires_at),
                "documentDigest": warrant.document_digest,
            },
        },
    )
    await ledger.append(transaction, event)
    return AppliedOverride(override, window_start, at)
