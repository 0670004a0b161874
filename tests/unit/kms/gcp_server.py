"""Google Cloud KMS over gRPC, with its own messages, real ciphers and faults on demand.

It keeps what the connector relies on: versions and their states, the version inside the
ciphertext, CRC32C in both directions, and errors with the details that the real service sends.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = "projects/acme/locations/europe-west3/keyRings/governance/cryptoKeys/tenants"
SIGNING_KEY = "projects/acme/locations/global/keyRings/governance/cryptoKeys/ledger"
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERVICE = "google.cloud.kms.v1.KeyManagementService"
METHODS = {
    "GetCryptoKey": "CryptoKey",
    "GetCryptoKeyVersion": "CryptoKeyVersion",
    "CreateCryptoKeyVersion": "CryptoKeyVersion",
    "UpdateCryptoKeyPrimaryVersion": "CryptoKey",
    "Encrypt": "EncryptResponse",
    "Decrypt": "DecryptResponse",
    "GetPublicKey": "PublicKey",
    "AsymmetricSign": "AsymmetricSignResponse",
}


def crc32c(content: bytes) -> int:
    """Bit by bit, after the polynomial of RFC 3720: slow, and not the connector's code."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@dataclass
class Version:
    name: str
    secret: bytes
    signer: ec.EllipticCurvePrivateKey
    state: str = "ENABLED"
    import_job: str = ""
    looks_before_ready: int = 0


@dataclass
class Key:
    name: str
    purpose: str = "ENCRYPT_DECRYPT"
    protection_level: str = "SOFTWARE"
    algorithm: str = "GOOGLE_SYMMETRIC_ENCRYPTION"
    import_only: bool = False
    versions: list[Version] = field(default_factory=list)
    primary: int = 0
    shown_primary: int = 0
    looks_before_primary_shows: int = 0

    def add_version(self, state: str = "ENABLED") -> Version:
        number = len(self.versions) + 1
        version = Version(
            f"{self.name}/cryptoKeyVersions/{number}",
            os.urandom(32),
            ec.generate_private_key(ec.SECP256R1()),
            state,
        )
        self.versions.append(version)
        return version


@dataclass(frozen=True)
class Refusal(Exception):
    code: grpc.StatusCode
    message: str = "refused"
    violation: str = ""


