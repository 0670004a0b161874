"""Counts what providers are asked and what comes of it."""

from collections.abc import Awaitable
from typing import TypeVar

from subgraph.keys.custody.wrapping import Opener
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.contract import KeyDescription, KeyProvider, Wrap, WrapContext, WrappedKey
from subgraph.kms.faults import KeyProviderError

T = TypeVar("T")


def counting(opener: Opener, telemetry: KeyTelemetry) -> Opener:
    """An opener of the same keys, whose calls are counted."""

    async def open_counted(
        provider: KeyProvider, key_uri: str, tenant: str, *, create: bool = False
    ) -> Wrap:
        return _CountedWrap(await opener(provider, key_uri, tenant, create=create), telemetry)

    return open_counted


class _CountedWrap:
    """See `Wrap`; a call that is cancelled is not counted."""

    def __init__(self, wrap: Wrap, telemetry: KeyTelemetry) -> None:
        self._wrap = wrap
        self._telemetry = telemetry

    @property
    def provider(self) -> KeyProvider:
        return self._wrap.provider

    async def describe(self) -> KeyDescription:
        return await self._counted("describe", self._wrap.describe())

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        return await self._counted("wrap", self._wrap.wrap(key, context))

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        return await self._counted("unwrap", self._wrap.unwrap(wrapped, context))

    async def rotate(self) -> KeyDescription:
        return await self._counted("rotate", self._wrap.rotate())

    async def close(self) -> None:
        await self._wrap.close()

    async def _counted(self, operation: str, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except KeyProviderError as error:
            self._telemetry.called(operation, error.fault)
            raise
        self._telemetry.called(operation, None)
        return answer
