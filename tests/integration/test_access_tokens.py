"""Tokens that do not hold: they read no field at all, and change nothing."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import base64
import hmac
import json
import time
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.http import development_tokens
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.templates import NEW_TENANT, TENANT
from tests.integration.world import CLIENT, QUESTIONS, World, build, codes


@pytest.fixture(scope="module")
async def world(
    api: Api, postgres: EmbeddedServer, settings: Settings, database: Database
) -> World:
    return await build(api, postgres, settings, database)


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
