"""Answers that were paid for: the same question on the same data gets the same answer, for zero."""

import hashlib
from collections.abc import Mapping, Sequence

from subgraph.budgets import store
from subgraph.budgets.model import ReleaseKey, StoredRelease
from subgraph.db.service import Database
from subgraph.errors import JSONValue
from subgraph.ledger import canonical


def release_key(question: Mapping[str, JSONValue]) -> ReleaseKey:
    """SHA-256 of the canonical text of everything that an answer depends on.

    That is the data set and its version, the privacy unit and contribution bounds, the query with
    its normalised filter, clamps and keys, the mechanism and epsilon; not who asks, when, or under
    which alias. Raises `EntryInvalid` for floats and other values without a canonical text.
    """
    return ReleaseKey(hashlib.sha256(canonical.encode(dict(question))).digest())


async def stored_releases(
    database: Database, tenant: str, keys: Sequence[ReleaseKey]
) -> dict[ReleaseKey, StoredRelease]:
    """The answers that there are; one statement. Authorise the caller first."""
    if not keys:
        return {}
    found = await store.releases(database, [(tenant, key) for key in keys])
    return {key: release for (_, key), release in found.items()}
