"""Decisions: gated, asked of the policy in one evaluation, and remembered."""

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import aiocache
import orjson

from subgraph import outbound
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.policy.memo import Memo
from subgraph.policy.model import Decision, PolicyDecisionPoint, PolicyRequest, Principal
from subgraph.policy.rego import release_policy
from subgraph.policy.remote import RemotePolicy
from subgraph.policy.scopes import is_name
from subgraph.settings import Settings

_MEMO_SIZE: Final = 50_000
_NOTHING: Final = Decision(allowed=False, tenants=frozenset())

logger = logging.getLogger(__name__)


class Policy(Protocol):
    """What answers decision documents, as `authorization.rego` describes them.

    It MUST raise `SubgraphError(POLICY_UNAVAILABLE)` when it cannot answer in time. It MAY
    answer None, which denies. Its answer MUST depend on the document and its epoch only.
    """

    @property
    def epoch(self) -> str:
        """The revision of the policy."""
        ...

    async def evaluate(self, document: Mapping[str, object]) -> object:
        """Return the answer to one document, not yet checked."""
        ...

    async def aclose(self) -> None:
        """Give back what is held."""
        ...


class DecisionPoint:
    """A `PolicyDecisionPoint` that remembers what `policy` said, for `remembered_seconds`.

    An answer depends on the authorisation class (tenant and scopes of the principal), the action,
    the tenant asked about and the policy's epoch, and is remembered under these, apart from who
    asked. With `shared`, permissions also pass between processes through that cache; refusals do
    not, for they would let a caller fill it with names of its own making.
    """

    def __init__(
        self, policy: Policy, *, remembered_seconds: float, shared: aiocache.BaseCache | None = None
    ) -> None:
        self._policy = policy
        self._remembered_seconds = remembered_seconds
        self._shared = shared if remembered_seconds else None
        self._memo: Memo[tuple[object, ...], bool] = Memo(_MEMO_SIZE)

    @property
    def epoch(self) -> str:
        """The revision of the policy, as last observed."""
        return self._policy.epoch

    async def decide(self, request: PolicyRequest) -> Decision:
        """Decide one request; see `PolicyDecisionPoint.decide`."""
        answers: dict[str | None, bool] = {}
        missing: list[str | None] = []
        now = time.monotonic()
        for tenant in request.tenants or (None,):
            known = self._memo.get(self._key(request, tenant), now)
            if known is None:
                missing.append(tenant)
            else:
                answers[tenant] = known
        if missing:
            if not _is_well_formed(request.principal, request.action):
                return _NOTHING
            answers.update(await self._find_out(request, missing))
        return _decision(request, answers)

    async def aclose(self) -> None:
        """Give back the connections of the policy."""
        await self._policy.aclose()

    async def _find_out(
        self, request: PolicyRequest, missing: Iterable[str | None]
    ) -> dict[str | None, bool]:
        askable = [tenant for tenant in missing if _is_askable(request.principal, tenant)]
        answers = await self._take_from_shared(request, askable)
        unknown = [tenant for tenant in askable if tenant not in answers]
        if not unknown:
            return answers
        tenants = sorted({tenant for tenant in unknown if tenant is not None})
        answer = await self._policy.evaluate(_document(request, tenants))
        if answer is None:
            return answers
        allowed = _read(answer, tenants)
        fresh = {tenant: tenant in allowed for tenant in unknown}
        await self._remember(request, fresh)
        return answers | fresh

    async def _remember(self, request: PolicyRequest, fresh: Mapping[str | None, bool]) -> None:
        deadline = time.monotonic() + self._remembered_seconds
        for tenant, allowed in fresh.items():
            self._memo.put(self._key(request, tenant), allowed, deadline)
        if self._shared is None:
            return
        until = time.time() + self._remembered_seconds
        pairs = [(self._name(request, tenant), until) for tenant, yes in fresh.items() if yes]
        await self._shared.multi_set(pairs, ttl=self._remembered_seconds)

    async def _take_from_shared(
        self, request: PolicyRequest, tenants: list[str | None]
    ) -> dict[str | None, bool]:
        if self._shared is None or not tenants:
            return {}
        names = [self._name(request, tenant) for tenant in tenants]
        deadlines = await self._shared.multi_get(names)
        found: dict[str | None, bool] = {}
        for tenant, until in zip(tenants, deadlines, strict=True):
            left = min(until - time.time(), self._remembered_seconds) if until else 0.0
            if left > 0:
                found[tenant] = True
                self._memo.put(self._key(request, tenant), True, time.monotonic() + left)
        return found

    def _key(self, request: PolicyRequest, tenant: str | None) -> tuple[object, ...]:
        principal = request.principal
        return (self.epoch, principal.tenant, principal.scopes, request.action, tenant)

    def _name(self, request: PolicyRequest, tenant: str | None) -> str:
        principal = request.principal
        parts = [self.epoch, principal.tenant, sorted(principal.scopes), request.action, tenant]
        return "policy:" + hashlib.sha256(orjson.dumps(parts)).hexdigest()


