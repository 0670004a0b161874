"""From what was measured to the report, as data and as a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from benchmarks import stats
from benchmarks.arms.catalog import ARMS, CACHED, OURS, TITLES
from benchmarks.measure import Cell, Measured
from benchmarks.plan import Plan
from benchmarks.sections.contract import Comparison, Goal, Result
from benchmarks.stats import Ratio

MOST_STATEMENTS = 2.0

_METRICS: Mapping[str, tuple[str, Callable[[Cell], float | None]]] = {
    "throughput": ("Throughput", lambda cell: cell.throughput),
    "cpu": ("CPU time of an operation at the offered rate", lambda cell: cell.open_cpu),
    "p50": ("p50", lambda cell: _percentile(cell, "p50")),
    "p99": ("p99", lambda cell: _percentile(cell, "p99")),
}
_IN_FULL = ("throughput", "p99", "cpu")
"""The page shows these for every pair of arms."""
_COLUMNS = (
    "arm", "throughput /s", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms", "database CPU ms",
    "statements", "bytes", "full GC", "notes",
)  # fmt: skip
_MORE_IS_BETTER = frozenset({"throughput"})


@dataclass(frozen=True, slots=True)
class Run:
    """When and on what was measured."""

    day: date
    commit: str
    uncommitted: bool
    environment: Mapping[str, object]
    plan: Plan
    part: str | None = None
    """The sections, where they are not all."""

    @property
    def name(self) -> str:
        """The name of its files."""
        whole = f"{self.day.isoformat()}-{self.commit}"
        return f"{whole}-{self.part}" if self.part else whole


def as_data(
    run: Run, measured: Sequence[Measured], sections: Sequence[Result] = ()
) -> dict[str, Any]:
    """The whole report; times in milliseconds."""
    plan = asdict(run.plan)
    plan["operations"] = [operation.name for operation in run.plan.operations]
    return {
        "day": run.day.isoformat(),
        "commit": run.commit,
        "uncommitted": run.uncommitted,
        "environment": run.environment,
        "plan": plan,
        "operations": [as_data_of(each) for each in measured],
        "sections": [_as_data_of_section(each) for each in sections],
        "goals": [asdict(goal) for goal in _all_goals(measured, sections)],
    }


def as_page(run: Run, measured: Sequence[Measured], sections: Sequence[Result] = ()) -> str:
    """The report in Markdown."""
    changed = " with uncommitted changes" if run.uncommitted else ""
    lines = [
        f"# Performance, {run.day.isoformat()}, commit {run.commit}{changed}",
        "",
        "How to read this: [docs/performance.md](../../docs/performance.md).",
        "",
        _where(run, loops=bool(measured)),
        "",
        *([_company(measured), ""] if measured else []),
        "| goal | met | found |",
        "|---|---|---|",
        *(_goal(goal) for goal in _all_goals(measured, sections)),
    ]
    for each in measured:
        lines += ["", *_operation(each)]
    for found in sections:
        lines += ["", *_section(found)]
    return "\n".join(lines) + "\n"


def _all_goals(measured: Sequence[Measured], sections: Sequence[Result]) -> list[Goal]:
    of_sections = [goal for each in sections for goal in each.goals]
    return [*(goals(measured) if measured else []), *of_sections]


def goals(measured: Sequence[Measured]) -> list[Goal]:
    """What this release aims at."""
    against = [
        (each.operation.name, metric, compared)
        for each in measured
        for metric in _METRICS
        if (compared := ratio(each, metric, OURS, CACHED)) is not None
    ]
    slower = any(_is_slower(metric, found) for _, metric, found in against)
    statements = {each.operation.name: each.statements[OURS] for each in measured}
    full = sum(cell.full_collections for each in measured for cell in each.cells[OURS])
    return [
        Goal(
            "No slower than Strawberry with caches",
            not slower,
            "; ".join(f"{name} {metric} {found.written}" for name, metric, found in against),
        ),
        Goal(
            "At most two statements an operation",
            all(count <= MOST_STATEMENTS for count in statements.values()),
            ", ".join(f"{name} {count:g}" for name, count in statements.items()),
        ),
        Goal("No full garbage collection", full == 0, f"{full} in all rounds"),
    ]


def ratio(each: Measured, metric: str, arm: str, other: str) -> Ratio | None:
    """`arm` divided by `other`; None where no round has both."""
    read = _METRICS[metric][1]
    pairs = [
        (above, below)
        for one, two in zip(each.cells[arm], each.cells[other], strict=True)
        if (above := read(one)) and (below := read(two))
    ]
    return stats.ratio(*zip(*pairs, strict=True)) if pairs else None


def _is_slower(metric: str, found: Ratio) -> bool:
    """Whether the whole interval is on the wrong side: what the rounds do not tell is no defeat."""
    return found.high < 1 if metric in _MORE_IS_BETTER else found.low > 1


def _percentile(cell: Cell, name: str) -> float | None:
    """A latency in milliseconds; None where the arm did not keep up, for it says nothing then."""
    found = cell.percentiles
    return getattr(found, name) if found is not None and cell.kept_up else None


def as_data_of(each: Measured) -> dict[str, Any]:
    """One operation; times in milliseconds."""
    return {
        "name": each.operation.name,
        "title": each.operation.title,
        "offered_per_second": round(each.rate, 1),
        "arms": {name: _arm(each, name) for name in ARMS},
        "ratios": {
            metric: {
                arm: {
                    other: asdict(found)
                    for other in ARMS
                    if other != arm and (found := ratio(each, metric, arm, other)) is not None
                }
                for arm in ARMS
            }
            for metric in _METRICS
        },
    }


def _arm(each: Measured, name: str) -> dict[str, Any]:
    cells = each.cells[name]
    together = stats.percentiles(stats.merged(cell.latencies for cell in cells))
    return {
        "throughput_per_second": stats.middle(cell.throughput for cell in cells),
        "calibrated_per_second": each.capacities[name],
        "latency_ms": asdict(together) if together is not None else None,
        "statements": each.statements[name],
        "answer_bytes": each.answer_bytes[name],
        "cpu_ms": stats.middle(cell.open_cpu * 1e3 for cell in cells),
        "cpu_ms_at_limit": stats.middle(cell.closed_cpu * 1e3 for cell in cells),
        "database_cpu_ms": stats.middle(cell.database_cpu * 1e3 for cell in cells),
        "full_collections": sum(cell.full_collections for cell in cells),
        "rounds_void": sum(cell.void for cell in cells),
        "rounds_not_kept_up": sum(not cell.kept_up for cell in cells),
        "rounds": [_round(cell) for cell in cells],
    }


def _round(cell: Cell) -> dict[str, Any]:
    found = cell.percentiles
    return {
        "throughput_per_second": cell.throughput,
        "latency_ms": asdict(found) if found is not None else None,
        "cpu_ms": cell.open_cpu * 1e3,
        "cpu_ms_at_limit": cell.closed_cpu * 1e3,
        "database_cpu_ms": cell.database_cpu * 1e3,
        "lag_p99_ms": cell.lag_p99 * 1e3,
        "full_collections": cell.full_collections,
        "kept_up": cell.kept_up,
        "void": cell.void,
        "cores_elsewhere": cell.cores_elsewhere,
        "histogram": cell.latencies.encode().decode("ascii"),
    }


def _where(run: Run, *, loops: bool) -> str:
    machine = run.environment
    length = (
        f" of {run.plan.open_seconds:g} s open loop and {run.plan.closed_seconds:g} s closed loop"
    )
    return (
        f"{machine['cpu']}, {machine['cores']} cores; {machine['kernel']}; {machine['python']}; "
        f"PostgreSQL {machine['postgresql']}; load before the run {machine['load_before']}; "
        f"{run.plan.rounds} rounds{length if loops else ''}."
    )


def _company(measured: Sequence[Measured]) -> str:
    cores = [
        cell.cores_elsewhere for each in measured for cells in each.cells.values() for cell in cells
    ]
    return (
        f"Other processes of the machine kept {stats.middle(cores):.2f} cores busy in the median "
        f"round, {max(cores):.2f} in the worst."
    )


def _goal(goal: Goal) -> str:
    return f"| {goal.text} | {'yes' if goal.met else '**no**'} | {goal.found} |"


def _operation(each: Measured) -> list[str]:
    return [
        f"## {each.operation.title}",
        "",
        f"{each.rate:.0f} operations a second offered.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|---|{'--:|' * (len(_COLUMNS) - 2)}---|",
        *(_row(each, name) for name in ARMS),
        "",
        "Ratios of the row to the column, as the median of the rounds and its 95 % interval:",
        *(line for metric in _IN_FULL for line in _matrix(each, metric)),
    ]


def _row(each: Measured, name: str) -> str:
    arm = _arm(each, name)
    latency = arm["latency_ms"] or {}
    notes = []
    if arm["rounds_not_kept_up"]:
        notes.append(f"did not keep up in {arm['rounds_not_kept_up']}")
    if arm["rounds_void"]:
        notes.append(f"generator late in {arm['rounds_void']}")
    cells = [
        TITLES[name],
        f"{arm['throughput_per_second']:.0f}",
        *(f"{latency[rank]:.2f}" if rank in latency else "" for rank in ("p50", "p99", "p999")),
        f"{arm['cpu_ms']:.3f}",
        f"{arm['database_cpu_ms']:.3f}",
        f"{arm['statements']:g}",
        str(arm["answer_bytes"]),
        str(arm["full_collections"]),
        ", ".join(notes),
    ]
    return f"| {' | '.join(cells)} |"


def _matrix(each: Measured, metric: str) -> list[str]:
    rows = []
    for arm in ARMS:
        found = [None if arm == other else ratio(each, metric, arm, other) for other in ARMS]
        cells = ["" if one is None else one.written for one in found]
        rows.append(f"| {TITLES[arm]} | {' | '.join(cells)} |")
    head = " | ".join(TITLES[arm] for arm in ARMS)
    return ["", f"| {_METRICS[metric][0]} | {head} |", f"|---|{'--:|' * len(ARMS)}", *rows]


def _section(each: Result) -> list[str]:
    return [
        f"## {each.title}",
        "",
        *each.notes,
        "",
        "| what | arm | median | against | median | ratio |",
        "|---|---|--:|---|--:|--:|",
        *(_comparison(compared) for compared in each.comparisons),
    ]


def _comparison(compared: Comparison) -> str:
    one, other = stats.middle(compared.values), stats.middle(compared.others)
    cells = (
        f"{compared.title}, {compared.unit}",
        compared.arm,
        f"{one:.4g}",
        compared.other,
        f"{other:.4g}",
        compared.ratio.written,
    )
    return f"| {' | '.join(cells)} |"


def _as_data_of_section(each: Result) -> dict[str, Any]:
    return {
        "name": each.name,
        "notes": list(each.notes),
        "comparisons": [
            {**asdict(compared), "ratio": asdict(compared.ratio)} for compared in each.comparisons
        ],
    }
