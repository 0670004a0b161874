"""AWS KMS for tests: moto's cryptography behind what moto leaves out.

moto neither enforces key states, policies and limits, nor rotates key material, hashes digests a
second time, and takes some encryption contexts for equal that are not. This server speaks the same
protocol (AWS JSON 1.1), does all that itself, and keeps each material of a key as a key of moto.
It answers only errors that botocore's service model, or the API's list of common errors, names.
"""

import base64
import functools
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import botocore.session
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.models import kms_backends
from moto.server import ThreadedMotoServer

from tests.unit.kms.aws_wire import Reset, WireServer

REGION: Final = "eu-central-1"
ACCOUNT: Final = "123456789012"
ON_DEMAND_ROTATIONS: Final = 25
# https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html, and what the platform in
# front of every service answers.
COMMON_ERRORS: Final = MappingProxyType(
    {
        "AccessDeniedException": 400, "ExpiredTokenException": 403, "IncompleteSignature": 403,
        "InternalFailure": 500, "InvalidClientTokenId": 403, "InvalidSignatureException": 403,
        "MalformedHttpRequestException": 400, "MissingAuthenticationTokenException": 403,
        "NotAuthorized": 401, "OptInRequired": 403, "RequestAbortedException": 400,
        "RequestExpired": 400, "RequestTimeoutException": 408, "SerializationException": 400,
        "ServiceUnavailable": 503, "ThrottlingException": 400, "UnknownOperationException": 404,
        "UnrecognizedClientException": 400, "ValidationException": 400,
    }
)  # fmt: skip
_MODELLED_STATUS: Final = MappingProxyType(
    {"KMSInternalException": 500, "KeyUnavailableException": 500, "DependencyTimeoutException": 503}
)
_NEEDS_AN_ENABLED_KEY: Final = frozenset({"Encrypt", "Decrypt", "Sign", "RotateKeyOnDemand"})
_USABLE: Final = frozenset({"Enabled", "Updating"})
_MOTO_KEY_ID_BYTES: Final = 36

Body = dict[str, Any]


class KmsError(Exception):
    """An error answer, of those that `operation` can give."""

    def __init__(self, operation: str, code: str, message: str = "") -> None:
        if code not in errors_of(operation):
            raise AssertionError(f"AWS KMS never answers {code} to {operation}")
        self.code, self.message = code, message
        self.status = {**COMMON_ERRORS, **_MODELLED_STATUS}.get(code, 400)
        super().__init__(code)


@functools.cache
def errors_of(operation: str) -> frozenset[str]:
    """The codes with which AWS KMS refuses `operation`."""
    model = botocore.session.get_session().get_service_model("kms").operation_model(operation)
    return frozenset({*(shape.name for shape in model.error_shapes), *COMMON_ERRORS})


@dataclass(frozen=True, slots=True)
class KmsRequest:
    """A request as it arrived."""

    operation: str
    body: Body
    headers: dict[str, str]


@dataclass(slots=True)
class ProxiedKey:
    """A key, its materials (keys of moto, the last one is current), and what it is to look like.

    A rotation shows only after `rotation_reads` answers that still hide it.
    """

    arn: str
    materials: list[str]
    metadata: Body
    denied: set[str] = field(default_factory=set)
    deleted: bool = False
    rotations: int = 0
    rotation_reads: int = 0
    reads_left: int = 0
    coming: str | None = None


