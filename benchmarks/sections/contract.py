"""What a section of the benchmark is given, and what it answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import stats
from benchmarks.stats import Ratio
from subgraph.db.embedded import EmbeddedServer


@dataclass(frozen=True, slots=True)
class Given:
    """A migrated and seeded database of durable settings, and how much is to be measured."""

    server: EmbeddedServer
    folder: Path
    rounds: int
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim of this release, and what became of it."""

    text: str
    met: bool
    found: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against another, each with one value a round, taken in turns."""

    title: str
    unit: str
    arm: str
    other: str
    values: Sequence[float]
    others: Sequence[float]

    @property
    def ratio(self) -> Ratio:
        """`arm` divided by `other`."""
        return stats.ratio(self.values, self.others)

    def at_least(self, bound: float, text: str) -> Goal:
        """The goal that the median of the ratios is not below the bound."""
        return Goal(text, self.ratio.median >= bound, self.ratio.written)

    def at_most(self, bound: float, text: str) -> Goal:
        """The goal that the median of the ratios is not above the bound."""
        return Goal(text, self.ratio.median <= bound, self.ratio.written)


@dataclass(frozen=True, slots=True)
class Result:
    """What a section found; `notes` are sentences for its readers."""

    name: str
    title: str
    comparisons: Sequence[Comparison]
    goals: Sequence[Goal]
    notes: Sequence[str]


def joined(name: str, title: str, parts: Sequence[Result]) -> Result:
    """A section of the results of its parts, in their order."""
    return Result(
        name,
        title,
        [comparison for part in parts for comparison in part.comparisons],
        [goal for part in parts for goal in part.goals],
        [note for part in parts for note in part.notes],
    )


class Section(Protocol):
    """Measures one thing, apart from all others.

    It MUST take its arms in turns within each round, and begin with another one in each. It MAY
    write into the database under tenants of its own; it MUST close what it opens.
    """

    def __call__(self, given: Given) -> Result:
        """Measure."""
        ...
