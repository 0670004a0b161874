"""Whose keys this process refuses to use, and on what evidence."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from subgraph.kms.faults import KeyFault


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a tenant is refused; `at` is the latest time for which that is known.

    It is `suspected` while the only evidence is that one data key could not be unwrapped: that
    may be because of an old version of the tenant's key, with the current one in order.
    """

    fault: KeyFault
    at: float
    suspected: bool


@dataclass(slots=True)
class _DeniedKey:
    fault: KeyFault
    at: float
    rests_until: float


class Refusals:
    """Denials of tenants and of single data keys; times are readings of one monotonic clock.

    The newest evidence decides, whichever way it reached this process. The first denial of a data
    key refuses its tenant. If a probe then finds the tenant's current key in order, further
    denials of that data key refuse it alone; it is tried every `retry_seconds`.
    """

    def __init__(self, *, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._tenants: dict[str, Refusal] = {}
        self._usable_at: dict[str, float] = {}
        self._keys: dict[tuple[str, UUID], _DeniedKey] = {}

    def tenants(self) -> Collection[str]:
        """The refused tenants."""
        return self._tenants.keys()

    def of_tenant(self, tenant: str) -> Refusal | None:
        """Why the tenant is refused, if it is."""
        return self._tenants.get(tenant)

    def of_key(self, tenant: str, data_key_id: UUID, now: float) -> KeyFault | None:
        """Why the data key is not to be asked for now, if so."""
        if (refusal := self._tenants.get(tenant)) is not None:
            return refusal.fault
        denied = self._keys.get((tenant, data_key_id)) if self._keys else None
        return denied.fault if denied is not None and now < denied.rests_until else None

    def refuse(self, tenant: str, fault: KeyFault, at: float, *, suspected: bool) -> bool:
        """Refuse the tenant; False when something newer says that its key may be used."""
        if at < self._usable_at.get(tenant, -math.inf):
            return False
        before = self._tenants.get(tenant)
        if before is not None:
            at, suspected = max(at, before.at), suspected and before.suspected
        self._tenants[tenant] = Refusal(fault, at, suspected)
        return True

    def admit(self, tenant: str, since: float) -> bool:
        """Take note that the key could be used at `since`; True when that ends a refusal."""
        refusal = self._tenants.get(tenant)
        if refusal is not None and since <= refusal.at:
            return False
        return self.lift(tenant, since)

    def lift(self, tenant: str, since: float) -> bool:
        """As `admit`, whatever the refusal rests on."""
        self._usable_at[tenant] = max(since, self._usable_at.get(tenant, since))
        if self._tenants.pop(tenant, None) is None:
            return False
        for (owner, _), denied in self._keys.items():
            if owner == tenant:
                denied.rests_until = -math.inf
        return True

    def deny_key(self, tenant: str, data_key_id: UUID, fault: KeyFault, now: float) -> bool:
        """Take note that a data key was denied; True when its tenant is to be refused for it."""
        known = self._keys.get((tenant, data_key_id))
        self._keys[tenant, data_key_id] = _DeniedKey(fault, now, now + self._retry_seconds)
        return known is None

    def pass_key(self, tenant: str, data_key_id: UUID) -> None:
        """Take note that a data key was unwrapped."""
        self._keys.pop((tenant, data_key_id), None)

    def forget_before(self, time: float) -> None:
        """Drop what is older and refuses nobody."""
        self._usable_at = {t: at for t, at in self._usable_at.items() if at >= time}
        self._keys = {
            name: denied
            for name, denied in self._keys.items()
            if denied.at >= time or name[0] in self._tenants
        }
