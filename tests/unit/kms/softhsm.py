"""SoftHSM2 with tokens of this test session, and what can happen to a device."""

import asyncio
import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from subgraph.kms.pkcs11_module import module

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "74391"


@dataclass(frozen=True)
class SoftHsm:
    """SoftHSM2 with tokens of this test session."""

    folder: Path

    def init(self, label: str) -> None:
        self._run("--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN)

    def put(self, token: str, label: str, identity: str, key: object) -> None:
        path = self.folder / "import.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]
        self._run(
            "--import", str(path), "--token", token, "--label", label, "--id", identity, "--pin", PIN
        )  # fmt: skip
        path.unlink()

    def files(self, token: str) -> Path:
        """The folder of a token."""
        for folder in (self.folder / "tokens").iterdir():
            if token.encode() in (folder / "token.object").read_bytes():
                return folder
        raise LookupError(token)

    def uri(self, token: str = "ledger", key: str = "object=root", pin: str = PIN) -> str:
        pin_file = self.folder / f"pin-{pin}"
        pin_file.touch(mode=0o600)
        pin_file.write_text(pin + "\n")
        return f"pkcs11:token={token};{key}?module-path={LIBRARY}&pin-source=file:{pin_file}"

    def _run(self, *arguments: str) -> None:
        subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    if shutil.which("softhsm2-util") is None or not LIBRARY.exists():
        missing = f"SoftHSM2 is missing ({LIBRARY}): apt-get install softhsm2"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    hsm = SoftHsm(folder)
    hsm.init("ledger")
    hsm.put("ledger", "root", "01", ec.generate_private_key(ec.SECP256R1()))
    hsm.put("ledger", "other", "02", ec.generate_private_key(ec.SECP256R1()))
    hsm.put("ledger", "twin", "03", ec.generate_private_key(ec.SECP256R1()))
    hsm.put("ledger", "twin", "04", ec.generate_private_key(ec.SECP256R1()))
    hsm.put("ledger", "p384", "05", ec.generate_private_key(ec.SECP384R1()))
    hsm.put("ledger", "rsa", "06", rsa.generate_private_key(65537, 2048))
    yield hsm
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


async def on_device(job: object) -> object:
    """What `job` answers on the one thread that may call the library."""
    return await module(LIBRARY).thread.run(job, 30)  # type: ignore[arg-type]


class StuckDevice:
    """A device that takes a call and does not answer before `release`."""

    def __init__(self) -> None:
        self.entered, self._released = threading.Event(), threading.Event()

    async def hold(self) -> "asyncio.Task[object]":
        task = asyncio.create_task(on_device(self._wait))
        await asyncio.to_thread(self.entered.wait)
        return task

    def _wait(self) -> None:
        self.entered.set()
        self._released.wait()

    def release(self) -> None:
        self._released.set()


def close_all_sessions() -> None:
    """What a device does to its clients when it restarts."""
    library = ctypes.CDLL(str(LIBRARY))
    for slot in slots(library):
        library.C_CloseAllSessions(ctypes.c_ulong(slot))


def slots(library: ctypes.CDLL) -> list[int]:
    count = ctypes.c_ulong()
    library.C_GetSlotList(ctypes.c_ubyte(1), None, ctypes.byref(count))
    found = (ctypes.c_ulong * count.value)()
    library.C_GetSlotList(ctypes.c_ubyte(1), found, ctypes.byref(count))
    return list(found[: count.value])
