"""Tenants' keys in an HSM, against SoftHSM2: the contract, addresses, versions and PINs."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass, Session

from subgraph.kms.bound_key import bind
from subgraph.kms.contract import KeyProvider, Wrap, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.pkcs11_module import module
from subgraph.kms.pkcs11_uri import Pkcs11Uri, parse
from subgraph.kms.pkcs11_wrap import Pkcs11Wrap
from tests.unit.kms.softhsm import (
    LIBRARY,
    PIN,
    SoftHsm,
    StuckDevice,
    close_all_sessions,
    on_device,
)
from tests.unit.kms.wrap_conformance import CONTEXT, KEY, KeyRig, WrapConformance, fault

pytestmark = pytest.mark.xdist_group("softhsm")


class Pkcs11Rig(KeyRig):
    """A fresh key on a fresh token."""

    provider = KeyProvider.PKCS11
    cannot: ClassVar = {
        "schedule_deletion": "a token deletes at once",
        "throttle": "a token does its work in the order in which it comes",
    }
    credentials = (PIN,)

    def __init__(self, hsm: SoftHsm, pins: Path) -> None:
        self.token = f"tenants-{secrets.token_hex(4)}"
        self.hsm, self.pins = hsm, pins
        self.options = KmsOptions(
            production=True,
            seconds=1.0,
            concurrency=4,
            local_keys=pins,
            pkcs11_module=LIBRARY,
            pkcs11_pins=pins,
        )
        hsm.init(self.token)
        self.set_pin(PIN)
        self.held: tuple[StuckDevice, asyncio.Task[object]] | None = None

    def set_pin(self, pin: str) -> None:
        file = self.pins / self.token
        file.touch(mode=0o600)
        file.write_text(pin + "\n")

    def address(self, name: str) -> str:
        return f"pkcs11:token={self.token};object={name}"

    async def open(self) -> Wrap:
        return await Pkcs11Wrap.open(self.address("main"), self.options)

    async def open_other(self) -> Wrap:
        return await Pkcs11Wrap.open(self.address("other"), self.options)

    async def add(self, name: str, identity: bytes) -> None:
        """A new version of a key, as the operator would make it."""

        def generate(session: Session) -> None:
            session.generate_key(
                KeyType.AES,
                256,
                id=identity,
                label=name,
                store=True,
                capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
            )

        await self.write(generate)

    async def write(self, job: Any) -> None:
        uri: Pkcs11Uri = parse(
            f"{self.address('main')}?module-path={LIBRARY}&pin-source={self.pins / self.token}"
        )

        def run() -> None:
            with module(LIBRARY).writing_session(uri) as session:
                job(session)

        try:
            await on_device(run)
        except Exception:  # noqa: BLE001 - the library looks for new tokens after a reset only
            await on_device(lambda: module(LIBRARY).reset(module(LIBRARY).generation))
            await on_device(run)

    async def each(self, change: Any) -> None:
        """Do something to every version of the key."""

        def run(session: Session) -> None:
            wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: "main"}
            for key in list(session.get_objects(wanted)):
                change(key)

        await self.write(run)

    async def disable(self) -> None:
        await self.each(lambda key: allow_wrapping(key, False))

    async def enable(self) -> None:
        await self.each(lambda key: allow_wrapping(key, True))

    async def delete(self) -> None:
        await self.each(lambda key: key.destroy())

    async def deny(self) -> None:
        self.set_pin("999999")
        await on_device(close_all_sessions)

    async def allow(self) -> None:
        self.set_pin(PIN)

    async def hang(self) -> None:
        device = StuckDevice()
        self.held = device, await device.hold()

    async def outage(self) -> None:
        self.hsm.files(self.token).rename(self.hsm.folder / self.token)
        await on_device(close_all_sessions)

    async def restore(self) -> None:
        if self.held is not None:
            device, held = self.held
            device.release()
            await held
        away = self.hsm.folder / self.token
        if away.exists():
            away.rename(self.hsm.folder / "tokens" / self.token)


def allow_wrapping(key: Any, allowed: bool) -> None:
    key[Attribute.WRAP] = key[Attribute.UNWRAP] = allowed


@pytest.fixture
async def rig(softhsm: SoftHsm, tmp_path: Path) -> AsyncIterator[Pkcs11Rig]:
    rig = Pkcs11Rig(softhsm, tmp_path)
    await rig.add("main", b"\1")
    await rig.add("other", b"\1")
    yield rig
    await rig.restore()


class TestContract(WrapConformance):
    """With the module's `rig`."""


