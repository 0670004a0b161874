"""What only `subgraph/db` may do, and what nobody may do inside a transaction."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("subgraph", "resolvers", "dataloaders", "persisted_queries")
DATABASE = ROOT / "subgraph" / "db"
DRIVERS = {"asyncpg", "sqlalchemy", "alembic", "psycopg", "psycopg2"}
PRIVATE = {"_pool", "_fetch"}
# Connections that are bound to no tenant are the operator's; no request reaches these modules.
OPERATORS = {
    "subgraph/budgets/sweeper.py",
    "subgraph/cli/stack.py",
    "subgraph/keys/jobs/maintenance.py",
    "subgraph/ledger/checkpoints.py",
    "subgraph/ledger/fsck.py",
    "subgraph/tenants/demo.py",
    "subgraph/tenants/provisioning.py",
}
# Does nothing but in tests, which make it fail.
FAULTS = {"faults", "self._faults"}
# What leaves the process, or holds it up.
OUTSIDE = {
    "aiocache", "asyncio", "boto3", "httpx", "opa", "requests", "socket", "subprocess", "time",
    "urllib",
}  # fmt: skip
_SESSION = re.compile(r"\bset_config\s*\(|(?:^|;)\s*(?:SET|RESET|DISCARD)\s+\w")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def outside_database() -> list[Path]:
    return [path for path in modules() if DATABASE not in path.parents]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


Lint = Callable[[ast.Module], Iterator[str]]


def found(lint: Lint, paths: list[Path]) -> list[str]:
    return [f"{name(path)}: {finding}" for path in paths for finding in lint(parse(path))]


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names of everything that is imported, by any spelling of an import."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if _called(node) in (
                "__import__", "import_module", "importlib.import_module",
            ):  # fmt: skip
                yield module


def drivers(tree: ast.Module) -> Iterator[str]:
    """Imports of database drivers."""
    return (module for module in imported(tree) if module.partition(".")[0] in DRIVERS)


def operators(tree: ast.Module) -> Iterator[str]:
    """Imports of connections that are bound to no tenant."""
    return (module for module in imported(tree) if module.startswith("subgraph.db.operator"))


def private(tree: ast.Module) -> Iterator[str]:
    """Uses of the pool behind `Database`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE and not _is_self(node.value):
            yield f"line {node.lineno} reads .{node.attr}"
        if (
            isinstance(node, ast.Call)
            and _called(node) == "getattr"
            and any(isinstance(a, ast.Constant) and a.value in PRIVATE for a in node.args)
        ):
            yield f"line {node.lineno} reads a private attribute by name"


