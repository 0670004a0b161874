"""The checksum, against another implementation."""

import pytest

from subgraph.kms.gcp_crc32c import crc32c
from tests.unit.kms import gcp_server as double


@pytest.mark.parametrize("content", [b"", b"123456789", bytes(32), bytes(range(256)) * 3])
def test_the_checksum_is_the_standard_one(content: bytes) -> None:
    assert crc32c(content) == double.crc32c(content)
    assert crc32c(b"123456789") == 0xE3069283
