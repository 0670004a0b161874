"""Where verification keys come from: a file read at the start, or the issuer's JWKS address."""

import asyncio
import hashlib
import logging
import time
from pathlib import Path
from typing import Final, Protocol

import aiocache
import httpx

from subgraph import outbound
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.verification_keys import (
    KeySet,
    UnreadableKeySet,
    VerificationKey,
    read_key_file,
    read_key_set,
)

STALE_REFRESHES: Final = 12
"""An unreachable issuer's keys are trusted for this many times the refresh age, and no longer."""

_DEADLINE_SECONDS: Final = 3.0
_MAX_BYTES: Final = 262_144

_FAILURES: Final = (
    TimeoutError,
    httpx.HTTPError,
    outbound.ResponseTooLarge,
    UnreadableKeySet,
)

logger = logging.getLogger(__name__)


class KeySource(Protocol):
    """Finds the key that a token names.

    It MUST raise `SubgraphError(KEY_SET_UNAVAILABLE)` when it has no keys that may be trusted,
    and MUST NOT let callers with made-up key ids cause more than a bounded number of calls.
    """

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for a token's header, or None if there is none."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...


class KeyFile:
    """The keys of a local file, fixed for the life of the process."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises `SubgraphError(SETTINGS_INVALID)` if it holds no usable key."""
        try:
            self._keys = read_key_file(path.read_bytes())
        except OSError as error:
            reason = error.strerror or "cannot be read"
        except UnreadableKeySet as error:
            reason = str(error)
        else:
            return
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, f"IG_JWT_PUBLIC_KEY_FILE: {reason}")

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for a token's header, or None if there is none."""
        return self._keys.find(key_id, algorithm)

    async def aclose(self) -> None:
        """Nothing to give back."""


class KeySetEndpoint:
    """The key set at the issuer's address.

    It is fetched again, by one call at a time, when it is `refresh_seconds` old, and when a token
    names an unknown key; calls keep `pause_seconds` between them, failed ones too. While they
    fail the old keys serve, up to `STALE_REFRESHES` refresh ages. Processes share the fetched
    text through `cache`.
    """

    def __init__(
        self,
        url: str,
        *,
        refresh_seconds: float,
        cache: aiocache.BaseCache,
        pause_seconds: float = 5.0,
    ) -> None:
        self._url = url
        self._refresh_seconds = refresh_seconds
        self._pause_seconds = pause_seconds
        self._cache = cache
        self._cache_key = "jwks:" + hashlib.sha256(url.encode()).hexdigest()
        self._client = outbound.client(_DEADLINE_SECONDS, connections=1)
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._last_call = -pause_seconds
        self._refresh: asyncio.Task[KeySet | None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for a token's header, or None if there is none."""
        keys = self._keys
        age = time.monotonic() - self._fetched_at
        if keys is None or age >= self._refresh_seconds * STALE_REFRESHES:
            keys = await self._renewed()
        elif age >= self._refresh_seconds:
            self._start_refresh()
        key = keys.find(key_id, algorithm)
        if key is None and (refresh := self._start_refresh(unknown_key=True)) is not None:
            renewed = await asyncio.shield(refresh)
            key = renewed.find(key_id, algorithm) if renewed is not None else None
        return key

    async def aclose(self) -> None:
        """Stop a refresh under way and close the connection."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])
        await self._client.aclose()

    async def _renewed(self) -> KeySet:
        refresh = self._start_refresh()
        keys = await asyncio.shield(refresh) if refresh is not None else None
        if keys is None:
            raise SubgraphError(ErrorCode.KEY_SET_UNAVAILABLE)
        return keys

    def _start_refresh(self, *, unknown_key: bool = False) -> asyncio.Task[KeySet | None] | None:
        """Return the refresh under way, a new one, or None while the pause lasts."""
        if self._refresh is not None and not self._refresh.done():
            return self._refresh
        now = time.monotonic()
        if now - self._last_call < self._pause_seconds:
            return None
        self._last_call = now
        self._refresh = asyncio.create_task(self._load(from_cache=not unknown_key))
        return self._refresh

    async def _load(self, *, from_cache: bool) -> KeySet | None:
        stored = await self._cache.get(self._cache_key) if from_cache else None
        text, fetched_at = stored if stored is not None else (b"", 0.0)
        outdated = time.time() - fetched_at >= self._refresh_seconds
        try:
            if outdated:
                text, fetched_at = await self._fetch(), time.time()
            keys = read_key_set(text)
        except _FAILURES as error:
            logger.warning("the key set cannot be fetched: %s", type(error).__name__)
            return None
        if outdated:
            await self._cache.set(self._cache_key, (text, fetched_at), ttl=self._refresh_seconds)
        self._keys = keys
        self._fetched_at = time.monotonic() - max(0.0, time.time() - fetched_at)
        return keys

    async def _fetch(self) -> bytes:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            async with self._client.stream("GET", self._url) as response:
                if response.status_code != httpx.codes.OK:
                    raise UnreadableKeySet(f"status {response.status_code}")
                return await outbound.read_bounded(response, _MAX_BYTES)
