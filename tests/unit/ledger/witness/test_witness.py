"""`ig witness` as a process: the rules of c2sp.org/tlog-witness, crashes, and restored logs."""

import asyncio
import hashlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.cosignature import cosigned_at
from subgraph.ledger.note import Checkpoint, open_note, read_note
from subgraph.ledger.witness.client import WitnessClient
from subgraph.ledger.witness.protocol import Submission, write_submission
from tests.unit.ledger.witness.logs import ORIGIN, Log, WitnessProcess

LOG = Log.of(20)
OTHER = Log.of(20, "log.test/other")
BELOW = Log.of(20, "log.test/tenant/*")

pytestmark = pytest.mark.xdist_group("witness")


@pytest.fixture(scope="module")
async def witness(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WitnessProcess]:
    """One process; each test has a log of its own."""
    folder = tmp_path_factory.mktemp("witness")
    started = await WitnessProcess(folder, [LOG, OTHER, BELOW]).start()
    yield started
    started.stop()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[WitnessProcess]:
    """A process for tests that stop it."""
    started = await WitnessProcess(tmp_path, [LOG]).start()
    yield started
    started.stop()


@pytest.fixture
def log() -> Log:
    """A log that the witness has not seen yet."""
    return replace(BELOW, origin=f"log.test/tenant/t-{secrets.token_hex(8)}")


