"""What a record must be, before anything is encrypted or asked."""

import pytest

from subgraph.keys.envelope.container import MOST_FIELDS
from subgraph.keys.envelope.message import MOST_PLAINTEXT
from subgraph.keys.records.errors import InvalidRecord
from subgraph.keys.records.model import NewRecord
from subgraph.keys.records.rules import check, is_object_type

SECRET = "a very secret value"


def record(
    *fields: tuple[str, str], object_type: str = "person", external_id: str | None = None
) -> NewRecord:
    return NewRecord(object_type, fields or (("email", SECRET),), external_id)


@pytest.mark.parametrize(
    "wanted",
    [
        record(),
        record(external_id="x" * 200),
        record(("é" * 100, "")),
        record(("a", "x" * MOST_PLAINTEXT)),
        record(*((f"f{number}", "") for number in range(MOST_FIELDS))),
        record(object_type="a" * 63),
        record(("nul", "\0")),
    ],
)
def test_what_is_within_the_rules_passes(wanted: NewRecord) -> None:
    check(wanted)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (record(object_type=""), "objectType"),
        (record(object_type="1a"), "objectType"),
        (record(object_type="a" * 64), "objectType"),
        (record(object_type="a|b"), "objectType"),
        (record(object_type="a\n"), "objectType"),
        (record(object_type="é"), "objectType"),
        (record(external_id=""), "externalId"),
        (record(external_id="x" * 201), "externalId"),
        (record(external_id="a\u202eb"), "externalId"),
        (record(external_id="\ud800"), "externalId"),
        (NewRecord("person", ()), "fields"),
        (record(*((f"f{number}", "") for number in range(MOST_FIELDS + 1))), "fields"),
        (record(("", SECRET)), "name"),
        (record(("x" * 101, SECRET)), "name"),
        (record(("a\0", SECRET)), "name"),
        (record(("e\u0301", SECRET)), "name"),
        (record(("\ud800", SECRET)), "name"),
        (record(("a", SECRET), ("a", "2")), "name"),
        (record(("a", SECRET + "\ud800")), "value"),
        (record(("a", "é" * MOST_PLAINTEXT)), "value"),
    ],
)
def test_what_breaks_a_rule_is_named_and_not_quoted(wanted: NewRecord, field: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        check(wanted)
    assert field in caught.value.field
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["person", "A", "a.b-c_9"])
def test_types_are_plain_names(text: str) -> None:
    assert is_object_type(text)
