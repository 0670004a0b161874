"""The key file: the contract, and files that are refused."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.kms.signers import open_signer
from tests.unit.kms.conformance import SignConformance, verify


class TestContract(SignConformance):
    @pytest.fixture
    async def signer(self, tmp_path: Path) -> Sign:
        return await open_signer(f"file:{tmp_path}/key.pem", create=True)


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


P256 = ec.generate_private_key(ec.SECP256R1())
PUBLIC = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def refusal(path: Path, *, create: bool = False) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        KeyFileSigner.open(path, create=create)
    return caught.value


def test_a_key_that_openssl_made_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*command, "-out", path], check=True, capture_output=True)
    path.chmod(0o600)
    public = subprocess.check_output(["openssl", "pkey", "-in", path, "-pubout"])
    assert KeyFileSigner.open(path).public_key_pem == public.decode()


def test_a_missing_file_is_not_made_unless_asked_for(tmp_path: Path) -> None:
    assert refusal(tmp_path / "key.pem").code is ErrorCode.KEY_NOT_FOUND
    assert list(tmp_path.iterdir()) == []


def test_a_new_key_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFileSigner.open(tmp_path / "keys" / "key.pem", create=True)
    finally:
        os.umask(before)
    assert (tmp_path / "keys" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["key.pem"]


def test_a_key_outlives_its_process(tmp_path: Path) -> None:
    first = KeyFileSigner.open(tmp_path / "key.pem", create=True)
    assert KeyFileSigner.open(tmp_path / "key.pem", create=True).key_id == first.key_id


def test_of_many_who_make_the_key_at_once_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = pool.map(lambda _: KeyFileSigner.open(tmp_path / "key", create=True), range(32))
        assert len({signer.key_id for signer in opened}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_key_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    error = refusal(write(tmp_path / "key.pem", pem(P256), mode))
    assert error.code is ErrorCode.KEY_UNUSABLE and "other accounts" in error.message


def test_a_key_that_others_can_open_is_not_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "key.pem", pem(P256), 0o644)
    assert refusal(path, create=True).code is ErrorCode.KEY_UNUSABLE
    assert path.read_bytes() == pem(P256)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 PEM blocks"),
        (b"key", "0 PEM blocks"),
        (pem(P256) * 2, "2 PEM blocks"),
        (PUBLIC, "PUBLIC KEY, not a private key"),
        (pem(P256, PrivateFormat.TraditionalOpenSSL), "EC PRIVATE KEY, not PKCS#8"),
        (pem(P256, encryption=BestAvailableEncryption(b"secret")), "passphrase"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "its curve is secp384r1"),
        (pem(rsa.generate_private_key(65537, 2048)), "not an elliptic-curve key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "not an elliptic-curve key"),
        (pem(P256).replace(b"M", b"N", 1), "damaged"),
        (b"x" * 65_537, "larger than any key"),
    ],
    ids=[
        "empty", "noise", "two keys", "public", "SEC1", "passphrase", "P-384", "RSA", "Ed25519",
        "damaged", "huge",
    ],
)  # fmt: skip
def test_other_files_are_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    error = refusal(write(tmp_path / "key.pem", content))
    assert error.code is ErrorCode.KEY_UNUSABLE and said in error.message


def test_a_refusal_never_quotes_the_file(tmp_path: Path) -> None:
    damaged = pem(P256).replace(b"M", b"N", 1)
    error = refusal(write(tmp_path / "key.pem", damaged))
    assert all(line not in str(error) for line in damaged.decode().splitlines()[1:-1])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, make: object) -> None:
    path = tmp_path / "key.pem"
    make(path)  # type: ignore[operator]
    path.chmod(0o600)
    assert refusal(path).code is ErrorCode.KEY_UNUSABLE


def test_a_folder_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(tmp_path / "file" / "key.pem", create=True)
    assert error.code is ErrorCode.KEY_UNUSABLE and str(tmp_path) in error.message


def test_it_warns_that_it_is_a_software_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    KeyFileSigner.open(tmp_path / "key.pem", create=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "SOFTWARE KEY" in caplog.text


async def test_it_is_local(tmp_path: Path) -> None:
    signer = KeyFileSigner.open(tmp_path / "key.pem", create=True)
    verify(signer, await signer.sign(b"message"), b"message")
    assert signer.local
