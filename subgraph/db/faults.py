"""PostgreSQL's failures in the subgraph's own codes."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from subgraph.errors import ErrorCode, SubgraphError

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # now and then for a pooled connection that the server dropped
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `DATABASE_UNAVAILABLE` or `DEADLINE_EXCEEDED` for what PostgreSQL or the network did.

    An address that cannot be read is `SETTINGS_INVALID`. Other database errors pass through: they
    are faults of this service and are answered as such.
    """
    try:
        yield
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
        raise SubgraphError(ErrorCode.DEADLINE_EXCEEDED) from error
    except asyncpg.ClientConfigurationError as error:
        message = "the address of the database is no postgresql://user:password@host/name"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from error
    except (TimeoutError, *_AWAY) as error:
        raise SubgraphError(ErrorCode.DATABASE_UNAVAILABLE) from error
