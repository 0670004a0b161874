"""The issuer's key set: fetched rarely, shared, and trusted for a bounded time."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiocache
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.keys import STALE_REFRESHES, KeySetEndpoint


def key_set(*key_ids: str) -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(public))
    return json.dumps({"keys": [{**entry, "kid": key_id} for key_id in key_ids]}).encode()


@dataclass
class Issuer:
    """An identity provider's JWKS address."""

    body: bytes = key_set("a")
    status: int = 200
    headers: str = ""
    held: asyncio.Event | None = None
    calls: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.calls += 1
                if self.held is not None:
                    await self.held.wait()
                head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\n"
                writer.write(f"{head}{self.headers}\r\n".encode() + self.body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.port = server.sockets[0].getsockname()[1]
    yield issuer
    if issuer.held is not None:
        issuer.held.set()
    server.close()


class Clock:
    """Both clocks of `time`, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("subgraph.http.keys.time", clock)
    return clock


@pytest.fixture
async def endpoint(issuer: Issuer, clock: Clock) -> AsyncIterator[KeySetEndpoint]:
    endpoint = at(issuer.url)
    yield endpoint
    await endpoint.aclose()


def at(url: str, cache: aiocache.BaseCache | None = None) -> KeySetEndpoint:
    return KeySetEndpoint(
        url,
        refresh_seconds=300,
        cache=cache or aiocache.SimpleMemoryCache(),
        pause_seconds=5,
    )


async def knows(endpoint: KeySetEndpoint, key_id: str) -> bool:
    return await endpoint.find(key_id, "ES256") is not None


async def settled(endpoint: KeySetEndpoint) -> None:
    while endpoint._refresh is not None and not endpoint._refresh.done():
        await asyncio.sleep(0.001)


async def test_tokens_that_arrive_together_cause_one_call(
    endpoint: KeySetEndpoint, issuer: Issuer
) -> None:
    assert all(await asyncio.gather(*(knows(endpoint, "a") for _ in range(50))))
    assert issuer.calls == 1


async def test_young_key_set_is_not_fetched_again(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    clock.now += 299
    await knows(endpoint, "a")
    assert issuer.calls == 1


async def test_aged_key_set_serves_while_it_is_fetched_again(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    clock.now += 301
    issuer.held, issuer.body = asyncio.Event(), key_set("b")
    assert await knows(endpoint, "a")
    issuer.held.set()
    await settled(endpoint)
    assert (await knows(endpoint, "a"), await knows(endpoint, "b")) == (False, True)


async def test_unknown_key_is_looked_for_once(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    clock.now += 6
    issuer.body = key_set("a", "b")
    assert await knows(endpoint, "b")
    assert issuer.calls == 2


async def test_made_up_key_ids_do_not_hammer_the_issuer(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    clock.now += 6
    for number in range(100):
        assert not await knows(endpoint, f"made-up-{number}")
    assert issuer.calls == 2


async def test_old_keys_serve_while_the_issuer_fails(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    issuer.status = 500
    clock.now += 300 * STALE_REFRESHES - 1
    assert await knows(endpoint, "a")


async def test_old_keys_serve_no_longer_than_the_bound(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    issuer.status = 500
    clock.now += 300 * STALE_REFRESHES
    with pytest.raises(SubgraphError) as refused:
        await knows(endpoint, "a")
    assert refused.value.code is ErrorCode.KEY_SET_UNAVAILABLE


async def test_failing_refreshes_do_not_extend_the_bound(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    issuer.status = 500
    for _ in range(STALE_REFRESHES - 1):
        clock.now += 300
        await knows(endpoint, "a")
        await settled(endpoint)
    clock.now += 300
    with pytest.raises(SubgraphError):
        await knows(endpoint, "a")


async def test_failed_calls_keep_a_pause_too(endpoint: KeySetEndpoint, issuer: Issuer) -> None:
    issuer.status = 500
    for _ in range(20):
        with pytest.raises(SubgraphError):
            await knows(endpoint, "a")
    assert issuer.calls == 1


async def test_issuer_that_comes_back_is_trusted_again(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    issuer.status = 500
    with pytest.raises(SubgraphError):
        await knows(endpoint, "a")
    issuer.status = 200
    clock.now += 6
    assert await knows(endpoint, "a")


async def test_issuer_that_hangs_is_given_up(
    endpoint: KeySetEndpoint, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.http.keys._DEADLINE_SECONDS", 0.02)
    issuer.held = asyncio.Event()
    with pytest.raises(SubgraphError) as refused:
        await knows(endpoint, "a")
    assert refused.value.code is ErrorCode.KEY_SET_UNAVAILABLE


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 302, "headers": "location: http://127.0.0.1:1/\r\n"},
        {"status": 404},
        {"body": b"<html>"},
        {"body": b'{"keys": 1}'},
        {"body": b'{"keys": [' + b" " * 300_000 + b"]}"},
        {"headers": "content-encoding: gzip\r\n"},
    ],
    ids=["redirect", "not found", "no JSON", "no set", "too large", "compressed"],
)
async def test_answer_that_is_no_key_set_is_a_failure(
    endpoint: KeySetEndpoint, issuer: Issuer, fault: dict[str, object]
) -> None:
    for name, value in fault.items():
        setattr(issuer, name, value)
    with pytest.raises(SubgraphError) as refused:
        await knows(endpoint, "a")
    assert refused.value.code is ErrorCode.KEY_SET_UNAVAILABLE


async def test_unreachable_issuer_is_a_failure(unused_tcp_port: int) -> None:
    endpoint = at(f"http://127.0.0.1:{unused_tcp_port}/jwks")
    with pytest.raises(SubgraphError) as refused:
        await knows(endpoint, "a")
    assert refused.value.code is ErrorCode.KEY_SET_UNAVAILABLE
    await endpoint.aclose()


async def test_set_that_was_emptied_is_believed(
    endpoint: KeySetEndpoint, issuer: Issuer, clock: Clock
) -> None:
    await knows(endpoint, "a")
    issuer.body = b'{"keys": []}'
    clock.now += 301
    await knows(endpoint, "a")
    await settled(endpoint)
    assert not await knows(endpoint, "a")


async def test_processes_share_the_fetched_set(issuer: Issuer, clock: Clock) -> None:
    cache = aiocache.SimpleMemoryCache()
    first, second = at(issuer.url, cache), at(issuer.url, cache)
    assert (await knows(first, "a"), await knows(second, "a")) == (True, True)
    assert issuer.calls == 1
    await first.aclose()
    await second.aclose()


async def test_shared_set_is_as_old_as_its_fetch(issuer: Issuer, clock: Clock) -> None:
    cache = aiocache.SimpleMemoryCache()
    first, second = at(issuer.url, cache), at(issuer.url, cache)
    await knows(first, "a")
    clock.now += 299
    await knows(second, "a")
    issuer.status = 500
    clock.now += 300 * STALE_REFRESHES - 299
    with pytest.raises(SubgraphError):
        await knows(second, "a")
    await first.aclose()
    await second.aclose()


async def test_caller_that_goes_away_does_not_stop_the_fetch_for_others(
    endpoint: KeySetEndpoint, issuer: Issuer
) -> None:
    issuer.held = asyncio.Event()
    gone, waiting = (asyncio.create_task(knows(endpoint, "a")) for _ in range(2))
    while not issuer.calls:
        await asyncio.sleep(0.001)
    gone.cancel()
    issuer.held.set()
    assert await waiting
    assert issuer.calls == 1


async def test_closing_stops_a_fetch_under_way(issuer: Issuer) -> None:
    issuer.held = asyncio.Event()
    endpoint = at(issuer.url)
    waiting = asyncio.create_task(knows(endpoint, "a"))
    while not issuer.calls:
        await asyncio.sleep(0.001)
    await endpoint.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
