"""Records and exports the metrics that `instruments` names."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from subgraph.errors import ErrorCode
from subgraph.telemetry import instruments, keys
from subgraph.telemetry.instruments import Instrument
from subgraph.telemetry.keys import KeyNumbers
from subgraph.telemetry.labels import OperationLabels
from subgraph.telemetry.runtime import GENERATIONS, GcObserver

PoolUse = Callable[[], tuple[int, int]]
"""Answers the open and the idle connections of a pool, without waiting."""

_FAULTS = frozenset(
    code.name for code in ErrorCode if code.status >= HTTPStatus.INTERNAL_SERVER_ERROR
)


class Metrics:
    """The metrics of one process.

    What only ever counts is a plain number here and is read when somebody collects; only
    distributions pass through the SDK, because one entry there costs about 8 µs.
    """

    def __init__(self, resource: Resource, readers: Sequence[MetricReader]) -> None:
        self._registry = CollectorRegistry()
        page = PrometheusMetricReader(
            scope_info_enabled=False,
            resource_attribute_filter=lambda name: name == "process.pid",
            registry=self._registry,
        )
        self.provider = MeterProvider(
            metric_readers=[page, *readers],
            resource=resource,
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self.labels = OperationLabels()
        self.gc = GcObserver()
        self.in_flight = 0
        self.cache_hits = 0
        self.cache_misses = 0
        self._errors = {code.name: 0 for code in ErrorCode}
        self._pools: dict[str, PoolUse] = {}
        meter = self.provider.get_meter("subgraph")
        self._duration = _histogram(meter, instruments.OPERATION_DURATION)
        self._statements = _histogram(meter, instruments.OPERATION_STATEMENTS)
        self._lag = _histogram(meter, instruments.LOOP_LAG)
        self._pause = _histogram(meter, instruments.GC_PAUSE)
        self._decrypt = _histogram(meter, instruments.DECRYPT_DURATION)
        self._keys: KeyNumbers | None = None
        self._generations = [{"generation": str(number)} for number in range(GENERATIONS)]
        for instrument, read in self._observed():
            _observe(meter, instrument, read)

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        codes: Sequence[str],
        statements: int,
    ) -> None:
        """Count one operation; `codes` are names of `ErrorCode`."""
        self._duration.record(seconds, self.labels.of(name, client)[outcome_of(codes)])
        if statements:
            self._statements.record(statements)
        for code in codes:
            self._errors[known_code(code)] += 1

    def observe_pool(self, name: str, use: PoolUse) -> None:
        """Report the pool `name` from now on."""
        self._pools[name] = use

    def observe_keys(self, numbers: KeyNumbers) -> None:
        """Report these numbers, and the latencies that they are told of, from now on."""
        self._keys = numbers
        labels = {name: {"key": name} for name in ("hot", "cold")}
        numbers.latency = lambda seconds, name: self._decrypt.record(seconds, labels[name])

    def record_lag(self, seconds: float) -> None:
        """Count one sample of the event loop, and the long garbage collections since the last."""
        self._lag.record(seconds)
        self.gc.drain(self._record_pause)

    def page(self) -> tuple[bytes, str]:
        """The metrics in the Prometheus text format, and its content type."""
        self.gc.drain(self._record_pause)
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _record_pause(self, generation: int, seconds: float) -> None:
        self._pause.record(seconds, self._generations[generation])

    def _observed(self) -> Iterable[tuple[Instrument, Callable[[], Iterable[Observation]]]]:
        yield (
            instruments.ERRORS,
            lambda: [Observation(count, {"code": code}) for code, count in self._errors.items()],
        )
        yield (
            instruments.OPERATION_CACHE,
            lambda: [
                Observation(self.cache_hits, {"result": "hit"}),
                Observation(self.cache_misses, {"result": "miss"}),
            ],
        )
        yield instruments.IN_FLIGHT, lambda: [Observation(self.in_flight)]
        yield instruments.POOL_SIZE, lambda: self._pool_use(0)
        yield instruments.POOL_IDLE, lambda: self._pool_use(1)
        yield (
            instruments.GC_COLLECTIONS,
            lambda: map(Observation, self.gc.collections, self._generations),
        )
        yield instruments.GC_TIME, lambda: map(Observation, self.gc.seconds, self._generations)
        for instrument, read in keys.observed():
            yield instrument, partial(self._key_numbers, read)

    def _key_numbers(self, read: keys.Read) -> Iterable[Observation]:
        return [] if self._keys is None else read(self._keys)

    def _pool_use(self, position: int) -> Iterable[Observation]:
        return [Observation(use()[position], {"pool": name}) for name, use in self._pools.items()]


def outcome_of(codes: Sequence[str]) -> str:
    """`ok` without codes; `refused` when the caller can mend all of them; else `error`."""
    if not codes:
        return "ok"
    if any(known_code(code) in _FAULTS for code in codes):
        return "error"
    return "refused"


def known_code(code: str) -> str:
    """`code` when it is a stable code, else INTERNAL_ERROR."""
    return code if code in ErrorCode.__members__ else ErrorCode.INTERNAL_ERROR.name


def _histogram(meter: Meter, instrument: Instrument) -> Histogram:
    return meter.create_histogram(
        instrument.name,
        unit=instrument.unit,
        description=instrument.meaning,
        explicit_bucket_boundaries_advisory=instrument.buckets,
    )


def _observe(
    meter: Meter, instrument: Instrument, read: Callable[[], Iterable[Observation]]
) -> None:
    create = (
        meter.create_observable_counter
        if instrument.kind == "counter"
        else meter.create_observable_gauge
    )

    def callback(_: CallbackOptions) -> Iterable[Observation]:
        return read()

    create(instrument.name, [callback], unit=instrument.unit, description=instrument.meaning)
