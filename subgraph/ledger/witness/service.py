"""The witness itself: checks, cosigns, remembers, in this order and one at a time for a log."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from subgraph.ledger.note import read_note, signature_line, write_note
from subgraph.ledger.witness import protocol
from subgraph.ledger.witness.keys import Cosigner
from subgraph.ledger.witness.protocol import KnownLogs
from subgraph.ledger.witness.state import Cosigned, StateFile


class Witness:
    """Cosigns checkpoints of the logs that it knows, with keys of its own."""

    def __init__(self, cosigners: Sequence[Cosigner], logs: KnownLogs, state: StateFile) -> None:
        self._cosigners = cosigners
        self._logs = logs
        self._state = state
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._origins = {protocol.origin_hash(origin): origin for origin in state.origins()}

    async def add_checkpoint(self, content: bytes) -> str:
        """The cosignature lines for a submission, which is on disk by then.

        The same checkpoint again gets the same lines. Raises `protocol.Refused`, and
        `SubgraphError` when the key is away or the file cannot be written; nothing was cosigned
        then.
        """
        submission = protocol.read_submission(content)
        accepted = protocol.authenticate(submission, self._logs)
        checkpoint = accepted.checkpoint
        # Between the check and the record nobody else may move this log. A task that is
        # cancelled here has recorded nothing, or all.
        async with self._turns[checkpoint.origin]:
            known = self._state.latest(checkpoint.origin)
            latest = protocol.empty(checkpoint.origin) if known is None else known.checkpoint
            protocol.check_growth(latest, submission, checkpoint)
            if known is not None and checkpoint == latest and (own := self._own_lines(known)):
                return "".join(own)
            own = [await cosigner.line(checkpoint) for cosigner in self._cosigners]
            lines = [signature_line(s.name, s.hint, s.signature) for s in accepted.signatures]
            self._state.append(Cosigned(checkpoint, write_note(checkpoint, [*lines, *own])))
            self._origins[protocol.origin_hash(checkpoint.origin)] = checkpoint.origin
            return "".join(own)

    def last_checkpoint(self, origin_hash: str) -> str | None:
        """The note that was cosigned last for the log with this hash; None if there is none."""
        origin = self._origins.get(origin_hash)
        known = None if origin is None else self._state.latest(origin)
        return None if known is None else known.note

    def _own_lines(self, known: Cosigned) -> list[str]:
        """The lines of all keys of today; none if the record lacks one."""
        made = {(line.name, line.hint): line for line in read_note(known.note)[1]}
        today = [(c.verifier.name, c.verifier.hint) for c in self._cosigners]
        if not all(key in made for key in today):
            return []
        return [signature_line(*key, made[key].signature) for key in today]
