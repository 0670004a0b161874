"""What PostgreSQL and the network do, in the subgraph's own codes."""

import asyncpg
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.faults import translated
from subgraph.db.roles import Role
from subgraph.errors import ErrorCode, SubgraphError


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("x"),
        asyncpg.CrashShutdownError("x"),
        asyncpg.CannotConnectNowError("x"),
        asyncpg.DatabaseDroppedError("x"),
        asyncpg.IdleSessionTimeoutError("x"),
        asyncpg.ConnectionDoesNotExistError("x"),
        asyncpg.ConnectionFailureError("x"),
        asyncpg.TooManyConnectionsError("x"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InvalidPasswordError("x"),
        asyncpg.InvalidCatalogNameError("x"),
        asyncpg.ReadOnlySQLTransactionError("x"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        FileNotFoundError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_database_that_cannot_serve_is_unavailable(error: Exception) -> None:
    with pytest.raises(SubgraphError) as caught, translated():
        raise error
    assert (caught.value.code, caught.value.__cause__) == (ErrorCode.DATABASE_UNAVAILABLE, error)


@pytest.mark.parametrize(
    "error", [asyncpg.QueryCanceledError("x"), asyncpg.LockNotAvailableError("x")]
)
def test_a_statement_over_its_time_exceeds_the_deadline(error: Exception) -> None:
    with pytest.raises(SubgraphError) as caught, translated():
        raise error
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError("x"),
        asyncpg.UndefinedTableError("x"),
        asyncpg.InsufficientPrivilegeError("x"),
        asyncpg.PostgresSyntaxError("x"),
        asyncpg.DataError("x"),
        LookupError(),
        ValueError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_this_service_passes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


def test_what_is_translated_already_stays_as_it_is() -> None:
    refused = SubgraphError(ErrorCode.DATABASE_ROLE_UNSAFE)
    with pytest.raises(SubgraphError) as caught, translated(), translated():
        raise refused
    assert caught.value is refused


@pytest.mark.parametrize("value", ["a lone \ud800 surrogate", 2**70, object()])
async def test_a_value_that_cannot_be_sent_is_no_outage(
    postgres: EmbeddedServer, value: object
) -> None:
    connection = await asyncpg.connect(postgres.url(Role.SERVICE))
    kind = "bigint" if isinstance(value, int) else "text"
    try:
        with pytest.raises(asyncpg.DataError), translated():
            await connection.fetch(f"SELECT $1::{kind}", value)
    finally:
        await connection.close()


@pytest.mark.parametrize("dsn", ["mysql://a:secret@b/c", "nonsense secret"])
async def test_an_address_that_cannot_be_read_is_a_wrong_setting(dsn: str) -> None:
    with pytest.raises(SubgraphError) as caught, translated():
        await asyncpg.connect(dsn)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID
    assert "secret" not in caught.value.message
