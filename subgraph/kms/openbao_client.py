"""The HTTP interface of OpenBao's and Vault's transit engine: addresses, the token, and answers.

Source: https://openbao.org/api-docs/secret/transit/; the texts of errors are those of the
server's `builtin/logical/transit` and `sdk/helper/keysutil`.
"""

import functools
import json
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx

from subgraph import outbound
from subgraph.errors import SubgraphError
from subgraph.kms.calls import BoundedCalls, calls_to
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.kms.private_file import read_private

_SCHEME: Final = "openbao:"
_SEGMENT: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_ADDRESS: Final = re.compile(rf"({_SEGMENT}(?:/{_SEGMENT}){{0,4}})/({_SEGMENT})")
_TOKEN: Final = re.compile(rb"[\x21-\x7e]{1,4096}")
_MOST_BYTES: Final = 1 << 20
_QUOTED: Final = 200
_TEXTS: Final = (
    ("soft-deleted key", KeyFault.KEY_DISABLED),
    ("disallowed by policy (too old)", KeyFault.KEY_DISABLED),
    ("key not found", KeyFault.KEY_NOT_FOUND),
    ("message authentication failed", KeyFault.INTEGRITY),
    ("invalid ciphertext", KeyFault.INTEGRITY),
)
_STATUSES: Final[dict[int, KeyFault]] = {
    httpx.codes.BAD_REQUEST: KeyFault.CONFIG,
    httpx.codes.UNAUTHORIZED: KeyFault.ACCESS_DENIED,
    httpx.codes.FORBIDDEN: KeyFault.ACCESS_DENIED,
    httpx.codes.NOT_FOUND: KeyFault.KEY_NOT_FOUND,
}


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key of a transit engine: where the engine is mounted, and the key's name there."""

    mount: str
    name: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read `openbao:MOUNT/KEY`; raises `KeyProviderError` with CONFIG for anything else."""
        found = _ADDRESS.fullmatch(uri.removeprefix(_SCHEME)) if uri.startswith(_SCHEME) else None
        if found is None:
            raise KeyProviderError(KeyFault.CONFIG, "a key in OpenBao is named openbao:MOUNT/KEY")
        return cls(found[1], found[2])


class OpenBaoClient:
    """Asks one server, with the operator's token; every call is bounded in time and size."""

    def __init__(self, url: httpx.URL, token_file: Path, calls: BoundedCalls) -> None:
        self._url = url
        self._token = _TokenFile(token_file)
        self._calls = calls
        self._client: httpx.AsyncClient | None = httpx.AsyncClient(
            # Each step may take as long as the whole call, which is bounded by `calls`.
            timeout=None,  # noqa: S113
            verify=_system_authorities(),
            follow_redirects=False,
            trust_env=False,
            headers={"accept": "application/json", "accept-encoding": "identity"},
        )

    @classmethod
    def open(cls, options: KmsOptions, use: str) -> Self:
        """Return a client; clients with another `use` have slots of their own.

        Raises `KeyProviderError` with CONFIG when the operator has named no server or no token,
        or an address on whose way others could read along.
        """
        if options.openbao_url is None or options.openbao_token_file is None:
            raise KeyProviderError(KeyFault.CONFIG, "this deployment reaches no OpenBao")
        url = options.openbao_url
        if not outbound.is_web_address(url) or not outbound.is_protected(url):
            raise KeyProviderError(KeyFault.CONFIG, "the address of OpenBao must begin with https:")
        endpoint = f"OPENBAO/{httpx.URL(url).netloc.decode()}/{use}"
        return cls(httpx.URL(url), options.openbao_token_file, calls_to(endpoint, options))

    async def get(self, path: str) -> dict[str, Any]:
        """Return `data` of what is at `/v1/<path>`; raises `KeyProviderError`."""
        return await self._calls.run(lambda: self._ask("GET", path, None))

    async def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """Return `data` of the answer, empty if there is none; raises `KeyProviderError`."""
        return await self._calls.run(lambda: self._ask("POST", path, body))

    async def close(self) -> None:
        """Close the connections; later calls raise UNAVAILABLE."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        if self._client is None:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        request = self._client.build_request(
            method,
            self._url.copy_with(path=f"{self._url.path.rstrip('/')}/v1/{path}"),
            json=body,
            headers={"x-vault-token": self._token.read()},
        )
        try:
            response = await self._client.send(request, stream=True)
            try:
                content = await outbound.read_bounded(response, _MOST_BYTES)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise _unclear(type(error).__name__) from None
        except outbound.ResponseTooLarge:
            raise _unclear("a response without end") from None
        except RuntimeError:
            # What httpx says when the client was closed under the call.
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back") from None
        return _data(response.status_code, content)


class _TokenFile:
    """The token in a file, read again when the file is another one than before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def read(self) -> str:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - as is, for the message below
            now = (status.st_mtime_ns, status.st_ino, status.st_size)
            if now != self._seen:
                self._token, self._seen = self._parsed(), now
        except SubgraphError as error:
            raise KeyProviderError(KeyFault.CONFIG, error.message) from None
        except OSError as error:
            message = f"{self._path}: {error.strerror or 'it cannot be read'}"
            raise KeyProviderError(KeyFault.CONFIG, message) from None
        return self._token

    def _parsed(self) -> str:
        token = read_private(self._path).strip()
        if _TOKEN.fullmatch(token) is None:
            raise KeyProviderError(KeyFault.CONFIG, f"{self._path} holds no token")
        return token.decode("ascii")


@functools.cache
def _system_authorities() -> ssl.SSLContext:
    return ssl.create_default_context()


def _data(status: int, content: bytes) -> dict[str, Any]:
    if status == httpx.codes.NO_CONTENT:
        return {}
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise KeyProviderError(KeyFault.THROTTLED)
    answer = _object(content)
    if status == httpx.codes.OK and answer is not None:
        data = answer.get("data")
        return data if isinstance(data, dict) else {}
    errors = None if answer is None else answer.get("errors")
    if not isinstance(errors, list):
        # A proxy on the way says 403 and 404 too, and knows nothing of the key.
        raise _unclear(f"HTTP status {status} without a reason")
    raise _error(status, " ".join(str(error) for error in errors))


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _error(status: int, said: str) -> KeyProviderError:
    for text, fault in _TEXTS:
        if text in said:
            return KeyProviderError(fault)
    if status not in _STATUSES:
        return _unclear(f"HTTP status {status}")
    if _STATUSES[status] is not KeyFault.CONFIG:
        return KeyProviderError(_STATUSES[status])
    printable = "".join(letter for letter in said if letter.isprintable())[:_QUOTED]
    return KeyProviderError(KeyFault.CONFIG, f"OpenBao refuses the call: {printable}")


def _unclear(what: str) -> KeyProviderError:
    return KeyProviderError(KeyFault.UNAVAILABLE, f"OpenBao did not answer as it should: {what}")
