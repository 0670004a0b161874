"""PKCS#11, against SoftHSM2: the contract, lost sessions, stuck devices and other keys."""

import asyncio
import ctypes
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.signers import open_signer
from tests.unit.kms.conformance import SignConformance, refusal, verify
from tests.unit.kms.softhsm import (
    LIBRARY,
    PIN,
    SoftHsm,
    StuckDevice,
    close_all_sessions,
    on_device,
)

pytestmark = pytest.mark.xdist_group("softhsm")


@pytest.fixture
async def signer(softhsm: SoftHsm) -> Sign:
    return await open_signer(softhsm.uri())


class TestContract(SignConformance):
    """With the module's `signer`."""


async def test_it_is_not_local(signer: Sign) -> None:
    assert not signer.local


async def test_a_key_is_found_by_its_id(softhsm: SoftHsm, signer: Sign) -> None:
    assert (await open_signer(softhsm.uri(key="id=%01"))).key_id == signer.key_id


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("object=none", ErrorCode.KEY_NOT_FOUND),
        ("object=root;id=%02", ErrorCode.KEY_NOT_FOUND),
        ("object=rsa", ErrorCode.KEY_NOT_FOUND),
        ("object=twin", ErrorCode.KEY_UNUSABLE),
        ("object=p384", ErrorCode.KEY_UNUSABLE),
    ],
)
async def test_a_wrong_key_is_refused_at_the_start(
    softhsm: SoftHsm, key: str, code: ErrorCode
) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(softhsm.uri(key=key))
    assert caught.value.code is code


async def test_a_token_that_is_not_there_is_unavailable(softhsm: SoftHsm) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(softhsm.uri(token="none"))
    assert caught.value.code is ErrorCode.KEY_UNAVAILABLE


async def test_a_library_that_is_not_there_is_a_wrong_setting(softhsm: SoftHsm) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(f"pkcs11:object=root?module-path={softhsm.folder}/none.so")
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


async def test_a_file_that_is_no_library_is_a_wrong_setting(softhsm: SoftHsm) -> None:
    with pytest.raises(SubgraphError) as caught:
        await open_signer(f"pkcs11:object=root?module-path={softhsm.folder}/softhsm2.conf")
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


async def test_a_pin_file_that_others_can_read_is_refused(softhsm: SoftHsm) -> None:
    softhsm.init("open-pin")
    uri = softhsm.uri(token="open-pin", pin="5555")
    (softhsm.folder / "pin-5555").chmod(0o644)
    with pytest.raises(SubgraphError) as caught:
        await open_signer(uri)
    assert caught.value.code is ErrorCode.KEY_UNUSABLE and "5555\n" not in str(caught.value)


async def test_a_wrong_pin_is_presented_once(softhsm: SoftHsm) -> None:
    softhsm.init("guarded")
    softhsm.put("guarded", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    signer = await open_signer(softhsm.uri(token="guarded"))
    (softhsm.folder / f"pin-{PIN}").write_text("999999")
    try:
        await on_device(close_all_sessions)
        first, second = await refusal(signer), await refusal(signer)
    finally:
        softhsm.uri()
    assert first.code is second.code is ErrorCode.KEY_ACCESS_DENIED
    # The second refusal came without the device: the right PIN would have let it in.
    assert (await refusal(signer)).code is ErrorCode.KEY_ACCESS_DENIED
    assert "999999" not in str(first)


def finalize() -> None:
    """What another user of the library in this process could do to us."""
    ctypes.CDLL(str(LIBRARY)).C_Finalize(None)


@pytest.mark.parametrize("lose", [close_all_sessions, finalize])
async def test_a_lost_session_is_opened_again(signer: Sign, lose: object) -> None:
    await on_device(lose)
    verify(signer, await signer.sign(b"message"), b"message")


async def test_keys_of_one_token_survive_each_others_reconnection(
    softhsm: SoftHsm, signer: Sign
) -> None:
    other = await open_signer(softhsm.uri(key="object=other"))
    for _ in range(3):
        await on_device(close_all_sessions)
        for each in (signer, other, signer):
            verify(each, await each.sign(b"message"), b"message")


async def test_a_device_that_was_away_is_used_again(softhsm: SoftHsm) -> None:
    softhsm.init("movable")
    softhsm.put("movable", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    signer = await open_signer(softhsm.uri(token="movable"))
    files = softhsm.files("movable")
    away = files.rename(softhsm.folder / "away")
    await on_device(close_all_sessions)
    assert (await refusal(signer)).code is ErrorCode.KEY_UNAVAILABLE
    away.rename(files)
    verify(signer, await signer.sign(b"message"), b"message")


async def test_another_key_under_the_same_name_is_refused_for_good(softhsm: SoftHsm) -> None:
    softhsm.init("replaced")
    softhsm.put("replaced", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    signer = await open_signer(softhsm.uri(token="replaced"))
    shutil.rmtree(softhsm.files("replaced"))
    softhsm.init("replaced")
    softhsm.put("replaced", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    await on_device(close_all_sessions)
    for _ in range(2):
        assert (await refusal(signer)).code is ErrorCode.KEY_UNUSABLE


# Run apart: two users of the library in one process would disturb each other.
MISFIT = """
import os, sys, pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, ObjectClass
from pkcs11.util.ec import decode_ec_public_key
token = pkcs11.lib(sys.argv[1]).get_token(token_label="misfit")
key = ec.generate_private_key(ec.SECP256R1()).public_key()
der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
with token.open(rw=True, user_pin=sys.argv[2]) as session:
    for old in list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})):
        old.destroy()
    session.create_object({**decode_ec_public_key(der), Attribute.LABEL: "root",
                           Attribute.ID: bytes([1]), Attribute.TOKEN: True})
"""


async def test_a_public_key_that_does_not_fit_is_noticed(softhsm: SoftHsm) -> None:
    softhsm.init("misfit")
    softhsm.put("misfit", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    command = [sys.executable, "-c", MISFIT, str(LIBRARY), PIN]
    await asyncio.to_thread(subprocess.run, command, check=True)
    with pytest.raises(SubgraphError) as caught:
        await open_signer(softhsm.uri(token="misfit"))
    assert caught.value.code is ErrorCode.KEY_UNUSABLE
    assert "its public key refuses" in caught.value.message


async def test_a_stuck_device_neither_blocks_the_loop_nor_outlasts_the_deadline(
    softhsm: SoftHsm,
) -> None:
    signer = await open_signer(softhsm.uri(), deadline_seconds=0.1)
    device = StuckDevice()
    held = await device.hold()
    try:
        error = await refusal(signer)
    finally:
        device.release()
        await held
    assert error.code is ErrorCode.KEY_UNAVAILABLE and "0.1 s" in error.message
    verify(signer, await signer.sign(b"message"), b"message")


async def test_callers_that_gave_up_leave_no_work_behind(softhsm: SoftHsm, signer: Sign) -> None:
    device = StuckDevice()
    held = await device.hold()
    waiting = [asyncio.create_task(signer.sign(b"message")) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    device.release()
    await held
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    verify(signer, await signer.sign(b"message"), b"message")


async def test_calls_beyond_the_backlog_are_refused_at_once(signer: Sign) -> None:
    device = StuckDevice()
    held = await device.hold()
    waiting = [asyncio.create_task(signer.sign(b"message")) for _ in range(256)]
    await asyncio.sleep(0)
    error = await refusal(signer)
    device.release()
    await asyncio.gather(held, *waiting)
    assert error.code is ErrorCode.KEY_UNAVAILABLE and "keep up" in error.message