class KmsProxy:
    """A running server; `close` ends it. Every fault lasts until `restore`."""

    def __init__(self) -> None:
        self.requests: list[KmsRequest] = []
        self._keys: dict[str, ProxiedKey] = {}
        self._arns: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._reset = False
        self._open = threading.Event()
        self._open.set()
        self._moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._moto.start()
        self._wire = WireServer(self._serve)

    @property
    def url(self) -> str:
        """The address to give to clients."""
        return self._wire.url

    def close(self) -> None:
        """Stop both servers; calls that hang are let go."""
        self._open.set()
        self._wire.close()
        self._moto.stop()

    def create_key(self, **parameters: Any) -> str:
        """The ARN of a new key; `parameters` as for CreateKey."""
        made = self._moto_call("CreateKey", parameters)["KeyMetadata"]
        made.update(KeyUsage=made["KeyUsage"] or "ENCRYPT_DECRYPT", MultiRegion=False)
        arn: str = made["Arn"]
        self._keys[arn] = ProxiedKey(arn, [made["KeyId"]], made)
        self._arns[made["KeyId"]] = arn
        return arn

    def key(self, arn: str) -> ProxiedKey:
        """What can be changed about a key."""
        return self._keys[arn]

    def set_state(self, arn: str, state: str) -> None:
        """Bring a key into a `KeyState`."""
        shape = botocore.session.get_session().get_service_model("kms").shape_for("KeyState")
        assert state in shape.enum
        self._keys[arn].metadata.update(KeyState=state, Enabled=state == "Enabled")

    def fail(self, operation: str, code: str) -> None:
        """Refuse `operation` with `code`, whichever the key."""
        KmsError(operation, code)
        self._failures[operation] = code

    def answer(self, operation: str, status: int, body: bytes) -> None:
        """Answer `operation` as somebody else would who sits in between."""
        self._answers[operation] = (status, body)

    def throttle(self) -> None:
        """Refuse everything for its rate."""
        for operation in OPERATIONS:
            self.fail(operation, "ThrottlingException")

    def hang(self) -> None:
        """Take requests, and answer none of them yet."""
        self._open.clear()

    def outage(self) -> None:
        """Reset every connection that sends a request."""
        self._reset = True

    def restore(self) -> None:
        """Work as always; what hangs is answered."""
        self._failures.clear()
        self._answers.clear()
        self._reset = False
        self._open.set()

    def _serve(self, headers: dict[str, str], content: bytes) -> tuple[int, bytes]:
        operation = headers["x-amz-target"].removeprefix("TrentService.")
        body: Body = json.loads(content)
        self.requests.append(KmsRequest(operation, body, headers))
        self._open.wait()
        if self._reset:
            raise Reset
        if operation in self._answers:
            return self._answers[operation]
        try:
            answer = self._answer(operation, body, headers)
        except KmsError as error:
            said = {"__type": error.code, "message": error.message}
            return error.status, json.dumps(said).encode()
        return 200, json.dumps(answer).encode()

    def _answer(self, operation: str, body: Body, headers: dict[str, str]) -> Body:
        if operation in self._failures:
            raise KmsError(operation, self._failures[operation])
        scope = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/kms/", headers.get("authorization", ""))
        if scope is None:
            raise KmsError(operation, "MissingAuthenticationTokenException")
        if operation not in OPERATIONS:
            raise KmsError(operation, "UnknownOperationException")
        if operation == "Decrypt" and "KeyId" not in body:
            body = {**body, "KeyId": self._arn_of(body)}
        key = self._keys.get(body["KeyId"])
        if key is None or key.deleted or f":{scope[1]}:" not in key.arn:
            raise KmsError(operation, "NotFoundException", f"Key '{body['KeyId']}' does not exist")
        self._permit(operation, key)
        return OPERATIONS[operation](self, key, body)

    @staticmethod
    def _permit(operation: str, key: ProxiedKey) -> None:
        if operation in key.denied:
            message = f"User is not authorized to perform: kms:{operation} on {key.arn}"
            raise KmsError(operation, "AccessDeniedException", message)
        state = key.metadata["KeyState"]
        if operation in _NEEDS_AN_ENABLED_KEY and state not in _USABLE:
            disabled = state == "Disabled"
            code = "DisabledException" if disabled else "KMSInvalidStateException"
            raise KmsError(operation, code, f"{key.arn} is {state}.")

    def _arn_of(self, body: Body) -> str:
        blob = base64.b64decode(body["CiphertextBlob"])
        material = blob[:_MOTO_KEY_ID_BYTES].decode("latin-1")
        if material not in self._arns:
            raise KmsError("Decrypt", "InvalidCiphertextException")
        return self._arns[material]

    def _encrypt(self, key: ProxiedKey, body: Body) -> Body:
        symmetric("Encrypt", key)
        sent = {**body, "KeyId": key.materials[-1], **_context(body)}
        return {**self._moto_call("Encrypt", sent), "KeyId": key.arn}

    def _decrypt(self, key: ProxiedKey, body: Body) -> Body:
        symmetric("Decrypt", key)
        if self._arn_of(body) != key.arn:
            raise KmsError("Decrypt", "IncorrectKeyException")
        material = base64.b64decode(body["CiphertextBlob"])[:_MOTO_KEY_ID_BYTES].decode()
        answer = self._moto_call("Decrypt", {**body, "KeyId": material, **_context(body)})
        return {**answer, "KeyId": key.arn, "KeyMaterialId": material_id(material)}

    def _describe(self, key: ProxiedKey, _body: Body) -> Body:
        self._settle(key)
        rotates = key.metadata["Origin"] in ("AWS_KMS", "EXTERNAL")
        current = {"CurrentKeyMaterialId": material_id(key.materials[-1])}
        symmetric = key.metadata["KeySpec"] == "SYMMETRIC_DEFAULT"
        return {"KeyMetadata": {**key.metadata, **(current if rotates and symmetric else {})}}

    def _rotation_status(self, key: ProxiedKey, _body: Body) -> Body:
        self._settle(key)
        started = {"OnDemandRotationStartDate": key.metadata["CreationDate"]}
        return {"KeyId": key.arn, "KeyRotationEnabled": False, **(started if key.coming else {})}

    def _list_rotations(self, key: ProxiedKey, _body: Body) -> Body:
        self._settle(key)
        rotated = {"RotationDate": key.metadata["CreationDate"], "RotationType": "ON_DEMAND"}
        entries = [
            {
                "KeyId": key.arn,
                "KeyMaterialId": material_id(material),
                "KeyMaterialState": "CURRENT" if material == key.materials[-1] else "NON_CURRENT",
                **(rotated if material != key.materials[0] else {}),
            }
            for material in reversed(key.materials)
        ]
        return {"Rotations": entries, "Truncated": False}

    def _rotate(self, key: ProxiedKey, _body: Body) -> Body:
        symmetric("RotateKeyOnDemand", key)
        if key.metadata["Origin"] not in ("AWS_KMS", "EXTERNAL"):
            raise KmsError("RotateKeyOnDemand", "UnsupportedOperationException")
        if key.metadata["Origin"] == "EXTERNAL":
            message = f"{key.arn} has no key material that is pending rotation."
            raise KmsError("RotateKeyOnDemand", "KMSInvalidStateException", message)
        if key.coming is not None:
            raise KmsError("RotateKeyOnDemand", "ConflictException")
        if key.rotations == ON_DEMAND_ROTATIONS:
            raise KmsError("RotateKeyOnDemand", "LimitExceededException")
        key.rotations += 1
        key.coming = self._moto_call("CreateKey", {})["KeyMetadata"]["KeyId"]
        key.reads_left = key.rotation_reads
        return {"KeyId": key.arn}

    def _settle(self, key: ProxiedKey) -> None:
        if key.coming is None:
            return
        if key.reads_left > 0:
            key.reads_left -= 1
            return
        self._arns[key.coming] = key.arn
        key.materials.append(key.coming)
        key.coming = None

    def _sign(self, key: ProxiedKey, body: Body) -> Body:
        if key.metadata["KeyUsage"] != "SIGN_VERIFY":
            raise KmsError("Sign", "InvalidKeyUsageException")
        if body.get("MessageType") != "DIGEST":
            return {
                **self._moto_call("Sign", {**body, "KeyId": key.materials[-1]}),
                "KeyId": key.arn,
            }
        digest = base64.b64decode(body["Message"])
        if len(digest) != hashlib.sha256().digest_size:
            raise KmsError("Sign", "ValidationException", "Digest is invalid length")
        held: Any = kms_backends[ACCOUNT][REGION].keys[key.materials[-1]].private_key
        private: ec.EllipticCurvePrivateKey = held.private_key
        signature = private.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return {
            "KeyId": key.arn,
            "Signature": base64.b64encode(signature).decode(),
            "SigningAlgorithm": body["SigningAlgorithm"],
        }

    def _public_key(self, key: ProxiedKey, _body: Body) -> Body:
        if key.metadata["KeySpec"] == "SYMMETRIC_DEFAULT":
            raise KmsError("GetPublicKey", "UnsupportedOperationException")
        known = self._moto_call("GetPublicKey", {"KeyId": key.materials[-1]})
        described = {name: key.metadata[name] for name in ("KeySpec", "KeyUsage")}
        return {**known, **described, "KeyId": key.arn}

    def _moto_call(self, operation: str, body: Body) -> Body:
        scope = f"Credential=moto/20260101/{REGION}/kms/aws4_request"
        headers = {
            "X-Amz-Target": f"TrentService.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none",
        }
        connection = http.client.HTTPConnection(*self._moto.get_host_and_port())
        try:
            connection.request("POST", "/", json.dumps(body), headers)
            response = connection.getresponse()
            answer: Body = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise KmsError(operation, answer["__type"], answer.get("message", ""))
        return answer


