"""What the operation service tells its observer, and how it refuses."""

# ruff: noqa: UP031 - GraphQL has braces of its own

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self
from uuid import UUID

import pytest

from subgraph import schema
from subgraph.budgets.planning import AskedRelease
from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.deprecations import policy_file
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import Access
from subgraph.queries.limits import Limits
from subgraph.queries.model import OperationRequest, OperationResult
from subgraph.queries.service import OperationService

SCHEMA = schema.build(policy_file.load(policy_file.default_path()))
LIMITS = Limits(2_000, 15, 50, 50, 20_000, 50_000, 1_000)


class Noted:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.finished: list[tuple[str | None, str | None, tuple[str, ...], int]] = []
        self.spans: list[tuple[str, str | None]] = []
        self.looked_up: list[bool] = []

    def operation_span(
        self, operation_type: str, name: str | None, client: str | None
    ) -> AbstractContextManager[Any]:
        self.spans.append((operation_type, name))
        return nullcontext()

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        error_codes: Iterable[str],
        statements: int,
    ) -> None:
        assert seconds >= 0
        self.finished.append((name, client, tuple(error_codes), statements))

    def operation_looked_up(self, *, cached: bool) -> None:
        self.looked_up.append(cached)


class Caller:
    """A caller that may read what is public; `fault` is what deciding raises."""

    client_name = "tests"

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.asked: list[set[str]] = []
        self.paid: list[list[str]] = []

    async def paying(self, asked: Sequence[AskedRelease]) -> Self:
        self.paid.append([".".join(map(str, item.path)) for item in asked])
        return self

    async def authorise(self, wanted: Iterable[Access]) -> None:
        self.asked.append({access.name for access in wanted})
        if self.fault is not None:
            raise self.fault

    def require(self, access: Access) -> None:
        raise SubgraphError(ErrorCode.UNAUTHENTICATED)


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def service(noted: Noted) -> OperationService:
    return OperationService(SCHEMA, LIMITS, noted, cache_size=10, production=False)


async def run(
    service: OperationService, document: str, caller: Caller | None = None, **options: Any
) -> OperationResult:
    return await service.run(OperationRequest(document, **options), caller or Caller())


async def test_answer_says_its_name_and_that_nothing_was_sent(service: OperationService) -> None:
    result = await run(service, "query Q { __typename }")
    assert result == OperationResult({"data": {"__typename": "Query"}}, 200, "Q", 0, ())


async def test_operation_is_observed_once(service: OperationService, noted: Noted) -> None:
    await run(service, "query Q { __typename }")
    assert (noted.finished, noted.spans) == ([("Q", "tests", (), 0)], [("query", "Q")])


async def test_look_up_is_observed(service: OperationService, noted: Noted) -> None:
    for _ in range(2):
        await run(service, "{ __typename }")
    assert noted.looked_up == [False, True]


async def test_error_of_a_field_is_observed_by_its_code(
    service: OperationService, noted: Noted
) -> None:
    await run(service, "{ caller { subject } }")
    assert noted.finished == [(None, "tests", ("UNAUTHENTICATED",), 0)]


REFUSED = {
    "syntax": ("{", {}, "GRAPHQL_PARSE_FAILED"),
    "validation": ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "variables": (
        "query($n: Int!) { deprecations(first: $n) { nodes { id } } }",
        {},
        "BAD_USER_INPUT",
    ),
    "depth": ("{ a " * 20 + "}" * 20, {}, "DEPTH_LIMIT_EXCEEDED"),
    "name": ("{ __typename }", {"operation_name": "Q"}, "OPERATION_RESOLUTION_FAILED"),
    "mutation by GET": ("mutation { __typename }", {"read_only": True}, "METHOD_NOT_ALLOWED"),
    "representations": (
        "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }",
        {"variables": {"of": [{}] * 1_001}},
        "TOO_MANY_REPRESENTATIONS",
    ),
}


@pytest.mark.parametrize(("document", "options", "code"), REFUSED.values(), ids=REFUSED)
async def test_refusal_has_the_status_of_its_code_and_no_data(
    service: OperationService, document: str, options: dict[str, Any], code: str
) -> None:
    result = await run(service, document, **options)
    found = (result.status, set(result.codes), "data" in result.payload)
    assert found == (ErrorCode[code].status, {code}, False)


