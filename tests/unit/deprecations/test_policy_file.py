"""Every rule of `deprecations.yaml`."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from subgraph import app
from subgraph.deprecations import policy_file
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings

VALID: dict[str, Any] = {
    "id": "DEP-2026-001",
    "coordinate": "Tenant.displayName",
    "announced": date(2026, 1, 1),
    "since": date(2026, 1, 1),
    "until": date(2026, 6, 1),
    "owner": "us",
    "reason": "It goes.",
}
OTHER = {**VALID, "id": "DEP-2026-002", "coordinate": "Region.provider"}


def content(*records: dict[str, Any], **changes: Any) -> dict[str, Any]:
    policy = {"min_window_days": 90, "grace_days": 30}
    return {"version": 1, "policy": policy, "records": list(records), **changes}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deprecations.yaml"


def refusal(path: Path, written: object) -> str:
    text = written if isinstance(written, str) else yaml.safe_dump(written)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SubgraphError) as caught:
        policy_file.load(path)
    assert caught.value.code is ErrorCode.DEPRECATIONS_INVALID
    return caught.value.message


def test_file_of_this_release_is_valid() -> None:
    assert [record.id for record in policy_file.load(policy_file.default_path())] == [
        "DEP-2026-001"
    ]


def test_records_come_in_the_order_of_their_ids(path: Path) -> None:
    path.write_text(yaml.safe_dump(content(OTHER, VALID)))
    assert [record.id for record in policy_file.load(path)] == ["DEP-2026-001", "DEP-2026-002"]


def test_file_without_records_is_valid(path: Path) -> None:
    path.write_text(yaml.safe_dump(content()))
    assert policy_file.load(path) == ()


def test_grace_is_thirty_days_unless_said(path: Path) -> None:
    path.write_text(yaml.safe_dump(content(VALID, {**OTHER, "grace": "P45D"})))
    found = [record.grace for record in policy_file.load(path)]
    assert found == [timedelta(days=30), timedelta(days=45)]


BAD_FILES: dict[str, object] = {
    "empty": "",
    "a text": "deprecations",
    "a list": [],
    "an unknown key": content(VALID, owner="us"),
    "without its version": {key: content()[key] for key in ("policy", "records")},
    "another version": content(VALID, version=2),
    "a version that is no number": content(VALID, version=True),
    "without a policy": content(VALID, policy=None),
    "an unknown key of the policy": content(policy={"min_window_days": 1, "grace_days": 1, "x": 1}),
    "a policy without a window": content(policy={"grace_days": 1}),
    "a window of no day": content(policy={"min_window_days": 0, "grace_days": 1}),
    "a grace of less than nothing": content(policy={"min_window_days": 1, "grace_days": -1}),
    "records that are no list": content(records={}),
    "broken YAML": "version: [1",
    "YAML that makes objects": "!!python/object/apply:os.getcwd []",
    "a day that does not exist": "version: 1\npolicy: 2026-02-30\nrecords: []\n",
    "a key twice": "version: 1\nversion: 1\npolicy: {min_window_days: 1, grace_days: 1}\nrecords: []\n",
    "two documents": "version: 1\n---\nversion: 1\n",
}


@pytest.mark.parametrize("written", BAD_FILES.values(), ids=BAD_FILES)
def test_file_that_breaks_a_rule_is_refused(path: Path, written: object) -> None:
    assert refusal(path, written).startswith("deprecations.yaml: ")


def test_file_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(SubgraphError) as caught:
        policy_file.load(path)
    assert caught.value.code is ErrorCode.DEPRECATIONS_INVALID


def test_file_that_is_not_utf8_is_refused(path: Path) -> None:
    path.write_bytes(b"version: \xff")
    with pytest.raises(SubgraphError) as caught:
        policy_file.load(path)
    assert caught.value.code is ErrorCode.DEPRECATIONS_INVALID


BAD_RECORDS: dict[str, dict[str, Any]] = {
    "an unknown key": {"note": "x"},
    "a number for an id": {"id": 5},
    "an id of another form": {"id": "DEP-26-1"},
    "an id with more behind it": {"id": "DEP-2026-0011"},
    "an id with a line break": {"id": "DEP-2026-001\n"},
    "an id in other digits": {"id": "DEP-\u0662\u0660\u0662\u0666-001"},
    "a type alone": {"coordinate": "Tenant"},
    "a directive": {"coordinate": "@deprecated"},
    "a path": {"coordinate": "Tenant.name.first"},
    "a coordinate with a line break": {"coordinate": "Tenant.name\n"},
    "a coordinate with a space": {"coordinate": "Tenant. name"},
    "a date that is a text": {"since": "soon"},
    "a date that is a number": {"since": 20260101},
    "a moment for a date": {"since": "2026-01-01T00:00:00"},
    "no date": {"until": None},
    "a grace in weeks": {"grace": "P4W"},
    "a grace in months": {"grace": "P1M"},
    "a grace that is a number": {"grace": 30},
    "a grace of thousands of days": {"grace": "P1000D"},
    "a grace with a line break": {"grace": "P30D\n"},
    "no reason": {"reason": ""},
    "a reason of two lines": {"reason": "It\ngoes."},
    "a reason with a line break behind": {"reason": "It goes.\n"},
    "a long reason": {"reason": "x" * 301},
    "no owner": {"owner": None},
    "a replacement that is no coordinate": {"replacement": "the name"},
    "an empty shim": {"shim": ""},
}


@pytest.mark.parametrize("change", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_record_with_a_value_of_another_form_is_refused(path: Path, change: dict[str, Any]) -> None:
    assert "$.records[1]" in refusal(path, content(OTHER, {**VALID, **change}))


@pytest.mark.parametrize("missing", VALID)
def test_record_without_a_value_is_refused(path: Path, missing: str) -> None:
    record = {key: value for key, value in VALID.items() if key != missing}
    assert missing in refusal(path, content(record))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "announced after it began": (
        {"announced": date(2026, 1, 2)},
        "announced <= since < until does not hold",
    ),
    "over before it began": (
        {"until": date(2025, 12, 31)},
        "announced <= since < until does not hold",
    ),
    "over as it begins": ({"until": date(2026, 1, 1)}, "announced <= since < until does not hold"),
    "a short window": ({"until": date(2026, 3, 31)}, "the window is shorter than 90 days"),
    "a short grace": ({"grace": "P29D"}, "the grace is shorter than 30 days"),
    "no grace": ({"grace": "P0D"}, "the grace is shorter than 30 days"),
    "a grace beyond the calendar": (
        {"until": date(9999, 12, 31)},
        "the grace ends beyond the calendar",
    ),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_record_that_breaks_the_policy_is_named(
    path: Path, change: dict[str, Any], message: str
) -> None:
    assert refusal(path, content({**VALID, **change})) == f"DEP-2026-001: {message}"


@pytest.mark.parametrize(
    "change", [{"until": date(2026, 4, 1)}, {"grace": "P30D"}, {"announced": date(2020, 1, 1)}]
)
def test_record_at_the_edge_of_the_policy_is_valid(path: Path, change: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content({**VALID, **change})))
    assert len(policy_file.load(path)) == 1


def test_id_stands_once(path: Path) -> None:
    same = {**OTHER, "id": VALID["id"]}
    assert refusal(path, content(VALID, same)) == "deprecations.yaml: one id stands twice"


def test_coordinate_stands_once(path: Path) -> None:
    same = {**OTHER, "coordinate": VALID["coordinate"]}
    assert refusal(path, content(VALID, same)) == "deprecations.yaml: one coordinate stands twice"


def test_replacement_is_not_deprecated_itself(path: Path) -> None:
    replaced = {**VALID, "replacement": OTHER["coordinate"]}
    message = refusal(path, content(replaced, OTHER))
    assert message == "DEP-2026-001: the replacement is deprecated itself"


def test_element_does_not_replace_itself(path: Path) -> None:
    replaced = {**VALID, "replacement": VALID["coordinate"]}
    message = refusal(path, content(replaced))
    assert message == "DEP-2026-001: the replacement is deprecated itself"


@pytest.mark.parametrize(
    "change",
    [
        {"coordinate": "Tenant.nothing"},
        {"coordinate": "Query.tenant(id:)"},
        {"replacement": "Tenant.nothing"},
    ],
)
async def test_application_does_not_start_with_a_record_that_does_not_fit(
    path: Path, with_settings: Any, change: dict[str, Any]
) -> None:
    path.write_text(yaml.safe_dump(content({**VALID, **change})))
    configured: Settings = with_settings(deprecations_file=str(path))
    with pytest.raises(SubgraphError) as caught:
        app.build(configured, {})
    assert caught.value.code is ErrorCode.DEPRECATIONS_INVALID
