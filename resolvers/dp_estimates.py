"""`Query.dpEstimate` and `Query.budgetOverride`."""

from datetime import datetime
from typing import Annotated

import strawberry

from resolvers import spending
from resolvers.budgets import BudgetOverride
from resolvers.context import Info
from subgraph.budgets.model import DpMechanism
from subgraph.budgets.outlook import DpDecision
from subgraph.budgets.service import OperationEstimate
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.federation.scalars import JSON, Epsilon
from subgraph.policy.scopes import Scope
from subgraph.queries.model import OperationRequest

described_enum(
    DpDecision,
    {
        "ALLOW": "It can run now.",
        "QUEUE": "The next window could pay for it.",
        "DENY": "Neither this window nor the next one can pay for it.",
    },
)


@object_type(access=AS_PARENT)
class DpEstimatedRelease:
    """A release that an operation would make."""

    path: str = attribute("The first field that asks for it: its place in the answer, with dots.")
    count: int = attribute("How many fields ask for it; they pay once.")
    epsilon: Epsilon = attribute("What it costs, unless it is stored.")
    mechanism: DpMechanism = attribute("Where the noise will come from.")
    scales: list[float] = attribute("The scale of the noise of each part.", at_most=3)
    bound95: float | None = attribute(
        "How far the answer may be from the exact one, with 95 percent confidence; null where"
        " that is known only with the answer."
    )
    cached: bool = attribute("Whether it is stored, so that it costs nothing.")


@object_type(access=AS_PARENT)
class DpEstimate:
    """What would become of an operation; nothing was spent or read to tell."""

    epsilon: Epsilon = attribute("What it would cost.")
    decision: DpDecision = attribute("Whether it would run.")
    remaining_after: Epsilon | None = attribute("What would be left; null if it cannot run now.")
    earliest_at: datetime | None = attribute("When it could run, if it has to wait.")
    releases: list[DpEstimatedRelease] = attribute("What it would release.", at_most=100)


@object_type(access=None)
class BudgetQueries:
    """The queries on privacy budgets."""

    @field(access=scope(Scope.BUDGETS_READ))
    async def budget_override(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the request.")],
    ) -> BudgetOverride | None:
        """A request for an override; null for one that the caller may not see."""
        return (await BudgetOverride.load_many([id], info.context))[0]

    @field(access=scope(Scope.DP_QUERY))
    async def dp_estimate(
        self,
        info: Info,
        persisted_query_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="The id of a registered query.")
        ] = None,
        document: Annotated[
            str | None, strawberry.argument(description="The operation, instead of its id.")
        ] = None,
        operation_name: Annotated[
            str | None,
            strawberry.argument(description="Which operation, if the document has several."),
        ] = None,
        variables: Annotated[
            JSON | None, strawberry.argument(description="The variables of the operation.")
        ] = None,
    ) -> DpEstimate | None:
        """What an operation would cost, how far off it may be, and whether it would run."""
        if persisted_query_id is not None:
            raise SubgraphError(ErrorCode.PERSISTED_QUERIES_NOT_AVAILABLE)
        if document is None:
            return None
        if not (variables is None or isinstance(variables, dict)):
            raise SubgraphError(ErrorCode.BAD_USER_INPUT, "`variables` is an object or null.")
        request = OperationRequest(document, operation_name, variables)
        asked = info.context.services.operations.releases(request)
        return _shown(await spending.estimate(info.context, asked))


def _shown(estimate: OperationEstimate) -> DpEstimate:
    plan, left = estimate.plan, estimate.remaining_after
    for refused in plan.refused.values():
        raise refused
    first = {item.release_key: item for item in reversed(plan.planned)}
    return DpEstimate(
        epsilon=Epsilon(plan.epsilon),
        decision=estimate.decision,
        remaining_after=None if left is None else Epsilon(left),
        earliest_at=estimate.earliest_at,
        releases=[
            DpEstimatedRelease(
                path=".".join(map(str, item.path)),
                count=sum(other.release_key == key for other in plan.planned),
                epsilon=Epsilon(item.estimate.epsilon),
                mechanism=item.estimate.mechanism,
                scales=list(item.estimate.scales),
                bound95=item.estimate.bound95,
                cached=key in plan.stored,
            )
            for key, item in reversed(first.items())
        ],
    )
