"""Assembles the resolvers into the federated schema."""

from collections.abc import Iterable

from resolvers.errors import InvalidInput
from resolvers.key_errors import DualControlRequired, KeyUnavailable
from resolvers.mutation import Mutation
from resolvers.query import Query
from subgraph.federation.lifecycle import LifecycleRecord
from subgraph.federation.schema import GovernanceSchema


def build(records: Iterable[LifecycleRecord]) -> GovernanceSchema:
    """The schema of this release, with the lifecycle `records` projected onto it."""
    return GovernanceSchema(
        query=Query,
        mutation=Mutation,
        records=records,
        types=[InvalidInput, KeyUnavailable, DualControlRequired],
    )