async def refusal(options: KmsOptions, uri: str) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await Pkcs11Wrap.open(uri, options)
    return caught.value


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=t;object=k?module-path=/tmp/evil.so",
        "pkcs11:token=t;object=k?pin-source=file:/etc/shadow",
        "pkcs11:token=t;object=k?",
        "pkcs11:token=t;object=k&module-path=/tmp/evil.so#?",
        "pkcs11:token=t",
        "pkcs11:object=k",
        "pkcs11:token=;object=k",
        "pkcs11:token=t;object=",
        "pkcs11:token=t;object=k;id=%01",
        "pkcs11:token=t;object=k;slot-id=1",
        "pkcs11:token=t;object=k;serial=1",
        "pkcs11:token=..;object=k",
        "pkcs11:token=..%2Fpins%2Ft;object=k",
        "pkcs11:token=%2Fetc%2Fshadow;object=k",
        "pkcs11:token=t%00;object=k",
        "file:/key",
    ],
)
async def test_an_address_names_two_labels_and_nothing_else(rig: Pkcs11Rig, uri: str) -> None:
    assert (await refusal(rig.options, uri)).fault is KeyFault.CONFIG


async def test_without_a_library_or_pins_no_key_is_opened(rig: Pkcs11Rig, tmp_path: Path) -> None:
    bare = KmsOptions(production=False, seconds=1.0, concurrency=1, local_keys=tmp_path)
    assert (await refusal(bare, rig.address("main"))).fault is KeyFault.CONFIG


async def test_it_is_rfc_5649(rig: Pkcs11Rig) -> None:
    secret = bytes(range(32))

    def put(session: Session) -> None:
        session.create_object(
            {
                Attribute.CLASS: ObjectClass.SECRET_KEY,
                Attribute.KEY_TYPE: KeyType.AES,
                Attribute.VALUE: secret,
                Attribute.LABEL: "known",
                Attribute.ID: b"\1",
                Attribute.TOKEN: True,
                Attribute.WRAP: True,
                Attribute.UNWRAP: True,
            }
        )

    await rig.write(put)
    wrapper = await Pkcs11Wrap.open(rig.address("known"), rig.options)
    expected = aes_key_wrap_with_padding(secret, bind(KEY, CONTEXT))
    assert (await wrapper.wrap(KEY, CONTEXT)).ciphertext == expected
    assert (await wrapper.describe()).origin == "IMPORTED"


async def test_nothing_of_a_call_stays_on_the_token(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT)
    left: list[str] = []

    def count(session: Session) -> None:
        left.extend(str(key[Attribute.LABEL]) for key in list(session.get_objects({})))

    await rig.write(count)
    assert sorted(left) == ["main", "other"]


async def test_a_new_version_cannot_leave_the_token(rig: Pkcs11Rig) -> None:
    described = await (await rig.open()).rotate()
    assert described.provider_version.startswith("00000002") and described.origin == "GENERATED"
    seen: list[tuple[bool, bool, bool]] = []

    def look(key: Any) -> None:
        if key[Attribute.ID].hex() == described.provider_version:
            seen.append(
                (key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE], key[Attribute.LOCAL])
            )

    await rig.each(look)
    assert seen == [(True, False, True)]


