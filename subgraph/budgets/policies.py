"""Sets the policy of a tenant's budget.

What a policy lowers is lower at once, also below what is spent. What it raises, and another kind
of window, waits until the windows that are open have ended: more than was decided for a window
takes an override, by two approvers.
"""

from subgraph.budgets import store
from subgraph.budgets.alerts import report_low
from subgraph.budgets.anchors import anchor
from subgraph.budgets.epsilon import format_epsilon, to_quanta
from subgraph.budgets.model import BudgetPolicy, BudgetTerms
from subgraph.budgets.windows import write_instant
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, JSONValue, SubgraphError
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger


async def set_policy(
    database: Database, ledger: Ledger, tenant: str, terms: BudgetTerms, *, by: str
) -> BudgetPolicy:
    """Append a version of the policy on behalf of the subject `by`, with its ledger event.

    Raises `INVALID_INPUT` for a limit that can never be reached, and what the ledger raises. The
    tenant is registered.
    """
    _check(terms)
    async with database.transaction(tenant) as transaction:
        at = (await store.hold(transaction, tenant))["at"]
        policy = await store.insert_policy(transaction, tenant, terms, at, by=by)
        await store.lower_limits(transaction, tenant, terms, at)
        await store.enforce(transaction, tenant)
        event = NewEvent(EventType.BUDGET_POLICY_SET, by, tenant, _payload(policy))
        await ledger.append(transaction, event)
        await report_low(transaction, ledger, tenant)
        await anchor(transaction, ledger, tenant)
    return policy


def _check(terms: BudgetTerms) -> None:
    for limit in (terms.epsilon_limit, terms.lifetime_limit, terms.max_epsilon_per_operation):
        if limit is not None:
            to_quanta(limit)
    most = terms.lifetime_limit
    if most is not None and most < terms.epsilon_limit:
        message = "the lifetime limit is below the limit of one window"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)
    most = terms.max_epsilon_per_operation
    if most is not None and most > terms.epsilon_limit:
        message = "one operation may cost more than a window has"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)


def _payload(policy: BudgetPolicy) -> dict[str, JSONValue]:
    terms = policy.terms
    payload: dict[str, JSONValue] = {
        "version": policy.version,
        "accountant": terms.accountant.value,
        "window": terms.window.value,
        "epsilonLimit": format_epsilon(terms.epsilon_limit),
        "effectiveFrom": write_instant(policy.effective_from),
    }
    if terms.lifetime_limit is not None:
        payload["lifetimeLimit"] = format_epsilon(terms.lifetime_limit)
    if terms.max_epsilon_per_operation is not None:
        payload["maxEpsilonPerOperation"] = format_epsilon(terms.max_epsilon_per_operation)
    return payload
