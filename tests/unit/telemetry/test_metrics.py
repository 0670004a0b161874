from collections.abc import Iterator

import pytest
from opentelemetry import metrics, trace
from prometheus_client.parser import text_string_to_metric_families

from subgraph import settings
from subgraph.errors import ErrorCode
from subgraph.telemetry import Telemetry
from subgraph.telemetry.metrics import outcome_of


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    started = Telemetry.start(settings.load({}), {})
    yield started
    started.shutdown()


def sample(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    """The value of the one sample with these labels; None when there is none."""
    body, _ = telemetry.metrics_page()
    for family in text_string_to_metric_families(body.decode()):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return float(found.value)
    return None


def test_the_page_names_its_format(telemetry: Telemetry) -> None:
    assert telemetry.metrics_page()[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_an_operation_is_counted_in_its_bucket(telemetry: Telemetry) -> None:
    telemetry.operation_finished("Budget", "portal", 0.0007, (), 0)
    bucket = "graphql_operation_duration_seconds_bucket"
    assert (
        sample(telemetry, bucket, operation="Budget", client="portal", outcome="ok", le="0.0005"),
        sample(telemetry, bucket, operation="Budget", client="portal", outcome="ok", le="0.001"),
    ) == (0, 1)


def test_no_flood_of_names_makes_the_sdk_drop_labels(telemetry: Telemetry) -> None:
    for number in range(3_000):
        telemetry.operation_finished(f"Op{number}", f"client-{number}", 0.001, (), 0)
    assert b"overflow" not in telemetry.metrics_page()[0]


def test_statements_are_counted(telemetry: Telemetry) -> None:
    telemetry.operation_finished("Budget", None, 0.001, (), 3)
    assert sample(telemetry, "graphql_operation_statements_sum") == 3


def test_an_operation_without_statements_leaves_their_histogram_alone(
    telemetry: Telemetry,
) -> None:
    telemetry.operation_finished("Budget", None, 0.001, (), 0)
    assert sample(telemetry, "graphql_operation_statements_count") is None


def test_errors_are_counted_by_code(telemetry: Telemetry) -> None:
    telemetry.operation_finished("Budget", None, 0.001, ("FORBIDDEN", "FORBIDDEN"), 0)
    assert sample(telemetry, "graphql_errors_total", code="FORBIDDEN") == 2


def test_a_code_that_is_not_ours_counts_as_an_internal_error(telemetry: Telemetry) -> None:
    telemetry.operation_finished("Budget", None, 0.001, ("jane@example.com",), 0)
    assert sample(telemetry, "graphql_errors_total", code="INTERNAL_ERROR") == 1


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        ((), "ok"),
        (("FORBIDDEN", "INVALID_ID"), "refused"),
        (("FORBIDDEN", "DATABASE_UNAVAILABLE"), "error"),
        (("OVERLOADED",), "error"),
        (("NEVER_HEARD_OF",), "error"),
    ],
)
def test_the_outcome_says_who_can_mend_it(codes: tuple[str, ...], outcome: str) -> None:
    assert outcome_of(codes) == outcome


def test_every_code_is_exported_before_it_first_happens(telemetry: Telemetry) -> None:
    assert all(sample(telemetry, "graphql_errors_total", code=code.name) == 0 for code in ErrorCode)


def test_cache_look_ups_are_counted(telemetry: Telemetry) -> None:
    telemetry.operation_looked_up(cached=True)
    telemetry.operation_looked_up(cached=False)
    telemetry.operation_looked_up(cached=True)
    assert (
        sample(telemetry, "graphql_operation_cache_total", result="hit"),
        sample(telemetry, "graphql_operation_cache_total", result="miss"),
    ) == (2, 1)


def test_a_request_is_in_flight_until_it_ends(telemetry: Telemetry) -> None:
    with telemetry.request_span([], "POST /graphql"):
        during = sample(telemetry, "http_requests_in_flight")
    assert (during, sample(telemetry, "http_requests_in_flight")) == (1, 0)


def test_a_failed_request_is_no_longer_in_flight(telemetry: Telemetry) -> None:
    with pytest.raises(ValueError), telemetry.request_span([], "POST /graphql"):
        raise ValueError
    assert sample(telemetry, "http_requests_in_flight") == 0


def test_a_pool_is_read_when_the_page_is(telemetry: Telemetry) -> None:
    use = [4, 1]
    telemetry.observe_pool("service", lambda: (use[0], use[1]))
    use[1] = 3
    assert (
        sample(telemetry, "db_pool_size", pool="service"),
        sample(telemetry, "db_pool_idle", pool="service"),
    ) == (4, 3)


def test_a_pool_that_cannot_be_read_does_not_break_the_page(telemetry: Telemetry) -> None:
    def broken() -> tuple[int, int]:
        raise RuntimeError("pool is closed")

    telemetry.observe_pool("service", broken)
    assert sample(telemetry, "http_requests_in_flight") == 0


def test_every_series_names_its_process(telemetry: Telemetry) -> None:
    body, _ = telemetry.metrics_page()
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert all('process_pid="' in line for line in lines)


def test_two_instances_do_not_share_numbers(telemetry: Telemetry) -> None:
    other = Telemetry.start(settings.load({}), {})
    other.operation_finished("Budget", None, 0.001, (), 1)
    other.shutdown()
    assert sample(telemetry, "graphql_operation_statements_count") is None


def test_starting_leaves_the_global_providers_alone(telemetry: Telemetry) -> None:
    assert "sdk" not in (
        type(metrics.get_meter_provider()).__module__ + type(trace.get_tracer_provider()).__module__
    )
