"""A remote OPA: same answers as in process, and closed whenever it does not answer."""

import asyncio

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.policy.model import Decision, PolicyDecisionPoint, PolicyRequest, Principal
from subgraph.policy.service import build
from subgraph.settings import Settings

VIEWER = Principal("viewer", "acme", frozenset({"datasets:read"}))
REQUEST = PolicyRequest(VIEWER, "datasets:read", ("acme",))


def remote(url: str, *, deadline_ms: int = 5_000, seconds: int = 30) -> PolicyDecisionPoint:
    return build(Settings(opa_url=url, opa_deadline_ms=deadline_ms, policy_cache_seconds=seconds))


async def refusal(decisions: PolicyDecisionPoint) -> ErrorCode:
    with pytest.raises(SubgraphError) as refused:
        await decisions.decide(REQUEST)
    await decisions.aclose()
    return refused.value.code


async def test_decision_follows_the_table(opa, case) -> None:
    decisions = remote(opa.url)
    tenants = frozenset(case.request.tenants) if case.allowed else frozenset()
    assert await decisions.decide(case.request) == Decision(allowed=case.allowed, tenants=tenants)
    await decisions.aclose()


async def test_all_tenants_are_asked_about_in_one_call(opa) -> None:
    decisions = remote(opa.url)
    tenants = tuple(f"t{number}" for number in range(50))
    platform = Principal("p", None, frozenset({"platform:*"}))
    assert (await decisions.decide(PolicyRequest(platform, "authenticated", tenants))).allowed
    assert len(opa.inputs) == 1
    await decisions.aclose()


async def test_call_past_the_deadline_fails_closed(opa) -> None:
    opa.held = asyncio.Event()
    assert await refusal(remote(opa.url, deadline_ms=20)) is ErrorCode.POLICY_UNAVAILABLE


async def test_refused_connection_fails_closed(unused_tcp_port: int) -> None:
    decisions = remote(f"http://127.0.0.1:{unused_tcp_port}/v1/data/d")
    assert await refusal(decisions) is ErrorCode.POLICY_UNAVAILABLE


@pytest.mark.parametrize("status", [201, 204, 302, 400, 404, 500, 503])
async def test_any_status_but_200_fails_closed(opa, status: int) -> None:
    opa.status = status
    opa.headers = f"location: {opa.url}\r\n"
    opa.answer = b"" if status == 204 else b'{"result": {"allowed": true, "tenants": ["acme"]}}'
    assert await refusal(remote(opa.url)) is ErrorCode.POLICY_UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"yes",
        b"true",
        b"[]",
        b"null",
        b'{"result": true}',
        b'{"result": {"allowed": true, "tenants": ["acme"]}',
        b'{"result": {"allowed": true, "tenants": ["other"]}}',
        b'\xff{"result": null}',
        b'{"result": "' + b"x" * 2_000_000 + b'"}',
    ],
    ids=lambda answer: repr(answer[:40]),
)
async def test_malformed_answer_fails_closed(opa, answer: bytes) -> None:
    opa.answer = answer
    assert await refusal(remote(opa.url)) is ErrorCode.POLICY_UNAVAILABLE


async def test_compressed_answer_fails_closed(opa) -> None:
    opa.headers = "content-encoding: gzip\r\n"
    assert await refusal(remote(opa.url)) is ErrorCode.POLICY_UNAVAILABLE


@pytest.mark.parametrize("answer", [b"{}", b'{"result": null}', b'{"decision_id": "1"}'])
async def test_undefined_result_denies(opa, answer: bytes) -> None:
    opa.answer = answer
    decisions = remote(opa.url)
    assert not (await decisions.decide(REQUEST)).allowed
    await decisions.aclose()


async def test_failure_is_not_remembered(opa) -> None:
    decisions = remote(opa.url)
    opa.status = 500
    with pytest.raises(SubgraphError):
        await decisions.decide(REQUEST)
    opa.status = 200
    assert (await decisions.decide(REQUEST)).allowed
    await decisions.aclose()


async def test_remembered_decision_outlives_the_server(opa) -> None:
    decisions = remote(opa.url)
    await decisions.decide(REQUEST)
    opa.status = 500
    assert (await decisions.decide(REQUEST)).allowed
    await decisions.aclose()


async def test_observed_bundle_revision_is_the_epoch(opa) -> None:
    decisions = remote(opa.url)
    await decisions.decide(REQUEST)
    before = decisions.epoch
    opa.revision = "r2"
    await decisions.decide(PolicyRequest(VIEWER, "authenticated", ("acme",)))
    assert decisions.epoch != before
    await decisions.decide(REQUEST)
    assert len(opa.inputs) == 3
    await decisions.aclose()


async def test_calls_at_once_are_bounded(opa) -> None:
    opa.held = asyncio.Event()
    decisions = remote(opa.url)
    requests = [PolicyRequest(VIEWER, f"scope:{number}", ("acme",)) for number in range(100)]
    running = [asyncio.create_task(decisions.decide(request)) for request in requests]
    while len(opa.inputs) < 32:
        await asyncio.sleep(0.001)
    opa.held.set()
    await asyncio.gather(*running)
    assert opa.most_at_once == 32
    await decisions.aclose()