@pytest.fixture
async def http(witness: WitnessProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=witness.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def client(witness: WitnessProcess) -> AsyncIterator[WitnessClient]:
    opened = WitnessClient(witness.url, witness.verifiers, deadline_seconds=30)
    yield opened
    await opened.close()


async def add(http: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await http.post("/add-checkpoint", content=body)


def submit(old: int, note: str, proof: list[bytes] | None = None) -> bytes:
    return write_submission(Submission(old, tuple(proof or ()), note))


async def refusal(client: WitnessClient, log: Log, size: int) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        await client.cosign(log.note(size), size, log.prover(size))
    return caught.value


async def test_both_cosignatures_verify(
    witness: WitnessProcess, http: httpx.AsyncClient, log: Log
) -> None:
    answer = await add(http, log.submission(0, 7))
    assert answer.status_code == 200
    opened = open_note(log.note(7) + answer.text, witness.verifiers)
    assert opened.signed_by == witness.verifiers and len(witness.verifiers) == 2


async def test_the_timestamp_is_of_now(http: httpx.AsyncClient, log: Log) -> None:
    before = int(time.time())
    answer = await add(http, log.submission(0, 7))
    _, lines = read_note(log.note(7) + answer.text)
    assert before <= cosigned_at(lines[-1].signature) <= time.time()


@pytest.mark.parametrize("sizes", [(1, 2), (1, 20), (4, 7), (8, 16), (7, 7), (0, 13), (13, 20)])
async def test_a_log_that_grows_is_cosigned(
    http: httpx.AsyncClient, sizes: tuple[int, int], log: Log
) -> None:
    old, new = sizes
    assert (await add(http, log.submission(0, old))).status_code == 200
    assert (await add(http, log.submission(old, new))).status_code == 200


NOTE = LOG.note(7)
BODY = NOTE.partition("\n\n")[0]
STRANGER = replace(LOG, key=Log().key)
BROKEN = NOTE[:-12] + ("A" if NOTE[-12] != "A" else "B") + NOTE[-11:]
MALFORMED = {
    "nothing": b"",
    "no note": b"old 0\n\n",
    "no old line": NOTE.encode(),
    "no empty line": b"old 0\n" + NOTE.encode(),
    "leading zero": b"old 00\n\n" + NOTE.encode(),
    "negative": b"old -1\n\n" + NOTE.encode(),
    "other digits": "old ٣\n\n".encode() + NOTE.encode(),
    "size past 2^63": b"old 9223372036854775808\n\n" + NOTE.encode(),
    "proof of no base64": b"old 0\n!\n\n" + NOTE.encode(),
    "short hash": b"old 0\nAAAA\n\n" + NOTE.encode(),
    "64 proof lines": b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + NOTE.encode(),
    "carriage returns": LOG.submission(0, 7).replace(b"\n", b"\r\n"),
    "no UTF-8": b"\xff" + LOG.submission(0, 7),
    "no signature": submit(0, BODY + "\n\n"),
    "extension line": submit(0, NOTE.replace("\n\n", "\nmore\n\n")),
    "old size above the size": submit(8, NOTE),
}  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_400_for_what_is_malformed(http: httpx.AsyncClient, body: bytes) -> None:
    assert (await add(http, body)).status_code == 400


@pytest.mark.parametrize(
    "origin", ["log.test", "log.test/tenant", "log.test/tenant/a/b", "log.test/tenant/*"]
)
async def test_404_for_an_unknown_origin(http: httpx.AsyncClient, origin: str) -> None:
    assert (await add(http, replace(BELOW, origin=origin).submission(0, 7))).status_code == 404


async def test_a_log_below_a_known_one_is_known(http: httpx.AsyncClient, log: Log) -> None:
    assert (await add(http, log.submission(0, 7))).status_code == 200


FORBIDDEN = {
    "unknown key": STRANGER.note(7),
    "key of another log": OTHER.sign(LOG.checkpoint(7)),
    "signature of another size": BODY + "\n\n" + LOG.note(8).partition("\n\n")[2],
    "damaged signature": BROKEN,
    "damaged beside a stranger's": BROKEN + STRANGER.note(7).partition("\n\n")[2],
}


@pytest.mark.parametrize("note", FORBIDDEN.values(), ids=FORBIDDEN)
async def test_403_without_a_signature_of_the_log(http: httpx.AsyncClient, note: str) -> None:
    assert (await add(http, submit(0, note))).status_code == 403


async def test_signatures_of_strangers_are_ignored_and_not_kept(
    http: httpx.AsyncClient, log: Log
) -> None:
    stranger = replace(log, key=Log().key).note(7).partition("\n\n")[2]
    assert (await add(http, submit(0, log.note(7) + stranger))).status_code == 200
    kept = await http.get(f"/{hashlib.sha256(log.origin.encode()).hexdigest()}/checkpoint")
    assert len(read_note(kept.text)[1]) == 3


@pytest.mark.parametrize(("old", "new"), [(0, 9), (6, 9), (8, 9), (0, 7), (0, 3), (3, 6)])
async def test_409_with_the_size_when_the_old_one_differs(
    http: httpx.AsyncClient, old: int, new: int, log: Log
) -> None:
    await add(http, log.submission(0, 7))
    answer = await add(http, log.submission(old, new))
    assert (answer.status_code, answer.text) == (409, "7\n")
    assert answer.headers["content-type"] == "text/x.tlog.size"


INCONSISTENT: dict[str, Callable[[Log, Log], tuple[str, list[bytes]]]] = {
    "fork": lambda log, fork: (fork.note(20), fork.proof(7, 20)),
    "fork with the true proof": lambda log, fork: (fork.note(20), log.proof(7, 20)),
    "no proof": lambda log, fork: (log.note(20), []),
    "one hash too many": lambda log, fork: (log.note(20), [*log.proof(7, 20), b"\0" * 32]),
    "one hash too few": lambda log, fork: (log.note(20), log.proof(7, 20)[:-1]),
    "same size, other root": lambda log, fork: (fork.note(7), []),
    "same size with a proof": lambda log, fork: (log.note(7), [b"\0" * 32]),
}


@pytest.mark.parametrize("case", INCONSISTENT)
async def test_422_when_the_tree_is_not_continued(
    witness: WitnessProcess, http: httpx.AsyncClient, log: Log, case: str
) -> None:
    await add(http, log.submission(0, 7))
    before = witness.state.read_bytes()
    refused = await add(http, submit(7, *INCONSISTENT[case](log, log.fork(20, at=3))))
    assert (refused.status_code, witness.state.read_bytes()) == (422, before)


async def test_422_for_a_proof_from_nothing(http: httpx.AsyncClient) -> None:
    assert (await add(http, submit(0, LOG.note(7), [b"\0" * 32]))).status_code == 422


async def test_422_for_an_empty_tree_with_a_root(http: httpx.AsyncClient) -> None:
    note = LOG.sign(Checkpoint(ORIGIN, 0, b"\0" * 32))
    assert (await add(http, submit(0, note))).status_code == 422


async def test_the_same_checkpoint_again_gets_the_same_lines_and_no_record(
    witness: WitnessProcess, http: httpx.AsyncClient, log: Log
) -> None:
    first = await add(http, log.submission(0, 7))
    before = witness.state.read_bytes()
    assert (await add(http, log.submission(7, 7))).text == first.text
    assert witness.state.read_bytes() == before


async def test_the_last_checkpoint_is_served_with_all_signatures(
    witness: WitnessProcess, http: httpx.AsyncClient, log: Log
) -> None:
    address = f"/{hashlib.sha256(log.origin.encode()).hexdigest()}/checkpoint"
    assert (await http.get(address)).status_code == 404
    cosigned = await add(http, log.submission(0, 7))
    served = (await http.get(address)).text
    assert served.endswith(cosigned.text)
    assert read_note(served)[0] == log.checkpoint(7)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/add-checkpoint", 405),
        ("POST", "/" + "0" * 64 + "/checkpoint", 405),
        ("GET", "/" + "0" * 64 + "/checkpoint", 404),
        ("GET", "/../state", 404),
        ("GET", "/", 404),
    ],
)
async def test_other_addresses(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await http.request(method, path)).status_code == status


