"""From the headers of a request to its caller."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiocache
import jwt

from subgraph import outbound
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import development_tokens
from subgraph.http.claims import UnusableClaims, read_label, read_principal
from subgraph.http.keys import KeyFile, KeySetEndpoint, KeySource
from subgraph.http.verification_keys import ALGORITHMS
from subgraph.policy.memo import Memo
from subgraph.policy.model import Principal
from subgraph.settings import Settings

GATEWAY_SECRET_HEADER: Final = b"x-ig-gateway-secret"
MAX_AUTHORIZATION_BYTES: Final = 8_192

_AUTHORIZATION: Final = b"authorization"
_CLIENT_NAME: Final = b"apollographql-client-name"
_CLIENT_VERSION: Final = b"apollographql-client-version"
_IDEMPOTENCY_KEY: Final = b"idempotency-key"
_READ: Final = frozenset(
    {_AUTHORIZATION, GATEWAY_SECRET_HEADER, _CLIENT_NAME, _CLIENT_VERSION, _IDEMPOTENCY_KEY}
)
_GIVEN_ONCE: Final = frozenset({_AUTHORIZATION, GATEWAY_SECRET_HEADER})
_LONGEST_IDEMPOTENCY_KEY: Final = 200
_REMEMBERED_TOKENS: Final = 10_000

_LONGEST_TOKEN_ID = 128
_BEARER = re.compile(rb"bearer +([\w-]+\.[\w-]+\.[\w-]+) *", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: `principal` is None for an anonymous one.

    `client_name` and `client_version` are what the caller says of its program, fit for metrics;
    only a name from the token is verified. `via_gateway` adds no right. `idempotency_key` is what
    the caller chose so that a repeat pays once.
    """

    principal: Principal | None
    client_name: str | None
    client_version: str | None
    via_gateway: bool
    idempotency_key: str | None = None


class Unauthenticated(SubgraphError):
    """A token was sent and does not hold. `reason` is for the operator, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED)
        self.reason = reason


class Authenticator:
    """Verifies bearer tokens (RFC 6750, RFC 7519, RFC 8725) and the gateway's secret.

    A verified token is remembered by the digest of its bytes, until it expires or for
    `token_cache_seconds`; a refused one never is.
    """

    def __init__(self, settings: Settings, keys: KeySource) -> None:
        self._keys = keys
        self._algorithms = frozenset(settings.algorithms)
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._leeway = settings.jwt_leeway_seconds
        self._remembered_seconds = settings.token_cache_seconds
        self._verified: Memo[bytes, Principal] = Memo(_REMEMBERED_TOKENS)
        self._gateway_only = settings.gateway_only
        secret = settings.gateway_secret
        self._gateway_secret = secret.encode() if secret is not None else None

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Return the caller of a request, given its headers as ASGI has them, in lower case.

        Raises `SubgraphError` with UNAUTHENTICATED for a token that does not hold,
        GATEWAY_REQUIRED for a wrong gateway secret, or none where one is demanded,
        KEY_SET_UNAVAILABLE where nobody can tell, and BAD_REQUEST for an idempotency key that is
        none.
        """
        read: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in _READ:
                if name in read and name in _GIVEN_ONCE:
                    raise Unauthenticated(f"{name.decode()} is sent twice")
                read[name] = value
        via_gateway = self._is_gateway(read.get(GATEWAY_SECRET_HEADER))
        if self._gateway_only and not via_gateway:
            raise SubgraphError(ErrorCode.GATEWAY_REQUIRED)
        authorization = read.get(_AUTHORIZATION)
        principal = None if authorization is None else await self._verify(authorization)
        client_name = principal.client_name if principal is not None else None
        if client_name is None:
            client_name = _label(read.get(_CLIENT_NAME))
        return Caller(
            principal,
            client_name,
            _label(read.get(_CLIENT_VERSION)),
            via_gateway,
            _idempotency_key(read.get(_IDEMPOTENCY_KEY)),
        )

    async def aclose(self) -> None:
        """Give back the connections of the key source."""
        await self._keys.aclose()

    def _is_gateway(self, secret: bytes | None) -> bool:
        if secret is None or self._gateway_secret is None:
            return False
        if not hmac.compare_digest(secret, self._gateway_secret):
            raise SubgraphError(ErrorCode.GATEWAY_REQUIRED, "The gateway's secret is wrong.")
        return True

    async def _verify(self, authorization: bytes) -> Principal:
        digest = hashlib.sha256(authorization).digest()
        now = time.time()
        principal = self._verified.get(digest, now)
        if principal is not None:
            return principal
        try:
            token = _token(authorization)
            claims = await self._claims(token)
            principal = replace(read_principal(claims), token_id=_token_id(token, claims))
        except jwt.PyJWTError as error:
            raise _refused(type(error).__name__) from None
        except UnusableClaims as error:
            raise _refused(f"unusable claim {error}") from None
        deadline = min(int(claims["exp"]), now + self._remembered_seconds)
        self._verified.put(digest, principal, deadline)
        return principal

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        key = await self._keys.find(key_id, algorithm)
        if key is None:
            raise jwt.InvalidKeyError
        return jwt.decode(
            token,
            key.key,
            # The allow-list and the key's own algorithms have both let this one through.
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway,
            options={"require": ["exp", "aud", "sub"]},
        )


