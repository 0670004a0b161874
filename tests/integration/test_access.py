"""Who may read what: every field of the schema, asked over HTTP by every kind of caller."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import base64
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from graphql import (
    GraphQLObjectType,
    get_named_type,
)

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.federation import guards
from subgraph.http import development_tokens
from subgraph.policy.scopes import Scope
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.datasets import (
    DIGEST,
    REGION,
    first_events,
    provision_source,
    register_dataset,
    register_tenant,
)
from tests.integration.roads import (
    AUTHENTICATED,
    DATASET,
    ENTITY,
    NEW_DATASET,
    NEW_TENANT,
    PUBLISHED,
    SERVED,
    TENANT,
    asked,
    questions,
    stated,
)

CLIENT = {"apollographql-client-name": "tests", "x-request-id": "0" * 16}
QUESTIONS = list(questions(SERVED))
GUARDED = [(coordinate, operation) for coordinate, operation in QUESTIONS if asked(operation)]
PUBLIC = [(coordinate, operation) for coordinate, operation in QUESTIONS if not asked(operation)]
SCOPED = [
    (coordinate, operation, scope)
    for coordinate, operation in QUESTIONS
    for scope in sorted(asked(operation) - {AUTHENTICATED})
]
OF_TENANT = [
    (coordinate, operation)
    for coordinate, operation in QUESTIONS
    if any(name in operation for name in ("$tenant", "$dataset", "$event"))
]


@dataclass(frozen=True)
class World:
    """Two tenants, what one of them has, and ids that nobody has."""

    tenant: str
    dataset: str
    source: str
    event: str
    other: str
    unknown: str
    new: str

    def fill(self, operation: str, **names: str) -> str:
        known = {
            "$tenant": self.tenant,
            "$dataset": self.dataset,
            "$source": self.source,
            "$event": self.event,
            "$new": self.new,
            "$region": REGION,
            "$digest": DIGEST,
        }
        for name, value in {**known, **{f"${key}": value for key, value in names.items()}}.items():
            operation = operation.replace(name, value)
        return operation


@pytest.fixture(scope="module")
async def world(api: Api, postgres: EmbeddedServer) -> World:
    tenant, other = await register_tenant(api), await register_tenant(api)
    source = await provision_source(postgres, tenant)
    dataset = await register_dataset(api, tenant, source)
    (event,) = await first_events(api, tenant, 1)
    unknown, new = (f"t-{secrets.token_hex(8)}" for _ in range(2))
    return World(tenant, dataset, source, event, other, unknown, new)


def codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer.get("errors", [])}


def values(data: object) -> Iterator[object]:
    """Everything that an answer says, apart from its structure."""
    if isinstance(data, dict):
        for name, item in data.items():
            if name != "__typename":
                yield from values(item)
    elif isinstance(data, list):
        for item in data:
            yield from values(item)
    elif data is not None:
        yield data


def token_for(api: Api, world: World, scopes: frozenset[str]) -> str:
    named = scopes - {AUTHENTICATED}
    if Scope.LEDGER_DEPLOYMENT in named:
        named |= {Scope.PLATFORM_ANY}
    platform = any(scope.startswith("platform:") for scope in named)
    return api.mint(None if platform else world.tenant, *sorted(named))


def test_every_guarded_field_says_in_the_document_what_is_enforced() -> None:
    enforced = {
        coordinate: {access.scope or AUTHENTICATED for access in required}
        for coordinate, required in guards.table(SERVED).items()
    }
    published = {
        f"{type_.name}.{name}": stated(field) | stated(get_named_type(field.type))
        for type_ in PUBLISHED.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
    }
    # Federation's own two fields stand in no document; entities are guarded one by one.
    federation = {"Query._service": set(), "Query._entities": set()}
    assert enforced == published | federation


def test_only_lifecycle_records_keys_and_the_document_are_public() -> None:
    types = {coordinate.partition(".")[0] for coordinate, _ in PUBLIC}
    assert types == {
        "Query", "_Service", "Deprecation", "DeprecationConnection", "DeprecationEdge", "PageInfo",
        "VerificationKey", "VerificationKeyConnection", "VerificationKeyEdge",
    }  # fmt: skip


@pytest.mark.parametrize(("coordinate", "operation"), QUESTIONS)
async def test_field_answers_whoever_holds_what_it_asks_for(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = token_for(api, world, asked(operation))
    answer = await api.ask(world.fill(operation), token=token, headers=CLIENT)
    assert "errors" not in answer


@pytest.mark.parametrize(("coordinate", "operation"), PUBLIC)
async def test_public_field_answers_without_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    # A Tenant is no public entity: the field answers, its item does not.
    assert codes(answer) == ({"UNAUTHENTICATED"} if coordinate == "Query._entities" else set())


@pytest.mark.parametrize(("coordinate", "operation"), GUARDED)
async def test_guarded_field_asks_for_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    assert codes(answer) == {"UNAUTHENTICATED"}


@pytest.mark.parametrize(("coordinate", "operation"), GUARDED)
async def test_guarded_field_says_nothing_without_a_token(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    answer = await api.ask(world.fill(operation))
    assert list(values(answer["data"])) == []


@pytest.mark.parametrize(("coordinate", "operation", "scope"), SCOPED)
async def test_field_names_the_scope_that_is_missing(
    api: Api, world: World, coordinate: str, operation: str, scope: str
) -> None:
    token = token_for(api, world, asked(operation) - {scope})
    answer = await api.ask(world.fill(operation), token=token)
    found = [error for error in answer["errors"] if error["extensions"]["code"] == "FORBIDDEN"]
    assert [scope in error["message"] for error in found] == [True]


@pytest.mark.parametrize(("coordinate", "operation"), OF_TENANT)
async def test_foreign_tenant_is_answered_like_one_that_does_not_exist(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = api.mint(world.other, *sorted(asked(operation) - {AUTHENTICATED}))
    kinds = {"dataset": IdKind.DATASET, "event": IdKind.LEDGER_EVENT}
    made_up = {name: ids.encode(kind, world.unknown, uuid4()) for name, kind in kinds.items()}
    bodies = [
        (
            await api.client.post(
                "/graphql",
                json={"query": world.fill(operation, **names)},
                headers={**CLIENT, "authorization": f"Bearer {token}"},
            )
        ).content
        for names in ({}, {"tenant": world.unknown, **made_up})
    ]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(("coordinate", "operation"), OF_TENANT)
async def test_foreign_tenant_says_nothing(
    api: Api, world: World, coordinate: str, operation: str
) -> None:
    token = api.mint(world.other, *sorted(asked(operation) - {AUTHENTICATED}))
    answer = await api.ask(world.fill(operation), token=token)
    assert list(values(answer["data"])) == []


async def test_foreign_data_set_under_the_own_tenant_is_not_found(api: Api, world: World) -> None:
    answer = await api.ask(
        '{ tenant(id: "%s") { dataset(id: "%s") { id } } }' % (world.other, world.dataset),
        token=api.mint(world.other, "datasets:read"),
    )
    assert answer == {"data": {"tenant": {"dataset": None}}}


async def test_registration_for_a_foreign_tenant_is_forbidden(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(NEW_DATASET % "userErrors { code }"),
        token=api.mint(world.other, "datasets:read", "datasets:write"),
    )
    assert (answer["data"], codes(answer)) == ({"registerDataset": None}, {"FORBIDDEN"})


async def test_writer_that_may_not_read_learns_only_whether_it_succeeded(
    api: Api, world: World
) -> None:
    answer = await api.ask(
        world.fill(NEW_DATASET % "dataset { id } userErrors { code }"),
        token=api.mint(world.tenant, "datasets:write"),
    )
    payload = {"registerDataset": {"dataset": None, "userErrors": []}}
    assert (answer["data"], codes(answer)) == (payload, {"FORBIDDEN"})


# --- tokens that do not hold


class Forger:
    """Makes tokens that differ from a valid one in one respect."""

    def __init__(self, settings: Settings, tenant: str) -> None:
        self.key = development_tokens.load_or_create(settings)
        now = int(time.time())
        self.claims: dict[str, Any] = {
            "sub": "test-subject",
            "tenant": tenant,
            "scope": "datasets:read datasets:write deprecations:read",
            "aud": settings.jwt_audience,
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        }

    def signed(self, key: ec.EllipticCurvePrivateKey | None = None, **changes: object) -> str:
        claims = {name: value for name, value in {**self.claims, **changes}.items() if value}
        return jwt.encode(
            claims, key or self.key.private_key, "ES256", headers={"kid": self.key.key_id}
        )

    def headed(self, algorithm: str, secret: bytes | None) -> str:
        header = {"alg": algorithm, "typ": "JWT", "kid": self.key.key_id}
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
            for part in (header, self.claims)
        ]
        text = b".".join(parts)
        signature = b"" if secret is None else hmac.digest(secret, text, sha256)
        return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    def pem(self) -> bytes:
        public = self.key.private_key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def tokens(self) -> dict[str, str]:
        past, soon = int(time.time()) - 3600, int(time.time()) + 3600
        jwk = json.loads(self.key.key_set_file.read_bytes())["keys"][0]
        whole = self.signed()
        return {
            "expired": self.signed(exp=past),
            "without expiry": self.signed(exp=None),
            "not yet valid": self.signed(nbf=soon),
            "of another audience": self.signed(aud="another-service"),
            "without audience": self.signed(aud=None),
            "without subject": self.signed(sub=None),
            "of another key": self.signed(ec.generate_private_key(ec.SECP256R1())),
            "unsigned": self.headed("none", None),
            "unsigned, with letters": self.headed("nOnE", b"x"),
            "signed with the public key's text": self.headed("HS256", self.pem()),
            "signed with the public key's bytes": self.headed("HS256", jwk["x"].encode()),
            "without its signature": whole.rpartition(".")[0] + ".",
            "with a changed claim": _changed(whole),
            "no token at all": "x",
        }


def _changed(token: str) -> str:
    header, claims, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(claims + "=="))
    content["scope"] = "platform:*"
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


BROKEN = [
    "expired", "without expiry", "not yet valid", "of another audience", "without audience",
    "without subject", "of another key", "unsigned", "unsigned, with letters",
    "signed with the public key's text", "signed with the public key's bytes",
    "without its signature", "with a changed claim", "no token at all",
]  # fmt: skip


async def test_token_of_the_forger_holds_while_nothing_is_changed(
    api: Api, settings: Settings, world: World
) -> None:
    token = Forger(settings, world.tenant).signed()
    answer = await api.ask(world.fill(TENANT % "id"), token=token)
    assert answer == {"data": {"tenant": {"id": world.tenant}}}


@pytest.mark.parametrize("kind", BROKEN)
async def test_token_that_does_not_hold_reads_no_field_at_all(
    api: Api, settings: Settings, world: World, kind: str
) -> None:
    token = Forger(settings, world.tenant).tokens()[kind]
    answers = set()
    for _, operation in QUESTIONS:
        response = await api.client.post(
            "/graphql",
            json={"query": world.fill(operation)},
            headers={**CLIENT, "authorization": f"Bearer {token}"},
        )
        answers.add((response.status_code, response.content))
    ((status, content),) = answers
    body = json.loads(content)
    assert (status, codes(body), "data" in body) == (401, {"UNAUTHENTICATED"}, False)


@pytest.mark.parametrize("kind", BROKEN)
async def test_token_that_does_not_hold_changes_nothing(
    api: Api, settings: Settings, world: World, tenant_id: str, kind: str
) -> None:
    forger = Forger(settings, world.tenant)
    forger.claims |= {"scope": "platform:tenants"}
    del forger.claims["tenant"]
    operation = world.fill(NEW_TENANT % "Test" % "tenant { id }", new=tenant_id)
    await api.ask(operation, token=forger.tokens()[kind])
    looked = await api.ask(
        '{ tenant(id: "%s") { id } }' % tenant_id, token=api.mint(None, "platform:tenants")
    )
    assert looked == {"data": {"tenant": None}}


# --- principals of the platform, and those that would like to be

TENANT_SCOPES = ("platform:*", "platform:tenants", "datasets:read", "datasets:write")


async def test_tenant_that_names_platform_scopes_sees_no_other_tenant(
    api: Api, world: World
) -> None:
    answer = await api.ask(
        world.fill(TENANT % "id name"), token=api.mint(world.other, *TENANT_SCOPES)
    )
    assert answer == {"data": {"tenant": None}}


async def test_tenant_that_names_platform_scopes_sees_no_other_data_set(
    api: Api, world: World
) -> None:
    operation = ENTITY % ("Dataset", "id", "$dataset", "Dataset") % "id"
    answer = await api.ask(world.fill(operation), token=api.mint(world.other, *TENANT_SCOPES))
    assert answer == {"data": {"_entities": [None]}}


async def test_tenant_that_names_platform_scopes_registers_nobody(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(NEW_TENANT % "Test" % "tenant { id }"),
        token=api.mint(world.tenant, *TENANT_SCOPES),
    )
    assert (answer["data"], codes(answer)) == ({"registerTenant": None}, {"FORBIDDEN"})


@pytest.mark.parametrize("scopes", [("platform:tenants",), ("platform:*",)])
async def test_platform_reads_the_identity_of_any_tenant(
    api: Api, world: World, scopes: tuple[str, ...]
) -> None:
    answer = await api.ask(world.fill(TENANT % "id"), token=api.mint(None, *scopes))
    assert answer == {"data": {"tenant": {"id": world.tenant}}}


@pytest.mark.parametrize("scopes", [(), ("datasets:read",), ("platform:queries",)])
async def test_caller_without_tenant_or_the_platform_scope_sees_no_tenant(
    api: Api, world: World, scopes: tuple[str, ...]
) -> None:
    answer = await api.ask(world.fill(TENANT % "id"), token=api.mint(None, *scopes))
    assert answer == {"data": {"tenant": None}}


async def test_platform_reads_no_data_set_without_the_scope_for_it(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(DATASET % "id"), token=api.mint(None, "platform:*", "platform:tenants")
    )
    assert (answer["data"], codes(answer)) == ({"tenant": {"dataset": None}}, {"FORBIDDEN"})


async def test_platform_reads_data_sets_with_both_scopes(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(DATASET % "id"), token=api.mint(None, "platform:tenants", "datasets:read")
    )
    assert answer == {"data": {"tenant": {"dataset": {"id": world.dataset}}}}


async def test_data_scope_without_a_tenant_reads_no_data_set(api: Api, world: World) -> None:
    operation = ENTITY % ("Dataset", "id", "$dataset", "Dataset") % "id"
    answer = await api.ask(world.fill(operation), token=api.mint(None, "datasets:read"))
    assert answer["data"] == {"_entities": [None]}


async def test_platform_caller_acts_for_no_tenant(api: Api) -> None:
    answer = await api.ask("{ caller { tenant { id } } }", token=api.mint(None, "platform:*"))
    assert answer == {"data": {"caller": {"tenant": None}}}


async def test_gateway_secret_adds_no_right(api: Api, world: World, settings: Settings) -> None:
    assert settings.gateway_secret is not None
    answer = await api.ask(
        world.fill(TENANT % "id"), headers={"x-ig-gateway-secret": settings.gateway_secret}
    )
    assert codes(answer) == {"UNAUTHENTICATED"}
