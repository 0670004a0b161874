"""Objects of any size as one message that is read and written in chunks.

The header is that of every message; behind it each chunk of 64 KiB is sealed by itself under the
object's key. This is the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar ("Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015): the nonce holds the
chunk's number and whether it is the last. A chunk that is cut off, moved, repeated, appended or
taken from another object is refused before any of its plaintext is handed out; what came before it
has been handed out by then, so a reader that must have all or nothing keeps it back until the end.

docs/envelope-format.md is the specification.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from cryptography.exceptions import InvalidTag

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope import aad
from subgraph.keys.envelope.aad import Domain, Place
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.envelope.header import (
    HEADER_BYTES,
    TAG_BYTES,
    NotAuthentic,
    Suite,
    open_header,
    seal_header,
)

CHUNK_BYTES: Final = 64 * 1024
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
_MOST_CHUNKS: Final = 2**32


async def encrypt_stream(
    data_key: DataKey, place: Place, plaintext: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Yield the message piece by piece: the header, then a sealed chunk at a time.

    The plaintext may come in pieces of any size, empty ones too; about two chunks are held at a
    time, beside the piece at hand. INVALID_INPUT beyond 2^32 chunks (256 TiB). Revoking the data
    key ends the stream with `KeyProviderError`.
    """
    bound = aad.of_place(Domain.STREAM, place, data_key)
    header, cipher = seal_header(data_key, Suite.STREAM, bound)
    yield header
    number = 0
    async with aclosing(_cut(plaintext, CHUNK_BYTES, CHUNK_BYTES)) as chunks:
        async for chunk, last in chunks:
            data_key.check()
            yield cipher.encrypt(_nonce(number, last=last), chunk, header + bound)
            number += 1


async def decrypt_stream(
    data_key: DataKey, place: Place, message: AsyncIterator[bytes]
) -> AsyncGenerator[bytes, None]:
    """Yield the plaintext a chunk at a time, each once it is known to be authentic.

    NotAuthentic at the first chunk that is not, or when the end is missing. The message may come
    in pieces of any size; about two chunks are held at a time, beside the piece at hand. Revoking
    the data key ends the stream with `KeyProviderError`.
    """
    bound = aad.of_place(Domain.STREAM, place, data_key)
    async with aclosing(_cut(message, HEADER_BYTES, SEALED_CHUNK_BYTES)) as pieces:
        header, last = await anext(pieces)
        cipher = open_header(data_key, Suite.STREAM, bound, header)
        if last:
            raise NotAuthentic
        number = 0
        async for sealed, last in pieces:
            empty = len(sealed) == TAG_BYTES
            if len(sealed) < TAG_BYTES or (empty and number > 0):
                raise NotAuthentic
            data_key.check()
            try:
                chunk = cipher.decrypt(_nonce(number, last=last), sealed, header + bound)
            except InvalidTag:
                raise NotAuthentic from None
            yield chunk
            number += 1


async def _cut(
    source: AsyncIterator[bytes], first: int, others: int
) -> AsyncGenerator[tuple[bytes, bool], None]:
    """Yield pieces of exactly these lengths, and whether each is the last, which may be shorter."""
    held, length = bytearray(), first
    async for piece in source:
        rest = memoryview(piece)
        while rest:
            if len(held) == length:
                yield bytes(held), False
                held.clear()
                length = others
            taken = rest[: length - len(held)]
            held += taken
            rest = rest[len(taken) :]
    yield bytes(held), True


def _nonce(number: int, *, last: bool) -> bytes:
    if number >= _MOST_CHUNKS:
        raise SubgraphError(ErrorCode.INVALID_INPUT, "the object is longer than 256 TiB")
    return bytes(7) + number.to_bytes(4) + (b"\x01" if last else b"\x00")
