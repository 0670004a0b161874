"""CRC32C (RFC 3720, appendix B.4), which Google Cloud KMS takes and gives beside every field."""

import functools
from typing import Final

_POLYNOMIAL: Final = 0x82F63B78
_ONES: Final = 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """Return the checksum of `content`; some 0.1 microseconds a byte, so for short fields."""
    table = _table()
    register = _ONES
    for byte in content:
        register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
    return register ^ _ONES


@functools.cache
def _table() -> tuple[int, ...]:
    return tuple(_remainder(byte) for byte in range(256))


def _remainder(register: int) -> int:
    for _ in range(8):
        register = (register >> 1) ^ (_POLYNOMIAL if register & 1 else 0)
    return register
