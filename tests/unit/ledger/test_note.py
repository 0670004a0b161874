import base64
import shutil
import subprocess

import pytest

from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import EMPTY_ROOT
from subgraph.ledger.note import (
    Checkpoint,
    EcdsaNoteVerifier,
    open_note,
    read_note,
    signature_line,
    write_note,
)
from tests.unit.ledger.logs import DEPLOYMENT, ROOT, STRANGER, note

CHECKPOINT = Checkpoint(DEPLOYMENT, 20_852_163, bytes(range(32)))
NOTE = note(CHECKPOINT)
LOG = EcdsaNoteVerifier(DEPLOYMENT, ROOT.public)


def refusal(call, *arguments):
    with pytest.raises(VerificationFailed) as raised:
        call(*arguments)
    return raised.value.finding


def line_of(key, name=DEPLOYMENT, signature=None, hint=None):
    signature = key.sign(CHECKPOINT.body()) if signature is None else signature
    return signature_line(name, hint or key.public.fingerprint[:4], signature)


def test_the_body_is_origin_size_and_root():
    assert Checkpoint("a.example/log", 0, EMPTY_ROOT).body() == (
        b"a.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )


def test_a_note_opens_with_the_key_of_the_log():
    opened = open_note(NOTE, [LOG])
    assert opened.checkpoint == CHECKPOINT
    assert opened.signed_by == (LOG,)


def test_the_example_of_the_specification_reads():
    checkpoint, signatures = read_note(
        "example.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert [signature.hint.hex() for signature in signatures] == ["033de0ae"]


def test_openssl_alone_verifies_a_note(tmp_path):
    body, _, lines = NOTE.rpartition("\n\n")
    encoded = lines.split()[-1]
    (tmp_path / "body").write_text(body + "\n")
    (tmp_path / "sig").write_bytes(base64.b64decode(encoded)[4:])
    (tmp_path / "key").write_text(ROOT.public.pem)
    command = [
        shutil.which("openssl"),
        "dgst",
        "-sha256",
        "-verify",
        "key",
        "-signature",
        "sig",
        "body",
    ]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_signatures_of_unknown_keys_are_passed_over():
    lines = [
        line_of(STRANGER),
        line_of(ROOT, name="elsewhere.example", signature=b"no signature at all"),
        line_of(ROOT, hint=b"\x00\x00\x00\x00", signature=b"nor this"),
        line_of(ROOT),
    ]
    assert open_note(write_note(CHECKPOINT, lines), [LOG]).signed_by == (LOG,)


def test_a_known_key_that_fails_rejects_the_whole_note():
    other = EcdsaNoteVerifier(DEPLOYMENT, STRANGER.public)
    lines = [line_of(ROOT), line_of(STRANGER, signature=STRANGER.sign(b"something else"))]
    assert (
        refusal(open_note, write_note(CHECKPOINT, lines), [LOG, other]) is Finding.SIGNATURE_INVALID
    )


def test_a_note_without_a_known_key_is_refused():
    assert refusal(open_note, note(CHECKPOINT, STRANGER), [LOG]) is Finding.NOTE_SIGNATURE_MISSING
    assert refusal(open_note, NOTE, []) is Finding.NOTE_SIGNATURE_MISSING


def test_a_key_counts_once_however_often_it_signed():
    assert open_note(write_note(CHECKPOINT, [line_of(ROOT)] * 3), [LOG]).signed_by == (LOG,)


def test_a_hundred_signatures_are_read_and_one_more_is_refused():
    lines = [line_of(STRANGER)] * 99 + [line_of(ROOT)]
    assert open_note(write_note(CHECKPOINT, lines), [LOG])
    assert (
        refusal(open_note, write_note(CHECKPOINT, [*lines, lines[0]]), [LOG])
        is Finding.NOTE_MALFORMED
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("20852163", "20852164"), (DEPLOYMENT + "\n", DEPLOYMENT + "x\n"), ("AAECAw", "AAECBA")],
)
def test_a_changed_body_is_refused(old, new):
    assert refusal(open_note, NOTE.replace(old, new, 1), [LOG]) is Finding.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("20852163", "020852163"),
        ("20852163", "+20852163"),
        ("20852163", "-1"),
        ("20852163", "٢"),
        ("20852163", "9223372036854775808"),
        ("20852163\n", "20852163\r\n"),
        ("\n\n", "\nextension\n\n"),
        ("\n\n", "\n"),
        ("— ", "- "),
        ("— ", "—"),
        (f"— {DEPLOYMENT} ", "— a+b "),
        (f"— {DEPLOYMENT} ", "—  "),
        (f"— {DEPLOYMENT} ", "— a\u00a0b "),
        ("AAECAw", "AAEC"),
        ("\n20852163", "\n\n20852163"),
    ],
)
def test_what_is_not_a_note_of_a_checkpoint_is_refused(old, new):
    changed = NOTE.replace(old, new, 1)
    assert changed != NOTE
    assert refusal(open_note, changed, [LOG]) in {
        Finding.NOTE_MALFORMED,
        Finding.SIGNATURE_ENCODING,
    }


@pytest.mark.parametrize(
    "text", ["", "\n", "\n\n", NOTE[:-1], NOTE + "\n", NOTE + "x", "\ud800" + NOTE, "a" * 2_000_000]
)
def test_a_cut_or_grown_text_is_refused(text):
    assert refusal(read_note, text) is Finding.NOTE_MALFORMED


def test_a_name_that_would_break_the_line_cannot_be_written():
    for name in ("", "a b", "a+b", "a\nb", "a\u2003b"):
        with pytest.raises(ValueError, match="key name"):
            line_of(ROOT, name=name)
