"""What may be asked of a data set with differential privacy, in one normal form, and its key.

Two requests that ask the same have equal normal forms and one release key, so the second is
answered with what the first one was told, and costs nothing.
"""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Final

from subgraph.budgets.decimals import bounds, plain, shortest
from subgraph.budgets.epsilon import format_epsilon, from_quanta, to_quanta
from subgraph.budgets.model import DpAccountant, DpMechanism, DpQueryKind, ReleaseKey
from subgraph.budgets.predicates import Predicate, column_of, normalised_predicates
from subgraph.budgets.refusals import invalid
from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.tenants.model import Column, ColumnKind, Dataset

SMALLEST_EPSILON: Final = Decimal("0.001")
LARGEST_EPSILON: Final = Decimal(10)
"""Below, the noise would not fit 64 bits in the worst case; above, there is no privacy left."""

_MOST_BINS = 100
_RANK = Decimal("0.001")
_METHOD = "1"
"""Changes whenever the same request would be answered by another method."""


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """One release that is asked for.

    `q` is the rank of a quantile, between 0 and 1. `bins` are the ascending edges of the cells of
    a histogram over numbers; a histogram over categories has one cell for each public value.
    """

    kind: DpQueryKind
    epsilon: Decimal
    column: str | None = None
    predicates: tuple[Predicate, ...] = ()
    q: Decimal | None = None
    bins: tuple[Decimal, ...] | None = None

    @property
    def mechanism(self) -> DpMechanism:
        """The mechanism that answers this kind of query."""
        if self.kind is DpQueryKind.QUANTILE:
            return DpMechanism.EXPONENTIAL
        return DpMechanism.DISCRETE_LAPLACE


def normalised(request: ReleaseRequest, dataset: Dataset) -> ReleaseRequest:
    """The normal form of `request`: equal for all requests that ask the same of `dataset`.

    Predicates are ordered and each stands once, and numbers have one spelling; edges are Floats.
    Raises `INVALID_INPUT`, with the argument as `field`, for what cannot be asked.
    """
    kind, column = request.kind, None
    if kind in (DpQueryKind.COUNT, DpQueryKind.DISTINCT_COUNT):
        _require(request.column is None, "column", "this query has no column")
    else:
        _require(request.column is not None, "column", "this query needs a column")
        column = column_of(dataset, request.column or "", "column")
        fitting = {ColumnKind.NUMBER}
        if kind is DpQueryKind.HISTOGRAM:
            fitting = {ColumnKind.NUMBER, ColumnKind.CATEGORY}
        _require(column.kind in fitting, "column", f"a {column.kind.value} cannot be asked this")
    return replace(
        request,
        epsilon=_epsilon(request.epsilon),
        predicates=normalised_predicates(request.predicates, dataset),
        q=_rank(request),
        bins=_edges(request, column),
    )


def release_key(request: ReleaseRequest, dataset: Dataset) -> ReleaseKey:
    """The SHA-256 of everything that the answer to a normalised request depends on.

    What it depends on are the tenant, the data set and its version, the privacy unit and the
    bounds of its contributions, the query, the public bounds or values that it is computed with,
    the mechanism and epsilon. Who asks, when, and under which alias are no part of it.
    """
    described: dict[str, JSONValue] = {
        "accountant": DpAccountant.PURE_EPSILON.value,
        "bins": None if request.bins is None else [str(edge) for edge in request.bins],
        "column": None,
        "dataset": str(dataset.dataset_id),
        "datasetVersion": dataset.version,
        "delta": "0",
        "epsilon": format_epsilon(request.epsilon),
        "maxContributions": dataset.max_contributions,
        "mechanism": request.mechanism.value,
        "method": _METHOD,
        "predicates": [predicate.described() for predicate in request.predicates],
        "privacyUnit": dataset.privacy_unit,
        "q": None if request.q is None else str(request.q),
        "query": request.kind.value,
        "tenant": dataset.tenant_id,
    }
    if request.column is not None:
        column = column_of(dataset, request.column, "column")
        described["column"] = {
            "kind": column.kind.value,
            "lower": None if column.lower is None else repr(float(column.lower)),
            "name": column.name,
            "upper": None if column.upper is None else repr(float(column.upper)),
            "values": None if column.values is None else list(column.values),
        }
    return ReleaseKey(hashlib.sha256(canonical.encode(described)).digest())


def _epsilon(asked: Decimal) -> Decimal:
    # Comparing a NaN raises, so finiteness is asked first.
    if not asked.is_finite() or not SMALLEST_EPSILON <= asked <= LARGEST_EPSILON:
        raise invalid("epsilon", f"{SMALLEST_EPSILON} to {LARGEST_EPSILON}")
    try:
        return from_quanta(to_quanta(asked))
    except ValueError:
        raise invalid("epsilon", "at most nine decimals") from None


def _rank(request: ReleaseRequest) -> Decimal | None:
    if request.kind is not DpQueryKind.QUANTILE:
        _require(request.q is None, "q", "only a quantile has a rank")
        return None
    if request.q is None or not request.q.is_finite() or not _RANK <= request.q <= 1 - _RANK:
        raise invalid("q", f"{_RANK} to {1 - _RANK}")
    _require(request.q % _RANK == 0, "q", f"a multiple of {_RANK}")
    return plain(request.q)


def _edges(request: ReleaseRequest, column: Column | None) -> tuple[Decimal, ...] | None:
    numbers = request.kind is DpQueryKind.HISTOGRAM and (
        column is not None and column.kind is ColumnKind.NUMBER
    )
    if not numbers or column is None:
        _require(request.bins is None, "bins", "only a histogram over a NUMBER has bins")
        return None
    asked = request.bins or ()
    _require(1 <= len(asked) - 1 <= _MOST_BINS, "bins", f"2 to {_MOST_BINS + 1} edges")
    _require(all(edge.is_finite() for edge in asked), "bins", "finite numbers")
    edges = tuple(shortest(float(edge), "bins") for edge in asked)
    _require(all(low < high for low, high in pairwise(edges)), "bins", "strictly ascending edges")
    lower, upper = bounds(column)
    within = lower <= edges[0] and edges[-1] <= upper
    _require(within, "bins", "edges within the bounds of the column")
    return edges


def _require(holds: bool, field: str, message: str) -> None:  # noqa: FBT001 - an assertion
    if not holds:
        raise invalid(field, message)
