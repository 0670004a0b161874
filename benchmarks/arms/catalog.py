"""Which applications are compared, and what they are told."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import orjson

from benchmarks import database
from benchmarks.arms.bare import ANSWERS_VARIABLE
from benchmarks.operations import Operation
from benchmarks.processes import Server, serving
from benchmarks.wire import connected
from subgraph.http import development_tokens
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.policy.scopes import Scope
from subgraph.settings import Settings

BARE, STOCK, CACHED, OURS = "bare", "stock", "cached", "ours"
ARMS = (BARE, STOCK, CACHED, OURS)
TITLES: Mapping[str, str] = {
    BARE: "bare ASGI",
    STOCK: "stock Strawberry",
    CACHED: "Strawberry with caches",
    OURS: "this service",
}

_FACTORIES = {
    BARE: "benchmarks.arms.bare:create",
    STOCK: "benchmarks.arms.strawberry_app:stock",
    CACHED: "benchmarks.arms.strawberry_app:cached",
    OURS: "subgraph.app:create",
}
_CALLERS = 16
_TOKEN_LIFETIME = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Arm:
    """A running arm. `answers` are what it was seen to answer, by operation."""

    name: str
    server: Server
    tokens: tuple[str, ...]
    answers: dict[str, bytes] = field(default_factory=dict)

    def path(self, operation: Operation) -> str:
        """Where the operation is sent; the bare arm knows operations by their paths only."""
        return f"/{operation.name}" if self.name == BARE else "/graphql"


class ArmsDisagree(Exception):
    """Two arms gave different data for the same operation."""


@contextmanager
def running(
    service_dsn: str, folder: Path, operations: tuple[Operation, ...], core: int | None
) -> Iterator[dict[str, Arm]]:
    """All arms over one database, as its service role, after they agreed on every operation.

    Raises `ArmsDisagree`.
    """
    settings = Settings(data_dir=str(folder / "keys"))
    key = development_tokens.load_or_create(settings)
    tokens = tuple(
        development_tokens.mint(
            key,
            subject="benchmark",
            tenant=database.TENANT,
            scopes=[Scope.DATASETS_READ],
            lifetime=_TOKEN_LIFETIME,
            audience=settings.jwt_audience,
        )
        for _ in range(_CALLERS)
    )
    root_key = folder / "ledger-root.pem"
    KeyFileSigner.open(root_key, create=True)
    environment = {
        "DATABASE_URL": service_dsn,
        "IG_LEDGER_ROOT_KEY": f"file:{root_key}",
        "IG_WITNESS_URL": "off",
        # Reads are measured: the ledger signs once, when the server starts.
        "IG_CHECKPOINT_SECONDS": "86400",
        "IG_MODE": "production",
        "IG_JWT_PUBLIC_KEY_FILE": str(key.key_set_file),
        "IG_CURSOR_KEY": "c" * 64,
        "IG_GATEWAY_SECRET": "g" * 64,
        "IG_LOG_LEVEL": "WARNING",
    }
    with ExitStack() as servers:
        arms = {
            name: Arm(
                name, servers.enter_context(serving(_FACTORIES[name], environment, core)), tokens
            )
            for name in (STOCK, CACHED, OURS)
        }
        for operation in operations:
            for arm in arms.values():
                arm.answers[operation.name] = _answer(arm, operation)
            _compare(arms, operation)
        stored = folder / "answers.json"
        answers = arms[OURS].answers
        stored.write_bytes(
            orjson.dumps({f"/{name}": answer.decode() for name, answer in answers.items()})
        )
        bare = serving(_FACTORIES[BARE], {ANSWERS_VARIABLE: str(stored)}, core)
        yield {BARE: Arm(BARE, servers.enter_context(bare), tokens, answers)} | arms


def _answer(arm: Arm, operation: Operation) -> bytes:
    with connected(
        arm.server.address,
        arm.path(operation),
        operation.bodies(),
        arm.tokens,
        connections=1,
        expected=None,
    ) as wire:
        return wire.exchange()


def _compare(arms: Mapping[str, Arm], operation: Operation) -> None:
    given = {name: orjson.loads(arm.answers[operation.name]) for name, arm in arms.items()}
    for name, body in given.items():
        if set(body) != {"data"} or body != given[OURS]:
            raise ArmsDisagree(f"{operation.name}: {name} answers {str(body)[:500]}")
