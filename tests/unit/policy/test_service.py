"""What is remembered, for whom, and how it fails."""

import aiocache
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.policy.model import Decision, PolicyRequest, Principal
from subgraph.policy.service import DecisionPoint, build
from subgraph.settings import Settings

READ = "datasets:read"
VIEWER = Principal("viewer", "acme", frozenset({READ}))
PLATFORM = Principal("platform", None, frozenset({"platform:*"}))


class ScriptedPolicy:
    """A deployment's own policy: says what it is told to, and keeps what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.epoch = "1"
        self.asked: list[list[str]] = []

    async def evaluate(self, document):
        self.asked.append(document["tenants"])
        return self.answer(document) if callable(self.answer) else self.answer

    async def aclose(self) -> None:
        pass


def everything(document) -> object:
    return {"allowed": True, "tenants": document["tenants"]}


def point(policy: ScriptedPolicy, seconds: float = 30, **options) -> DecisionPoint:
    return DecisionPoint(policy, remembered_seconds=seconds, **options)


async def test_answer_is_remembered_for_everyone_of_its_class() -> None:
    policy = ScriptedPolicy(everything)
    decisions = point(policy)
    await decisions.decide(PolicyRequest(VIEWER, READ, ("acme",)))
    colleague = Principal("colleague", "acme", frozenset({READ}))
    assert (await decisions.decide(PolicyRequest(colleague, READ, ("acme",)))).allowed
    assert policy.asked == [["acme"]]


@pytest.mark.parametrize(
    "request_",
    [
        PolicyRequest(Principal("s", "acme", frozenset({READ, "keys:read"})), READ, ("acme",)),
        PolicyRequest(Principal("s", None, frozenset({READ})), READ, ("acme",)),
        PolicyRequest(VIEWER, "keys:read", ("acme",)),
        PolicyRequest(VIEWER, READ, ()),
    ],
    ids=["other scopes", "no tenant", "other action", "the deployment"],
)
async def test_answer_is_not_lent_to_another_question(request_: PolicyRequest) -> None:
    policy = ScriptedPolicy(everything)
    decisions = point(policy)
    await decisions.decide(PolicyRequest(VIEWER, READ, ("acme",)))
    await decisions.decide(request_)
    assert len(policy.asked) == 2


async def test_only_the_tenants_not_known_yet_are_asked_about_together() -> None:
    policy = ScriptedPolicy(everything)
    decisions = point(policy)
    await decisions.decide(PolicyRequest(PLATFORM, READ, ("a", "b")))
    await decisions.decide(PolicyRequest(PLATFORM, READ, ("d", "a", "c", "b", "c")))
    assert policy.asked == [["a", "b"], ["c", "d"]]


async def test_new_epoch_forgets_old_answers() -> None:
    policy = ScriptedPolicy(everything)
    decisions = point(policy)
    request = PolicyRequest(VIEWER, READ, ("acme",))
    await decisions.decide(request)
    policy.epoch, policy.answer = "2", {"allowed": False, "tenants": []}
    assert not (await decisions.decide(request)).allowed


async def test_nothing_is_remembered_when_told_so() -> None:
    policy = ScriptedPolicy(everything)
    decisions = point(policy, seconds=0)
    for _ in range(2):
        await decisions.decide(PolicyRequest(VIEWER, READ, ("acme",)))
    assert len(policy.asked) == 2


async def test_undefined_denies_and_is_asked_again() -> None:
    policy = ScriptedPolicy(None)
    decisions = point(policy)
    request = PolicyRequest(VIEWER, READ, ("acme",))
    assert await decisions.decide(request) == Decision(allowed=False, tenants=frozenset())
    policy.answer = everything
    assert (await decisions.decide(request)).allowed


@pytest.mark.parametrize(
    "answer",
    [
        True,
        "yes",
        [],
        {},
        {"allowed": True},
        {"allowed": "true", "tenants": ["acme"]},
        {"allowed": 1, "tenants": ["acme"]},
        {"allowed": True, "tenants": "acme"},
        {"allowed": True, "tenants": []},
        {"allowed": False, "tenants": ["acme"]},
        {"allowed": True, "tenants": ["acme", "acme"]},
        {"allowed": True, "tenants": ["acme", "other"]},
        {"allowed": True, "tenants": [None]},
        {"allowed": True, "tenants": [["acme"]]},
    ],
)
async def test_answer_that_is_no_decision_fails_closed(answer: object) -> None:
    with pytest.raises(SubgraphError) as refused:
        await point(ScriptedPolicy(answer)).decide(PolicyRequest(VIEWER, READ, ("acme",)))
    assert refused.value.code is ErrorCode.POLICY_UNAVAILABLE


async def test_policy_is_not_even_asked_to_cross_tenants() -> None:
    policy = ScriptedPolicy(everything)
    decision = await point(policy).decide(PolicyRequest(VIEWER, READ, ("acme", "other")))
    assert decision == Decision(allowed=False, tenants=frozenset({"acme"}))
    assert policy.asked == [["acme"]]


async def test_tenants_of_somebody_elses_making_cost_no_evaluation() -> None:
    policy = ScriptedPolicy(everything)
    made_up = tuple(f"made-up-{number}" for number in range(1_000))
    await point(policy).decide(PolicyRequest(VIEWER, READ, made_up))
    assert policy.asked == []


async def test_input_names_nobody() -> None:
    documents = []
    policy = ScriptedPolicy(lambda document: documents.append(document) or everything(document))
    principal = Principal("alice", "acme", frozenset({READ}), client_name="portal")
    await point(policy).decide(PolicyRequest(principal, READ, ("acme",)))
    assert documents == [
        {
            "principal": {"tenant": "acme", "scopes": [READ]},
            "action": READ,
            "tenants": ["acme"],
        }
    ]


async def test_permission_passes_between_processes() -> None:
    shared, first, second = (
        aiocache.SimpleMemoryCache(),
        ScriptedPolicy(everything),
        ScriptedPolicy({}),
    )
    request = PolicyRequest(VIEWER, READ, ("acme",))
    await point(first, shared=shared).decide(request)
    assert (await point(second, shared=shared).decide(request)).allowed
    assert second.asked == []


async def test_refusals_do_not_fill_the_shared_cache() -> None:
    shared = aiocache.SimpleMemoryCache()
    policy = ScriptedPolicy({"allowed": False, "tenants": []})
    await point(policy, shared=shared).decide(PolicyRequest(PLATFORM, READ, ("made-up",)))
    assert not shared._cache


async def test_permission_of_another_epoch_is_not_taken_over() -> None:
    shared = aiocache.SimpleMemoryCache()
    request = PolicyRequest(VIEWER, READ, ("acme",))
    await point(ScriptedPolicy(everything), shared=shared).decide(request)
    newer = ScriptedPolicy({"allowed": False, "tenants": []})
    newer.epoch = "2"
    assert not (await point(newer, shared=shared).decide(request)).allowed


async def test_without_an_address_the_policy_of_this_release_decides() -> None:
    decisions = build(Settings())
    assert (await decisions.decide(PolicyRequest(VIEWER, READ, ("acme",)))).allowed
    await decisions.aclose()


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("file:///etc/passwd", "development"),
        ("127.0.0.1:8181", "development"),
        ("http://opa.example/v1/data/d", "production"),
    ],
)
async def test_unsuitable_address_is_refused_at_the_start(url: str, mode) -> None:
    with pytest.raises(SubgraphError) as refused:
        build(Settings(opa_url=url, mode=mode))
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
