"""DSSE envelopes (secure-systems-lab/dsse v1) and the in-toto statements in them."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.publickey import PublicKey, read_base64, write_base64

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
STATEMENT_PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and the one signature over its type and its bytes.

    `key_id` is a hint; the signature is in DER.
    """

    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes

    def document(self) -> dict[str, JSONValue]:
        """The JSON form of the envelope."""
        return {
            "payloadType": self.payload_type,
            "payload": write_base64(self.payload),
            "signatures": [{"keyid": self.key_id, "sig": write_base64(self.signature)}],
        }

    def verify(self, key: PublicKey) -> None:
        """Check the signature; VerificationFailed when it is not this key's over this payload."""
        key.verify(pae(self.payload_type, self.payload), self.signature)


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said (`predicate`) of the artifact with this digest; the name is advisory."""

    subject_name: str
    subject_sha256: bytes
    predicate_type: str
    predicate: dict[str, Any]

    def encode(self) -> bytes:
        """The payload of an envelope, canonical; EntryInvalid when it holds floats or the like."""
        subject: JSONValue = {
            "name": self.subject_name,
            "digest": {"sha256": self.subject_sha256.hex()},
        }
        return canonical.encode(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def read_envelope(content: bytes) -> Envelope:
    """The parts of an envelope, nothing verified; VerificationFailed for other text.

    Fields that are not known are passed over, as the specification demands; more than one
    signature, or none, is refused.
    """
    match canonical.load(content):
        case {
            "payloadType": str(payload_type),
            "payload": str(payload),
            "signatures": [{"sig": str(signature), **rest}],
        } if isinstance(rest.get("keyid", ""), str):
            key_id = str(rest.get("keyid", ""))
            return Envelope(payload_type, read_base64(payload), key_id, read_base64(signature))
    raise VerificationFailed(Finding.ENVELOPE_MALFORMED)


def verify_statement(content: bytes, key: PublicKey, artifact: bytes) -> Statement:
    """The statement of an envelope about these bytes; VerificationFailed if it is not about them.

    A valid signature alone says nothing of the artifact: the digest of the subject is compared.
    """
    envelope = read_envelope(content)
    envelope.verify(key)
    if envelope.payload_type != STATEMENT_PAYLOAD_TYPE:
        raise VerificationFailed(Finding.ENVELOPE_MALFORMED, "the payload is not a statement")
    match canonical.load(envelope.payload):
        case {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": str(name), "digest": {"sha256": str(digest)}}],
            "predicateType": str(predicate_type),
            "predicate": dict(predicate),
        }:
            if digest != sha256(artifact).hexdigest():
                raise VerificationFailed(Finding.SUBJECT_MISMATCH)
            return Statement(name, bytes.fromhex(digest), predicate_type, predicate)
    raise VerificationFailed(Finding.ENVELOPE_MALFORMED, "the payload is not a statement")