def build(settings: Settings) -> PolicyDecisionPoint:
    """Return the decision point that the settings ask for; call it where the loop runs.

    Raises `SubgraphError(SETTINGS_INVALID)` for an `OPA_URL` that is no web address, or one that
    is neither https nor on this machine in production mode.
    """
    remembered_seconds = float(settings.policy_cache_seconds)
    url = settings.opa_url
    if url is None:
        return DecisionPoint(release_policy(), remembered_seconds=remembered_seconds)
    if not outbound.is_web_address(url):
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "OPA_URL: not an http or https address")
    if settings.production and not outbound.is_protected(url):
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, "OPA_URL: production mode needs https or this machine"
        )
    return DecisionPoint(
        RemotePolicy(url, settings.opa_deadline_ms / 1000),
        remembered_seconds=remembered_seconds,
        shared=aiocache.SimpleMemoryCache(),
    )


def _is_well_formed(principal: Principal, action: str) -> bool:
    return (
        is_name(action)
        and (principal.tenant is None or is_name(principal.tenant))
        and all(is_name(scope) for scope in principal.scopes)
    )


def _is_askable(principal: Principal, tenant: str | None) -> bool:
    # Isolation is not the policy's to give away, and a deployment may bring its own: nobody who
    # has a tenant gets as far as asking about another.
    if tenant is None:
        return True
    return is_name(tenant) and principal.tenant in {None, tenant}


def _document(request: PolicyRequest, tenants: list[str]) -> dict[str, object]:
    principal = request.principal
    return {
        "principal": {"tenant": principal.tenant, "scopes": sorted(principal.scopes)},
        "action": request.action,
        "tenants": tenants,
    }


def _read(answer: object, asked: list[str]) -> frozenset[str | None]:
    """Return what the answer allows: tenants, or None for the action on the deployment."""
    match answer:
        case {"allowed": bool() as allowed, "tenants": list() as named}:
            tenants = frozenset(name for name in named if isinstance(name, str))
        case _:
            raise _unreadable("it is not a decision")
    if len(tenants) != len(named) or not tenants <= set(asked):
        raise _unreadable("it names what was not asked about")
    if asked and allowed != (len(tenants) == len(asked)):
        raise _unreadable("it contradicts itself")
    if asked:
        return tenants
    return frozenset({None}) if allowed else frozenset()


def _unreadable(reason: str) -> SubgraphError:
    logger.error("the policy's answer is refused: %s", reason)
    return SubgraphError(ErrorCode.POLICY_UNAVAILABLE)


def _decision(request: PolicyRequest, answers: Mapping[str | None, bool]) -> Decision:
    if not request.tenants:
        return Decision(allowed=answers.get(None, False), tenants=frozenset())
    tenants = frozenset(tenant for tenant in request.tenants if answers.get(tenant, False))
    return Decision(allowed=tenants == frozenset(request.tenants), tenants=tenants)
