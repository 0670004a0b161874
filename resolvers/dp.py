"""`DpQueries` and its releases.

A resolver here computes nothing and reads nothing: it is told what was released at its place of
the answer. The planner reads the arguments, before any resolver runs.
"""

# ruff: noqa: ARG002 - arguments are the planner's

from typing import Annotated, Any
from uuid import UUID

import strawberry

from resolvers.budgets import DpSpend
from resolvers.context import Info
from subgraph.budgets.handle import Told
from subgraph.budgets.model import DpMechanism, DpQueryKind
from subgraph.budgets.predicates import Operator
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import (
    attribute,
    described_enum,
    field,
    input_type,
    interface_type,
    object_type,
)
from subgraph.federation.directives import DpCost
from subgraph.federation.scalars import Epsilon
from subgraph.tenants import model

described_enum(
    Operator,
    {
        "EQ": "Equal to the value.",
        "NE": "Not equal to the value.",
        "LT": "Less than the value.",
        "LE": "Less than the value, or equal to it.",
        "GT": "Greater than the value.",
        "GE": "Greater than the value, or equal to it.",
        "IN": "Equal to one of the values.",
    },
    name="DpOperator",
)


@input_type
class DpPredicate:
    """What a row must meet to count; a row without a value meets nothing."""

    column: str = attribute("The column.")
    op: Operator = attribute("How it is compared.")
    value: str | None = attribute("What it is compared with, unless with IN.", default=None)
    values: list[str] | None = attribute("What it is compared with by IN.", default=None)


Where = Annotated[
    list[DpPredicate] | None, strawberry.argument(description="What a row must meet; all of it.")
]
Price = Annotated[
    Epsilon | None, strawberry.argument(description="What the release may cost at the most.")
]
ColumnName = Annotated[str, strawberry.argument(description="The column.")]


@interface_type(access=AS_PARENT)
class DpRelease:
    """A noisy answer that may be given to anybody who may ask."""

    key: strawberry.Private[tuple[str, UUID]]
    epsilon: Epsilon = attribute("The epsilon that the noise was made for.")
    epsilon_charged: Epsilon = attribute(
        "What the release cost in this operation, however many of its fields ask for it."
    )
    mechanism: DpMechanism = attribute("Where the noise comes from.")
    scales: list[float] = attribute("The scale of the noise of each part.", at_most=3)
    bound95: float | None = attribute(
        "How far the answer may be from the exact one, with 95 percent confidence."
    )
    cached: bool = attribute("Whether it was stored before this operation.")
    dataset_version: str = attribute("The version of the data that was read.")

    @field()
    async def spend(self, info: Info) -> DpSpend | None:
        """What paid for it."""
        return await DpSpend.load(self.key, info.context)


@object_type(access=AS_PARENT)
class DpNumber(DpRelease):
    """A noisy number."""

    value: float | None = attribute("The number.")


@object_type(access=AS_PARENT)
class DpCell:
    """A cell of a histogram."""

    key: str = attribute("The public value, or the interval, that it counts.")
    value: float = attribute("The noisy count, which may be negative.")


@object_type(access=AS_PARENT)
class DpHistogram(DpRelease):
    """A noisy histogram over public cells."""

    cells: list[DpCell] = attribute("Every public cell, also the empty ones.", at_most=1000)


def _cost(query: DpQueryKind, epsilon: str, mechanism: DpMechanism) -> DpCost:
    return DpCost(
        epsilon=epsilon,
        epsilon_argument="epsilon",
        min_epsilon="0.001",
        max_epsilon="1",
        delta=strawberry.UNSET,
        mechanisms=[mechanism],
        query=query,
    )


_LAPLACE, _EXPONENTIAL = DpMechanism.DISCRETE_LAPLACE, DpMechanism.EXPONENTIAL


@object_type(access=AS_PARENT)
class DpQueries:
    """What may be asked of a data set; each answer costs epsilon once, and is free from then on."""

    dataset: strawberry.Private[model.Dataset]

    @field(cost=_cost(DpQueryKind.COUNT, "0.1", _LAPLACE))
    async def count(
        self, info: Info, where: Where = None, epsilon: Price = None
    ) -> DpNumber | None:
        """The number of rows."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.DISTINCT_COUNT, "0.1", _LAPLACE))
    async def distinct_count(
        self, info: Info, where: Where = None, epsilon: Price = None
    ) -> DpNumber | None:
        """The number of privacy units."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.SUM, "0.1", _LAPLACE))
    async def sum(
        self, info: Info, column: ColumnName, where: Where = None, epsilon: Price = None
    ) -> DpNumber | None:
        """The sum of a column, its values clamped to the public bounds."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.MEAN, "0.2", _LAPLACE))
    async def mean(
        self, info: Info, column: ColumnName, where: Where = None, epsilon: Price = None
    ) -> DpNumber | None:
        """The mean of a column, its values clamped to the public bounds."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.VARIANCE, "0.3", _LAPLACE))
    async def variance(
        self, info: Info, column: ColumnName, where: Where = None, epsilon: Price = None
    ) -> DpNumber | None:
        """The variance of a column, its values clamped to the public bounds."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.QUANTILE, "0.2", _EXPONENTIAL))
    async def quantile(
        self,
        info: Info,
        column: ColumnName,
        q: Annotated[float, strawberry.argument(description="The rank, between 0 and 1.")],
        where: Where = None,
        epsilon: Price = None,
    ) -> DpNumber | None:
        """A quantile of a column, on a public grid."""
        return await _number(self.dataset, info)

    @field(cost=_cost(DpQueryKind.HISTOGRAM, "0.1", _LAPLACE))
    async def histogram(
        self,
        info: Info,
        column: ColumnName,
        bins: Annotated[
            list[float] | None,
            strawberry.argument(description="The ascending edges of the cells of numbers."),
        ] = None,
        where: Where = None,
        epsilon: Price = None,
    ) -> DpHistogram | None:
        """The number of rows in each public cell."""
        told = await _told(self.dataset, info)
        return DpHistogram(
            key=(self.dataset.tenant_id, told.spend_id),
            cells=[DpCell(key=cell.key, value=cell.value) for cell in told.answer.cells],
            **_common(told),
        )


async def _number(dataset: model.Dataset, info: Info) -> DpNumber:
    told = await _told(dataset, info)
    return DpNumber(
        key=(dataset.tenant_id, told.spend_id), value=told.answer.value, **_common(told)
    )


async def _told(dataset: model.Dataset, info: Info) -> Told:
    releases = info.context.releases
    if releases is None:
        raise SubgraphError(ErrorCode.INTERNAL_ERROR, "this release was not planned")
    return await releases.answer(tuple(info.path.as_list()), dataset.dataset_id)


def _common(told: Told) -> dict[str, Any]:
    answer = told.answer
    return {
        "epsilon": answer.epsilon,
        "epsilon_charged": told.charged,
        "mechanism": answer.mechanism,
        "scales": list(answer.scales),
        "bound95": answer.bound95,
        "cached": told.cached,
        "dataset_version": told.dataset_version,
    }