async def test_a_huge_body_is_refused(http: httpx.AsyncClient) -> None:
    assert (await add(http, b"old 0\n" + b"A" * 100_000)).status_code == 413


async def test_of_two_for_the_same_old_size_one_wins(http: httpx.AsyncClient, log: Log) -> None:
    await add(http, log.submission(0, 7))
    fork = log.fork(20, at=10)
    answers = await asyncio.gather(
        *(add(http, log.submission(7, size)) for log in (log, fork) for size in range(11, 21))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19


async def test_logs_do_not_disturb_each_other(http: httpx.AsyncClient, log: Log) -> None:
    answers = await asyncio.gather(
        add(http, log.submission(0, 7)), add(http, OTHER.submission(0, 9))
    )
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_it_remembers_after_a_kill(own: WitnessProcess) -> None:
    for size in range(1, 6):
        async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
            assert (await add(http, LOG.submission(size - 1, size))).status_code == 200
        own.stop(signal.SIGKILL)
        await replace(witness, process=None).start() if False else await own.start()
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        assert (await add(http, LOG.fork(20).submission(0, 20))).text == "5\n"


# The process dies at the named place of the state file's `append`.
CRASH = """
import os, signal, sys
from subgraph.cli import main
from subgraph.ledger.witness import state
place = sys.argv.pop(1)
real_write, real_fsync = os.write, os.fsync
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def half(handle, content):
    real_write(handle, content[: len(content) // 2]); die()
def arm(self, cosigned):
    if cosigned.checkpoint.size == 20:
        if place == "checked": die()
        if place == "half written": os.write = half
        if place == "written": os.fsync = die
        if place == "synced": os.fsync = lambda handle: (real_fsync(handle), die())
    append(self, cosigned)
append, state.StateFile.append = state.StateFile.append, arm
sys.exit(main.main())
"""


@pytest.mark.parametrize(
    ("place", "kept"), [("checked", 7), ("half written", 7), ("written", 20), ("synced", 20)]
)
async def test_a_crash_between_check_and_answer_lets_no_fork_in(
    tmp_path: Path, place: str, kept: int
) -> None:
    dying = WitnessProcess(tmp_path, [LOG], program=("-c", CRASH, place))
    await dying.start()
    async with httpx.AsyncClient(base_url=dying.url, trust_env=False) as http:
        assert (await add(http, LOG.submission(0, 7))).status_code == 200
        with pytest.raises(httpx.TransportError):
            await add(http, LOG.submission(7, 20))
    dying.stop()
    again = await WitnessProcess(tmp_path, [LOG], initial=False).start()
    fork = LOG.fork(20, at=5)
    async with httpx.AsyncClient(base_url=again.url, trust_env=False) as http:
        assert (await add(http, LOG.submission(0, 3))).text == f"{kept}\n"
        refused = await add(http, fork.submission(kept, 20))
        assert refused.status_code == 422
        assert (await add(http, LOG.submission(kept, 20))).status_code == 200
    again.stop()


async def test_it_does_not_start_without_its_memory(tmp_path: Path) -> None:
    first = await WitnessProcess(tmp_path, [LOG]).start()
    first.stop()
    first.state.unlink()
    refused = await WitnessProcess(tmp_path, [LOG], initial=False).start()
    assert "WITNESS_STATE_INVALID" in refused.refusal()


async def test_it_does_not_start_with_a_changed_memory(own: WitnessProcess) -> None:
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        await add(http, LOG.submission(0, 7))
    own.stop()
    own.state.write_bytes(own.state.read_bytes().replace(b"\\n7\\n", b"\\n6\\n"))
    await own.start()
    assert "WITNESS_STATE_INVALID" in own.refusal()


async def test_a_second_one_does_not_start_on_the_same_memory(witness: WitnessProcess) -> None:
    second = await WitnessProcess(witness.folder, [LOG]).start()
    assert "WITNESS_STATE_IN_USE" in second.refusal()


async def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    first = await WitnessProcess(tmp_path, [LOG]).start()
    first.stop()
    (tmp_path / "key.pem").chmod(0o644)
    await first.start()
    assert "KEY_UNUSABLE" in first.refusal()


@pytest.mark.parametrize("through", ["plain", "link"])
async def test_a_memory_in_the_data_folder_is_refused(tmp_path: Path, through: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    folder = data
    if through == "link":
        folder = tmp_path / "link"
        folder.symlink_to(data)
    process = WitnessProcess(folder, [LOG], environment={"IG_DATA_DIR": str(data)})
    assert "SETTINGS_INVALID" in (await process.start()).refusal()
    assert not (data / "state").exists()


async def test_the_client_needs_no_knowledge_of_the_old_size(
    witness: WitnessProcess, client: WitnessClient, log: Log
) -> None:
    fresh = WitnessClient(witness.url, witness.verifiers)
    for each, size in ((client, 7), (client, 13), (fresh, 20)):
        lines = await each.cosign(log.note(size), size, log.prover(size))
        assert open_note(log.note(size) + "".join(lines), witness.verifiers).signed_by
    await fresh.close()


async def test_a_restored_older_log_is_noticed(client: WitnessClient, log: Log) -> None:
    await client.cosign(log.note(20), 20, log.prover(20))
    error = await refusal(client, log, 13)
    assert error.code is ErrorCode.LEDGER_BEHIND_WITNESS
    assert error.details == {"origin": log.origin, "size": "13", "witnessed": "20"}


async def test_a_restored_log_that_grew_past_the_witness_is_noticed(
    client: WitnessClient, log: Log
) -> None:
    await client.cosign(log.note(10), 10, log.prover(10))
    error = await refusal(client, log.fork(20, at=8), 20)
    assert error.code is ErrorCode.LEDGER_FORKED


async def test_a_log_that_is_not_known_is_refused(client: WitnessClient) -> None:
    error = await refusal(client, Log.of(3, "log.test/unknown"), 3)
    assert error.code is ErrorCode.WITNESS_REFUSED


async def test_the_client_reads_the_last_checkpoint(client: WitnessClient, log: Log) -> None:
    assert await client.last(log.origin) is None
    await client.cosign(log.note(7), 7, log.prover(7))
    last = await client.last(log.origin)
    assert last is not None and last.checkpoint == log.checkpoint(7)


async def test_a_cosignature_by_an_unknown_key_does_not_count(
    tmp_path: Path, witness: WitnessProcess
) -> None:
    (tmp_path / "other").mkdir()
    other = await WitnessProcess(tmp_path / "other", [LOG]).start()
    client = WitnessClient(witness.url, other.verifiers)
    assert (await refusal(client, LOG, 7)).code is ErrorCode.WITNESS_UNAVAILABLE
    with pytest.raises(SubgraphError) as caught:
        await client.last(ORIGIN)
    assert caught.value.code is ErrorCode.WITNESS_UNAVAILABLE
    await client.close()
    other.stop()


async def test_a_witness_that_is_away_is_unavailable(own: WitnessProcess) -> None:
    client = WitnessClient(own.url, own.verifiers)
    own.stop()
    assert (await refusal(client, LOG, 7)).code is ErrorCode.WITNESS_UNAVAILABLE
    await client.close()


async def test_a_stuck_witness_is_unavailable_after_the_deadline(own: WitnessProcess) -> None:
    assert own.process is not None
    os.kill(own.process.pid, signal.SIGSTOP)
    client = WitnessClient(own.url, own.verifiers, deadline_seconds=0.2)
    try:
        error = await refusal(client, LOG, 7)
    finally:
        os.kill(own.process.pid, signal.SIGCONT)
    await client.close()
    assert error.code is ErrorCode.WITNESS_UNAVAILABLE


@pytest.mark.parametrize("url", ["http://witness.example", "ftp://127.0.0.1", "witness", ""])
async def test_an_address_that_others_could_answer_at_is_refused(
    witness: WitnessProcess, url: str
) -> None:
    with pytest.raises(SubgraphError) as caught:
        WitnessClient(url, witness.verifiers)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID


async def test_a_new_key_cosigns_what_the_old_one_did(own: WitnessProcess) -> None:
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        before = (await add(http, LOG.submission(0, 7))).text
    own.stop()
    (own.folder / "key.pem").unlink()
    await own.start()
    async with httpx.AsyncClient(base_url=own.url, trust_env=False) as http:
        after = (await add(http, LOG.submission(7, 7))).text
    assert after != before
    assert len(open_note(LOG.note(7) + after, own.verifiers).signed_by) == 2
