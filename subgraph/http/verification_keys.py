"""Public keys that tokens are verified with, and which key may verify which token."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PublicKey: TypeAlias = (
    ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | rsa.RSAPublicKey
)

RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS: Final = RSA_ALGORITHMS | frozenset(EC_ALGORITHMS.values()) | {"EdDSA"}
"""Every algorithm that a deployment may allow: asymmetric ones only."""

_RSA_BITS: Final = range(2_048, 8_193)


class UnreadableKeySet(Exception):
    """The text is neither a JSON Web Key Set nor a PEM public key that can be used."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, its id if it has one, and the algorithms that it may verify."""

    key_id: str | None
    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer."""

    keys: tuple[VerificationKey, ...]

    def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """Return the one key that a token with this header may be verified with.

        A key without an id stands for every id, unless another key bears it. None where no key
        fits, and where several do: a token is not tried against one key after another.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        named = [key for key in fitting if key_id is not None and key.key_id == key_id]
        candidates = named or [key for key in fitting if key_id is None or key.key_id is None]
        return candidates[0] if len(candidates) == 1 else None


def read_key_set(text: bytes) -> KeySet:
    """Return the usable keys of a JSON Web Key Set (RFC 7517, section 5).

    Keys of unknown or symmetric types, keys for encryption and weak keys are left out, as the
    RFC asks. Raises `UnreadableKeySet` if `text` is no key set at all.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UnreadableKeySet("not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UnreadableKeySet("no list of keys")
    return KeySet(tuple(_usable(entries)))


def read_key_file(text: bytes) -> KeySet:
    """Return the key set of a file: one PEM public key, or a JSON Web Key Set with a usable key.

    Raises `UnreadableKeySet`.
    """
    if not text.lstrip().startswith(b"-----BEGIN"):
        key_set = read_key_set(text)
        if not key_set.keys:
            raise UnreadableKeySet("no usable key")
        return key_set
    try:
        key = _verification_key(None, load_pem_public_key(text))
    except (ValueError, UnsupportedAlgorithm):
        raise UnreadableKeySet("not a PEM public key") from None
    if key is None:
        raise UnreadableKeySet("the key is of an unsupported type or too weak")
    return KeySet((key,))


def _usable(entries: Iterable[object]) -> Iterable[VerificationKey]:
    for entry in entries:
        key = _read_jwk(entry) if isinstance(entry, dict) else None
        if key is not None:
            yield key


def _read_jwk(entry: dict[str, object]) -> VerificationKey | None:
    operations = entry.get("key_ops", ["verify"])
    meant_to_verify = entry.get("use", "sig") == "sig" and (
        isinstance(operations, list) and "verify" in operations
    )
    key_id = entry.get("kid")
    # A private key in a public place is anybody's: what it signed proves nothing.
    if not meant_to_verify or "d" in entry or not (key_id is None or isinstance(key_id, str)):
        return None
    try:
        # The type of the key says what it can verify; its `alg` may only narrow that.
        material = {name: value for name, value in entry.items() if name != "alg"}
        key = _verification_key(key_id, jwt.PyJWK(material).key)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError):
        return None
    if key is None or "alg" not in entry:
        return key
    algorithms = key.algorithms & {str(entry["alg"])}
    return VerificationKey(key_id, key.key, algorithms) if algorithms else None


def _verification_key(key_id: str | None, key: object) -> VerificationKey | None:
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name in EC_ALGORITHMS:
            return VerificationKey(key_id, key, frozenset({EC_ALGORITHMS[key.curve.name]}))
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return VerificationKey(key_id, key, frozenset({"EdDSA"}))
        case rsa.RSAPublicKey() if key.key_size in _RSA_BITS:
            return VerificationKey(key_id, key, RSA_ALGORITHMS)
        case _:
            return None
