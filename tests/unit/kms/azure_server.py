"""Azure Key Vault over HTTPS: its REST protocol, real RSA and AES key wrap, faults on demand.

Like the real service it wraps with an RSA key that is disabled, and refuses the rest
(Azure/azure-sdk-for-python#45342); like the real service it names no version in a ciphertext.
"""

import asyncio
import base64
import functools
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "eyJ-the-token-of-the-service"
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Refusal(Exception):
    def __init__(
        self,
        status: int,
        code: str,
        inner: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.error: dict[str, Any] = {"code": code, "message": f"{code} ({inner})"}
        if inner is not None:
            self.error["innererror"] = {"code": inner}
        self.headers = headers or {}


@functools.cache
def _rsa(name: str, number: int) -> rsa.RSAPrivateKey:
    """Made once a run: it takes a good part of a second."""
    del name, number
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Version:
    rsa: rsa.RSAPrivateKey
    ec: ec.EllipticCurvePrivateKey
    aes: bytes
    name: str = field(default_factory=lambda: os.urandom(16).hex())
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Key:
    name: str
    kty: str = "RSA"
    versions: list[Version] = field(default_factory=list)
    deleted: bool = False
    operations: tuple[str, ...] = ("wrapKey", "unwrapKey", "sign")

    def add_version(self) -> Version:
        version = Version(
            _rsa(self.name, len(self.versions)),
            ec.generate_private_key(ec.SECP256R1()),
            os.urandom(32),
            attributes={
                "enabled": True,
                "created": int(CREATED.timestamp()),
                "updated": int(CREATED.timestamp()),
                "exportable": False,
                "recoveryLevel": "Recoverable",
                "recoverableDays": 90,
            },
        )
        self.versions.append(version)
        return version


@dataclass
class AzureServer:
    """`requests` are (operation, path, body) that came with a token, in the order of arrival.

    `refuse[operation]` answers with an error, `raw[operation]` with any response, `alter` changes
    the fields of an answer, and `hang` names operations that never answer.
    """

    ca_file: Path
    private_file: Path
    host: str = "localhost:0"
    serving: tuple[uvicorn.Server, asyncio.Task[None]] | None = None
    keys: dict[str, Key] = field(default_factory=dict)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    challenges: int = 0
    refuse: dict[str, Refusal] = field(default_factory=dict)
    raw: dict[str, Response] = field(default_factory=dict)
    alter: dict[str, dict[str, str]] = field(default_factory=dict)
    hang: set[str] = field(default_factory=set)
    under_way: int = 0
    most_under_way: int = 0

    async def start(self) -> None:
        """Serve, on the same port as before if there was one; nothing while serving."""
        if self.serving is not None:
            return
        routes = [
            Route("/keys/{name}/", self.answer, methods=["GET"], name="get"),
            Route("/keys/{name}/rotate", self.answer, methods=["POST"], name="rotate"),
            Route("/keys/{name}/{version}", self.answer, methods=["GET"], name="get"),
            Route("/keys/{name}/{version}/{operation}", self.answer, methods=["POST"]),
            Route("/deletedkeys/{name}", self.answer, methods=["GET"], name="deleted"),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            ssl_certfile=self.ca_file,
            ssl_keyfile=self.private_file,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=0,
        )
        server = uvicorn.Server(config)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(self.host.partition(":")[2])))
        self.host = f"localhost:{listener.getsockname()[1]}"
        self.serving = (server, asyncio.create_task(server.serve([listener])))
        while not server.started:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self.serving is not None:
            server, task = self.serving
            server.should_exit = server.force_exit = True
            await task
            self.serving = None

    def add_key(self, name: str = "tenants", **properties: Any) -> Key:
        key = Key(name, **properties)
        key.add_version()
        self.keys[name] = key
        return key

    def uri(self, name: str = "tenants") -> str:
        return f"https://{self.host}/keys/{name}"

    def calls(self, operation: str) -> int:
        return sum(called == operation for called, _, _ in self.requests)

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            self.challenges += 1
            assert body == b"", "a body was sent before the service was known"
            challenge = (
                'Bearer authorization="https://login.microsoftonline.com/'
                '11111111-1111-1111-1111-111111111111", resource="https://vault.azure.net"'
            )
            error = {"error": {"code": "Unauthorized", "message": "a token is missing"}}
            return JSONResponse(error, 401, {"WWW-Authenticate": challenge})
        operation = request.path_params.get("operation", request.scope["route"].name)
        self.requests.append((operation, request.url.path, body))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if operation in self.hang:
                await asyncio.Event().wait()
            if operation in self.refuse:
                raise self.refuse[operation]
            if operation in self.raw:
                return self.raw[operation]
            answer = await self._work(operation, request)
        except Refusal as refusal:
            return JSONResponse({"error": refusal.error}, refusal.status, refusal.headers)
        finally:
            self.under_way -= 1
        return JSONResponse(answer | self.alter.get(operation, {}))

    async def _work(self, operation: str, request: Request) -> dict[str, Any]:
        key = self.keys.get(request.path_params["name"])
        if key is None or key.deleted != (operation == "deleted"):
            raise Refusal(404, "KeyNotFound")
        if operation == "rotate":
            key.add_version()
        version = _version(key, request.path_params.get("version"))
        if operation in ("get", "rotate", "deleted"):
            return self._bundle(key, version)
        disabled = not version.attributes["enabled"]
        if disabled and (operation != "wrapkey" or key.kty == "oct-HSM"):
            raise Refusal(403, "Forbidden", "KeyDisabled")
        allowed = {allowed.lower() for allowed in key.operations}
        if operation not in allowed:
            raise Refusal(403, "Forbidden", "KeyOperationForbidden")
        sent = await request.json()
        try:
            value = _compute(key, version, operation, sent["alg"], decoded(sent["value"]))
        except (ValueError, keywrap.InvalidUnwrap):
            raise Refusal(400, "BadParameter") from None
        return {"kid": self._kid(key, version), "value": encoded(value)}

    def _kid(self, key: Key, version: Version) -> str:
        return f"{self.uri(key.name)}/{version.name}"

    def _bundle(self, key: Key, version: Version) -> dict[str, Any]:
        jwk: dict[str, Any] = {
            "kid": self._kid(key, version),
            "kty": key.kty,
            "key_ops": list(key.operations),
        }
        if key.kty.startswith("RSA"):
            numbers = version.rsa.public_key().public_numbers()
            jwk |= {"n": encoded(numbers.n.to_bytes(256)), "e": "AQAB"}
        if key.kty.startswith("EC"):
            point = version.ec.public_key().public_numbers()
            jwk |= {"crv": "P-256", "x": encoded(point.x.to_bytes(32))}
            jwk |= {"y": encoded(point.y.to_bytes(32))}
        return {"key": jwk, "attributes": version.attributes}