OPERATIONS: Final[MappingProxyType[str, Callable[[KmsProxy, ProxiedKey, Body], Body]]] = (
    MappingProxyType(
        {
            "Encrypt": KmsProxy._encrypt,
            "Decrypt": KmsProxy._decrypt,
            "DescribeKey": KmsProxy._describe,
            "GetKeyRotationStatus": KmsProxy._rotation_status,
            "ListKeyRotations": KmsProxy._list_rotations,
            "RotateKeyOnDemand": KmsProxy._rotate,
            "Sign": KmsProxy._sign,
            "GetPublicKey": KmsProxy._public_key,
        }
    )
)


def symmetric(operation: str, key: ProxiedKey) -> None:
    """Refuse `operation` as AWS does for keys that do not encrypt."""
    if key.metadata["KeyUsage"] != "ENCRYPT_DECRYPT":
        rotates = operation == "RotateKeyOnDemand"
        code = "UnsupportedOperationException" if rotates else "InvalidKeyUsageException"
        raise KmsError(operation, code)


def material_id(material: str) -> str:
    """A `KeyMaterialId`: 64 hexadecimal digits."""
    return hashlib.sha256(material.encode()).hexdigest()


def _context(body: Body) -> Body:
    # moto joins names and values without a mark between them; one value cannot be mistaken.
    canonical = json.dumps(body.get("EncryptionContext", {}), sort_keys=True)
    return {"EncryptionContext": {"canonical": canonical}}
