"""Reads `deprecations.yaml` and refuses what breaks its rules."""

import re
from collections.abc import Hashable
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from subgraph.deprecations.model import Deprecation
from subgraph.errors import ErrorCode, SubgraphError

_GRACE = re.compile(r"P([0-9]{1,3})D")
_NAME = "[_A-Za-z][_0-9A-Za-z]*"
_COORDINATE = rf"^{_NAME}\.{_NAME}(\({_NAME}:\))?\Z"

Coordinate = Annotated[str, Meta(pattern=_COORDINATE)]
Line = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\n\r]*\Z")]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shortest window from `since` to `until`, and the shortest grace, in days."""

    min_window_days: Annotated[int, Meta(ge=1)]
    grace_days: Annotated[int, Meta(ge=0)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One record as it stands in the file."""

    id: Annotated[str, Meta(pattern=r"^DEP-[0-9]{4}-[0-9]{3}\Z")]
    coordinate: Coordinate
    announced: date
    since: date
    until: date
    grace: Annotated[str, Meta(pattern=r"^P[0-9]{1,3}D\Z")] = "P30D"
    owner: Line
    reason: Line
    replacement: Coordinate | None = None
    shim: Line | None = None


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    policy: Policy
    records: list[Record]


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML itself would take the last."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 the library's own signature
    ) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(
                problem="a key stands twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


def default_path() -> Path:
    """The file of this release: beside the packages in a checkout, inside them when installed."""
    packaged = Path(str(resources.files("subgraph") / "deprecations.yaml"))
    return packaged if packaged.exists() else packaged.parent.parent / "deprecations.yaml"


def load(path: Path) -> tuple[Deprecation, ...]:
    """The records of `path`, by id.

    Raises `DEPRECATIONS_INVALID` for unknown keys, wrong types, dates out of order, a window or
    grace shorter than the policy, and anything named twice.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_EachKeyOnce)  # noqa: S506 a SafeLoader
        parsed = msgspec.convert(content, PolicyFile)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SubgraphError(ErrorCode.DEPRECATIONS_INVALID, f"{path.name}: {error}") from None
    records = tuple(sorted((_record(item) for item in parsed.records), key=lambda item: item.id))
    for record in records:
        _check(record, parsed.policy)
    for name in ("id", "coordinate"):
        values = [getattr(record, name) for record in records]
        if len(set(values)) < len(values):
            raise SubgraphError(
                ErrorCode.DEPRECATIONS_INVALID, f"{path.name}: one {name} stands twice"
            )
    replaced = {record.coordinate for record in records}
    for record in records:
        if record.replacement in replaced:
            raise _broken(record, "the replacement is deprecated itself")
    return records


def _record(item: Record) -> Deprecation:
    match = _GRACE.fullmatch(item.grace)
    assert match is not None
    return Deprecation(
        id=item.id,
        coordinate=item.coordinate,
        announced=item.announced,
        since=item.since,
        until=item.until,
        grace=timedelta(days=int(match.group(1))),
        reason=item.reason,
        owner=item.owner,
        replacement=item.replacement,
        shim=item.shim,
    )


def _check(record: Deprecation, policy: Policy) -> None:
    if not record.announced <= record.since < record.until:
        raise _broken(record, "announced <= since < until does not hold")
    if (record.until - record.since).days < policy.min_window_days:
        raise _broken(record, f"the window is shorter than {policy.min_window_days} days")
    if record.grace.days < policy.grace_days:
        raise _broken(record, f"the grace is shorter than {policy.grace_days} days")
    if record.until > date.max - record.grace:
        raise _broken(record, "the grace ends beyond the calendar")


def _broken(record: Deprecation, what: str) -> SubgraphError:
    return SubgraphError(ErrorCode.DEPRECATIONS_INVALID, f"{record.id}: {what}")