@pytest.mark.parametrize(("document", "options", "code"), REFUSED.values(), ids=REFUSED)
async def test_refusal_is_observed_once(
    service: OperationService, noted: Noted, document: str, options: dict[str, Any], code: str
) -> None:
    await run(service, document, **options)
    assert [set(codes) for _, _, codes, _ in noted.finished] == [{code}]


async def test_query_by_get_is_answered(service: OperationService) -> None:
    result = await run(service, "{ __typename }", read_only=True)
    assert result.status == 200


async def test_access_is_decided_before_anything_runs(service: OperationService) -> None:
    caller = Caller()
    await run(service, "{ caller { subject } deprecations { nodes { owner } } }", caller)
    assert caller.asked == [{"authenticated", "deprecations:read"}]


async def test_only_the_operation_that_runs_is_decided_about(service: OperationService) -> None:
    caller = Caller()
    document = "query A { __typename } query B { caller { subject } }"
    await run(service, document, caller, operation_name="A")
    assert caller.asked == [set()]


async def test_without_a_decision_nothing_is_answered(service: OperationService) -> None:
    caller = Caller(SubgraphError(ErrorCode.POLICY_UNAVAILABLE))
    result = await run(service, "{ __typename caller { subject } }", caller)
    assert (result.status, result.codes, "data" in result.payload) == (
        503,
        ("POLICY_UNAVAILABLE",),
        False,
    )


async def test_operation_beyond_its_limits_is_not_decided_about(service: OperationService) -> None:
    caller = Caller()
    document, options, _ = REFUSED["representations"]
    await run(service, document, caller, **options)
    assert caller.asked == []


async def test_same_variables_object_is_left_as_it_was(service: OperationService) -> None:
    variables = {"n": 3, "unused": [1]}
    document = "query($n: Int!) { deprecations(first: $n) { pageInfo { hasNextPage } } }"
    await run(service, document, variables=variables)
    assert variables == {"n": 3, "unused": [1]}


# --- operations that spend

SPENDING = (
    'query Q { tenant(id: "acme") { dataset(id: "%s") { dp { count { value } } } } }'
    % ids.encode(IdKind.DATASET, "acme", UUID(int=1))
)


async def test_spending_operation_pays_before_it_runs(service: OperationService) -> None:
    caller = Caller()
    await run(service, SPENDING, caller)
    assert caller.paid == [["tenant.dataset.dp.count"]]


async def test_operation_that_spends_nothing_is_not_asked_to_pay(service: OperationService) -> None:
    caller = Caller()
    await run(service, "{ caller { subject } }", caller)
    assert caller.paid == []


async def test_refusal_to_pay_runs_nothing(service: OperationService) -> None:
    class Broke(Caller):
        async def paying(self, asked: Sequence[AskedRelease]) -> Self:
            raise SubgraphError(ErrorCode.DP_TOO_MANY_RELEASES)

    result = await run(service, SPENDING, Broke())
    assert (result.status, result.codes) == (400, ("DP_TOO_MANY_RELEASES",))
    assert "data" not in result.payload


async def test_read_only_request_spends_nothing(service: OperationService) -> None:
    caller = Caller()
    result = await run(service, SPENDING, caller, read_only=True)
    assert (result.status, result.codes) == (405, ("METHOD_NOT_ALLOWED",))
    assert caller.paid == []


def test_releases_of_a_document_are_told_without_running_it(service: OperationService) -> None:
    (found,) = service.releases(OperationRequest(SPENDING))
    assert found.path == ("tenant", "dataset", "dp", "count")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", ErrorCode.GRAPHQL_PARSE_FAILED),
        ("{ nothing }", ErrorCode.GRAPHQL_VALIDATION_FAILED),
        ("query A { __typename } query B { __typename }", ErrorCode.OPERATION_RESOLUTION_FAILED),
    ],
)
def test_document_that_cannot_run_has_no_releases(
    service: OperationService, document: str, code: ErrorCode
) -> None:
    with pytest.raises(SubgraphError) as refused:
        service.releases(OperationRequest(document))
    assert refused.value.code is code