async def test_rotations_at_once_all_leave_a_key_that_works(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    old = await wrapper.wrap(KEY, CONTEXT)
    await rig.add("main", bytes.fromhex("00000002aaaaaaaa"))
    await rig.add("main", bytes.fromhex("00000002bbbbbbbb"))
    new = await wrapper.wrap(KEY, CONTEXT)
    assert new.provider_version == "00000002bbbbbbbb"
    assert await wrapper.unwrap(old, CONTEXT) == await wrapper.unwrap(new, CONTEXT) == KEY


async def test_versions_count_by_number(rig: Pkcs11Rig) -> None:
    await rig.add("main", b"\xff" * 20)
    await rig.add("main", b"\x0a")
    assert (await (await rig.open()).describe()).provider_version == "0a"
    rotated = await (await rig.open()).rotate()
    assert rotated.provider_version.startswith("0000000b")


@pytest.mark.parametrize("identity", [b"\1", b""], ids=["twice", "none"])
async def test_versions_that_cannot_be_told_apart_are_refused(
    rig: Pkcs11Rig, identity: bytes
) -> None:
    await rig.add("main", identity)
    assert await fault(rig, (await rig.open()).wrap(KEY, CONTEXT)) is KeyFault.CONFIG


async def test_a_disabled_key_is_not_rotated(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    await rig.disable()
    assert await fault(rig, wrapper.rotate()) is KeyFault.KEY_DISABLED


async def test_a_version_that_is_gone_is_not_found(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    gone = WrappedKey(b"c" * 72, rig.address("main"), "77")
    assert await fault(rig, wrapper.unwrap(gone, CONTEXT)) is KeyFault.KEY_NOT_FOUND


async def test_a_wrong_pin_is_presented_once_for_all_keys_of_the_token(rig: Pkcs11Rig) -> None:
    await rig.deny()
    for _ in range(12):
        for wrapper in (await rig.open(), await rig.open_other()):
            assert await fault(rig, wrapper.describe()) is KeyFault.ACCESS_DENIED
    assert tries_left(await flags(rig))


async def flags(rig: Pkcs11Rig) -> int:
    def read() -> int:
        library: Any = module(LIBRARY)._library
        return int(library.get_token(token_label=rig.token).flags)

    return int(await on_device(read))  # type: ignore[call-overload]


def tries_left(flags: int) -> bool:
    """Whether the token says neither that the last try is near nor that it is locked."""
    final_try, locked = 0x20000, 0x40000
    return not flags & (final_try | locked)


async def test_a_missing_pin_file_says_nothing_of_the_key(rig: Pkcs11Rig) -> None:
    (rig.pins / rig.token).unlink()
    await on_device(close_all_sessions)
    assert await fault(rig, (await rig.open()).describe()) is KeyFault.CONFIG


async def test_a_lost_session_is_opened_again(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    await on_device(close_all_sessions)
    assert await wrapper.unwrap(wrapped, CONTEXT) == KEY


async def test_a_damaged_ciphertext_costs_nobody_the_session(rig: Pkcs11Rig) -> None:
    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)
    before = module(LIBRARY).generation
    damaged = WrappedKey(b"c" * 72, wrapped.key_uri, wrapped.provider_version)
    assert await fault(rig, wrapper.unwrap(damaged, CONTEXT)) is KeyFault.INTEGRITY
    assert module(LIBRARY).generation == before


async def test_a_device_in_trouble_is_not_taken_for_damage(
    rig: Pkcs11Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11

    wrapper = await rig.open()
    wrapped = await wrapper.wrap(KEY, CONTEXT)

    def fail(*_: object) -> bytes:
        raise pkcs11.GeneralError

    monkeypatch.setattr("subgraph.kms.pkcs11_wrap._unseal", fail)
    assert await fault(rig, wrapper.unwrap(wrapped, CONTEXT)) is KeyFault.UNAVAILABLE
