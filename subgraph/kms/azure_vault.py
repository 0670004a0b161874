"""Key vaults and managed HSMs of Azure over REST, and what their answers stand for.

https://learn.microsoft.com/rest/api/keyvault/keys. The requests go through the pipeline of the
SDK (`KeyClient.send_request`), which brings the challenge protocol and the tokens, and not through
its `CryptographyClient`: that one wraps by itself, with the public key where there is one and with
random bytes where there is none (oct-HSM).
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions
from subgraph.outbound import is_protected

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.keyvault.keys.aio import KeyClient

_ADDRESS: Final = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)"
    r"/keys/(?P<name>[A-Za-z0-9-]{1,127})(?:/(?P<version>[0-9a-f]{32}))?"
)
_VERSION: Final = re.compile(r"[0-9a-f]{32}")
_LABEL: Final = re.compile(r"[a-z0-9-]{1,63}")
_FAULTS: Final[dict[int, KeyFault]] = {
    HTTPStatus.BAD_REQUEST: KeyFault.CONFIG,
    HTTPStatus.UNAUTHORIZED: KeyFault.ACCESS_DENIED,
    HTTPStatus.FORBIDDEN: KeyFault.ACCESS_DENIED,
    HTTPStatus.NOT_FOUND: KeyFault.KEY_NOT_FOUND,
}
_REFUSED: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
# What the body says goes before the status: 403 stands for many things.
_CODES: Final = {
    "KeyDisabled": KeyFault.KEY_DISABLED,
    "KeyOperationForbidden": KeyFault.CONFIG,
    "KeyExpired": KeyFault.CONFIG,
    "KeyNotYetValid": KeyFault.CONFIG,
    "ObjectIsDeletedButRecoverable": KeyFault.KEY_PENDING_DELETION,
    "ObjectIsBeingDeleted": KeyFault.KEY_PENDING_DELETION,
}


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """`https://HOST/keys/NAME` or `https://HOST/keys/NAME/VERSION`; `host` may hold a port."""

    host: str
    name: str
    version: str | None

    @classmethod
    def parse(cls, uri: str, hosts: tuple[str, ...]) -> Self:
        """Read an address whose host the operator allows.

        A host is allowed that is one of `hosts` to the letter (port included), or one label below
        one of them. Raises `KeyProviderError` with CONFIG.
        """
        read = _ADDRESS.fullmatch(uri)
        if read is None:
            raise KeyProviderError(
                KeyFault.CONFIG, "a key of Azure is named https://VAULT/keys/NAME"
            )
        host = read["host"].lower()
        label, _, domain = host.partition(".")
        if host not in hosts and not (_LABEL.fullmatch(label) and domain in hosts):
            raise KeyProviderError(
                KeyFault.CONFIG, f"{host} is not among the hosts that key vaults may be at"
            )
        return cls(host, read["name"], read["version"])

    def version_in(self, kid: object) -> str:
        """The version that a key identifier names, which must be one of this key.

        Raises `KeyProviderError` with UNAVAILABLE for another key, or another version than ours.
        """
        read = _ADDRESS.fullmatch(kid) if isinstance(kid, str) else None
        if (
            read is None
            or read["version"] is None
            or (read["host"].lower(), read["name"].lower()) != (self.host, self.name.lower())
            or self.version not in (None, read["version"])
        ):
            raise KeyProviderError(
                KeyFault.UNAVAILABLE, "the vault answered for another key than it was asked"
            )
        return read["version"]


class Vault:
    """Requests to one vault, each sent once, with tokens for it."""

    def __init__(
        self, client: "KeyClient", credential: "AsyncTokenCredential", *, owned: bool
    ) -> None:
        self._client: KeyClient | None = client
        self._credential = credential
        self._owned = owned

    @classmethod
    async def open(
        cls, host: str, options: KmsOptions, credential: "AsyncTokenCredential | None"
    ) -> Self:
        """Make a client; calls nobody.

        Without a `credential` it takes the environment's (`DefaultAzureCredential`), and closes
        it in the end. Certificates are verified against those of the system, or of SSL_CERT_FILE.
        """
        # The imports take half a second, and reading the certificates is no matter of the loop.
        context = await asyncio.to_thread(_load)

        import aiohttp
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.identity.aio import DefaultAzureCredential
        from azure.keyvault.keys.aio import KeyClient

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=options.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=True,
        )
        chosen = credential or DefaultAzureCredential()
        client = KeyClient(
            f"https://{host}",
            chosen,
            transport=AioHttpTransport(session=session),
            retry_total=0,
            permit_redirects=False,
            # A challenge for another domain would have us give our token away.
            verify_challenge_resource=not is_protected(f"http://{host}"),
        )
        return cls(client, chosen, owned=credential is None)

    async def ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a request below the vault's address; return the fields of the answer.

        Raises `KeyProviderError`; ACCESS_DENIED and KEY_NOT_FOUND only when the answer is of a
        vault, and not of a proxy on the way. 400 is CONFIG.
        """
        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.core.rest import HttpRequest

        if self._client is None:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        try:
            response = await self._client.send_request(HttpRequest(method, path, json=body))
        except ClientAuthenticationError as error:
            raise _no_token(error) from error
        except (AzureError, ValueError) as error:
            raise KeyProviderError(
                KeyFault.UNAVAILABLE, f"the vault did not answer: {type(error).__name__}"
            ) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code == HTTPStatus.OK and isinstance(answer, dict):
            return answer
        raise _meaning(response.status_code, answer)

    async def close(self) -> None:
        """Close the connections; may be called again, and `ask` refuses then."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            if self._owned:
                await self._credential.close()


def encoded(content: bytes) -> str:
    """Bytes as the protocol writes them: base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decoded(value: object) -> bytes:
    """Bytes as the protocol writes them; raises `KeyProviderError` with UNAVAILABLE."""
    try:
        assert isinstance(value, str)
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (AssertionError, binascii.Error, ValueError):
        raise KeyProviderError(KeyFault.UNAVAILABLE, "the vault's answer is damaged") from None


