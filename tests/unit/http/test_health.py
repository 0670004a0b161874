"""The pages for the platform."""

import asyncio

import pytest

from subgraph.http import health


async def answer(site, path: str, method: str = "GET"):
    return await site.client.request(method, path)


async def test_live_process_says_so(site) -> None:
    assert (await answer(site, "/healthz")).json() == {"status": "ok"}


async def test_ready_when_all_checks_are(site) -> None:
    response = await answer(site, "/readyz")
    assert (response.status_code, response.json()["checks"]) == (200, {"database": "ok"})


async def test_not_ready_while_one_check_is_not(serve) -> None:
    async def checks() -> dict[str, str]:
        return {"database": "DATABASE_UNAVAILABLE", "policy": "ok"}

    response = await answer(serve(readiness=checks), "/readyz")
    assert (response.status_code, response.json()["checks"]) == (503, await checks())


async def test_reason_is_a_code_and_no_more(serve) -> None:
    async def checks() -> dict[str, str]:
        return {"database": "could not connect to 10.0.0.7 as ig_service"}

    response = await answer(serve(readiness=checks), "/readyz")
    assert response.json()["checks"] == {"database": "INTERNAL_ERROR"}


async def test_failing_check_is_not_ready(serve) -> None:
    async def checks() -> dict[str, str]:
        raise OSError("10.0.0.7")

    response = await answer(serve(readiness=checks), "/readyz")
    assert (response.status_code, "10.0.0.7" in response.text) == (503, False)


async def test_hanging_check_is_not_ready() -> None:
    async def checks() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    response = await health.readyz(checks, 0.01)(None)
    assert response.status_code == 503


async def test_liveness_does_not_ask_the_checks(serve) -> None:
    async def checks() -> dict[str, str]:
        raise OSError

    assert (await answer(serve(readiness=checks), "/healthz")).status_code == 200


async def test_metrics_keep_their_content_type(site) -> None:
    response = await answer(site, "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_answered(site, path: str) -> None:
    response = await answer(site, path, "HEAD")
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_nothing_can_be_posted(site, path: str) -> None:
    response = await answer(site, path, "POST")
    allowed = set(response.headers["allow"].split(", "))
    assert (response.status_code, allowed) == (405, {"GET", "HEAD"})
