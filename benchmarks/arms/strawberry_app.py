"""Strawberry's own ASGI application over asyncpg, as it comes and with its caches."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import strawberry
from jwt.algorithms import ECAlgorithm
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.dataloader import DataLoader

import orjson
from benchmarks.arms.strawberry_schema import Context, Dataset, Query, Region, Tenant
from subgraph.db.cursors import CursorCodec
from subgraph.db.ids import EntityId
from subgraph.policy.model import Principal
from subgraph.tenants.regions import RegionRegistry

AUDIENCE = "governance-subgraph"
_CACHED_DOCUMENTS = 2_000
_TOKEN_SECONDS = 60
