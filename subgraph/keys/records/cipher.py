"""Records as containers of envelopes: sealed, opened, and sealed anew under another data key."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from uuid import UUID

from subgraph.keys.envelope import container, message
from subgraph.keys.envelope.aad import RecordPlace
from subgraph.keys.envelope.header import NotAuthentic
from subgraph.keys.keyring.keyring import Keyring

SCHEMA_VERSION = 1
"""How plaintexts are read: 1 is UTF-8 text."""

_REQUEST_LABEL = b"CMK-V1-REQUEST"
_ID_BYTES = 16


class RecordCipher:
    """Encrypts and decrypts whole records with data keys from the keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def seal(
        self,
        tenant: str,
        data_key_id: UUID,
        object_type: str,
        record_id: UUID,
        fields: Mapping[str, str],
    ) -> bytes:
        """The container of a record's fields.

        Raises `INVALID_INPUT` for names and values over their limits, and what the keyring raises.
        """
        key = await self._keyring.get(tenant, data_key_id)
        place = RecordPlace(tenant, object_type, record_id, SCHEMA_VERSION)
        texts = {name: value.encode() for name, value in fields.items()}
        return container.pack(message.seal_fields(key, place, texts))

    async def open(
        self, tenant: str, data_key_id: UUID, object_type: str, record_id: UUID, fields: bytes
    ) -> dict[str, str]:
        """The values of a record, by field name, in the order of the names.

        Raises `INTEGRITY` for a container that is not this record's, in whatever way, and what the
        keyring raises.
        """
        key = await self._keyring.get(tenant, data_key_id)
        place = RecordPlace(tenant, object_type, record_id, SCHEMA_VERSION)
        messages = container.unpack(fields)
        try:
            return {
                name: text.decode()
                for name, text in message.open_fields(key, place, messages).items()
            }
        except UnicodeDecodeError:
            raise NotAuthentic from None

    async def digest(self, tenant: str, data_key_id: UUID, request: bytes) -> bytes:
        """What is kept of a request: the data key's id, and 32 bytes that only its holder can make.

        A plain digest would confirm guesses of the values to whoever reads the database, and would
        go on to do so once the key is revoked. Raises what the keyring raises.
        """
        key = await self._keyring.get(tenant, data_key_id)
        return key.id_bytes + key.derive(_REQUEST_LABEL + hashlib.sha512(request).digest())

    async def is_digest(self, tenant: str, digest: bytes, request: bytes) -> bool:
        """Whether `digest` is that of this request; raises what the keyring raises."""
        data_key_id = UUID(bytes=digest[:_ID_BYTES])
        return hmac.compare_digest(digest, await self.digest(tenant, data_key_id, request))

    async def resealer(
        self, tenant: str, source: UUID, target: UUID
    ) -> Callable[[str, UUID, bytes], bytes]:
        """What moves containers of the tenant from one data key to another.

        Given an object type, a record id and its container, it answers the new container; it
        raises `INTEGRITY`, and a denial once the tenant was purged.
        """
        old = await self._keyring.get(tenant, source)
        new = await self._keyring.get(tenant, target)

        def reseal(object_type: str, record_id: UUID, fields: bytes) -> bytes:
            place = RecordPlace(tenant, object_type, record_id, SCHEMA_VERSION)
            plain = message.open_fields(old, place, container.unpack(fields))
            return container.pack(message.seal_fields(new, place, plain))

        return reseal


def field_names(fields: bytes) -> list[str]:
    """The names in a container, which are not encrypted; INTEGRITY for what is none."""
    return list(container.unpack(fields))
