"""Calls to other services: short, bounded, and never led elsewhere."""

import ipaddress
from typing import Final

import httpx

_CHUNK: Final = 65_536


class ResponseTooLarge(Exception):
    """The response exceeds its limit, or is compressed, which hides its size."""


def client(deadline_seconds: float, connections: int) -> httpx.AsyncClient:
    """Return a client that follows no redirect and takes no proxy or credential from the machine.

    `deadline_seconds` bounds each step of a call; the caller bounds the whole of it.
    """
    return httpx.AsyncClient(
        timeout=deadline_seconds,
        limits=httpx.Limits(max_connections=connections),
        follow_redirects=False,
        trust_env=False,
        headers={"accept": "application/json", "accept-encoding": "identity"},
    )


async def read_bounded(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a streamed response; raises `ResponseTooLarge` past `limit` bytes."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ResponseTooLarge
    body = bytearray()
    async for chunk in response.aiter_raw(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise ResponseTooLarge
    return bytes(body)


def is_web_address(url: str) -> bool:
    """Whether `url` is an http or https address with a host."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)


def is_protected(url: str) -> bool:
    """Whether nobody on the way can change what `url` answers: https, or this very machine."""
    parsed = httpx.URL(url)
    return parsed.scheme == "https" or _is_loopback(parsed.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
