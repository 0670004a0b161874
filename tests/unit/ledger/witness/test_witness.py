"""`ig witness` as a process: the rules of c2sp.org/tlog-witness."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from subgraph.ledger.cosignature import cosigned_at
from subgraph.ledger.note import Checkpoint, open_note, read_note
from tests.unit.ledger.witness.logs import (
    BELOW,
    LOG,
    ORIGIN,
    OTHER,
    Log,
    WitnessProcess,
    add,
    submit,
)

pytestmark = pytest.mark.xdist_group("witness")


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
