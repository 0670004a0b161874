"""What the keyring counts is what `/metrics` shows, and nothing of tenants or keys."""

from subgraph import settings
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.faults import KeyFault
from subgraph.telemetry import Telemetry


def shown(keys: KeyTelemetry, *told: tuple[float, bool]) -> list[str]:
    """The lines of `/metrics` about keys, without the label of the process."""
    telemetry = Telemetry.start(settings.load({}), {})
    telemetry.observe_keys(keys)
    for seconds, cold in told:
        keys.decrypted(seconds, cold=cold)
    body, _ = telemetry.metrics_page()
    telemetry.shutdown()
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return [line for line in lines if line.startswith(("keys_", "records_"))]


def value(lines: list[str], name: str, *labels: str) -> float:
    (line,) = [
        line
        for line in lines
        if line.startswith(f"{name}{{") and all(one in line for one in labels)
    ]
    return float(line.rsplit(" ", 1)[1])


def test_lookups_and_keys_are_counted() -> None:
    keys = KeyTelemetry()
    keys.hit(7.0)
    keys.hit(3.0)
    keys.miss()
    keys.size(2)
    lines = shown(keys)
    assert value(lines, "keys_lookups_total", 'result="hit"') == 2
    assert value(lines, "keys_lookups_total", 'result="miss"') == 1
    assert value(lines, "keys_held") == 2
    assert value(lines, "keys_oldest_served_seconds") == 7.0
    assert keys.take_oldest() == 0.0


def test_failures_and_calls_are_counted_by_outcome() -> None:
    keys = KeyTelemetry()
    keys.unwrap_failed(KeyFault.THROTTLED, refresh=True)
    keys.unwrap_failed(None, refresh=False)
    keys.called("wrap", None)
    keys.called("unwrap", KeyFault.ACCESS_DENIED)
    keys.job_rows.update(("moved", "moved", "quarantined"))
    lines = shown(keys)
    failures = "keys_unwrap_failures_total"
    assert value(lines, failures, 'fault="THROTTLED"', 'by="refresh"') == 1
    assert value(lines, failures, 'fault="OTHER"', 'by="read"') == 1
    calls = "keys_provider_calls_total"
    assert value(lines, calls, 'operation="wrap"', 'outcome="ok"') == 1
    assert value(lines, calls, 'operation="unwrap"', 'outcome="ACCESS_DENIED"') == 1
    assert value(lines, "keys_job_rows_total", 'outcome="moved"') == 2


def test_refusals_are_counted_and_tenants_not_named() -> None:
    keys = KeyTelemetry()
    for tenant in ("acme", "globex"):
        keys.changed(tenant, None, KeyFault.KEY_DISABLED, 0.25)
    keys.changed("acme", KeyFault.KEY_DISABLED, KeyFault.KEY_NOT_FOUND, 9.0)
    lines = shown(keys)
    assert value(lines, "keys_refused_tenants", 'fault="KEY_DISABLED"') == 1
    assert value(lines, "keys_refused_tenants", 'fault="KEY_NOT_FOUND"') == 1
    assert value(lines, "keys_last_purge_seconds") == 0.25
    assert not any("acme" in line or "globex" in line for line in lines)
    for tenant in ("acme", "globex"):
        keys.changed(tenant, KeyFault.KEY_DISABLED, None, 0.0)
    assert keys.refusals == {}


def test_decryptions_are_timed_by_what_they_waited_for() -> None:
    lines = shown(KeyTelemetry(), (0.00002, False), (0.00002, False), (0.02, True))
    name = "records_decrypt_duration_seconds"
    assert value(lines, f"{name}_count", 'key="hot"') == 2
    assert value(lines, f"{name}_sum", 'key="cold"') == 0.02


def test_without_keys_nothing_is_shown() -> None:
    telemetry = Telemetry.start(settings.load({}), {})
    body, _ = telemetry.metrics_page()
    telemetry.shutdown()
    assert b"\nkeys_" not in body
