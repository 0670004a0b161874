"""Bounded calls: deadlines, slots, and providers that take nothing from each other."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from subgraph.kms.calls import BoundedCalls, CallThreads, calls_to, threads_for
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions

OPTIONS = KmsOptions(production=False, seconds=0.05, concurrency=2, local_keys=Path("/none"))
PATIENT = 60.0


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Jobs that wait for it are under way until the test ends."""
    event = threading.Event()
    yield event
    event.set()


async def never() -> None:
    await asyncio.Event().wait()


async def answer() -> str:
    return "answer"


async def refusal(call: "asyncio.Task[object]") -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await call
    return caught.value


async def test_a_call_that_hangs_is_unavailable_after_its_deadline() -> None:
    error = await refusal(asyncio.create_task(BoundedCalls("bao", 2, 0.01).run(never)))
    assert error.fault is KeyFault.UNAVAILABLE
    assert error.message == "bao did not answer within 0.01 s"


async def test_a_timeout_of_the_library_is_unavailable_too() -> None:
    async def give_up() -> None:
        raise TimeoutError

    error = await refusal(asyncio.create_task(BoundedCalls("bao", 2, PATIENT).run(give_up)))
    assert error.fault is KeyFault.UNAVAILABLE


async def test_what_a_call_raises_is_passed_on() -> None:
    async def fail() -> None:
        raise LookupError("as it was")

    with pytest.raises(LookupError, match="as it was"):
        await BoundedCalls("bao", 2, PATIENT).run(fail)


async def test_the_wait_for_a_slot_counts_into_the_deadline() -> None:
    calls = BoundedCalls("bao", 1, 0.05)
    holding = asyncio.create_task(calls.run(never))
    await asyncio.sleep(0)
    error = await refusal(asyncio.create_task(calls.run(answer)))
    assert error.fault is KeyFault.UNAVAILABLE and "all 1 calls" in error.message
    await refusal(holding)
    assert await calls.run(answer) == "answer"


async def test_no_more_calls_are_under_way_than_allowed() -> None:
    calls, under_way, most = BoundedCalls("bao", 3, PATIENT), 0, 0

    async def count() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await asyncio.gather(*(calls.run(count) for _ in range(50)))
    assert most == 3


