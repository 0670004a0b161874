"""What customer-managed keys cost, and how fast they can be taken back."""

import uvloop

from benchmarks import machine
from benchmarks.sections.contract import Given, Result, joined
from benchmarks.sections.keys import decrypts, reencryption, revocation
from benchmarks.sections.keys.custodian import custodian


def measure(given: Given) -> Result:
    """All parts, one after the other, on an event loop like the service's."""
    with machine.all_cores():
        return uvloop.run(_measure(given))


async def _measure(given: Given) -> Result:
    parts = []
    async with custodian(given) as keeper:
        given.say("keys: decrypting")
        parts.append(await decrypts.hot(keeper, given.rounds))
        given.say("keys: re-encrypting")
        parts.append(await reencryption.rates(keeper, given))
    given.say("keys: revocation")
    parts.append(await revocation.seconds(given))
    return joined("keys", "Customer-managed keys", parts)
