"""What an operation will release and what that costs, before anything is paid or read.

Every field asks for one release. Fields that ask the same of the same version of a data set ask
for one release together. One that is stored costs nothing; the others add up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from subgraph.budgets import drawing
from subgraph.budgets.drawing import Estimate
from subgraph.budgets.model import Charge, ReleaseKey, StoredRelease
from subgraph.budgets.queries import ReleaseRequest, normalised, release_key
from subgraph.budgets.releases import stored_releases
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants.model import Dataset

MOST_RELEASES = 100
"""How many fields of one operation may ask for a release."""

ResponsePath = tuple[str | int, ...]
"""Where a field stands in the answer: response keys, and the index of an entity."""

DatasetKey = tuple[str, UUID]


@dataclass(frozen=True, slots=True)
class AskedRelease:
    """A field that asks for a release; `request` is the refusal where its arguments make none."""

    path: ResponsePath
    dataset: DatasetKey
    request: ReleaseRequest | SubgraphError


@dataclass(frozen=True, slots=True)
class PlannedRelease:
    """A field whose release is known; `request` is in normal form."""

    path: ResponsePath
    dataset: Dataset
    request: ReleaseRequest
    release_key: ReleaseKey
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """All fields of an operation: what they will get, what is stored of it, and why not."""

    planned: tuple[PlannedRelease, ...]
    refused: Mapping[ResponsePath, SubgraphError]
    stored: Mapping[ReleaseKey, StoredRelease]

    @property
    def tenant(self) -> str:
        """Whose budget pays; there is one wherever a release is planned."""
        return self.planned[0].dataset.tenant_id

    @property
    def unpaid(self) -> tuple[PlannedRelease, ...]:
        """What has to be paid for: each release once."""
        first = {item.release_key: item for item in reversed(self.planned)}
        return tuple(
            item
            for item in self.planned
            if item.release_key not in self.stored and first[item.release_key] is item
        )

    @property
    def charges(self) -> tuple[Charge, ...]:
        """What the accountant is asked for."""
        return tuple(_charge(item) for item in self.unpaid)

    @property
    def epsilon(self) -> Decimal:
        """What the operation costs."""
        return sum((item.request.epsilon for item in self.unpaid), Decimal(0))


async def plan(
    database: Database,
    asked: Sequence[AskedRelease],
    datasets: Mapping[DatasetKey, Dataset],
) -> OperationPlan:
    """Plan an operation; one statement. `datasets` are those that the caller may query.

    A field of any other data set is left out, as the field will be null. Raises
    `DP_TOO_MANY_RELEASES`, and `DP_PATH_NOT_PLANNABLE` for data sets of several tenants.
    """
    if len(asked) > MOST_RELEASES:
        raise SubgraphError(ErrorCode.DP_TOO_MANY_RELEASES, limit=MOST_RELEASES, asked=len(asked))
    planned: list[PlannedRelease] = []
    refused: dict[ResponsePath, SubgraphError] = {}
    for item in asked:
        dataset = datasets.get(item.dataset)
        if dataset is None:
            continue
        if isinstance(item.request, SubgraphError):
            refused[item.path] = item.request
            continue
        try:
            planned.append(_planned(item.path, item.request, dataset))
        except SubgraphError as error:
            refused[item.path] = error
    if len({item.dataset.tenant_id for item in planned}) > 1:
        message = "One operation asks for releases of one tenant."
        raise SubgraphError(ErrorCode.DP_PATH_NOT_PLANNABLE, message)
    stored = await _stored(database, planned)
    return OperationPlan(tuple(planned), refused, stored)


def _planned(path: ResponsePath, request: ReleaseRequest, dataset: Dataset) -> PlannedRelease:
    asked = normalised(request, dataset)
    estimate = drawing.estimate(asked, dataset)
    return PlannedRelease(path, dataset, asked, release_key(asked, dataset), estimate)


async def _stored(
    database: Database, planned: Iterable[PlannedRelease]
) -> Mapping[ReleaseKey, StoredRelease]:
    items = list(planned)
    if not items:
        return {}
    keys = list(dict.fromkeys(item.release_key for item in items))
    return await stored_releases(database, items[0].dataset.tenant_id, keys)


def _charge(item: PlannedRelease) -> Charge:
    return Charge(
        release_key=item.release_key,
        dataset_id=item.dataset.dataset_id,
        dataset_version=item.dataset.version,
        query=item.request.kind,
        mechanism=item.request.mechanism,
        epsilon=item.request.epsilon,
    )
