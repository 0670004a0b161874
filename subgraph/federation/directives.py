"""The schema directives of the governance spec, and the link that imports them."""

import datetime

import strawberry
from strawberry.schema_directive import Location

from subgraph.budgets.model import DpMechanism, DpQueryKind
from subgraph.federation.declare import described_enum

FEDERATION_URL = "https://specs.apollo.dev/federation/v2.9"
GOVERNANCE_URL = "https://specs.intelgraph.dev/governance/v1.0"


described_enum(
    DpMechanism,
    {
        "DISCRETE_LAPLACE": "Integer noise with a geometric tail on both sides.",
        "EXPONENTIAL": "A candidate drawn with a probability that grows with its score.",
    },
)
described_enum(
    DpQueryKind,
    {
        "COUNT": "Number of rows.",
        "DISTINCT_COUNT": "Number of privacy units.",
        "SUM": "Sum of a clamped column.",
        "MEAN": "Mean of a clamped column.",
        "VARIANCE": "Variance of a clamped column.",
        "HISTOGRAM": "Counts over public keys.",
        "QUANTILE": "A quantile of a clamped column.",
    },
)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="dpCost",
    description="What one read of the field may cost, before any data is touched.",
)
class DpCost:
    """`@dpCost`: the price of a differentially private field; decimals are strings."""

    epsilon: str = strawberry.directive_field(name="epsilon")
    epsilon_argument: str | None = strawberry.directive_field(name="epsilonArgument")
    min_epsilon: str | None = strawberry.directive_field(name="minEpsilon")
    max_epsilon: str | None = strawberry.directive_field(name="maxEpsilon")
    delta: str | None = strawberry.directive_field(name="delta", default="0")
    mechanisms: list[DpMechanism] = strawberry.directive_field(name="mechanisms")
    query: DpQueryKind = strawberry.directive_field(name="query")


@strawberry.schema_directive(
    locations=[
        Location.FIELD_DEFINITION,
        Location.ARGUMENT_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.ENUM_VALUE,
    ],
    name="governance__deprecated",
    description="Lifecycle of a deprecated element: the `@deprecated` of the governance spec.",
)
class GovernanceDeprecated:
    """`@governance__deprecated`: one record of `deprecations.yaml`, beside `@deprecated`."""

    id: strawberry.ID = strawberry.directive_field(name="id")
    since: datetime.date = strawberry.directive_field(name="since")
    until: datetime.date = strawberry.directive_field(name="until")
    grace: str = strawberry.directive_field(name="grace", default="P30D")
    replacement: str | None = strawberry.directive_field(name="replacement")


COMPOSED = ("@dpCost", "@governance__deprecated")

ARGUMENTS = {
    "dpCost": {
        "epsilon": "The price when the caller names none.",
        "epsilonArgument": "The argument in which the caller names the price.",
        "minEpsilon": "The least that the caller may name.",
        "maxEpsilon": "The most that the caller may name.",
        "delta": "The probability with which pure privacy may fail; zero for pure epsilon.",
        "mechanisms": "How noise may be drawn.",
        "query": "What is computed.",
    },
    "governance__deprecated": {
        "id": "The id of the lifecycle record.",
        "since": "The first day of the deprecation.",
        "until": "The day until which the element works for everybody.",
        "grace": "How long it goes on working after that, ISO 8601.",
        "replacement": "What to use, as a schema coordinate.",
    },
}
