"""Asks a witness to cosign, and what it has cosigned last."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import httpx

from subgraph import outbound
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.note import (
    NoteVerifier,
    OpenedNote,
    open_note,
    read_note,
    read_size,
    signature_line,
)
from subgraph.ledger.witness.protocol import (
    LONGEST_SUBMISSION,
    Submission,
    origin_hash,
    write_submission,
)

logger = logging.getLogger(__name__)

DEADLINE_SECONDS: Final = 5.0
_CONNECTIONS: Final = 4
_MOST_TURNS: Final = 3


class WitnessClient:
    """Speaks to one witness, whose cosignatures are verified by `verifiers`."""

    def __init__(
        self,
        url: str,
        verifiers: Sequence[NoteVerifier],
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`SETTINGS_INVALID` unless `url` is https, or http on this machine.

        Cosignatures are valid for good: whoever could answer in the witness's place could offer
        an old one, and so hide that the ledger went back.
        """
        if not outbound.is_web_address(url) or not outbound.is_protected(url):
            message = "the address of the witness must be https, or http on this machine"
            raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)
        self._url = url.rstrip("/")
        self._verifiers = tuple(verifiers)
        self._cosigned: dict[str, int] = {}
        self._seconds = deadline_seconds
        self._client = outbound.client(deadline_seconds, _CONNECTIONS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def cosign(
        self, note: str, size: int, proof_from: Callable[[int], Awaitable[Sequence[bytes]]]
    ) -> tuple[str, ...]:
        """The witness's signature lines for `note`, a checkpoint of `size` that its log has signed.

        `proof_from(old)` is asked for the consistency proof from the size that the witness
        remembers, when one is needed. All of it takes at most the deadline. Cancelled, it may or
        may not have been cosigned; asking again is always safe.

        Raises `SubgraphError`: WITNESS_UNAVAILABLE; LEDGER_BEHIND_WITNESS when the witness has
        cosigned a larger tree (`witnessed` in the details); LEDGER_FORKED when this tree does not
        continue the one it has cosigned; WITNESS_REFUSED when it does not know the log or key.
        """
        origin = read_note(note)[0].origin
        old = min(self._cosigned.get(origin, 0), size)
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(_MOST_TURNS):
                    proof = tuple(await proof_from(old)) if 0 < old < size else ()
                    body = write_submission(Submission(old, proof, note))
                    status, answer = await self._send("POST", "/add-checkpoint", body)
                    if status != HTTPStatus.CONFLICT:
                        lines = self._cosignatures(note, status, answer)
                        self._cosigned[origin] = size
                        return lines
                    old = self._remembered(answer, origin, size)
        except TimeoutError:
            raise _unavailable(f"no answer within {self._seconds:g} s") from None
        raise _unavailable("others move the log at the same time")

    async def last(self, origin: str) -> OpenedNote | None:
        """The checkpoint of this log that the witness has cosigned last; None if there is none.

        Raises `SubgraphError` with WITNESS_UNAVAILABLE, also for an answer that is not cosigned.
        """
        try:
            async with asyncio.timeout(self._seconds):
                status, answer = await self._send("GET", f"/{origin_hash(origin)}/checkpoint")
        except TimeoutError:
            raise _unavailable(f"no answer within {self._seconds:g} s") from None
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise _unavailable(f"status {status}")
        try:
            opened = open_note(answer, self._verifiers)
        except VerificationFailed as failure:
            raise _unavailable(f"its checkpoint does not verify: {failure.reason}") from None
        if opened.checkpoint.origin != origin:
            raise _unavailable("its checkpoint is of another log")
        return opened

    async def _send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        try:
            async with self._client.stream(method, self._url + path, content=body) as response:
                content = await outbound.read_bounded(response, LONGEST_SUBMISSION)
            return response.status_code, content.decode()
        except (httpx.HTTPError, outbound.ResponseTooLarge, UnicodeDecodeError) as error:
            raise _unavailable(type(error).__name__) from None

    def _cosignatures(self, note: str, status: int, answer: str) -> tuple[str, ...]:
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise SubgraphError(ErrorCode.LEDGER_FORKED)
        if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            raise SubgraphError(
                ErrorCode.WITNESS_REFUSED, f"the witness refused with status {status}"
            )
        if status != HTTPStatus.OK:
            raise _unavailable(f"status {status}")
        try:
            open_note(_body(note) + answer, self._verifiers)
            _, signatures = read_note(_body(note) + answer)
        except VerificationFailed as failure:
            raise _unavailable(f"its cosignature does not verify: {failure.reason}") from None
        made = {(line.name, line.hint): line.signature for line in reversed(signatures)}
        known = [(verifier.name, verifier.hint) for verifier in self._verifiers]
        return tuple(signature_line(*key, made[key]) for key in known if key in made)

    def _remembered(self, answer: str, origin: str, size: int) -> int:
        """The size that the witness has cosigned, if the log can continue from there."""
        try:
            witnessed = read_size(answer.removesuffix("\n"))
        except VerificationFailed:
            raise _unavailable("status 409 without a size") from None
        if witnessed > size:
            raise SubgraphError(
                ErrorCode.LEDGER_BEHIND_WITNESS,
                f"{origin} has {size} entries; the witness cosigned {witnessed}",
                origin=origin,
                size=str(size),
                witnessed=str(witnessed),
            )
        if witnessed < self._cosigned.get(origin, 0):
            logger.error("the witness has forgotten %s: it is back at %d", origin, witnessed)
        return witnessed


def _body(note: str) -> str:
    return note.rpartition("\n\n")[0] + "\n\n"


def _unavailable(reason: str) -> SubgraphError:
    return SubgraphError(ErrorCode.WITNESS_UNAVAILABLE, f"the witness cannot be used: {reason}")
