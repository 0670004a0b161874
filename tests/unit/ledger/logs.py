"""A log in memory with real keys, and the slices that it would export."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.ledger.dsse import pae
from subgraph.ledger.entry import PAYLOAD_TYPE, Entry, write_time
from subgraph.ledger.merkle import (
    Frontier,
    Node,
    consistency_path,
    frontier_nodes,
    inclusion_path,
    leaf_hash,
)
from subgraph.ledger.note import Checkpoint, ecdsa_hint, signature_line, write_note
from subgraph.ledger.proof import TlogProof
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.slice import (
    Completeness,
    KeyStatement,
    Slice,
    SliceEntry,
    SliceKey,
)

BASE = "ledger.example"
DEPLOYMENT = f"{BASE}/deployment"
TENANT = f"{BASE}/tenant/acme"
START = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


@dataclass(frozen=True)
class Key:
    """A P-256 key pair whose signatures can be repeated (RFC 6979)."""

    private: ec.EllipticCurvePrivateKey
    public: PublicKey

    @classmethod
    def number(cls, number: int) -> "Key":
        private = ec.derive_private_key(number, ec.SECP256R1())
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(private, PublicKey.from_pem(pem))

    def sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_entry(self, entry: bytes) -> bytes:
        return self.sign(pae(PAYLOAD_TYPE, entry))


ROOT = Key.number(11)
PROCESS = Key.number(22)
STRANGER = Key.number(33)


def note(checkpoint: Checkpoint, *signers: Key) -> str:
    lines = [
        signature_line(checkpoint.origin, ecdsa_hint(key.public), key.sign(checkpoint.body()))
        for key in signers or (ROOT,)
    ]
    return write_note(checkpoint, lines)


@dataclass
class Log:
    """Entries, signatures and all nodes of one log."""

    origin: str = TENANT
    entries: list[bytes] = field(default_factory=list)
    signatures: list[bytes] = field(default_factory=list)
    tree: Frontier = field(default_factory=Frontier)
    nodes: dict[Node, bytes] = field(default_factory=dict)
    roots: list[bytes] = field(default_factory=lambda: [Frontier().root()])

    def append(self, entry: bytes, signature: bytes) -> int:
        leaf = leaf_hash(entry)
        self.nodes[Node(0, len(self.entries))] = leaf
        self.nodes.update(self.tree.append(leaf))
        self.entries.append(entry)
        self.signatures.append(signature)
        self.roots.append(self.tree.root())
        return len(self.entries) - 1

    def record(self, kind: str = "tenant.registered", *, key: Key = PROCESS, **values: Any) -> int:
        index = len(self.entries)
        entry = Entry(
            **{
                "origin": self.origin,
                "event_id": UUID(int=1_000_000 + index),
                "tenant": None if self.origin.endswith("/deployment") else "acme",
                "type": kind,
                "at": START + timedelta(seconds=index),
                "actor": "c2:5d0f",
                "key_id": key.public.key_id,
                "payload": {"number": index, "name": "Zoë 🌍"},
                **values,
            }
        ).encode()
        return self.append(entry, key.sign_entry(entry))

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        size = len(self.entries) if size is None else size
        return Checkpoint(self.origin, size, self.roots[size])

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        return inclusion_path(index, size).assemble(self.nodes)

    def frontier(self, size: int) -> tuple[bytes, ...]:
        return tuple(self.nodes[node] for node in frontier_nodes(size))

    def statement(self, index: int) -> KeyStatement:
        proof = TlogProof(index, self.path(index, len(self.entries)), note(self.checkpoint()))
        return KeyStatement(self.entries[index], self.signatures[index], proof.write())


def delegate(log: Log, key: Key = PROCESS, *, by: Key = ROOT, **changes: Any) -> int:
    payload = {
        "keyId": key.public.key_id,
        "publicKeyPem": key.public.pem,
        "notBefore": write_time(START),
        "notAfter": write_time(START + timedelta(hours=24)),
        "delegatedBy": by.public.key_id,
        **changes,
    }
    return log.record("ledger.key.delegated", key=by, payload=payload)


def revoke(log: Log, key: Key, origin: str, from_index: int, *, by: Key = ROOT) -> int:
    payload = {
        "keyId": key.public.key_id,
        "origin": origin,
        "fromIndex": from_index,
        "reason": "COMPROMISED",
    }
    return log.record("ledger.key.revoked", key=by, payload=payload)


def tenant_log(count: int) -> Log:
    log = Log()
    for _ in range(count):
        log.record()
    return log


def deployment_log() -> Log:
    log = Log(DEPLOYMENT)
    for _ in range(3):
        log.record(key=ROOT)
    return log


def complete_slice(log: Log, start: int, older_size: int, **changes: Any) -> Slice:
    """All entries from `start` on, and the checkpoints at `older_size` and now."""
    deployment = deployment_log()
    delegated = delegate(deployment)
    newer = len(log.entries)
    values: dict[str, Any] = {
        "origin": log.origin,
        "older": note(log.checkpoint(older_size)),
        "newer": note(log.checkpoint()),
        "consistency": consistency_path(older_size, newer).assemble(log.nodes),
        "complete": Completeness(start, log.frontier(start)),
        "entries": tuple(
            SliceEntry(index, log.entries[index], log.signatures[index])
            for index in range(start, newer)
        ),
        "delegations": (deployment.statement(delegated),),
        "revocations": (),
        "keys": (SliceKey(ROOT.public.key_id, "ROOT", ROOT.public.pem),),
    }
    return Slice(**{**values, **changes})


def selected_slice(log: Log, indices: Sequence[int], older_size: int, **changes: Any) -> Slice:
    """Only these entries, each with its inclusion path."""
    size = len(log.entries)
    entries = tuple(
        SliceEntry(index, log.entries[index], log.signatures[index], log.path(index, size))
        for index in indices
    )
    return complete_slice(log, 0, older_size, complete=None, entries=entries, **changes)


def edited(content: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """The file after somebody has changed its JSON."""
    document = json.loads(content)
    edit(document)
    return json.dumps(document, ensure_ascii=False).encode()


def flipped(encoded: str, place: int = 8) -> str:
    """The base64 of the same bytes with one bit of one of them changed."""
    content = bytearray(base64.b64decode(encoded))
    content[place] ^= 1
    return base64.b64encode(content).decode()
