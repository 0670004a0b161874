"""Releases over HTTP: priced before they run, paid once, denied without harm to what is paid."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.releases import OF_DATASET, RELEASE, SCOPES, Spender, codes, spender


@pytest.fixture
async def analyst(api: Api, postgres: EmbeddedServer) -> Spender:
    """Somebody who may spend 1 a month."""
    return await spender(api, postgres)


async def test_estimate_tells_cost_error_and_decision(analyst: Spender) -> None:
    found = await analyst.estimate('count { value } sum(column: "age") { value }')
    assert found["epsilon"] == "0.200000000"
    assert found["decision"] == "ALLOW"
    assert found["remainingAfter"] == "0.800000000"
    count, total = found["releases"]
    assert count == {
        "path": "tenant.dataset.dp.count", "count": 1, "epsilon": "0.100000000",
        "mechanism": "DISCRETE_LAPLACE", "scales": [pytest.approx(10)], "bound95": 30,
        "cached": False,
    }  # fmt: skip
    assert total["bound95"] == pytest.approx(3595, abs=5)


async def test_estimate_spends_nothing(analyst: Spender) -> None:
    await analyst.estimate("count { value }")
    assert await analyst.spent() == "0.000000000"


async def test_estimate_says_queue_for_what_the_next_window_can_pay(analyst: Spender) -> None:
    await analyst.released('count(epsilon: "0.9") { value }')
    found = await analyst.estimate('count(epsilon: "0.5") { value }')
    assert found["decision"] == "QUEUE"
    assert found["remainingAfter"] is None
    assert found["earliestAt"] == (await analyst.budget("windowEnd"))["windowEnd"]


async def test_estimate_denies_what_no_window_can_pay(analyst: Spender) -> None:
    found = await analyst.estimate(
        'a: count(epsilon: "1") { value } b: distinctCount(epsilon: "0.5") { value }'
    )
    assert found["decision"] == "DENY"


async def test_release_costs_what_was_estimated(analyst: Spender) -> None:
    found = await analyst.released("count { value %s }" % RELEASE)
    assert found["count"]["epsilonCharged"] == "0.100000000"
    assert found["count"]["cached"] is False
    assert await analyst.spent() == "0.100000000"


async def test_repeat_gets_the_stored_answer_for_nothing(analyst: Spender) -> None:
    first = await analyst.released("count { value }")
    again = await analyst.released("other: count { value cached epsilonCharged }")
    assert again["other"] == {
        "value": first["count"]["value"], "cached": True, "epsilonCharged": "0.000000000",
    }  # fmt: skip
    assert await analyst.spent() == "0.100000000"


async def test_repeat_is_free_on_another_replica(analyst: Spender, settings: Settings) -> None:
    first = await analyst.released("count { value }")
    async with running(settings) as replica:
        elsewhere = Spender(replica, analyst.tenant, analyst.dataset)
        again = await elsewhere.released("count { value cached }")
    assert again["count"] == {"value": first["count"]["value"], "cached": True}


async def test_aliases_and_fragments_of_one_release_pay_once(analyst: Spender) -> None:
    found = await analyst.released(
        "a: count { value } b: count { value } ... { c: count { value } }"
    )
    assert found["a"] == found["b"] == found["c"]
    assert await analyst.spent() == "0.100000000"


async def test_kinds_of_releases_all_answer(analyst: Spender) -> None:
    found = await analyst.released(
        'count(where: [{ column: "age", op: GE, value: "18" }], epsilon: "0.01") { value }'
        ' distinctCount(epsilon: "0.01") { value } sum(column: "age", epsilon: "0.01") { value }'
        ' mean(column: "age", epsilon: "0.01") { value bound95 }'
        ' variance(column: "age", epsilon: "0.01") { value }'
        ' quantile(column: "age", q: 0.5, epsilon: "0.01") { value mechanism }'
        ' histogram(column: "age", bins: [0, 60, 120], epsilon: "0.01") { cells { key value } }'
    )
    assert [cell["key"] for cell in found["histogram"]["cells"]] == ["[0, 60)", "[60, 120]"]
    assert found["quantile"]["mechanism"] == "EXPONENTIAL"
    assert await analyst.spent() == "0.070000000"


async def test_skipped_release_costs_nothing(analyst: Spender) -> None:
    found = await analyst.released("count @skip(if: true) { value } distinctCount { value }")
    assert "count" not in found
    assert await analyst.spent() == "0.100000000"


async def test_denied_operation_says_what_is_missing(analyst: Spender) -> None:
    await analyst.released('count(epsilon: "0.9") { value }')
    answer = await analyst.ask('sum(column: "age", epsilon: "0.2") { value }')
    assert answer["data"]["tenant"]["dataset"]["dp"] == {"sum": None}
    (error,) = answer["errors"]
    extensions = {key: value for key, value in error["extensions"].items() if key != "requestId"}
    assert extensions == {
        "code": "DP_BUDGET_EXHAUSTED", "required": "0.200000000", "remaining": "0.100000000",
        "resetsAt": (await analyst.budget("windowEnd"))["windowEnd"], "queueable": True,
    }  # fmt: skip
    assert await analyst.spent() == "0.900000000"


async def test_stored_answers_and_other_fields_survive_a_denial(analyst: Spender) -> None:
    first = await analyst.released('count(epsilon: "0.9") { value }')
    answer = await analyst.send(
        (
            OF_DATASET % 'count(epsilon: "0.9") { value } distinctCount(epsilon: "0.2") { value }'
        ).replace("dp {", "slug dp {")
    )
    found = answer["data"]["tenant"]["dataset"]
    assert found["slug"] == "visits-000"
    assert found["dp"] == {"count": first["count"], "distinctCount": None}
    assert codes(answer) == {"tenant.dataset.dp.distinctCount": "DP_BUDGET_EXHAUSTED"}


async def test_operation_is_paid_as_a_whole_or_not_at_all(analyst: Spender) -> None:
    answer = await analyst.ask(
        'count(epsilon: "0.6") { value } distinctCount(epsilon: "0.6") { value }'
    )
    assert set(codes(answer).values()) == {"DP_BUDGET_EXHAUSTED"}
    assert await analyst.spent() == "0.000000000"


async def test_without_a_policy_nothing_is_spent(api: Api, postgres: EmbeddedServer) -> None:
    analyst = await spender(api, postgres, limit=None)
    assert set(codes(await analyst.ask("count { value }")).values()) == {"BUDGET_NOT_SET"}


async def test_field_that_cannot_be_asked_harms_no_other(analyst: Spender) -> None:
    answer = await analyst.ask('sum(column: "scan") { value } count { value }')
    assert codes(answer) == {"tenant.dataset.dp.sum": "INVALID_INPUT"}
    assert answer["data"]["tenant"]["dataset"]["dp"]["count"] is not None
    assert await analyst.spent() == "0.100000000"


@pytest.mark.parametrize("epsilon", ["0.0001", "1.1"])
async def test_epsilon_outside_of_the_bounds_of_the_field_is_refused(
    analyst: Spender, epsilon: str
) -> None:
    answer = await analyst.ask('count(epsilon: "%s") { value }' % epsilon)
    assert codes(answer) == {"tenant.dataset.dp.count": "INVALID_INPUT"}


@pytest.mark.parametrize("epsilon", ['"0"', '"-1"', '"NaN"', '"1e-1"', "0.1", '"0.0000000001"'])
async def test_what_is_no_epsilon_is_refused_before_anything_runs(
    analyst: Spender, epsilon: str
) -> None:
    answer = await analyst.ask("count(epsilon: %s) { value }" % epsilon)
    assert "data" not in answer


@pytest.mark.parametrize(
    "query",
    [
        "query($tenant: ID!) { tenant(id: $tenant) { datasets { nodes { dp { count { value } } } } } }",
        "query($dataset: ID!) { caller { tenant { dataset(id: $dataset) { dp { count { value } } } } } }",
        (
            'mutation($dataset: ID!) { publishDatasetVersion(id: $dataset, version: "9")'
            " { dataset { version dp { count { value } } } } }"
        ),
    ],
)
async def test_path_that_cannot_be_planned_is_refused_before_anything_runs(
    analyst: Spender, query: str
) -> None:
    token = analyst.token(*SCOPES, "datasets:write")
    answer = await analyst.send(query, token=token)
    assert set(codes(answer).values()) == {"DP_PATH_NOT_PLANNABLE"}
    assert "data" not in answer
    found = await analyst.send(
        "query($tenant: ID!, $dataset: ID!)"
        " { tenant(id: $tenant) { dataset(id: $dataset) { version } } }"
    )
    assert found["data"]["tenant"]["dataset"]["version"] == "1"


async def test_entities_are_planned(analyst: Spender) -> None:
    representations = [{"__typename": "Dataset", "id": analyst.dataset}] * 2
    answer = await analyst.send(
        "query($r: [_Any!]!) { _entities(representations: $r)"
        " { ... on Dataset { slug dp { count { value cached } } } } }",
        {"r": [{"__typename": "Dataset", "id": "nothing"}, *representations]},
    )
    nothing, *found = answer["data"]["_entities"]
    assert nothing is None
    assert found[0] == found[1]
    assert found[0]["dp"]["count"]["cached"] is False
    assert await analyst.spent() == "0.100000000"


async def test_tenants_among_entities_are_planned(analyst: Spender) -> None:
    answer = await analyst.send(
        "query($r: [_Any!]!, $dataset: ID!) { _entities(representations: $r)"
        " { ... on Tenant { dataset(id: $dataset) { dp { count { value } } } } } }",
        {"r": [{"__typename": "Tenant", "id": analyst.tenant}]},
    )
    assert answer["data"]["_entities"][0]["dataset"]["dp"]["count"]["value"] is not None


async def test_get_does_not_spend(analyst: Spender) -> None:
    query = '{ tenant(id: "%s") { dataset(id: "%s") { dp { count { value } } } } }'
    response = await analyst.api.client.get(
        "/graphql",
        params={"query": query % (analyst.tenant, analyst.dataset)},
        headers={
            "authorization": f"Bearer {analyst.token()}",
            "accept": "application/graphql-response+json",
        },
    )
    assert response.status_code == 405
    assert response.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"
    assert await analyst.spent() == "0.000000000"


async def test_whoever_may_not_query_pays_nothing(analyst: Spender) -> None:
    answer = await analyst.ask("count { value }", token=analyst.token("datasets:read"))
    assert set(codes(answer).values()) == {"FORBIDDEN"}
    assert await analyst.spent() == "0.000000000"


async def test_other_tenant_sees_no_data_set_and_spends_nothing(
    analyst: Spender, api: Api, postgres: EmbeddedServer
) -> None:
    other = await spender(api, postgres)
    answer = await analyst.ask("count { value }", token=other.token())
    assert answer == {"data": {"tenant": None}}
    answer = await other.send(
        "query($tenant: ID!, $id: ID!) { tenant(id: $tenant) { dataset(id: $id) { dp { count"
        " { value } } } } }",
        {"id": analyst.dataset},
    )
    assert answer == {"data": {"tenant": {"dataset": None}}}
    assert await analyst.spent() == await other.spent() == "0.000000000"


async def test_new_version_of_the_data_is_asked_anew(analyst: Spender) -> None:
    await analyst.released("count { value }")
    answer = await analyst.send(
        'mutation($dataset: ID!) { publishDatasetVersion(id: $dataset, version: "2026-12")'
        " { dataset { version } userErrors { code } } }",
        token=analyst.token("datasets:write", "datasets:read"),
    )
    assert answer["data"]["publishDatasetVersion"]["dataset"] == {"version": "2026-12"}
    found = await analyst.released("count { cached datasetVersion }")
    assert found["count"] == {"cached": False, "datasetVersion": "2026-12"}
    assert await analyst.spent() == "0.200000000"


async def test_old_version_cannot_come_back(analyst: Spender) -> None:
    results = []
    for version in ("2", "3", "2", "1", "3", "no label!"):
        answer = await analyst.send(
            "mutation($dataset: ID!, $version: String!) { publishDatasetVersion(id: $dataset,"
            " version: $version) { userErrors { code } } }",
            {"version": version},
            token=analyst.token("datasets:write", "datasets:read"),
        )
        errors = answer["data"]["publishDatasetVersion"]["userErrors"]
        results.append(errors[0]["code"] if errors else None)
    assert results == [None, None, "ALREADY_EXISTS", "ALREADY_EXISTS", None, "INVALID_INPUT"]


async def test_override_by_two_others_lets_the_operation_run(analyst: Spender) -> None:
    await analyst.released('count(epsilon: "1") { value }')
    wanted = 'distinctCount(epsilon: "0.4") { value }'
    assert set(codes(await analyst.ask(wanted)).values()) == {"DP_BUDGET_EXHAUSTED"}
    made = await analyst.request_override("0.5")
    assert made["userErrors"] == []
    own = await analyst.approve(made["override"], "officer")
    assert own["userErrors"] == [{"code": "APPROVER_NOT_DISTINCT"}]
    first = await analyst.approve(made["override"], "one")
    assert first["override"]["state"] == "REQUESTED"
    assert set(codes(await analyst.ask(wanted)).values()) == {"DP_BUDGET_EXHAUSTED"}
    second = await analyst.approve(made["override"], "two")
    assert second["override"]["state"] == "APPLIED"
    await analyst.released(wanted)
    found = await analyst.budget(
        "epsilonLimit epsilonSpent overrides { nodes { state epsilon warrant { reference } } }"
    )
    assert found == {
        "epsilonLimit": "1.500000000", "epsilonSpent": "1.400000000",
        "overrides": {"nodes": [
            {"state": "APPLIED", "epsilon": "0.500000000", "warrant": {"reference": "2026/117"}},
        ]},
    }  # fmt: skip


async def test_rejected_override_adds_nothing(analyst: Spender) -> None:
    made = await analyst.request_override("5")
    answer = await analyst.send(
        'mutation($id: ID!) { rejectBudgetOverride(id: $id, reason: "No.") { override'
        " { state rejection { by reason } } userErrors { code } } }",
        {"id": made["override"]["id"]},
        token=analyst.token("budgets:approve", "budgets:read", subject="one"),
    )
    assert answer["data"]["rejectBudgetOverride"]["override"] == {
        "state": "REJECTED", "rejection": {"by": "one", "reason": "No."},
    }  # fmt: skip
    assert (await analyst.approve(made["override"], "two"))["userErrors"] == [
        {"code": "REQUEST_NOT_OPEN"}
    ]
    assert (await analyst.budget("epsilonLimit")) == {"epsilonLimit": "1.000000000"}


async def test_warrant_that_does_not_hold_is_refused(analyst: Spender) -> None:
    made = await analyst.request_override("5", expiresAt="2026-01-01T00:00:00Z")
    assert made["userErrors"] == [{"code": "INVALID_INPUT"}]


async def test_spend_log_lists_what_was_released(analyst: Spender) -> None:
    found = await analyst.released("count { spend { id sequence state query epsilon actor } }")
    spend = found["count"]["spend"]
    assert spend["state"] == "COMMITTED"
    assert (spend["sequence"], spend["query"], spend["actor"]) == (1, "COUNT", "analyst")
    budget = await analyst.budget("id accountantHash spends { nodes { id chainHash } }")
    (logged,) = budget["spends"]["nodes"]
    assert logged == {"id": spend["id"], "chainHash": budget["accountantHash"]}


async def test_same_idempotency_key_pays_once(analyst: Spender) -> None:
    header = {"idempotency-key": "import-1"}
    answers = await asyncio.gather(
        *(analyst.released("count { value }", headers=header) for _ in range(5))
    )
    assert len({answer["count"]["value"] for answer in answers}) == 1
    assert await analyst.spent() == "0.100000000"


async def test_same_release_asked_at_once_is_drawn_once(analyst: Spender) -> None:
    answers = await asyncio.gather(*(analyst.released("count { value }") for _ in range(20)))
    assert len({answer["count"]["value"] for answer in answers}) == 1
    assert await analyst.spent() == "0.100000000"


async def test_two_replicas_grant_what_fits(
    api: Api, postgres: EmbeddedServer, with_settings: Callable[..., Settings]
) -> None:
    analyst = await spender(api, postgres, "1")
    async with running(with_settings(dp_grid_ms=0)) as replica:
        elsewhere = Spender(replica, analyst.tenant, analyst.dataset)
        asked = [
            who.ask(
                'count(epsilon: "0.01", where: [{ column: "age", op: LE, value: "%s" }]) { value }'
                % Decimal(number).scaleb(-1)
            )
            for number in range(200)
            for who in (analyst, elsewhere)
        ]
        places = asyncio.Semaphore(16)

        async def sent(one):
            async with places:
                return await one

        answers = await asyncio.gather(*map(sent, asked))
    granted = {
        number // 2: answer["data"]["tenant"]["dataset"]["dp"]["count"]["value"]
        for number, answer in enumerate(answers)
        if "errors" not in answer
    }
    denied = [code for answer in answers for code in codes(answer).values()]
    assert set(denied) == {"DP_BUDGET_EXHAUSTED"}
    assert len(granted) == 100
    assert await analyst.spent() == "1.000000000"
