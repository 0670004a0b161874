"""The operations that are measured; all of them are reads."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from benchmarks import database

_PAGE = """
query TenantPage($id: ID!, $first: Int!) {
  tenant(id: $id) {
    id
    name
    homeRegion { code displayName }
    allowedRegions { code displayName }
    datasets(first: $first) {
      nodes { id slug name license version region { code } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
_ENTITIES = """
query Entities($representations: [_Any!]!) {
  _entities(representations: $representations) {
    ... on Dataset { id name license version }
  }
}"""
_LIST = """
query LongList($id: ID!) {
  tenant(id: $id) {
    datasets(first: 100) {
      nodes { id slug name license version privacyUnit maxContributions region { code } }
    }
  }
}"""
_CALLER = "query Caller { caller { subject scopes } }"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `bodies` makes the JSON bodies of its requests, one after the other."""

    name: str
    title: str
    bodies: Callable[[], Iterator[bytes]]


def _same(document: str, variables: dict[str, Any]) -> Callable[[], Iterator[bytes]]:
    body = orjson.dumps({"query": document, "variables": variables})
    return lambda: itertools.repeat(body)


def _distinct(document: str, variables: dict[str, Any]) -> Callable[[], Iterator[bytes]]:
    """Documents that differ in the name of their operation, so that no cache knows them."""

    def bodies() -> Iterator[bytes]:
        for number in _SERIAL:
            named = document.replace("query TenantPage", f"query TenantPage{number}")
            yield orjson.dumps({"query": named, "variables": variables})

    return bodies


_SERIAL = itertools.count()
_TENANT = {"id": database.TENANT}
_REPRESENTATIONS = [{"__typename": "Dataset", "id": id_} for id_ in database.dataset_ids(count=50)]

TENANT_PAGE = Operation(
    "tenant-page",
    "Tenant page: a tenant, its regions and its first 20 data sets",
    _same(_PAGE, {**_TENANT, "first": 20}),
)
ENTITIES = Operation(
    "entities-50",
    "50 entities: `_entities` for 50 data sets",
    _same(_ENTITIES, {"representations": _REPRESENTATIONS}),
)
LONG_LIST = Operation("list-100", "Long list: 100 data sets of 8 fields", _same(_LIST, _TENANT))
CALLER = Operation("caller", "Caller: no database", _same(_CALLER, {}))
UNCACHED = Operation(
    "uncached",
    "Tenant page as a document that was never seen before",
    _distinct(_PAGE, {**_TENANT, "first": 20}),
)

STANDARD = (TENANT_PAGE, ENTITIES)
FULL = (*STANDARD, CALLER, LONG_LIST, UNCACHED)
