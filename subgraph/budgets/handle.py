"""What the fields of one operation get, and nothing else: a resolver has no other way to answers.

The handle is made before any resolver runs, from the plan and the reservation. It is asked by the
place of a field in the answer, so a field that was not planned has nothing to ask for.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from subgraph.budgets.answers import read_answer
from subgraph.budgets.drawing import Answer
from subgraph.budgets.model import ReleaseKey, Reservation, StoredRelease
from subgraph.budgets.planning import OperationPlan, ResponsePath
from subgraph.errors import ErrorCode, SubgraphError


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to one field; `charged` is zero for one that was stored before."""

    answer: Answer
    dataset_version: str
    spend_id: UUID
    charged: Decimal

    @property
    def cached(self) -> bool:
        """Whether it was stored before this operation."""
        return self.charged == 0


Outcome = Told | SubgraphError
Outcomes = Mapping[ReleaseKey, Outcome]
"""What became of each release of an operation."""


@dataclass(frozen=True, slots=True)
class Covered:
    """The releases that a reservation has paid for, while its lease is the caller's."""

    paid: Mapping[ReleaseKey, Decimal]

    @classmethod
    def by(cls, reservation: Reservation, plan: OperationPlan) -> "Covered":
        """What the reservation of `plan` covers."""
        if reservation.lease is None:
            return cls({})
        return cls({charge.release_key: charge.epsilon for charge in plan.charges})

    def covers(self, release_key: ReleaseKey, epsilon: Decimal) -> bool:
        """See `subgraph.budgets.drawing.Reserved`."""
        return self.paid.get(release_key) == epsilon


@dataclass(frozen=True, slots=True)
class OperationReleases:
    """The answers of one operation, by the place of the field."""

    plan: OperationPlan
    outcomes: "asyncio.Future[Outcomes]"

    async def answer(self, path: ResponsePath, dataset_id: UUID) -> Told:
        """The answer to the field at `path`, which reads this data set.

        Raises what the plan refused the field with, why the release is denied or failed, and
        `INTERNAL_ERROR` for a field that was not planned.
        """
        refused = self.plan.refused.get(path)
        if refused is not None:
            raise refused
        planned = next((item for item in self.plan.planned if item.path == path), None)
        if planned is None or planned.dataset.dataset_id != dataset_id:
            raise SubgraphError(ErrorCode.INTERNAL_ERROR, "this release was not planned")
        # The draw is paid for; a field that is given up must not take it from the others.
        outcome = (await asyncio.shield(self.outcomes))[planned.release_key]
        if isinstance(outcome, SubgraphError):
            raise outcome
        return outcome


def stored_before(releases: Mapping[ReleaseKey, StoredRelease]) -> dict[ReleaseKey, Outcome]:
    """The outcomes of releases that cost nothing."""
    return {key: told(release, Decimal(0)) for key, release in releases.items()}


def told(release: StoredRelease, charged: Decimal) -> Told:
    """What a field is told of a stored release."""
    return Told(read_answer(release.answer), release.dataset_version, release.spend_id, charged)
