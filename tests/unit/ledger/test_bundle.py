"""Other people's verifiers on what we sign: each accepts it, and none accepts a changed byte."""

import base64
import json
import shutil
import subprocess

import pytest

from subgraph.ledger.bundle import envelope_bundle, message_bundle
from subgraph.ledger.dsse import Envelope, pae
from subgraph.ledger.entry import PAYLOAD_TYPE
from tests.integration import node
from tests.unit.ledger.logs import PROCESS, ROOT, STRANGER, flipped, tenant_log

ARTIFACT = b"a slice, byte for byte\n"
SIGNATURE = ROOT.sign(ARTIFACT)
ENTRY = tenant_log(1).entries[0]
ENVELOPE = Envelope(PAYLOAD_TYPE, ENTRY, PROCESS.public.key_id, PROCESS.sign_entry(ENTRY))
COSIGN = shutil.which("cosign")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cosign.pub").write_text(ROOT.public.pem)
    (tmp_path / "process.pub").write_text(PROCESS.public.pem)
    (tmp_path / "stranger.pub").write_text(STRANGER.public.pem)
    (tmp_path / "artifact").write_bytes(ARTIFACT)
    (tmp_path / "artifact.sig").write_bytes(SIGNATURE)
    return tmp_path


def openssl(folder, key, signature, content):
    command = [
        shutil.which("openssl"),
        "dgst",
        "-sha256",
        "-verify",
        key,
        "-signature",
        signature,
        content,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout == "Verified OK\n"


def sigstore(folder, key, bundle, *artifact):
    (folder / "bundle.json").write_text(json.dumps(bundle))
    files = [folder / key, folder / "bundle.json", *(folder / name for name in artifact)]
    return node.run_json("tests/node/bundle.mjs", *map(str, files))


def test_openssl_verifies_the_raw_signature_over_the_exact_bytes(folder):
    assert openssl(folder, "cosign.pub", "artifact.sig", "artifact")
    assert not openssl(folder, "stranger.pub", "artifact.sig", "artifact")


@pytest.mark.parametrize("name", ["artifact", "artifact.sig"])
def test_openssl_refuses_every_changed_byte(folder, name):
    content = (folder / name).read_bytes()
    for place in range(0, len(content), 5):
        changed = bytearray(content)
        changed[place] ^= 1
        (folder / name).write_bytes(changed)
        assert not openssl(folder, "cosign.pub", "artifact.sig", "artifact")


def test_openssl_verifies_an_entry_over_its_pre_authentication_encoding(folder):
    (folder / "pae").write_bytes(pae(PAYLOAD_TYPE, ENTRY))
    (folder / "sig").write_bytes(ENVELOPE.signature)
    assert openssl(folder, "process.pub", "sig", "pae")


def test_a_bundle_says_what_readers_of_version_0_3_look_for():
    bundle = message_bundle(ARTIFACT, SIGNATURE, ROOT.public)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {
        "publicKey": {"hint": base64.b64encode(bytes.fromhex(ROOT.public.key_id)).decode()},
        "tlogEntries": [],
    }


def test_sigstore_verifies_the_bundle_of_a_file(folder):
    bundle = message_bundle(ARTIFACT, SIGNATURE, ROOT.public)
    assert sigstore(folder, "cosign.pub", bundle, "artifact") == {"verified": True}
    assert sigstore(folder, "stranger.pub", bundle, "artifact")["code"] == "HINT"


def test_sigstore_verifies_the_bundle_of_an_entry(folder):
    bundle = envelope_bundle(ENVELOPE, PROCESS.public)
    assert sigstore(folder, "process.pub", bundle) == {"verified": True}


def test_sigstore_refuses_a_changed_file(folder):
    (folder / "artifact").write_bytes(ARTIFACT.replace(b"a", b"b", 1))
    bundle = message_bundle(ARTIFACT, SIGNATURE, ROOT.public)
    assert not sigstore(folder, "cosign.pub", bundle, "artifact")["verified"]


def test_sigstore_refuses_a_changed_signature_of_a_file(folder):
    bundle = message_bundle(ARTIFACT, SIGNATURE, ROOT.public)
    bundle["messageSignature"]["signature"] = flipped(bundle["messageSignature"]["signature"])
    assert not sigstore(folder, "cosign.pub", bundle, "artifact")["verified"]


def test_sigstore_refuses_a_changed_bundle_of_an_entry(folder):
    bundle = envelope_bundle(ENVELOPE, PROCESS.public)
    bundle["dsseEnvelope"]["payload"] = flipped(bundle["dsseEnvelope"]["payload"])
    assert sigstore(folder, "process.pub", bundle)["code"] == "SIGNATURE_ERROR"


@pytest.mark.skipif(COSIGN is None, reason="cosign is not on PATH: it has verified nothing here")
@pytest.mark.parametrize("tampered", [False, True])
def test_cosign_verifies_the_bundle_of_a_file(folder, tampered):
    (folder / "bundle.json").write_text(
        json.dumps(message_bundle(ARTIFACT, SIGNATURE, ROOT.public))
    )
    (folder / "artifact").write_bytes(ARTIFACT + b"x" * tampered)
    command = [COSIGN, "verify-blob", "--key", "cosign.pub", "--bundle", "bundle.json"]
    done = subprocess.run(
        [*command, "--insecure-ignore-tlog=true", "artifact"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is not tampered
