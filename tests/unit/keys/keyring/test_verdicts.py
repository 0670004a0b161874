import math
from uuid import UUID

import pytest

from subgraph.keys.keyring.keyring import Keyring, Limits
from subgraph.keys.keyring.verdicts import Verdict, apply
from subgraph.kms.faults import KeyFault
from tests.unit.keys.rig import Provider, Telemetry
from tests.unit.keys.samples import Clock

K = UUID(int=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(clock: Clock) -> Keyring:
    return Keyring(Provider(clock), Telemetry(), Limits(), clock=clock)


def read(keyring: Keyring, clock: Clock, verdict: Verdict) -> None:
    apply(keyring, "a", verdict, asked=clock.now - 1, answered=clock.now)


async def test_a_denial_purges_and_a_success_admits(keyring: Keyring, clock: Clock) -> None:
    await keyring.get("a", K)
    read(keyring, clock, Verdict(KeyFault.KEY_DISABLED, 20.0))
    assert keyring.refusal("a") is not None
    read(keyring, clock, Verdict(None, 10.0))
    assert keyring.refusal("a") is None


async def test_a_success_that_may_be_older_than_the_denial_does_not_admit(
    keyring: Keyring, clock: Clock
) -> None:
    read(keyring, clock, Verdict(KeyFault.KEY_DISABLED, 10.0))
    read(keyring, clock, Verdict(None, 9.5))
    assert keyring.refusal("a") is not None


async def test_a_denial_that_may_be_newer_than_the_success_purges(
    keyring: Keyring, clock: Clock
) -> None:
    read(keyring, clock, Verdict(None, 9.5))
    read(keyring, clock, Verdict(KeyFault.ACCESS_DENIED, 10.0))
    assert keyring.refusal("a") is not None


@pytest.mark.parametrize("verdict", [Verdict(KeyFault.UNAVAILABLE, 1.0), Verdict(None, math.inf)])
async def test_what_is_not_conclusive_changes_nothing(
    keyring: Keyring, clock: Clock, verdict: Verdict
) -> None:
    read(keyring, clock, Verdict(KeyFault.KEY_DISABLED, 20.0))
    read(keyring, clock, verdict)
    refusal = keyring.refusal("a")
    assert refusal is not None and refusal.fault is KeyFault.KEY_DISABLED


async def test_a_clock_that_was_set_back_makes_no_verdict_from_the_future(
    keyring: Keyring, clock: Clock
) -> None:
    read(keyring, clock, Verdict(KeyFault.KEY_DISABLED, -1000.0))
    refusal = keyring.refusal("a")
    assert refusal is not None and refusal.at == clock.now
