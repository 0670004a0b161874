"""Exact aggregates as integers: one statement, over at most C rows of each privacy unit.

Which rows of a unit count is decided by a hash of what they hold, keyed by the data set: never by
the order in which rows arrived or are stored, and never by the rows of others. All queries of a
data set count the same rows. Predicates select among them.

Nothing in a statement can fail because of a value. Casts are total; numbers are clamped to public
bounds before they are scaled, so an integer of a row is at most 2**40; sums are `numeric`, which
has no overflow that a relation could reach, and are saturated at 2**62, which moves no two sums
further apart. Counts are `bigint`. Rows without a unit do not count; nor, where a number is asked,
rows without one (NULL, or NaN).
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from subgraph.budgets.cells import candidates, cell_keys
from subgraph.budgets.columns import Parameters, identity_of, quoted, relation_of, value_of
from subgraph.budgets.decimals import bounds
from subgraph.budgets.model import DpQueryKind
from subgraph.budgets.predicates import column_of, condition
from subgraph.budgets.queries import ReleaseRequest
from subgraph.budgets.sensitivity import fixed_point, weights
from subgraph.db.binding import TenantRead, tenant_read
from subgraph.db.service import Database, Row
from subgraph.tenants.model import Dataset, Source

_MOST = 2**62


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A statement and its parameters behind the tenant."""

    statement: TenantRead
    parameters: tuple[object, ...]


async def aggregate(
    database: Database, tenant: str, dataset: Dataset, source: Source, request: ReleaseRequest
) -> tuple[int, ...]:
    """The exact integers that a normalised request is answered from; see `quantities`.

    For a histogram these are its cells, for a quantile the scores of its candidates. This is
    protected data: only `drawing` may have it.
    """
    asked = aggregation(dataset, source, request)
    rows = await database.read(asked.statement, tenant, *asked.parameters)
    match request.kind:
        case DpQueryKind.HISTOGRAM:
            return _cells(rows, request, dataset)
        case DpQueryKind.QUANTILE:
            return _scores(rows, request, dataset)
        case _:
            return tuple(rows[0].values())


def aggregation(dataset: Dataset, source: Source, request: ReleaseRequest) -> Aggregation:
    """The statement that aggregates for a normalised request."""
    parameters = Parameters()
    unit = quoted(dataset.privacy_unit)
    identity = identity_of(dataset.privacy_unit, dataset.columns, source)
    seed = parameters.add(_seed(dataset), "bigint")
    most = parameters.add(dataset.max_contributions, "bigint")
    meets = condition(request.predicates, dataset, source, parameters)
    value = _value(request, dataset, source, parameters)
    answer = _answer(request, dataset, parameters)
    statement = (
        f"SELECT {answer} FROM (\n"
        f"  SELECT {unit} AS unit, {value} AS value, {meets} AS meets,\n"
        # Rows with one hash are told apart by what they hold; equal rows are interchangeable.
        f"    row_number() OVER (PARTITION BY {unit}\n"
        f"      ORDER BY hash_record_extended({identity}, {seed}), {identity}) AS place\n"
        f"  FROM {relation_of(source)} AS held\n"
        f"  WHERE held.tenant_id = bound.tenant AND {unit} IS NOT NULL) AS counted\n"
        f"WHERE place <= {most} AND meets"
    )
    if request.kind in (DpQueryKind.HISTOGRAM, DpQueryKind.QUANTILE):
        statement += " AND value IS NOT NULL GROUP BY value"
    return Aggregation(tenant_read(statement), tuple(parameters.values))


def _value(
    request: ReleaseRequest, dataset: Dataset, source: Source, parameters: Parameters
) -> str:
    if request.column is None:
        return "NULL"
    column = column_of(dataset, request.column, "column")
    stored = value_of(column, source)
    if request.kind is DpQueryKind.HISTOGRAM and request.bins is None:
        return stored
    lower, upper = (parameters.add(bound, "numeric") for bound in bounds(column))
    # GREATEST passes over NULL, so it alone would make a NULL the lower bound.
    clamped = f"CASE WHEN {stored} IS NOT NULL THEN least(greatest({stored}, {lower}), {upper}) END"
    if request.bins is not None:
        edges = parameters.add(list(request.bins), "numeric[]")
        last = parameters.add(request.bins[-1], "numeric")
        cells = parameters.add(len(request.bins) - 1, "int")
        return (
            f"CASE WHEN ({clamped}) <= {last}"
            f" THEN nullif(least(width_bucket({clamped}, {edges}), {cells}), 0) END"
        )
    if request.kind is DpQueryKind.QUANTILE:
        grid = candidates(column)
        # The inverse of a round step is a decimal, so the product is exact.
        steps = f"(({clamped}) - {parameters.add(grid.origin, 'numeric')})"
        steps += f" * {parameters.add(1 / grid.step, 'numeric')}"
        return f"floor({steps})::int + ceil({steps})::int"
    point = fixed_point(request, dataset)
    origin = parameters.add(point.origin, "numeric")
    factor = parameters.add(Decimal(1).scaleb(point.exponent), "numeric")
    return f"round((({clamped}) - {origin}) * {factor})::bigint"


def _answer(request: ReleaseRequest, dataset: Dataset, parameters: Parameters) -> str:
    match request.kind:
        case DpQueryKind.COUNT:
            return "count(*) AS rows"
        case DpQueryKind.DISTINCT_COUNT:
            return "count(DISTINCT unit) AS units"
        case DpQueryKind.HISTOGRAM | DpQueryKind.QUANTILE:
            return "value AS cell, count(*) AS rows"
        case DpQueryKind.SUM:
            return f"{_saturated('value')} AS total"
    width = parameters.add(fixed_point(request, dataset).upper, "bigint")
    deviation = f"(2 * value - {width})"
    answer = f"count(value) AS rows, {_saturated(deviation)} AS deviations"
    if request.kind is DpQueryKind.MEAN:
        return answer
    return f"{answer}, {_saturated(f'{deviation} * {deviation}')} AS squares"


def _saturated(summand: str) -> str:
    return f"least(greatest(coalesce(sum({summand}), 0), -{_MOST}), {_MOST})::bigint"


def _cells(rows: list[Row], request: ReleaseRequest, dataset: Dataset) -> tuple[int, ...]:
    """The count of each public cell, zeros included; what is in no public cell is dropped."""
    counts = {row["cell"]: row["rows"] for row in rows}
    keys = cell_keys(request, dataset)
    if request.bins is None:
        return tuple(counts.get(key, 0) for key in keys)
    return tuple(counts.get(number, 0) for number in range(1, len(keys) + 1))


def _scores(rows: list[Row], request: ReleaseRequest, dataset: Dataset) -> tuple[int, ...]:
    """The score of each candidate; zero is a perfect one.

    A value on candidate i is in cell 2i, one between it and the next in cell 2i + 1.
    """
    counts = {row["cell"]: row["rows"] for row in rows}
    total, below = sum(counts.values()), 0
    weight_below, weight_above = weights(request)
    scores = []
    for number in range(candidates(column_of(dataset, request.column or "", "column")).last + 1):
        on, between = counts.get(2 * number, 0), counts.get(2 * number + 1, 0)
        above = total - below - on
        scores.append(min(abs(below * weight_below - above * weight_above), _MOST))
        below += on + between
    return tuple(scores)


def _seed(dataset: Dataset) -> int:
    digest = hashlib.sha256(b"contribution bound\0" + dataset.dataset_id.bytes).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
