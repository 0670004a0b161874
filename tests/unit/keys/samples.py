"""Keys, places and clocks that the tests of this folder share."""

import os
import uuid
from collections.abc import AsyncIterator

from subgraph.keys.envelope.aad import Place, RecordPlace
from subgraph.keys.envelope.datakey import DataKey

RECORD = RecordPlace("acme", "customer", uuid.UUID(int=7), 1)
PLACE = Place(RECORD, "email")


def new_key() -> DataKey:
    return DataKey(uuid.uuid4(), os.urandom(32))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def joined(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in stream])