def _version(key: Key, name: str | None) -> Version:
    if not name:
        return key.versions[-1]
    for version in key.versions:
        if version.name == name:
            return version
    raise Refusal(404, "KeyNotFound")


def _compute(key: Key, version: Version, operation: str, algorithm: str, value: bytes) -> bytes:
    match operation, algorithm:
        case "wrapkey", "RSA-OAEP-256" if key.kty.startswith("RSA"):
            return version.rsa.public_key().encrypt(value, OAEP)
        case "unwrapkey", "RSA-OAEP-256" if key.kty.startswith("RSA"):
            return version.rsa.decrypt(value, OAEP)
        case "wrapkey", "A256KW" if key.kty == "oct-HSM":
            return keywrap.aes_key_wrap(version.aes, value)
        case "unwrapkey", "A256KW" if key.kty == "oct-HSM":
            return keywrap.aes_key_unwrap(version.aes, value)
        case "sign", "ES256" if key.kty.startswith("EC"):
            signature = version.ec.sign(value, ec.ECDSA(Prehashed(hashes.SHA256())))
            r, s = decode_dss_signature(signature)
            return r.to_bytes(32) + s.to_bytes(32)
    raise Refusal(400, "BadParameter")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for this machine and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "vault.pem", folder / "vault.key"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    return public, private


@asynccontextmanager
async def azure_server(folder: Path) -> AsyncIterator[AzureServer]:
    """A vault on a free port of this machine, with the RSA key `tenants`."""
    double = AzureServer(*certificate(folder))
    double.add_key()
    await double.start()
    try:
        yield double
    finally:
        await double.stop()
