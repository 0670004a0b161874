"""The fields of `Tenant` about its privacy budget."""

from datetime import datetime

import strawberry

from resolvers.budgets import BudgetPolicy, PrivacyBudget
from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info
from subgraph.db.cursors import ListIdentity
from subgraph.federation.access import AUTHENTICATED, scope
from subgraph.federation.declare import field, object_type
from subgraph.policy.scopes import Scope
from subgraph.tenants import model

_READ = scope(Scope.BUDGETS_READ)


@object_type(access=AUTHENTICATED)
class TenantBudgets:
    """What a tenant may spend, and has spent."""

    tenant: strawberry.Private[model.Tenant]

    @field(access=_READ)
    async def budget_policy(self, info: Info) -> BudgetPolicy | None:
        """The policy that was set last; it may be in force only from a later instant on."""
        reader = info.context.services.budgets.reader
        policy = await reader.policy(self.tenant.tenant_id)
        return None if policy is None else BudgetPolicy.of(policy)

    @field(access=_READ)
    async def privacy_budget(self, info: Info) -> PrivacyBudget | None:
        """The current window; null until a policy is set."""
        budget = await info.context.services.budgets.reader.current(self.tenant.tenant_id)
        return None if budget is None else PrivacyBudget.of(budget)

    @field(access=_READ, paged=True)
    async def privacy_budgets(
        self, info: Info, first: First = 12, after: After = None
    ) -> Connection[PrivacyBudget] | None:
        """The windows that have been used, newest first."""
        checked_first(first)
        services, tenant = info.context.services, self.tenant.tenant_id
        identity = ListIdentity("privacyBudgets", tenant, "start desc")
        behind = position(services.cursors, identity, after)
        found = await services.budgets.reader.windows(
            tenant,
            first=first + 1,
            before=None if behind is None else datetime.fromisoformat(str(behind)),
        )
        return page_of(
            [PrivacyBudget.of(budget) for budget in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda shown: shown.window_start.isoformat(),
        )
