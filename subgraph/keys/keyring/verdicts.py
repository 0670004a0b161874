"""What the last probe of a tenant's key found, as all replicas read it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from subgraph.keys.keyring.keyring import Keyring
from subgraph.kms.faults import KeyFault


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe found: no fault, or the provider's.

    `age_seconds` counts from the beginning of the probe, by the clock of the store alone, to the
    reading; infinite before the first probe. `holder` is who has an unexpired lease.
    """

    fault: KeyFault | None
    age_seconds: float
    holder: UUID | None = None

    @property
    def conclusive(self) -> bool:
        """Whether it says that the key may be used, or that it may not."""
        return self.fault is None or self.fault.denial


class VerdictStore(Protocol):
    """Verdicts and leases that all replicas share. Calls raise `SubgraphError`."""

    async def read(self, tenants: Collection[str]) -> Mapping[str, Verdict]:
        """Return the verdicts of these tenants in one call, without those that have none."""
        ...

    async def claim(self, tenant: str, holder: UUID, seconds: float) -> bool:
        """Lease the tenant's probing for so long; False while another holder's lease lasts.

        A holder MAY claim again to prolong its own lease. MUST be atomic, and by the store's clock.
        """
        ...

    async def record(
        self, tenant: str, holder: UUID, fault: KeyFault | None, took_seconds: float
    ) -> bool:
        """Store the verdict of a probe that began `took_seconds` ago; False without the lease.

        It MUST check the lease in the same statement: the verdict of a process that was held up is
        worth nothing. It MUST NOT replace a verdict that began later. When the fault is another
        than the stored one, the event that tells so MUST be written in the same transaction.
        """
        ...


def apply(
    keyring: Keyring, tenant: str, verdict: Verdict, *, asked: float, answered: float
) -> None:
    """Purge or admit the tenant as a verdict says that was read between the two clock readings.

    When the probe began is known by this process's clock up to the length of the reading: the
    earlier bound counts for what admits, the later one for what denies.
    """
    age = max(0.0, verdict.age_seconds)
    if verdict.fault is None and age < math.inf:
        keyring.admit(tenant, since=asked - age)
    elif verdict.fault is not None and verdict.fault.denial:
        keyring.purge(tenant, verdict.fault, at=answered - age)
