"""A log that tests grow, fork and roll back, and a witness as a process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.ledger.merkle import EMPTY_ROOT, leaf_hash, node_hash
from subgraph.ledger.note import (
    Checkpoint,
    EcdsaNoteVerifier,
    NoteVerifier,
    signature_line,
    write_note,
)
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.witness.keys import read_verifiers
from subgraph.ledger.witness.protocol import Submission, write_submission
from tests.conftest import free_port

ORIGIN = "log.test/deployment"


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(root_of(leaves[:half]), root_of(leaves[half:]))


def proof_of(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962, section 2.1.2, word for word."""
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= half:
        return [*proof_of(old, leaves[:half], whole=whole), root_of(leaves[half:])]
    return [*proof_of(old - half, leaves[half:], whole=False), root_of(leaves[:half])]


@dataclass
class Log:
    """Leaves, and the key that signs their checkpoints."""

    origin: str = ORIGIN
    leaves: list[bytes] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    pem: str | None = None
    """The public key of a log that somebody else signs."""

    @classmethod
    def of(cls, size: int, origin: str = ORIGIN) -> "Log":
        return cls(origin, [b"%d" % number for number in range(size)])

    def fork(self, size: int, at: int = 0) -> "Log":
        """Another history of this size under the same key, other from leaf `at` on."""
        changed = [b"fork %d" % number for number in range(at, size)]
        return Log(self.origin, [*self.leaves[:at], *changed], self.key)

    @property
    def public_key(self) -> PublicKey:
        if self.pem is not None:
            return PublicKey.from_pem(self.pem)
        public = self.key.public_key()
        return PublicKey.from_pem(
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(self.origin, size, root_of(self.leaves[:size]))

    def note(self, size: int) -> str:
        return self.sign(self.checkpoint(size))

    def sign(self, checkpoint: Checkpoint) -> str:
        verifier = EcdsaNoteVerifier(checkpoint.origin, self.public_key)
        signature = self.key.sign(checkpoint.body(), ec.ECDSA(hashes.SHA256()))
        return write_note(checkpoint, [signature_line(checkpoint.origin, verifier.hint, signature)])

    def proof(self, old: int, size: int) -> list[bytes]:
        return proof_of(old, self.leaves[:size]) if 0 < old < size else []

    def submission(self, old: int, size: int) -> bytes:
        return write_submission(Submission(old, tuple(self.proof(old, size)), self.note(size)))

    def prover(self, size: int) -> Callable[[int], object]:
        async def proof_from(old: int) -> list[bytes]:
            return self.proof(old, size)

        return proof_from


@dataclass
class WitnessProcess:
    """`ig witness` as a process of its own."""

    folder: Path
    known: Sequence[Log]
    initial: bool = True
    program: Sequence[str] = ("-m", "subgraph.cli.main")
    environment: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[str] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def verifiers(self) -> tuple[NoteVerifier, ...]:
        return read_verifiers((self.folder / "verifiers").read_text())

    def arguments(self) -> list[str]:
        logs = []
        for number, log in enumerate(self.known):
            path = self.folder / f"log-{number}.pub"
            path.write_text(log.public_key.pem)
            logs += ["--log", f"{log.origin}={path}"]
        return [
            "witness", "--listen", f"127.0.0.1:{self.port}", "--state", str(self.state),
            "--key", self.key or str(self.folder / "key.pem"), "--ed25519-key", str(self.folder / "ed.pem"),
            "--verifiers", str(self.folder / "verifiers"), *logs,
            *(["--init"] if self.initial else []),
        ]  # fmt: skip

    async def start(self) -> "WitnessProcess":
        self.process = self._spawn()
        async with httpx.AsyncClient(trust_env=False) as client:
            while self.process.poll() is None:
                try:
                    if (await client.get(f"{self.url}/healthz")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        return self

    async def cosigned(self, log: Log, size: int) -> str:
        """The lines of its first cosignature of the log."""
        async with httpx.AsyncClient(trust_env=False) as client:
            body = log.submission(0, size)
            answer = await client.post(f"{self.url}/add-checkpoint", content=body)
        answer.raise_for_status()
        return answer.text

    def _spawn(self) -> "subprocess.Popen[str]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("IG_")}
        return subprocess.Popen(
            [sys.executable, *self.program, *self.arguments()],
            env={**inherited, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def refusal(self) -> str:
        """What it said when it refused to start."""
        assert self.process is not None
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 1, errors
        return errors

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)


LOG = Log.of(20)
OTHER = Log.of(20, "log.test/other")
BELOW = Log.of(20, "log.test/tenant/*")


async def add(http: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await http.post("/add-checkpoint", content=body)


def submit(old: int, note: str, proof: list[bytes] | None = None) -> bytes:
    return write_submission(Submission(old, tuple(proof or ()), note))
