"""Readers of ledgers for the tests, who trust nothing but the published root."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import asyncio
import base64
import re
from dataclasses import dataclass
from typing import Any

from subgraph.ledger.delegation import SigningRight, read_delegation, verify_entry_signature
from subgraph.ledger.entry import decode
from subgraph.ledger.note import Checkpoint, EcdsaNoteVerifier, open_note
from subgraph.ledger.publickey import PublicKey
from tests.conftest import Api

EVENT = "id index type at actor entry leafHash signature { keyId algorithm value }"
CHECKPOINT = "note size rootHash signedAt"
PROOF = f"index treeSize leafHash hashes tlogProof checkpoint {{ {CHECKPOINT} }}"
EVENTS = (
    "events(first: $first, after: $after, type: $type)"
    " { nodes { %s } pageInfo { hasNextPage endCursor } }" % EVENT
)
OF_TENANT = (
    "query($tenant: ID!, $first: Int! = 100, $after: String, $type: String, $size: UInt64,"
    ' $from: UInt64! = "0", $to: UInt64! = "0", $id: ID! = "")'
    " { tenant(id: $tenant) { ledger { %s } } }"
)
OF_DEPLOYMENT = (
    "query($first: Int! = 100, $after: String, $type: String)"
    " { deploymentLedger { origin %s } }" % EVENTS
)
KEYS = (
    "query($ids: [String!], $purpose: KeyPurpose, $first: Int! = 50, $after: String)"
    " { verificationKeys(keyIds: $ids, purpose: $purpose, first: $first, after: $after)"
    " { nodes { keyId algorithm publicKeyPem origin purpose validFrom revokedAt }"
    " pageInfo { hasNextPage endCursor } } }"
)

DATASETS = 52

ENTITIES = (
    "query($of: [_Any!]!) { _entities(representations: $of) { ... on LedgerEvent { id type } } }"
)


@dataclass(frozen=True)
class Reader:
    """Reads the ledgers of one tenant and of the deployment."""

    api: Api
    tenant: str

    @property
    def token(self) -> str:
        return self.api.mint(self.tenant, "ledger:read")

    @property
    def operator(self) -> str:
        return self.api.mint(None, "platform:*", "ledger:deployment")

    async def answer(self, selection: str, **variables: object) -> dict[str, Any]:
        # A variable that no field uses is refused, so only those in the selection are declared.
        head, _, rest = OF_TENANT.partition(") {")
        declared = re.findall(r"\$\w+: [^,$]+", head)
        used = [item for item in declared if re.search(r"\%s\b" % item.split(":")[0], selection)]
        query = f"query($tenant: ID!{''.join(f', {item}' for item in used)}) {{{rest % selection}"
        sent = {"tenant": self.tenant, **variables}
        return await self.api.ask(query, token=self.token, variables=sent)

    async def ledger(self, selection: str, **variables: object) -> dict[str, Any]:
        answer = await self.answer(selection, **variables)
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]["tenant"]["ledger"]
        return found

    async def events(self, selection: str = EVENT) -> list[dict[str, Any]]:
        found = await self.ledger(f"events(first: 100) {{ nodes {{ {selection} }} }}")
        return list(found["events"]["nodes"])

    async def deployment(self, type: str) -> list[dict[str, Any]]:
        """All events of that type in the log of the deployment."""
        found, after = [], None
        while True:
            answer = await self.api.ask(
                OF_DEPLOYMENT, token=self.operator, variables={"type": type, "after": after}
            )
            page = answer["data"]["deploymentLedger"]["events"]
            found += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]

    async def root(self) -> PublicKey:
        """The root, as everybody can read it."""
        answer = await self.api.ask(KEYS, variables={"purpose": "ROOT"})
        (key,) = answer["data"]["verificationKeys"]["nodes"]
        root = PublicKey.from_pem(key["publicKeyPem"])
        assert root.key_id == key["keyId"]
        return root

    async def delegated(self) -> dict[str, SigningRight]:
        """The keys of processes that the root has delegated to."""
        root = await self.root()
        rights = {}
        for event in await self.deployment("ledger.key.delegated"):
            content = event["entry"].encode()
            verify_entry_signature(content, signature_of(event), root)
            right = read_delegation(decode(content))
            rights[right.key.key_id] = right
        return rights

    async def covered(self, size: int) -> dict[str, Any]:
        """The newest checkpoint, once it covers `size` events."""
        async with asyncio.timeout(30):
            while True:
                found = (await self.ledger(f"checkpoint {{ {CHECKPOINT} }}"))["checkpoint"]
                if found is not None and int(found["size"]) >= size:
                    return dict(found)
                await asyncio.sleep(0.05)


def signature_of(event: dict[str, Any]) -> bytes:
    return base64.b64decode(event["signature"]["value"], validate=True)


def digest(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("sha256:"))


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


def opened(note: str, origin: str, root: PublicKey) -> Checkpoint:
    return open_note(note, [EcdsaNoteVerifier(origin, root)]).checkpoint


async def reported(api: Api) -> float:
    """How many statements operations have taken, which leaves out what runs beside them."""
    page = (await api.client.get("/metrics")).text
    found = re.search(r"^graphql_operation_statements_sum(?:\{.*\})? (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0
