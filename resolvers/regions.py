"""`Region`."""

from collections.abc import Sequence

import strawberry

from resolvers.context import RequestContext
from subgraph.federation.access import AUTHENTICATED
from subgraph.federation.declare import attribute, object_type
from subgraph.tenants import regions


@object_type(access=AUTHENTICATED, key="code")
class Region:
    """A place where a cloud provider runs services."""

    code: strawberry.ID = attribute("Provider and region, as in `aws:eu-central-1`.")
    provider: str = attribute("The cloud provider.")
    jurisdiction: str = attribute("The country whose law applies there, ISO 3166-1 alpha-2.")
    display_name: str = attribute("The provider's name for the region.")

    @classmethod
    def of(cls, region: regions.Region) -> "Region":
        """The GraphQL object of a region."""
        return cls(
            code=strawberry.ID(region.code),
            provider=region.provider,
            jurisdiction=region.jurisdiction,
            display_name=region.display_name,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["Region | None"]:
        """The regions of the registry; it is in memory, so no statement is sent."""
        return [region_of(key, context) for key in keys]


def region_of(code: str, context: RequestContext) -> Region | None:
    """The region with this code."""
    region = context.services.regions.get(code)
    return None if region is None else Region.of(region)
