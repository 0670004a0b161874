"""A signing key in an HSM, reached through PKCS#11."""

import hashlib
from typing import TYPE_CHECKING, Final, Self, cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.pkcs11_module import Pkcs11Module, is_final, module, translate
from subgraph.kms.pkcs11_uri import Pkcs11Uri
from subgraph.kms.public_key import P256PublicKey

if TYPE_CHECKING:
    from pkcs11 import ObjectClass, Session
    from pkcs11.types import Object, SignMixin

_PRIME256V1: Final = bytes.fromhex("06082a8648ce3d030107")
_POINT_BYTES: Final = 65
_NUMBER_BYTES: Final = 32
_PROBE: Final = b"governance-subgraph: does the private key fit the public key?"


class Pkcs11Signer:
    """Signs with CKM_ECDSA over our own SHA-256 digest, on the thread of the library; see `Sign`.

    Every signature is verified before it is handed out, so that a faulty device or another key
    under the same name is noticed. A session that is lost is opened again, once a call.
    """

    local: Final = False

    def __init__(self, device: Pkcs11Module, uri: Pkcs11Uri, seconds: float) -> None:
        self._device = device
        self._uri = uri
        self._seconds = seconds
        self._generation = -1
        self._handle: SignMixin | None = None
        self._public: P256PublicKey | None = None
        self._refused: SubgraphError | None = None

    @classmethod
    async def open(cls, uri: Pkcs11Uri, *, seconds: float) -> Self:
        """Log in, find the key, and let it sign once; `seconds` bounds this and every signature.

        Raises `SubgraphError` as `Sign.sign` does, and SETTINGS_INVALID when the library cannot
        be loaded.
        """
        signer = cls(module(uri.module_path), uri, seconds)
        await signer._on_device(_PROBE)
        return signer

    @property
    def key_id(self) -> str:
        """See `Sign.key_id`."""
        assert self._public is not None
        return self._public.key_id

    @property
    def public_key_pem(self) -> str:
        """See `Sign.public_key_pem`."""
        assert self._public is not None
        return self._public.pem

    async def sign(self, message: bytes) -> bytes:
        """See `Sign.sign`."""
        return await self._on_device(message)

    async def close(self) -> None:
        """See `Sign.close`; the token's session stays, for other keys may share it."""
        self._refused = SubgraphError(ErrorCode.KEY_CLOSED)

    async def _on_device(self, message: bytes) -> bytes:
        if self._refused is not None:
            raise SubgraphError(self._refused.code, self._refused.message)
        return await self._device.thread.run(lambda: self._sign(message), self._seconds)

    def _sign(self, message: bytes) -> bytes:
        import pkcs11

        digest = hashlib.sha256(message).digest()
        try:
            raw = self._raw_signature(digest)
        except pkcs11.PKCS11Error as first:
            if is_final(first):
                raise self._refuse(translate(first, self._uri)) from first
            try:
                self._device.reset(self._generation)
                raw = self._raw_signature(digest)
            except pkcs11.PKCS11Error as second:
                error = translate(second, self._uri)
                raise (self._refuse(error) if is_final(second) else error) from second
        return self._checked(raw, message)

    def _raw_signature(self, digest: bytes) -> bytes:
        from pkcs11 import Mechanism

        if self._handle is None or self._generation != self._device.generation:
            self._handle = self._find()
        return self._handle.sign(digest, mechanism=Mechanism.ECDSA)

    def _find(self) -> "SignMixin":
        from pkcs11 import ObjectClass

        self._generation = self._device.generation
        session = self._device.session(self._uri)
        private = _one(session, ObjectClass.PRIVATE_KEY, self._uri)
        found = _public_key(_one(session, ObjectClass.PUBLIC_KEY, self._uri), self._uri)
        if self._public is not None and self._public.key_id != found.key_id:
            message = f"{self._uri.place} is now another key"
            raise self._refuse(SubgraphError(ErrorCode.KEY_UNUSABLE, message))
        self._public = found
        return cast("SignMixin", private)

    def _checked(self, raw: bytes, message: bytes) -> bytes:
        assert self._public is not None
        if len(raw) == 2 * _NUMBER_BYTES:
            r, s = raw[:_NUMBER_BYTES], raw[_NUMBER_BYTES:]
            signature = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
            if self._public.verifies(signature, message):
                return signature
        message_for_people = f"{self._uri.place} made a signature that its public key refuses"
        raise self._refuse(SubgraphError(ErrorCode.KEY_UNUSABLE, message_for_people))

    def _refuse(self, error: SubgraphError) -> SubgraphError:
        self._refused = error
        return error


def _one(session: "Session", kind: "ObjectClass", uri: Pkcs11Uri) -> "Object":
    import pkcs11
    from pkcs11 import Attribute, KeyType

    wanted: dict[Attribute, object] = {Attribute.CLASS: kind, Attribute.KEY_TYPE: KeyType.EC}
    if uri.object_label is not None:
        wanted[Attribute.LABEL] = uri.object_label
    if uri.object_id is not None:
        wanted[Attribute.ID] = uri.object_id
    # Searched to the end: a search that is left open disturbs the session's next one.
    found = list(session.get_objects(wanted))
    if not found:
        raise pkcs11.NoSuchKey
    if len(found) > 1:
        raise pkcs11.MultipleObjectsReturned
    return found[0]


def _public_key(key: "Object", uri: Pkcs11Uri) -> P256PublicKey:
    from pkcs11 import Attribute

    parameters, point = bytes(key[Attribute.EC_PARAMS]), bytes(key[Attribute.EC_POINT])
    if parameters != _PRIME256V1:
        raise SubgraphError(ErrorCode.KEY_UNUSABLE, f"{uri.place} is not of the curve P-256")
    # PKCS#11 wraps the point in an OCTET STRING; some devices do not.
    bare = point if len(point) == _POINT_BYTES else point[2:]
    try:
        known = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bare)
    except ValueError:
        message = f"the public key of {uri.place} is damaged"
        raise SubgraphError(ErrorCode.KEY_UNUSABLE, message) from None
    return P256PublicKey.of(known)
