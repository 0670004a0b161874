"""From the releases that an operation asks for to its answers, for the caller of a request."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from subgraph.budgets.handle import OperationReleases
from subgraph.budgets.planning import AskedRelease, DatasetKey
from subgraph.budgets.service import OperationEstimate, Payer
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import scope
from subgraph.policy.scopes import Scope
from subgraph.tenants.model import Dataset

if TYPE_CHECKING:
    from resolvers.context import RequestContext

_NEEDED = (scope(Scope.DATASETS_READ), scope(Scope.DP_QUERY))


async def begin(context: "RequestContext", asked: Sequence[AskedRelease]) -> OperationReleases:
    """Plan and pay for an operation; see `DpService.begin`."""
    datasets = await _queryable(context, asked)
    subject = "" if context.principal is None else context.principal.subject
    payer = Payer(subject, context.idempotency_key)
    return await context.services.budgets.releases.begin(asked, datasets, payer)


async def estimate(context: "RequestContext", asked: Sequence[AskedRelease]) -> OperationEstimate:
    """What `begin` would do, for nothing; see `DpService.estimate`."""
    datasets = await _queryable(context, asked)
    return await context.services.budgets.releases.estimate(asked, datasets)


async def _queryable(
    context: "RequestContext", asked: Sequence[AskedRelease]
) -> Mapping[DatasetKey, Dataset]:
    """Those data sets that the caller may query.

    Nothing is paid for the others: their fields are refused by their guards, or are null.
    """
    keys = list(dict.fromkeys(item.dataset for item in asked))
    await context.authorise(_NEEDED)
    try:
        for access in _NEEDED:
            context.require(access)
    except SubgraphError as error:
        if error.code in (ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN):
            return {}
        raise
    tenants = {tenant for tenant, _ in keys}
    allowed = await context.visibility.tenants(Scope.DP_QUERY, tenants) if tenants else ()
    visible = [key for key in keys if key[0] in allowed]
    loaded = await context.loaders.datasets.load_many(visible)
    return {
        key: dataset for key, dataset in zip(visible, loaded, strict=True) if dataset is not None
    }
