"""The fixed examples of docs/envelope-format.md, read by both implementations."""

import base64
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from subgraph.keys.envelope import container
from subgraph.keys.envelope import message as envelope
from subgraph.keys.envelope.aad import Place, RecordPlace
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.envelope.header import NotAuthentic
from subgraph.keys.envelope.stream import decrypt_stream, encrypt_stream
from tests.unit.keys.envelope import second_decryptor
from tests.unit.keys.samples import joined, pieces

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "envelope-v1.json").read_text())
named = {"ids": lambda vector: vector["name"]}


def key_of(vector: dict[str, Any]) -> DataKey:
    return DataKey(uuid.UUID(vector["dataKeyId"]), bytes.fromhex(vector["dataKey"]))


def place_of(vector: dict[str, Any]) -> tuple[str, str, str, str, int]:
    names = ("tenant", "objectType", "objectId", "field", "schemaVersion")
    return tuple(vector[name] for name in names)  # type: ignore[return-value]


def ours(vector: dict[str, Any]) -> Place:
    tenant, object_type, object_id, field, version = place_of(vector)
    return Place(RecordPlace(tenant, object_type, uuid.UUID(object_id), version), field)


def plaintext_of(vector: dict[str, Any]) -> bytes:
    return base64.b64decode(vector["plaintext"]) * vector.get("repeat", 1)


@pytest.mark.parametrize("vector", VECTORS["messages"], **named)
def test_both_implementations_open_the_message(vector: dict[str, Any]) -> None:
    message, plaintext = base64.b64decode(vector["message"]), plaintext_of(vector)
    key = bytes.fromhex(vector["dataKey"])
    assert second_decryptor.open_message(key, place_of(vector), message) == plaintext
    assert envelope.open_(key_of(vector), ours(vector), message) == plaintext


@pytest.mark.parametrize("vector", VECTORS["messages"], **named)
def test_the_message_is_made_again_from_its_message_id(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", lambda _: bytes.fromhex(vector["messageId"]))
    message = envelope.seal(key_of(vector), ours(vector), plaintext_of(vector))
    assert message == base64.b64decode(vector["message"])


@pytest.mark.parametrize("vector", VECTORS["refused"], **named)
def test_both_implementations_refuse(vector: dict[str, Any]) -> None:
    message, key = base64.b64decode(vector["message"]), bytes.fromhex(vector["dataKey"])
    with pytest.raises(NotAuthentic):
        envelope.open_(key_of(vector), ours(vector), message)
    with pytest.raises((AssertionError, InvalidTag)):
        second_decryptor.open_message(key, place_of(vector), message)


@pytest.mark.parametrize("vector", VECTORS["streams"], **named)
async def test_the_stream_is_made_again_and_opens(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", lambda _: bytes.fromhex(vector["messageId"]))
    key, plaintext = key_of(vector), plaintext_of(vector)
    message = await joined(encrypt_stream(key, ours(vector), pieces(plaintext)))
    assert hashlib.sha256(message).hexdigest() == vector["messageSha256"]
    assert message.hex().startswith(vector["header"])
    raw = bytes.fromhex(vector["dataKey"])
    assert second_decryptor.open_stream(raw, place_of(vector), message) == plaintext
    assert await joined(decrypt_stream(key, ours(vector), pieces(message))) == plaintext


@pytest.mark.parametrize("vector", VECTORS["containers"], **named)
def test_both_implementations_read_the_container(vector: dict[str, Any]) -> None:
    packed = base64.b64decode(vector["container"])
    expected = {name: base64.b64decode(text) for name, text in vector["messages"].items()}
    assert second_decryptor.open_container(packed) == container.unpack(packed) == expected
    assert container.pack(expected) == packed


def test_a_wrong_commitment_is_refused_though_the_tag_holds() -> None:
    vector = VECTORS["messages"][0]
    raw, key = bytes.fromhex(vector["dataKey"]), key_of(vector)
    true = base64.b64decode(vector["message"])[:85]
    aad = second_decryptor.associated_data("cmk/field/v1", place_of(vector), key.id_bytes)
    cipher = second_decryptor.message_key(raw, 1, true, aad)
    false = true[:53] + bytes(32)
    for header in (true, false):
        message = header + cipher.encrypt(bytes(12), b"x", header + aad)
        if header is true:
            assert envelope.open_(key, ours(vector), message) == b"x"
        else:
            with pytest.raises(NotAuthentic):
                envelope.open_(key, ours(vector), message)


async def test_an_empty_chunk_behind_another_is_refused_though_its_tag_holds() -> None:
    vector = VECTORS["streams"][2]
    raw, key, header = (
        bytes.fromhex(vector["dataKey"]),
        key_of(vector),
        bytes.fromhex(vector["header"]),
    )
    aad = second_decryptor.associated_data("cmk/stream/v1", place_of(vector), key.id_bytes)
    cipher = second_decryptor.message_key(raw, 2, header, aad)
    first = cipher.encrypt(bytes(12), bytes(65536), header + aad)
    nonce = bytes(7) + b"\0\0\0\1\1"
    for rest, holds in ((b"x", True), (b"", False)):
        message = header + first + cipher.encrypt(nonce, rest, header + aad)
        opened = decrypt_stream(key, ours(vector), pieces(message))
        if holds:
            assert await joined(opened) == bytes(65536) + rest
        else:
            with pytest.raises(NotAuthentic):
                await joined(opened)
