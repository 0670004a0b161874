"""What is counted of keys; the telemetry package reads it when somebody collects."""

from collections import Counter

from subgraph.kms.faults import KeyFault


class KeyTelemetry:
    """Plain numbers of one process; see `subgraph.keys.keyring.KeyringTelemetry`."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.oldest_hit_seconds = 0.0
        self.held = 0
        self.failures: Counter[tuple[str, bool]] = Counter()
        self.refused: dict[str, KeyFault] = {}
        self.last_purge_seconds = 0.0

    def hit(self, age_seconds: float) -> None:
        """A key was served from memory."""
        self.hits += 1
        self.oldest_hit_seconds = max(self.oldest_hit_seconds, age_seconds)

    def miss(self) -> None:
        """A caller had to wait for the provider."""
        self.misses += 1

    def unwrap_failed(self, fault: KeyFault | None, *, refresh: bool) -> None:
        """An unwrapping failed."""
        self.failures["OTHER" if fault is None else fault.name, refresh] += 1

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
