"""What the ledger costs, as ratios to the same work without it."""

import uvloop

from benchmarks import machine
from benchmarks.sections.contract import Given, Result, joined
from benchmarks.sections.ledger import appends, leaves, proofs
from benchmarks.sections.ledger.recorder import recording


def measure(given: Given) -> Result:
    """All parts, one after the other, on an event loop like the service's."""
    with machine.all_cores():
        return uvloop.run(_measure(given))


async def _measure(given: Given) -> Result:
    parts = []
    async with recording(given.server) as recorder:
        for name, part in (
            ("batches", appends.batches),
            ("single appends", appends.singles),
            ("proofs", proofs.inclusions),
        ):
            given.say(f"ledger: {name}")
            parts.append(await part(recorder, given.rounds))
    given.say("ledger: leaves")
    parts.append(leaves.verified(given.rounds))
    return joined("ledger", "The ledger", parts)