async def test_calls_that_fail_or_are_cancelled_give_their_slot_back() -> None:
    calls = BoundedCalls("bao", 2, PATIENT)
    tasks = [asyncio.create_task(calls.run(never)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await asyncio.gather(*(calls.run(answer) for _ in range(4))) == ["answer"] * 4


async def test_calls_beyond_the_backlog_are_refused_at_once() -> None:
    calls = BoundedCalls("bao", 1, PATIENT)
    tasks = [asyncio.create_task(calls.run(never)) for _ in range(257)]
    await asyncio.sleep(0)
    error = await refusal(asyncio.create_task(calls.run(answer)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert error.fault is KeyFault.UNAVAILABLE and "keep up" in error.message


async def test_one_endpoint_that_hangs_takes_no_slot_from_another() -> None:
    options = replace(OPTIONS, seconds=PATIENT)
    stuck, well = calls_to("AWS_KMS/1/eu-west-1", options), calls_to("AWS_KMS/2/eu-west-1", options)
    holding = [asyncio.create_task(stuck.run(never)) for _ in range(20)]
    await asyncio.sleep(0)
    assert await asyncio.gather(*(well.run(answer) for _ in range(20))) == ["answer"] * 20
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)


async def test_an_endpoint_has_one_limit_whoever_calls() -> None:
    assert calls_to("AWS_KMS/3/eu-west-1", OPTIONS) is calls_to("AWS_KMS/3/eu-west-1", OPTIONS)
    assert threads_for("AWS_KMS/3/eu-west-1", OPTIONS) is threads_for(
        "AWS_KMS/3/eu-west-1", OPTIONS
    )


async def test_jobs_run_beside_the_event_loop() -> None:
    threads = CallThreads("aws", 2)
    names = await asyncio.gather(*(threads.run(threading.get_ident, PATIENT) for _ in range(20)))
    assert threading.get_ident() not in names and len(set(names)) <= 2


async def test_a_single_thread_does_jobs_in_order() -> None:
    threads, order = CallThreads("hsm", 1), list[int]()

    def append(number: int) -> None:
        order.append(number)

    await asyncio.gather(
        *(threads.run(lambda number=number: append(number), PATIENT) for number in range(50))
    )
    assert order == list(range(50))


async def test_what_a_job_raises_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        await CallThreads("aws", 1).run(lambda: 1 // 0, PATIENT)


async def test_a_job_that_hangs_is_unavailable_after_its_deadline(stuck: threading.Event) -> None:
    error = await refusal(asyncio.create_task(CallThreads("aws", 2).run(stuck.wait, 0.01)))
    assert error.fault is KeyFault.UNAVAILABLE and "0.01 s" in error.message


async def test_the_wait_for_a_thread_counts_into_the_deadline(stuck: threading.Event) -> None:
    threads = CallThreads("aws", 1)
    await refusal(asyncio.create_task(threads.run(stuck.wait, 0.01)))
    error = await refusal(asyncio.create_task(threads.run(lambda: "answer", 0.01)))
    assert error.fault is KeyFault.UNAVAILABLE and "all 1 calls" in error.message
    stuck.set()
    assert await threads.run(lambda: "answer", PATIENT) == "answer"


async def test_one_endpoint_that_hangs_takes_no_thread_from_another(stuck: threading.Event) -> None:
    held, well = threads_for("AWS_KMS/4/eu-west-1", OPTIONS), threads_for("AWS_KMS/5/x", OPTIONS)
    waiting = [asyncio.create_task(held.run(stuck.wait, PATIENT)) for _ in range(20)]
    await asyncio.sleep(0)
    answers = await asyncio.gather(*(well.run(lambda: "answer", PATIENT) for _ in range(20)))
    assert answers == ["answer"] * 20
    stuck.set()
    await asyncio.gather(*waiting)


async def test_jobs_beyond_the_backlog_are_refused_at_once(stuck: threading.Event) -> None:
    threads, begun = CallThreads("aws", 1), threading.Event()
    first = asyncio.create_task(threads.run(lambda: (begun.set(), stuck.wait()), PATIENT))
    await asyncio.to_thread(begun.wait)
    waiting = [asyncio.create_task(threads.run(stuck.wait, PATIENT)) for _ in range(256)]
    await asyncio.sleep(0)
    error = await refusal(asyncio.create_task(threads.run(lambda: "answer", PATIENT)))
    stuck.set()
    await asyncio.gather(first, *waiting)
    assert error.fault is KeyFault.UNAVAILABLE and "keep up" in error.message


async def test_a_job_whose_caller_gave_up_is_not_begun(stuck: threading.Event) -> None:
    threads, begun = CallThreads("aws", 1), list[str]()
    holding = asyncio.create_task(threads.run(stuck.wait, PATIENT))
    await asyncio.sleep(0)
    given_up = asyncio.create_task(threads.run(lambda: begun.append("given up"), PATIENT))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    stuck.set()
    await holding
    await threads.run(lambda: begun.append("last"), PATIENT)
    assert begun == ["last"]


async def test_threads_end_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.kms.calls._IDLE_SECONDS", 0.0)
    threads = CallThreads("short-lived", 2)
    for _ in range(10):
        assert await threads.run(lambda: "answer", PATIENT) == "answer"
    while any(thread.name == "short-lived" for thread in threading.enumerate()):
        await asyncio.sleep(0.01)


def test_jobs_that_hang_do_not_keep_the_process_alive() -> None:
    program = (
        "import asyncio, threading\n"
        "from subgraph.kms.calls import CallThreads\n"
        "from subgraph.errors import SubgraphError\n"
        "try: asyncio.run(CallThreads('stuck', 4).run(threading.Event().wait, 0.05))\n"
        "except SubgraphError as error: print(error.code.name)\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60)
    assert said == "KEY_UNAVAILABLE\n"
