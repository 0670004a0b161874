"""The client of a witness: it notices restored logs, and answers that are no cosignatures."""

import os
import signal
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.note import open_note
from subgraph.ledger.witness.client import WitnessClient
from tests.unit.ledger.witness.logs import LOG, ORIGIN, Log, WitnessProcess

pytestmark = pytest.mark.xdist_group("witness")


async def refusal(client: WitnessClient, log: Log, size: int) -> SubgraphError:
    with pytest.raises(SubgraphError) as caught:
        await client.cosign(log.note(size), size, log.prover(size))
    return caught.value


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
