import os
import random
import uuid
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope import message as envelope
from subgraph.keys.envelope import stream
from subgraph.keys.envelope.aad import Place, RecordPlace
from subgraph.keys.envelope.header import NotAuthentic, data_key_id_of
from subgraph.keys.envelope.stream import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    decrypt_stream,
    encrypt_stream,
)
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.samples import PLACE, RECORD, joined, new_key, pieces

KEY = new_key()
LENGTHS = [
    0,
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    3 * CHUNK_BYTES + 5,
]


async def sealed(plaintext: bytes, place: Place = PLACE) -> bytes:
    return await joined(encrypt_stream(KEY, place, pieces(plaintext)))


def parts_of(message: bytes) -> tuple[bytes, list[bytes]]:
    starts = range(85, len(message), SEALED_CHUNK_BYTES)
    return message[:85], [message[at : at + SEALED_CHUNK_BYTES] for at in starts]


async def collect(stream_: AsyncIterator[bytes], into: bytearray) -> None:
    async for part in stream_:
        into += part


async def handed_out(message: bytes) -> bytes:
    """The plaintext before the message is refused, which it must be."""
    shown = bytearray()
    with pytest.raises(NotAuthentic):
        await collect(decrypt_stream(KEY, PLACE, pieces(message)), shown)
    return bytes(shown)


@pytest.mark.parametrize("length", LENGTHS)
async def test_what_is_sealed_opens(length: int) -> None:
    plaintext = os.urandom(length)
    message = await sealed(plaintext)
    assert data_key_id_of(message) == KEY.id
    assert len(message) == 85 + length + 16 * max(1, -(-length // CHUNK_BYTES))
    assert await joined(decrypt_stream(KEY, PLACE, pieces(message))) == plaintext


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(LENGTHS), st.integers(0, 2**32))
async def test_how_the_input_is_cut_does_not_matter(length: int, seed: int) -> None:
    chance = random.Random(seed)

    def cut(whole: bytes) -> list[bytes]:
        points = sorted(chance.randrange(len(whole) + 1) for _ in range(6))
        return [whole[a:b] for a, b in zip([0, *points], [*points, len(whole)], strict=True)]

    plaintext = chance.randbytes(length)
    message = await joined(encrypt_stream(KEY, PLACE, pieces(*cut(plaintext))))
    assert len(message) == len(await sealed(plaintext))
    assert await joined(decrypt_stream(KEY, PLACE, pieces(*cut(message)))) == plaintext


async def test_a_truncated_object_is_refused_before_its_last_chunk() -> None:
    plaintext = os.urandom(2 * CHUNK_BYTES + 100)
    message = await sealed(plaintext)
    header, chunks = parts_of(message)
    for length in (0, 1, 84, 85, 86, 100, 101, len(header + chunks[0]), len(message) - 1):
        assert plaintext.startswith(await handed_out(message[:length]))
    assert await handed_out(header + chunks[0] + chunks[1]) == plaintext[:CHUNK_BYTES]


async def test_chunks_that_were_moved_repeated_dropped_or_appended_are_refused() -> None:
    plaintext = os.urandom(3 * CHUNK_BYTES + 100)
    header, (a, b, c, d) = parts_of(await sealed(plaintext))
    first = plaintext[:CHUNK_BYTES]
    for order, shown in (
        ([b, a, c, d], b""),
        ([a, a, b, c, d], first),
        ([a, c, d], first),
        ([a, b, c, d, d], plaintext[: 3 * CHUNK_BYTES]),
        ([a, b, c, d, b"\0"], plaintext[: 3 * CHUNK_BYTES]),
        ([d], b""),
        ([], b""),
    ):
        assert await handed_out(header + b"".join(order)) == shown


async def test_chunks_of_another_object_and_another_header_are_refused() -> None:
    plaintext = os.urandom(2 * CHUNK_BYTES)
    (header, (a, b)), (other, (x, y)) = (
        parts_of(await sealed(plaintext)), parts_of(await sealed(plaintext)),
    )  # fmt: skip
    assert await handed_out(header + x + b) == b""
    assert await handed_out(header + a + y) == plaintext[:CHUNK_BYTES]
    assert await handed_out(other + a + b) == b""


async def test_a_change_of_any_byte_shows_nothing_of_its_chunk() -> None:
    message = await sealed(b"0123456789")
    for at in range(len(message)):
        changed = bytearray(message)
        changed[at] ^= 0x10
        assert await handed_out(bytes(changed)) == b""


async def test_an_object_that_was_moved_is_refused() -> None:
    message = await sealed(b"content")
    for place in (
        Place(RECORD, "other"),
        Place(RecordPlace("other", "customer", RECORD.object_id, 1), PLACE.field),
        Place(RecordPlace("acme", "customer", uuid.uuid4(), 1), PLACE.field),
    ):
        with pytest.raises(NotAuthentic):
            await joined(decrypt_stream(KEY, place, pieces(message)))


async def test_streams_and_fields_do_not_pass_for_each_other() -> None:
    field = envelope.seal(KEY, PLACE, b"x")
    assert await handed_out(field) == b""
    message = await sealed(b"x")
    for attempt in (message, message[:4] + b"\x01" + message[5:]):
        with pytest.raises(NotAuthentic):
            envelope.open_(KEY, PLACE, attempt)


async def test_no_more_than_two_chunks_are_held() -> None:
    drawn, given_out = 0, 0

    async def source(whole: int, piece: int) -> AsyncIterator[bytes]:
        nonlocal drawn
        for _ in range(whole // piece):
            drawn += piece
            yield bytes(piece)

    held = []
    async for part in encrypt_stream(KEY, PLACE, source(64 * CHUNK_BYTES, 4096)):
        given_out += len(part)
        held.append(drawn - given_out)
    assert given_out > 64 * CHUNK_BYTES
    assert max(held) <= 2 * CHUNK_BYTES


async def test_one_large_piece_is_given_out_in_chunks() -> None:
    stream_ = encrypt_stream(KEY, PLACE, pieces(bytes(10 * CHUNK_BYTES)))
    assert max([len(part) async for part in stream_]) == SEALED_CHUNK_BYTES


async def test_a_revoked_key_ends_a_stream_at_its_next_chunk() -> None:
    key = new_key()
    message = await joined(encrypt_stream(key, PLACE, pieces(bytes(3 * CHUNK_BYTES))))
    opened = decrypt_stream(key, PLACE, pieces(message))
    assert len(await anext(opened)) == CHUNK_BYTES
    key.revoke(KeyFault.ACCESS_DENIED)
    with pytest.raises(KeyProviderError) as refused:
        await anext(opened)
    assert refused.value.fault is KeyFault.ACCESS_DENIED


async def test_a_source_that_fails_leaves_the_object_unfinished() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield bytes(2 * CHUNK_BYTES)
        raise OSError("the disk is gone")

    written = bytearray()
    with pytest.raises(OSError):
        await collect(encrypt_stream(KEY, PLACE, source()), written)
    await handed_out(bytes(written))


def test_the_number_of_chunks_is_bounded() -> None:
    assert stream._nonce(2**32 - 1, last=True) == bytes(7) + b"\xff\xff\xff\xff\x01"
    with pytest.raises(SubgraphError) as refused:
        stream._nonce(2**32, last=True)
    assert refused.value.code is ErrorCode.INVALID_INPUT
