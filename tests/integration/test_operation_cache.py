"""The cache of parsed and validated documents, as its metrics show it."""

import re
import secrets

import msgspec

from subgraph.settings import Settings
from tests.conftest import Api, running


async def looked_up(served: Api) -> tuple[int, int]:
    """Hits and misses so far."""
    page = (await served.client.get("/metrics")).text
    found = dict(
        re.findall(r'^graphql_operation_cache_total\{.*result="(\w+)"\} (\S+)$', page, re.MULTILINE)
    )
    return int(float(found.get("hit", 0))), int(float(found.get("miss", 0)))


def unseen() -> str:
    return f"query Q{secrets.token_hex(8)} {{ deprecations {{ nodes {{ id }} }} }}"


async def test_second_run_of_a_document_finds_it_parsed(api: Api) -> None:
    query = unseen()
    await api.ask(query)
    hits, misses = await looked_up(api)
    await api.ask(query)
    assert await looked_up(api) == (hits + 1, misses)


async def test_document_that_is_refused_is_not_kept(api: Api) -> None:
    query = unseen().replace("id", "x")
    before = await looked_up(api)
    for _ in range(3):
        await api.ask(query)
    assert await looked_up(api) == before


async def test_other_variables_need_no_parsing(api: Api) -> None:
    query = (
        unseen().replace(" {", "($n: Int!) {", 1).replace("deprecations", "deprecations(first: $n)")
    )
    await api.ask(query, variables={"n": 1})
    hits, misses = await looked_up(api)
    for number in (2, 3, 50_000):
        await api.ask(query, variables={"n": number})
    assert await looked_up(api) == (hits + 3, misses)


async def test_cache_keeps_the_documents_used_last(settings: Settings) -> None:
    async with running(msgspec.structs.replace(settings, operation_cache_size=2)) as served:
        first, second, third = unseen(), unseen(), unseen()
        for query in (first, second, first, third, first, second):
            await served.ask(query)
        # Only the return to `second` was too late: `third` had taken its place.
        assert await looked_up(served) == (2, 4)