def build(settings: Settings) -> Authenticator:
    """Return the authenticator that the settings ask for; call it where the loop runs.

    In development mode, with no key named, the key of `ig token` in the data folder is trusted,
    and made if there is none. Raises `SubgraphError(SETTINGS_INVALID)`.
    """
    unknown = sorted(set(settings.algorithms) - ALGORITHMS)
    if unknown:
        raise _invalid(f"IG_JWT_ALGORITHMS: unknown {', '.join(unknown)}")
    if settings.gateway_only and settings.gateway_secret is None:
        raise _invalid("IG_GATEWAY_ONLY needs IG_GATEWAY_SECRET")
    return Authenticator(settings, _key_source(settings))


def _key_source(settings: Settings) -> KeySource:
    url, path = settings.jwt_jwks_url, settings.jwt_public_key_file
    if url is not None and path is not None:
        raise _invalid("IG_JWT_JWKS_URL and IG_JWT_PUBLIC_KEY_FILE exclude each other")
    if path is not None:
        return KeyFile(Path(path))
    if url is None:
        logger.warning("tokens of the development key in the data folder are trusted")
        return KeyFile(development_tokens.load_or_create(settings).key_set_file)
    if not outbound.is_web_address(url) or not outbound.is_protected(url):
        raise _invalid("IG_JWT_JWKS_URL: needs https, or http on this machine")
    return KeySetEndpoint(
        url,
        refresh_seconds=settings.jwks_refresh_seconds,
        cache=aiocache.SimpleMemoryCache(),
    )


def _token(authorization: bytes) -> str:
    if len(authorization) > MAX_AUTHORIZATION_BYTES:
        raise _refused("the header is too long")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise _refused("not a bearer token")
    return match[1].decode("ascii")


def _token_id(token: str, claims: Mapping[str, Any]) -> str:
    """The token's `jti`, or a digest of the token where it has none that can be shown."""
    named = claims.get("jti")
    if isinstance(named, str) and 0 < len(named) <= _LONGEST_TOKEN_ID and named.isprintable():
        return named
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def _idempotency_key(value: bytes | None) -> str | None:
    if value is None:
        return None
    key = value.decode("latin-1")
    if not 1 <= len(key) <= _LONGEST_IDEMPOTENCY_KEY or not (key.isascii() and key.isprintable()):
        message = f"Idempotency-Key: 1 to {_LONGEST_IDEMPOTENCY_KEY} printable ASCII characters."
        raise SubgraphError(ErrorCode.BAD_REQUEST, message)
    return key


def _label(value: bytes | None) -> str | None:
    return None if value is None else read_label(value.decode("latin-1"))


def _refused(reason: str) -> Unauthenticated:
    logger.debug("token refused: %s", reason)
    return Unauthenticated(reason)


def _invalid(message: str) -> SubgraphError:
    return SubgraphError(ErrorCode.SETTINGS_INVALID, message)
