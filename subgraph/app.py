"""The composition root: settings become pools, services and the ASGI application.

Nothing else wires one part of the service to another.
"""

import gc
import logging
import math
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp

from dataloaders.loaders import Loaders
from dataloaders.visibility import Visibility
from resolvers.context import Client, RequestContext, Services
from subgraph import schema, settings
from subgraph.background import beside
from subgraph.budgets.runtime import BudgetsRuntime
from subgraph.db.cursors import CursorCodec
from subgraph.db.migrations import HEAD
from subgraph.db.service import Database
from subgraph.deprecations import policy_file
from subgraph.deprecations.model import Deprecation
from subgraph.deprecations.publication import Publication
from subgraph.deprecations.service import DeprecationRegister
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import authentication, graphiql
from subgraph.http.authentication import Caller
from subgraph.http.endpoint import GraphQLEndpoint
from subgraph.http.server import create_app
from subgraph.keys.runtime import KeysRuntime
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.ledger.subjects import Subjects
from subgraph.policy import service as policy
from subgraph.policy.model import PolicyDecisionPoint
from subgraph.queries.limits import Limits
from subgraph.queries.service import OperationService
from subgraph.settings import Settings
from subgraph.telemetry import Telemetry
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.service import TenantService

_GC_THRESHOLDS = (700, 10, 1_000)
"""The usual two for the young; a full collection is a pause that finds next to nothing."""

_log = logging.getLogger(__name__)


def create() -> ASGIApp:
    """The application for the settings in the environment; what each worker process calls."""
    return build(settings.load(os.environ), os.environ)


def build(configured: Settings, environ: Mapping[str, str]) -> ASGIApp:
    """The application for `configured`. Call it where the event loop runs.

    `environ` is read for `OTEL_*` only. Raises `SubgraphError` for settings, lifecycle records and
    schemas that break a rule.
    """
    if configured.database_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "DATABASE_URL is not set")
    observed = Telemetry.start(configured, environ)
    database = Database.for_service(configured.database_url, configured, observed.statement_span)
    observed.observe_pool("service", lambda: (database.size, database.idle))
    regions = RegionRegistry.load()
    recording = LedgerRuntime(configured, database)
    keys = KeysRuntime(configured, database, recording)
    observed.observe_keys(keys.telemetry)
    budgets = BudgetsRuntime(configured, database, recording, keys.approvals)
    decisions = policy.build(configured)
    authenticator = authentication.build(configured)
    records = policy_file.load(_deprecations(configured))
    served = schema.build(records)
    operations = OperationService(
        served,
        _limits(configured),
        observed,
        cache_size=configured.operation_cache_size,
        production=configured.production,
    )
    endpoint = GraphQLEndpoint(
        configured,
        authenticator,
        _ContextFactory(
            Services(
                tenants=TenantService(database, regions, recording.ledger),
                regions=regions,
                deprecations=DeprecationRegister(records),
                ledger=recording.reader,
                subjects=Subjects(database),
                keys=keys.custody,
                key_jobs=keys.jobs,
                key_destructions=keys.destructions,
                records=keys.records,
                break_glass=keys.break_glass,
                budgets=budgets,
                operations=operations,
                revocation_bound_seconds=math.ceil(configured.key_hard_seconds),
                cursors=CursorCodec(configured.cursor_key or secrets.token_hex(32)),
                sdl=served.sdl,
            ),
            database,
            decisions,
            production=configured.production,
        ),
        operations,
        observed,
        explorer=None if configured.production else graphiql.load_page(),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:
            parts.callback(observed.shutdown)
            parts.push_async_callback(decisions.aclose)
            parts.push_async_callback(authenticator.aclose)
            await database.open()
            parts.push_async_callback(database.close)
            await _refuse_unsafe_role(database)
            parts.push_async_callback(recording.close)
            await parts.enter_async_context(_recording(recording, database, records))
            await parts.enter_async_context(keys.running())
            await parts.enter_async_context(budgets.running())
            await parts.enter_async_context(beside(observed.watch_event_loop()))
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLDS)
            yield

    async def readiness() -> Mapping[str, str]:
        try:
            current = await database.revision()
        except SubgraphError as error:
            return {"database": error.code.name}
        if current != HEAD:
            return {"database": ErrorCode.DATABASE_NOT_MIGRATED.name}
        return {"database": "ok", "ledger": recording.status()}

    return create_app(endpoint, readiness, observed.metrics_page, lifespan=lifespan)


class _ContextFactory:
    def __init__(
        self,
        services: Services,
        database: Database,
        decisions: PolicyDecisionPoint,
        *,
        production: bool,
    ) -> None:
        self._services = services
        self._database = database
        self._decisions = decisions
        self._production = production

    def __call__(self, caller: Caller) -> RequestContext:
        """The context of one HTTP request."""
        visibility = Visibility(caller.principal, self._decisions)
        client = None
        if caller.client_name is not None:
            client = Client(caller.client_name, caller.client_version)
        return RequestContext(
            visibility=visibility,
            client=client,
            via_gateway=caller.via_gateway,
            production=self._production,
            loaders=Loaders.of(
                self._database,
                self._services.ledger,
                visibility,
                break_glass=self._services.break_glass,
                destructions=self._services.key_destructions,
            ),
            services=self._services,
            idempotency_key=caller.idempotency_key,
        )


@asynccontextmanager
async def _recording(
    recording: LedgerRuntime, database: Database, records: Sequence[Deprecation]
) -> AsyncIterator[None]:
    """Keep the ledger running; what is away is waited for in the background."""
    publication = Publication(database, recording.ledger, recording.reader)

    async def started() -> None:
        await publication.publish(records)

    try:
        await recording.start()
    except SubgraphError as error:
        _log.warning("the ledger records nothing yet (%s); /readyz says when it does", error)
    async with beside(recording.run(started)):
        yield


async def _refuse_unsafe_role(database: Database) -> None:
    try:
        await database.revision()
    except SubgraphError as error:
        if error.code in (ErrorCode.DATABASE_ROLE_UNSAFE, ErrorCode.SETTINGS_INVALID):
            raise
        _log.warning("the database does not answer yet; /readyz says when it does")


def _deprecations(configured: Settings) -> Path:
    named = configured.deprecations_file
    return policy_file.default_path() if named is None else Path(named)


def _limits(configured: Settings) -> Limits:
    return Limits(
        tokens=configured.max_tokens,
        depth=configured.max_depth,
        aliases=configured.max_aliases,
        directives=configured.max_directives,
        nodes=configured.max_nodes,
        cost=configured.max_cost,
        representations=configured.max_representations,
    )