def is_version(text: str) -> bool:
    """Whether `text` could be the version of a key; nothing else may become part of a path."""
    return _VERSION.fullmatch(text) is not None


def _load() -> Any:
    import ssl

    import azure.core.pipeline.transport
    import azure.identity.aio
    import azure.keyvault.keys.aio  # noqa: F401

    return ssl.create_default_context()


def _meaning(status: int, answer: object) -> KeyProviderError:
    codes = _error_codes(answer)
    said = " / ".join(codes) or "nothing that a vault says"
    message = f"the vault answered {status}: {said}"
    for code in reversed(codes):
        if code in _CODES:
            return KeyProviderError(_CODES[code], message, status=status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return KeyProviderError(KeyFault.THROTTLED, message, status=status)
    fault = _FAULTS.get(status, KeyFault.UNAVAILABLE) if codes else KeyFault.UNAVAILABLE
    return KeyProviderError(fault, message, status=status)


def _error_codes(answer: object) -> list[str]:
    """The codes of an error, from the outermost to the innermost; none if it is not a vault's."""
    codes = []
    error = answer.get("error") if isinstance(answer, dict) else None
    while isinstance(error, dict) and isinstance(code := error.get("code"), str):
        codes.append(code[:64])
        error = error.get("innererror") or error.get("innerError")
    return codes


def _no_token(error: Any) -> KeyProviderError:
    # Only an answer says that the credentials are refused; else nobody could be asked for a token.
    refused = error.response is not None and error.response.status_code in _REFUSED
    return KeyProviderError(
        KeyFault.ACCESS_DENIED if refused else KeyFault.UNAVAILABLE,
        "no token for Azure: "
        + ("our credentials are refused" if refused else "no credentials, or nobody to ask"),
    )
