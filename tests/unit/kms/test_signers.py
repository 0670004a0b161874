"""Addresses of keys."""

from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.signers import open_signer


@pytest.mark.parametrize(
    "uri", ["", "key.pem", "/key.pem", "file:", "file:key.pem", "file://host/..", "awskms:alias/x"]
)
async def test_an_address_that_is_not_understood_is_refused(uri: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(uri, create=True)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


@pytest.mark.parametrize("prefix", ["file:", "file://"])
async def test_both_spellings_of_a_file_address_are_read(tmp_path: Path, prefix: str) -> None:
    made = await open_signer(f"file:{tmp_path}/key.pem", create=True)
    assert (await open_signer(f"{prefix}{tmp_path}/key.pem")).key_id == made.key_id
