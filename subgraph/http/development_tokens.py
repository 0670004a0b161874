"""Tokens for development, signed with a key that lies in the data folder.

Whoever reads that folder can be anyone. This issuer stands in for an identity provider on a
developer's machine, warns, and refuses to work in production mode.
"""

import base64
import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.claims import UnusableClaims, read_principal
from subgraph.settings import Settings

WARNING: Final = (
    "WARNING: this is a development token, signed with a key that lies in the data folder. "
    "Whoever reads that folder can be anyone. Never let a deployment trust this key."
)
MAX_LIFETIME: Final = timedelta(days=30)

_FOLDER: Final = "development-tokens"
_PRIVATE_FILE: Final = "private.pem"
_KEY_SET_FILE: Final = "jwks.json"


@dataclass(frozen=True, slots=True)
class DevelopmentKey:
    """The P-256 key of development tokens, and the file that holds its public part as a JWKS."""

    key_id: str
    private_key: ec.EllipticCurvePrivateKey
    key_set_file: Path


def load_or_create(settings: Settings) -> DevelopmentKey:
    """Return the key of the data folder, made on first use; processes that race get the same one.

    Raises `SubgraphError`: SETTINGS_INVALID in production mode, DATA_FOLDER_UNUSABLE if the key
    cannot be written or read, or if other accounts could read it.
    """
    if settings.production:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, "development tokens are refused in production mode"
        )
    folder = settings.data_path / _FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private_key = _load_or_create_private(folder / _PRIVATE_FILE)
        jwk = _public_jwk(private_key)
        _write(folder / _KEY_SET_FILE, orjson.dumps({"keys": [jwk]}), mode=0o644)
    except OSError as error:
        raise SubgraphError(
            ErrorCode.DATA_FOLDER_UNUSABLE, f"{folder}: {error.strerror or 'cannot be used'}"
        ) from error
    return DevelopmentKey(jwk["kid"], private_key, folder / _KEY_SET_FILE)


def mint(
    key: DevelopmentKey,
    *,
    subject: str,
    tenant: str | None,
    scopes: Iterable[str],
    lifetime: timedelta,
    audience: str,
    issuer: str | None = None,
    client_name: str | None = None,
) -> str:
    """Return a signed token (JWS compact form, ES256) that is valid from now on for `lifetime`.

    Raises `SubgraphError(INVALID_INPUT)` for a lifetime under a second or over 30 days, and for
    names that the service would not accept in a token.
    """
    if not timedelta(seconds=1) <= lifetime <= MAX_LIFETIME:
        raise SubgraphError(
            ErrorCode.INVALID_INPUT, "the lifetime must be between one second and 30 days"
        )
    now = int(time.time())
    claims: dict[str, object] = {
        "sub": subject,
        "scope": " ".join(sorted(set(scopes))),
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + int(lifetime.total_seconds()),
        "jti": str(uuid.uuid4()),
    }
    optional = {"tenant": tenant, "iss": issuer, "client_name": client_name}
    claims |= {name: value for name, value in optional.items() if value is not None}
    try:
        read_principal(claims)
    except UnusableClaims as error:
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"not usable in a token: {error}") from None
    return jwt.encode(claims, key.private_key, algorithm="ES256", headers={"kid": key.key_id})


def _load_or_create_private(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(path, pem, mode=0o600, replace=False)
    if path.stat().st_mode & 0o077:
        raise SubgraphError(
            ErrorCode.DATA_FOLDER_UNUSABLE,
            f"{path} can be read by other accounts: remove it, a new key is made",
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise SubgraphError(ErrorCode.DATA_FOLDER_UNUSABLE, f"{path} is not a P-256 key: remove it")
    return key


def _write(path: Path, content: bytes, *, mode: int, replace: bool = True) -> None:
    """Write the whole file or nothing; without `replace`, whoever came first wins."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replace:
            Path(temporary).replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink(missing_ok=True)


def _public_jwk(private_key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = private_key.public_key().public_numbers()
    required = {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64url(numbers.x.to_bytes(32, "big")),
        "y": _base64url(numbers.y.to_bytes(32, "big")),
    }
    # The key id is the thumbprint of RFC 7638: the required members in lexical order.
    thumbprint = hashlib.sha256(orjson.dumps(required, option=orjson.OPT_SORT_KEYS)).digest()
    return {**required, "kid": _base64url(thumbprint), "use": "sig", "alg": "ES256"}


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
