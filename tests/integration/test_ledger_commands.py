"""`ig ledger export`, `verify` and `fsck` as processes, on a demonstration that runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from subgraph.ledger.slice import read_slice
from tests.conftest import Demo
from tests.unit.cli.processes import ROOT, bare_environment

Done = subprocess.CompletedProcess[str]


def ledger(*arguments: object, **environment: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "subgraph.cli.main", "ledger", *map(str, arguments)],
        cwd=ROOT,
        env={**bare_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def export(demo: Demo, out: Path, *which: object) -> Done:
    return ledger("export", *which, "--out", out, "--data-dir", demo.folder)


def reason(done: Done) -> str:
    """The last line on stderr; a warning about the software key may come before it."""
    return done.stderr.splitlines()[-1]


def openssl(folder: Path) -> Done:
    command = ["openssl", "dgst", "-sha256", "-verify", "cosign.pub"]
    command += ["-signature", "slice.json.sig", "slice.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def verify(folder: Path) -> Done:
    return ledger("verify", folder / "slice.json", "--key", folder / "cosign.pub")


@pytest.fixture
def exported(served: Demo, tmp_path: Path) -> Path:
    done = export(served, tmp_path / "slice.json", "--tenant", served.tenants[0])
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_an_export_is_four_files_and_says_where(served: Demo, tmp_path: Path) -> None:
    done = export(served, tmp_path / "slice.json", "--tenant", served.tenants[0])
    names = ["slice.json", "slice.json.sig", "slice.json.sigstore.json", "cosign.pub"]
    assert done.stdout.splitlines() == [str(tmp_path / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_the_bundle_is_about_this_file(exported: Path) -> None:
    bundle = json.loads((exported / "slice.json.sigstore.json").read_text())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_what_was_exported_verifies_with_ig_and_with_openssl(exported: Path) -> None:
    checked, signed = verify(exported), openssl(exported)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "verified")
    assert (signed.returncode, signed.stdout) == (0, "Verified OK\n")


def test_a_flipped_bit_fails_both(exported: Path) -> None:
    path = exported / "slice.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert (verify(exported).returncode, openssl(exported).returncode) == (1, 1)


def test_the_witness_of_the_demonstration_has_cosigned(served: Demo, exported: Path) -> None:
    own = served.folder.with_name(f"{served.folder.name}-witness")
    vkeys = (own / "verifiers").read_text().splitlines()
    ed25519 = vkeys[1]
    files = (exported / "slice.json", "--key", exported / "cosign.pub")
    done = ledger("verify", *files, "--witness", ed25519)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"witness     {ed25519.partition('+')[0]}" in done.stdout.splitlines()


def test_the_deployment_log_is_exported_and_verifies(served: Demo, tmp_path: Path) -> None:
    assert export(served, tmp_path / "slice.json", "--deployment").returncode == 0
    done = verify(tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "verified")


def test_a_range_is_exported(served: Demo, exported: Path, tmp_path: Path) -> None:
    whole = read_slice((exported / "slice.json").read_bytes())
    size = len(whole.entries)
    which = ("--tenant", served.tenants[0], "--from", 1, "--to", size)
    assert export(served, tmp_path / "slice.json", *which).returncode == 0
    part = read_slice((tmp_path / "slice.json").read_bytes())
    assert [entry.index for entry in part.entries] == list(range(1, size))
    assert verify(tmp_path).returncode == 0


def test_addresses_and_root_of_the_environment_do_as_well(served: Demo, tmp_path: Path) -> None:
    private = served.folder / "private"
    addresses = json.loads((private / "database.json").read_text())
    environment = {
        "DATABASE_URL": addresses["database_url"],
        "IG_LEDGER_ROOT_KEY": f"file:{served.folder / 'ledger-root.pem'}",
        "IG_DATA_DIR": str(tmp_path / "nothing"),
    }
    out = tmp_path / "slice.json"
    done = ledger("export", "--tenant", served.tenants[0], "--out", out, **environment)
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path).returncode == 0


def test_no_root_key_is_made_for_an_export(served: Demo, tmp_path: Path) -> None:
    addresses = json.loads((served.folder / "private" / "database.json").read_text())
    environment = {
        "DATABASE_URL": addresses["database_url"],
        "IG_DATA_DIR": str(tmp_path / "new"),
    }
    done = ledger("export", "--deployment", "--out", tmp_path / "slice.json", **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("ig: SETTINGS_INVALID: no root key: set IG_LEDGER_ROOT_KEY")
    assert list(tmp_path.iterdir()) == []


BAD = {
    "unknown tenant": (("--tenant", "nobody"), "INVALID_INPUT: there is no ledger of a tenant"),
    "no tenant id": (("--tenant", "../etc"), "INVALID_INPUT: there is no ledger of a tenant"),
    "reserved name": (("--tenant", "_deployment"), "INVALID_INPUT: there is no ledger of a tenant"),
    "empty range": (("--deployment", "--from", 2**62), "INVALID_INPUT: the range from"),
    "negative": (("--deployment", "--from", -1), "INVALID_INPUT: the range from -1"),
    "no such size": (("--deployment", "--to", 2**70), "INVALID_INPUT: the log has no checkpoint"),
    "size zero": (("--deployment", "--to", 0), "INVALID_INPUT: the log has no checkpoint"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_there_is_refused_and_nothing_is_written(
    bad: str, served: Demo, tmp_path: Path
) -> None:
    which, said = BAD[bad]
    done = export(served, tmp_path / "slice.json", *which)
    assert (done.returncode, reason(done)[: len(said) + 4]) == (1, f"ig: {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["absent/slice.json", ".", "cosign.pub", "folder"])
def test_a_place_that_cannot_be_written_is_named(name: str, served: Demo, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = export(served, tmp_path / name, "--deployment")
    if name == ".":
        done = ledger("export", "--deployment", "--out", ".", "--data-dir", served.folder)
    assert (done.returncode, reason(done)[:19]) == (1, "ig: INVALID_INPUT: ")


def test_a_key_of_somebody_else_is_not_written_over(served: Demo, tmp_path: Path) -> None:
    (tmp_path / "cosign.pub").write_text("theirs")
    done = export(served, tmp_path / "slice.json", "--deployment")
    assert (done.returncode, "another key" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["cosign.pub"]


@pytest.mark.parametrize("command", [("export", "--deployment", "--out", os.devnull), ("fsck",)])
def test_without_a_database_the_ways_to_name_one_are_told(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    done = ledger(*command, "--data-dir", tmp_path)
    message = f"no database: set DATABASE_URL, or start `ig demo` on {tmp_path}"
    assert (done.returncode, done.stderr) == (1, f"ig: SETTINGS_INVALID: {message}\n")


def test_a_running_ledger_is_found_whole(served: Demo) -> None:
    done = ledger("fsck", "--data-dir", served.folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" logs, 0 faults\n")
