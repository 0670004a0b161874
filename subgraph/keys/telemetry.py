"""What is counted of keys; the telemetry package reads it when somebody collects."""

from collections import Counter
from collections.abc import Callable

from subgraph.kms.faults import KeyFault

Latency = Callable[[float, str], None]
"""Is told the seconds of one decryption, and `hot`, or `cold` when a provider was waited for."""


class KeyTelemetry:
    """Plain numbers of one process; see `subgraph.keys.keyring.keyring.KeyringTelemetry`.

    `failures` are unwrappings by fault and by who asked (`read`: a caller waited, `refresh`:
    nobody did); `calls` are those of providers, by operation and outcome; `job_rows` are rows that
    jobs dealt with, by outcome.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.oldest_hit_seconds = 0.0
        self.held = 0
        self.failures: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.job_rows: Counter[str] = Counter()
        self.refused: dict[str, KeyFault] = {}
        self.last_purge_seconds = 0.0
        self.latency: Latency | None = None

    @property
    def refusals(self) -> Counter[str]:
        """How many tenants this process refuses now, by fault."""
        return Counter(fault.name for fault in self.refused.values())

    def hit(self, age_seconds: float) -> None:
        """A key was served from memory."""
        self.hits += 1
        self.oldest_hit_seconds = max(self.oldest_hit_seconds, age_seconds)

    def take_oldest(self) -> float:
        """The age of the oldest key that was served since this was last asked, in seconds."""
        oldest, self.oldest_hit_seconds = self.oldest_hit_seconds, 0.0
        return oldest

    def miss(self) -> None:
        """A caller had to wait for the provider."""
        self.misses += 1

    def unwrap_failed(self, fault: KeyFault | None, *, refresh: bool) -> None:
        """An unwrapping failed."""
        where = "refresh" if refresh else "read"
        self.failures["OTHER" if fault is None else fault.name, where] += 1

    def called(self, operation: str, fault: KeyFault | None) -> None:
        """A provider answered."""
        self.calls[operation, "ok" if fault is None else fault.name] += 1

    def decrypted(self, seconds: float, *, cold: bool) -> None:
        """A record was decrypted."""
        if self.latency is not None:
            self.latency(seconds, "cold" if cold else "hot")

    def size(self, keys: int) -> None:
        """So many keys are held now."""
        self.held = keys

    def changed(
        self, tenant: str, old: KeyFault | None, new: KeyFault | None, seconds: float
    ) -> None:
        """This process refuses the tenant from now on, or no more."""
        if new is None:
            self.refused.pop(tenant, None)
            return
        self.refused[tenant] = new
        if old is None:
            self.last_purge_seconds = seconds