@dataclass
class GcpServer:
    """`requests` are (method, message) in the order in which they came.

    `refuse[method]` answers with an error, `alter[method]` changes answers, `damage[method]`
    requests, and `hang` names methods that never answer.
    """

    endpoint: str = ""
    keys: dict[str, Key] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    refuse: dict[str, Refusal] = field(default_factory=dict)
    alter: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    damage: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    under_way: int = 0
    most_under_way: int = 0
    new_version_looks: int = 0
    new_primary_looks: int = 0
    serving: Any = None

    async def start(self) -> None:
        """Serve, on the same port as before if there was one; nothing while serving."""
        from google.cloud import kms_v1

        if self.serving is not None:
            return
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                partial(self.answer, method),
                request_deserializer=getattr(kms_v1, f"{method}Request").deserialize,
                response_serializer=getattr(kms_v1, answer).serialize,
            )
            for method, answer in METHODS.items()
        }
        self.serving = grpc.aio.server()
        handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self.serving.add_generic_rpc_handlers((handler,))
        port = self.serving.add_insecure_port(self.endpoint or "127.0.0.1:0")
        self.endpoint = f"127.0.0.1:{port}"
        await self.serving.start()

    async def stop(self) -> None:
        serving, self.serving = self.serving, None
        if serving is not None:
            await serving.stop(grace=0)

    def add_key(self, name: str = KEY, **properties: Any) -> Key:
        key = Key(name, **properties)
        key.add_version()
        self.keys[name] = key
        return key

    def calls(self, method: str) -> int:
        return sum(called == method for called, _ in self.requests)

    async def answer(self, method: str, request: Any, context: Any) -> Any:
        self.requests.append((method, type(request)(request)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if method in self.hang:
                await asyncio.Event().wait()
            if method in self.refuse:
                raise self.refuse[method]
            if method in self.damage:
                self.damage[method](request)
            response = getattr(self, _handler(method))(request)
            if method in self.alter:
                self.alter[method](response)
        except Refusal as refusal:
            await context.abort(refusal.code, refusal.message, _details(refusal))
        finally:
            self.under_way -= 1
        return response

    def _get_crypto_key(self, request: Any) -> Any:
        key = self._key(request.name)
        if key.looks_before_primary_shows:
            key.looks_before_primary_shows -= 1
        else:
            key.shown_primary = key.primary
        return self._shown(key)

    def _shown(self, key: Key) -> Any:
        from google.cloud import kms_v1

        return kms_v1.CryptoKey(
            name=key.name,
            purpose=key.purpose,
            create_time=CREATED,
            import_only=key.import_only,
            primary=(
                _shown_version(key, key.versions[key.shown_primary])
                if key.purpose == "ENCRYPT_DECRYPT"
                else None
            ),
        )

    def _get_crypto_key_version(self, request: Any) -> Any:
        key, version = self._version(request.name)
        if version.looks_before_ready:
            version.looks_before_ready -= 1
        elif version.state == "PENDING_GENERATION":
            version.state = "ENABLED"
        return _shown_version(key, version)

    def _create_crypto_key_version(self, request: Any) -> Any:
        key = self._key(request.parent)
        version = key.add_version("PENDING_GENERATION" if self.new_version_looks else "ENABLED")
        version.looks_before_ready = self.new_version_looks
        return _shown_version(key, version)

    def _update_crypto_key_primary_version(self, request: Any) -> Any:
        key = self._key(request.name)
        chosen = key.versions[int(request.crypto_key_version_id) - 1]
        _usable(chosen)
        key.primary = key.versions.index(chosen)
        key.looks_before_primary_shows = self.new_primary_looks
        if not self.new_primary_looks:
            key.shown_primary = key.primary
        return self._shown(key)

    def _encrypt(self, request: Any) -> Any:
        from google.cloud import kms_v1

        plaintext, aad = request.plaintext, request.additional_authenticated_data
        verified = _verify(request, plaintext=plaintext, additional_authenticated_data=aad)
        key = self._key(request.name)
        if key.purpose != "ENCRYPT_DECRYPT":
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the purpose is not ENCRYPT_DECRYPT")
        version = key.versions[key.shown_primary]
        _usable(version)
        nonce = os.urandom(12)
        number = key.versions.index(version).to_bytes(4)
        ciphertext = number + nonce + AESGCM(version.secret).encrypt(nonce, plaintext, aad)
        return kms_v1.EncryptResponse(
            name=version.name,
            ciphertext=ciphertext,
            ciphertext_crc32c=crc32c(ciphertext),
            verified_plaintext_crc32c="plaintext" in verified,
            verified_additional_authenticated_data_crc32c=(
                "additional_authenticated_data" in verified
            ),
            protection_level=key.protection_level,
        )

    def _decrypt(self, request: Any) -> Any:
        from google.cloud import kms_v1

        ciphertext, aad = request.ciphertext, request.additional_authenticated_data
        _verify(request, ciphertext=ciphertext, additional_authenticated_data=aad)
        key = self._key(request.name)
        number = int.from_bytes(ciphertext[:4])
        failed = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: verify the name")
        if number >= len(key.versions) or len(ciphertext) < 4 + 12 + 16:
            raise failed
        version = key.versions[number]
        _usable(version)
        try:
            plaintext = AESGCM(version.secret).decrypt(ciphertext[4:16], ciphertext[16:], aad)
        except InvalidTag:
            raise failed from None
        return kms_v1.DecryptResponse(
            plaintext=plaintext,
            plaintext_crc32c=crc32c(plaintext),
            used_primary=number == key.primary,
            protection_level=key.protection_level,
        )

    def _get_public_key(self, request: Any) -> Any:
        from google.cloud import kms_v1

        key, version = self._version(request.name)
        _usable(version)
        pem = version.signer.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return kms_v1.PublicKey(
            name=version.name, pem=pem.decode(), pem_crc32c=crc32c(pem), algorithm=key.algorithm
        )

    def _asymmetric_sign(self, request: Any) -> Any:
        from google.cloud import kms_v1

        digest = request.digest.sha256
        verified = _verify(request, digest=digest)
        _, version = self._version(request.name)
        _usable(version)
        signature = version.signer.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        return kms_v1.AsymmetricSignResponse(
            name=version.name,
            signature=signature,
            signature_crc32c=crc32c(signature),
            verified_digest_crc32c="digest" in verified,
        )

    def _key(self, name: str) -> Key:
        if name not in self.keys:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"CryptoKey {name} not found.")
        return self.keys[name]

    def _version(self, name: str) -> tuple[Key, Version]:
        key = self._key(name.partition("/cryptoKeyVersions/")[0])
        for version in key.versions:
            if version.name == name:
                return key, version
        raise Refusal(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {name} not found.")


def _handler(method: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", method).lower()


def _usable(version: Version) -> None:
    if version.state != "ENABLED":
        raise Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{version.name} is not enabled, current state is: {version.state}.",
            "KEY_DISABLED" if version.state == "DISABLED" else f"KEY_{version.state}",
        )


def _verify(request: Any, **fields: bytes) -> set[str]:
    """The fields whose checksum was sent and fits; a refusal where one does not fit."""
    sent = {name for name in fields if f"{name}_crc32c" in request}
    for name in sent:
        if getattr(request, f"{name}_crc32c") != crc32c(fields[name]):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"the checksum of {name} does not fit")
    return sent


def _shown_version(key: Key, version: Version) -> Any:
    from google.cloud import kms_v1

    return kms_v1.CryptoKeyVersion(
        name=version.name,
        state=version.state,
        protection_level=key.protection_level,
        algorithm=key.algorithm,
        import_job=version.import_job,
        create_time=CREATED,
    )


def _details(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    from google.protobuf.any_pb2 import Any as Packed
    from google.rpc.error_details_pb2 import PreconditionFailure
    from google.rpc.status_pb2 import Status

    if not refusal.violation:
        return ()
    failure = PreconditionFailure()
    failure.violations.add(type=refusal.violation, subject=KEY)
    packed = Packed()
    packed.Pack(failure)
    status = Status(code=refusal.code.value[0], message=refusal.message, details=[packed])
    return (("grpc-status-details-bin", status.SerializeToString()),)


@asynccontextmanager
async def gcp_server() -> AsyncIterator[GcpServer]:
    """A server on a free port of this machine, with one key of each kind."""
    double = GcpServer()
    double.add_key()
    double.add_key(SIGNING_KEY, purpose="ASYMMETRIC_SIGN", algorithm="EC_SIGN_P256_SHA256")
    await double.start()
    try:
        yield double
    finally:
        await double.stop()
