"""A second implementation of docs/envelope-format.md, which shares nothing with the first."""

import hashlib
import hmac
import uuid

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def associated_data(domain, place, key_id):
    tenant, object_type, object_id, field, schema_version = place
    parts = [
        domain.encode("ascii"),
        tenant.encode("utf-8"),
        object_type.encode("utf-8"),
        uuid.UUID(object_id).bytes,
        field.encode("utf-8"),
        schema_version.to_bytes(4, "big"),
        key_id,
    ]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def expand(key, info):
    return hmac.new(key, info + b"\x01", hashlib.sha512).digest()[:32]


def message_key(data_key, suite, header, aad):
    assert header[:5] == b"CMK\x01" + bytes([suite])
    info = header[:53] + hashlib.sha512(aad).digest()
    assert expand(data_key, b"CMK-V1-COMMITKEY" + info) == header[53:85]
    return AESGCM(expand(data_key, b"CMK-V1-DERIVEKEY" + info))


def open_message(data_key, place, message):
    header, aad = message[:85], associated_data("cmk/field/v1", place, message[5:21])
    cipher = message_key(data_key, 1, header, aad)
    return cipher.decrypt(b"\x00" * 12, message[85:], header + aad)


def open_stream(data_key, place, message):
    header, aad = message[:85], associated_data("cmk/stream/v1", place, message[5:21])
    cipher = message_key(data_key, 2, header, aad)
    chunks = [message[at : at + 65552] for at in range(85, len(message), 65552)]
    plaintext = b""
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1
        nonce = b"\x00" * 7 + number.to_bytes(4, "big") + bytes([last])
        plaintext += cipher.decrypt(nonce, chunk, header + aad)
    return plaintext


def open_container(container):
    assert container[:4] == b"CMF\x01"
    count, at, messages = int.from_bytes(container[4:6], "big"), 6, {}
    for _ in range(count):
        named = at + 2 + int.from_bytes(container[at : at + 2], "big")
        name = container[at + 2 : named].decode("utf-8")
        at = named + 4 + int.from_bytes(container[named : named + 4], "big")
        messages[name] = container[named + 4 : at]
    assert at == len(container) and list(messages) == sorted(messages)
    return messages
