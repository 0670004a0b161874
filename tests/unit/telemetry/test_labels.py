import pytest

from subgraph.telemetry.labels import (
    MAX_CLIENTS,
    MAX_OPERATIONS,
    OperationLabels,
    client_label,
    operation_label,
)

SDK_LIMIT = 2_000


def test_a_known_operation_keeps_its_name_and_client() -> None:
    assert OperationLabels().of("Budget", "portal")["ok"] == {
        "operation": "Budget",
        "client": "portal",
        "outcome": "ok",
    }


def test_an_operation_without_a_name_is_anonymous() -> None:
    assert OperationLabels().of(None, None)["error"] == {
        "operation": "anonymous",
        "client": "unknown",
        "outcome": "error",
    }


def test_operations_beyond_the_limit_are_other() -> None:
    labels = OperationLabels()
    for number in range(MAX_OPERATIONS):
        labels.of(f"Op{number}", "portal")
    assert labels.of("OneMore", "portal")["ok"]["operation"] == "other"


def test_clients_beyond_the_limit_are_other() -> None:
    labels = OperationLabels()
    for number in range(MAX_CLIENTS):
        labels.of("Budget", f"client-{number}")
    assert labels.of("Budget", "one-more")["ok"]["client"] == "other"


def test_no_flood_of_names_reaches_the_limit_of_the_sdk() -> None:
    labels = OperationLabels()
    for operation in range(MAX_OPERATIONS + 50):
        for client in range(MAX_CLIENTS + 10):
            labels.of(f"Op{operation}", f"client-{client}")
            labels.of(None, f"client-{client}")
        labels.of(f"Op{operation}", None)
    distinct = {
        tuple(attributes.values())
        for operation in [None, "x", *(f"Op{number}" for number in range(MAX_OPERATIONS + 50))]
        for client in [None, "x", *(f"client-{number}" for number in range(MAX_CLIENTS + 10))]
        for attributes in labels.of(operation, client).values()
    }
    assert len(distinct) < SDK_LIMIT


@pytest.mark.parametrize("name", ["", "a b", "query { x }", "a" * 129, "a\n", "jane@example.com"])
def test_what_is_not_a_graphql_name_is_other(name: str) -> None:
    assert operation_label(name) == "other"


@pytest.mark.parametrize("client", ["", "jane@example.com", "a" * 65, "a\n", 'x"} 1', "{}"])
def test_what_is_not_a_plain_client_name_is_other(client: str) -> None:
    assert client_label(client) == "other"