def session_settings(tree: ast.Module) -> Iterator[str]:
    """Texts that set something on a database session."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if _SESSION.search(text):
                yield f"line {node.lineno}: {text[:60]!r}"


def inside_transactions(tree: ast.Module) -> Iterator[str]:
    """Everything that is waited for inside a transaction and is not the transaction.

    A transaction is the block of an `async with`, and the body of a function that is given one.
    """
    entered = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            for item in node.items:
                if _opens(item.context_expr):
                    entered.add(item.context_expr)
                    bound = item.optional_vars
                    known = {bound.id} if isinstance(bound, ast.Name) else set()
                    yield from _waits(node.body, known)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = {argument.arg for argument in _arguments(node) if _is_transaction(argument)}
            if given:
                yield from _waits(node.body, given)
    for node in ast.walk(tree):
        if _opens(node) and node not in entered:
            yield f"line {node.lineno} opens a transaction outside of an `async with`"


def _waits(body: list[ast.stmt], known: set[str]) -> Iterator[str]:
    known = known | set(_made_of(body, known))
    for node in (inner for statement in body for inner in ast.walk(statement)):
        match node:
            case ast.Await(value=ast.Call() as call) if (
                _is_of(call, known) or _called(call) in FAULTS
            ):
                continue
            case ast.Await():
                yield f"line {node.lineno} waits for something else in a transaction"
            case ast.AsyncWith() | ast.AsyncFor():
                yield f"line {node.lineno} enters something else in a transaction"
            case ast.comprehension(is_async=1):
                yield f"line {node.iter.lineno} iterates over something else in a transaction"
            case ast.Call() if _called(node).partition(".")[0] in OUTSIDE:
                yield f"line {node.lineno} leaves the process in a transaction"


def _made_of(body: list[ast.stmt], known: set[str]) -> Iterator[str]:
    """The names of what was made with the transaction as its first argument."""
    for node in (inner for statement in body for inner in ast.walk(statement)):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=made)], value=ast.Call(args=[ast.Name(id=of), *_])
            ):
                if of in known:
                    yield made


def _is_of(call: ast.Call, known: set[str]) -> bool:
    """Whether it is a method of the transaction, or is given the transaction first."""
    first = call.args[0] if call.args else None
    of = call.func.value if isinstance(call.func, ast.Attribute) else None
    return any(isinstance(node, ast.Name) and node.id in known for node in (of, first))


def _opens(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node).rpartition(".")[2] in (
        "transaction", "operator_transaction",
    )  # fmt: skip


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _is_transaction(argument: ast.arg) -> bool:
    written = ast.unparse(argument.annotation) if argument.annotation else ""
    return argument.arg == "transaction" or written.strip("'\"") == "Transaction"


def test_the_walk_sees_the_packages() -> None:
    seen = {name(path) for path in modules()}
    assert {"subgraph/app.py", "subgraph/db/service.py", "resolvers/query.py"} <= seen


def test_only_the_database_layer_imports_a_driver() -> None:
    assert found(drivers, outside_database()) == []


def test_the_database_layer_imports_its_driver() -> None:
    assert found(drivers, [DATABASE / "service.py"])


def test_only_operators_use_connections_without_a_tenant() -> None:
    using = {path.partition(":")[0] for path in found(operators, outside_database())}
    assert using == OPERATORS


def test_nobody_reaches_around_the_two_ways_to_the_data() -> None:
    assert found(private, outside_database()) == []


def test_only_the_database_layer_sets_something_on_a_session() -> None:
    assert found(session_settings, outside_database()) == []


def test_no_remote_call_is_made_inside_a_transaction() -> None:
    assert found(inside_transactions, outside_database()) == []


def test_the_transactions_of_the_service_are_seen() -> None:
    trees = [parse(path) for path in outside_database()]
    opened = [node for tree in trees for node in ast.walk(tree) if _opens(node)]
    assert len(opened) >= 5


@pytest.mark.parametrize(
    "source",
    [
        "import asyncpg",
        "import asyncpg.pool as pool",
        "from asyncpg import connect",
        "def f():\n    from sqlalchemy import text",
        "importlib.import_module('asyncpg')",
        "__import__('asyncpg')",
    ],
)
def test_an_import_of_a_driver_is_found(source: str) -> None:
    assert list(drivers(ast.parse(source)))


@pytest.mark.parametrize("source", ["database._pool", "x.y._pool.acquire()", "getattr(d, '_pool')"])
def test_a_use_of_the_pool_is_found(source: str) -> None:
    assert list(private(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "sql = \"SELECT set_config('ig.tenant', $1, false)\"",
        "sql = \"SET ig.tenant = 'a'\"",
        "sql = f'SET LOCAL ig.tenant = {tenant}'",
        "sql = 'SELECT 1; RESET ALL'",
        "sql = '''\n    SET ROLE ig_owner'''",
    ],
)
def test_a_session_setting_is_found(source: str) -> None:
    assert list(session_settings(ast.parse(source)))


def test_an_update_is_no_session_setting() -> None:
    assert list(session_settings(ast.parse("sql = 'UPDATE tenant SET name = $2'"))) == []


TRANSACTION = "async def f(self):\n    async with self.database.transaction(t) as tx:\n        {}"
OPERATOR = "async def f(dsn):\n    async with operator_transaction(dsn) as tx:\n        {}"
GIVEN = "async def f(tx: Transaction, client):\n    if client:\n        {}"


@pytest.mark.parametrize("around", [TRANSACTION, OPERATOR, GIVEN])
@pytest.mark.parametrize(
    "inside",
    [
        "await httpx.get('https://example.org')",
        "await self.policy.decide(request)",
        "await asyncio.sleep(1)",
        "await asyncio.gather(tx.rows('SELECT 1'))",
        "await store.tenants(self.database, [t])",
        "await self.kms.wrap(key)",
        "x = [await fetch(url) for url in urls]",
        "x = [row async for row in stream()]",
        "await task",
        "async with client.stream('GET', url) as answer: pass",
        "async for row in client: pass",
        "time.sleep(1)",
        "urllib.request.urlopen(url)",
        "asyncio.create_task(work())",
        "subprocess.run(['true'])",
    ],
)
def test_something_else_in_a_transaction_is_found(around: str, inside: str) -> None:
    assert list(inside_transactions(ast.parse(around.format(inside))))


@pytest.mark.parametrize("around", [TRANSACTION, OPERATOR, GIVEN])
@pytest.mark.parametrize(
    "inside",
    [
        "await tx.run('SELECT 1')",
        "rows = [row['a'] for row in await tx.rows('SELECT 1')]",
        "await store.insert(tx, tenant, by='me')",
        "return await _check(tx)",
        "x = sign(digest)",
    ],
)
def test_what_belongs_into_a_transaction_is_no_finding(around: str, inside: str) -> None:
    assert list(inside_transactions(ast.parse(around.format(inside)))) == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(stack):\n    tx = await stack.enter_async_context(db.transaction(t))",
        "async def f():\n    tx = operator_transaction(dsn)",
    ],
)
def test_a_transaction_that_the_lint_cannot_follow_is_found(source: str) -> None:
    assert list(inside_transactions(ast.parse(source)))


def test_a_transaction_without_a_name_allows_no_waiting() -> None:
    source = "async def f():\n    async with db.transaction(t):\n        await tx.run('SELECT 1')"
    assert list(inside_transactions(ast.parse(source)))


def ruff(source: str, place: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--no-cache"]
    return subprocess.run(
        [*command, "--stdin-filename", place, "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("place", ["subgraph/tenants/store.py", "resolvers/query.py"])
@pytest.mark.parametrize("source", ["import asyncpg\n", "from asyncpg import Pool\n"])
def test_the_linter_refuses_the_driver(source: str, place: str) -> None:
    result = ruff(source, place)
    assert (result.returncode, "TID251" in result.stdout) == (1, True)


def test_the_linter_lets_the_database_layer_use_it() -> None:
    assert ruff("import asyncpg\n", "subgraph/db/service.py").returncode == 0
