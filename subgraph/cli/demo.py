"""`ig demo`: everything on this machine, with demonstration tenants and a real data set."""

import argparse
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from subgraph import settings
from subgraph.budgets import demo as budgets_demo
from subgraph.budgets.runtime import BudgetsRuntime
from subgraph.cli.arguments import port, workers
from subgraph.cli.stack import DESCRIPTION, Running, Stack
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import development_tokens
from subgraph.http.demo_personas import personas
from subgraph.keys import demo as keys_demo
from subgraph.keys.runtime import KeysRuntime
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.telemetry import configure_logging
from subgraph.tenants import demo, demo_data

_LIFETIME = timedelta(days=7)
_QUERY = (
    '{ tenant(id: "%s") { name homeRegion { displayName jurisdiction }'
    " datasets { nodes { name license privacyUnit } } } }"
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data-dir", help="folder of the database and the keys (default: .data)")
    parser.add_argument("--port", type=port, help="port to listen on (default: 8080)")
    parser.add_argument("--workers", type=workers, default=1, help="worker processes (default: 1)")
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    configured = settings.load(os.environ)
    if configured.production:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "the demo is refused in production mode")
    if configured.database_url is not None:
        message = "the demo runs its own database: unset DATABASE_URL"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message)
    given = {"data_dir": parsed.data_dir, "port": parsed.port}
    configured = msgspec.structs.replace(
        configured, **{name: value for name, value in given.items() if value is not None}
    )
    configure_logging(configured.log_level)
    return Stack.run(
        configured, workers=parsed.workers, witness=True, prepare=_load, ready=_announce
    )


async def _load(running: Running) -> None:
    configured = running.settings
    assert configured.database_url is not None
    assert configured.database_owner_url is not None
    assert configured.database_system_url is not None
    database = Database.for_service(configured.database_url, configured)
    await database.open()
    recording = LedgerRuntime(configured, database)
    try:
        await recording.start()
        await demo.load(
            database,
            recording.ledger,
            owner_dsn=configured.database_owner_url,
            system_dsn=configured.database_system_url,
        )
        tenants = [tenant.tenant_id for tenant in demo_data.TENANTS]
        keys = KeysRuntime(configured, database, recording)
        async with keys.running():
            await keys_demo.load(keys, tenants)
        budgets = BudgetsRuntime(configured, database, recording, keys.approvals)
        await budgets_demo.load(budgets, tenants[0])
        # What was loaded can be exported as soon as the server answers.
        await recording.checkpoints.sign_due(tenants)
    finally:
        await recording.close()
        await database.close()


async def _announce(running: Running) -> None:
    tenants = [tenant.tenant_id for tenant in demo_data.TENANTS]
    key = development_tokens.load_or_create(running.settings)
    tokens = {
        name: development_tokens.mint(
            key,
            subject=persona.subject,
            tenant=persona.tenant,
            scopes=persona.scopes,
            lifetime=_LIFETIME,
            audience=running.settings.jwt_audience,
            issuer=running.settings.jwt_issuer,
        )
        for name, persona in personas(tenants[0], tenants[1]).items()
    }
    description = {
        "url": running.url,
        "portal": f"{running.url}/portal",
        "tenants": tenants,
        "gatewaySecret": running.settings.gateway_secret,
        "tokens": tokens,
    }
    _write(_description(running), json.dumps(description, indent=2) + "\n")
    query = json.dumps({"query": _QUERY % tenants[0]})
    print(f"""
GraphQL    {running.url}/graphql   (GraphiQL for a browser)
Health     {running.url}/healthz  {running.url}/readyz  {running.url}/metrics
Tokens     {_description(running)}

One query, as the viewer of {tenants[0]}:

curl -s {running.url}/graphql -H 'content-type: application/json' \\
  -H 'authorization: Bearer {tokens["viewer"]}' \\
  -d '{query}'
""")
    print(development_tokens.WARNING, file=sys.stderr)
    sys.stdout.flush()


def _description(running: Running) -> Path:
    return running.folder.path / DESCRIPTION


def _write(path: Path, text: str) -> None:
    """Write the file whole, for this user's eyes only: it holds tokens."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
