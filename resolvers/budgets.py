"""`BudgetPolicy`, `PrivacyBudget`, `DpSpend` and `BudgetOverride`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from resolvers.approvals import (
    Approval,
    Rejection,
    RequestState,
    approvals_of,
    rejection_of,
    request_state,
)
from resolvers.connections import (
    After,
    Connection,
    First,
    checked_first,
    moment,
    moment_of,
    page_of,
    position,
)
from resolvers.context import Info, RequestContext
from resolvers.entities import by_tenant, load_by_id
from resolvers.events import events_about
from resolvers.ledger import LedgerEvent, digest
from subgraph.budgets import model
from subgraph.budgets.chain import read_entry
from subgraph.budgets.model import BudgetWindow, DpAccountant, DpMechanism, DpQueryKind
from subgraph.budgets.override_requests import OverrideRequest
from subgraph.budgets.windows import window_key, window_of_key
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import EntityId, IdKind
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, described_enum, field, object_type
from subgraph.federation.scalars import Digest, Epsilon
from subgraph.policy.scopes import Scope

if TYPE_CHECKING:
    from resolvers.datasets import Dataset
    from resolvers.tenants import Tenant

_READ = scope(Scope.BUDGETS_READ)

described_enum(DpAccountant, {"PURE_EPSILON": "Epsilons add up."})
described_enum(
    BudgetWindow,
    {
        "DAY": "A calendar day in UTC.",
        "WEEK": "A week in UTC, from Monday.",
        "MONTH": "A calendar month in UTC.",
        "QUARTER": "A quarter of a year in UTC.",
    },
)
described_enum(
    model.DpSpendState,
    {
        "RESERVED": "Spent; the answer is being made.",
        "COMMITTED": "Spent; the answer is stored.",
        "FORFEITED": "Spent; there will be no answer.",
    },
)


@object_type(access=AS_PARENT)
class BudgetPolicy:
    """How much may be spent."""

    accountant: DpAccountant = attribute("How costs add up.")
    window: BudgetWindow = attribute("What a window is.")
    epsilon_limit: Epsilon = attribute("What may be spent in one window.")
    lifetime_limit: Epsilon | None = attribute("What may be spent in all windows together.")
    max_epsilon_per_operation: Epsilon | None = attribute("What one operation may cost.")
    effective_from: datetime = attribute("From when on it is in force.")

    @classmethod
    def of(cls, policy: model.BudgetPolicy) -> "BudgetPolicy":
        """The GraphQL object of a policy."""
        terms = policy.terms
        return cls(
            accountant=terms.accountant,
            window=terms.window,
            epsilon_limit=Epsilon(terms.epsilon_limit),
            lifetime_limit=_limit(terms.lifetime_limit),
            max_epsilon_per_operation=_limit(terms.max_epsilon_per_operation),
            effective_from=policy.effective_from,
        )


@object_type(access=_READ, key="id")
class DpSpend:
    """A line of the spend log; it never changes but for its state."""

    record: strawberry.Private[model.Spend]
    id: strawberry.ID = attribute("The id of the spend.")
    sequence: int = attribute("Its place in the log of its window, from 1.")
    epsilon: Epsilon = attribute("What was spent.")
    query: DpQueryKind = attribute("What was asked.")
    mechanism: DpMechanism = attribute("Where the noise comes from.")
    state: model.DpSpendState = attribute("What became of it.")
    actor: str = attribute("Who asked, a pseudonymous id.")
    at: datetime = attribute("When it was reserved.")
    entry: str = attribute("The exact text that was hashed.")
    chain_hash: Digest = attribute("The head of the chain behind it.")

    @field()
    async def dataset(
        self, info: Info
    ) -> Annotated["Dataset", strawberry.lazy("resolvers.datasets")] | None:
        """The data set that was asked."""
        from resolvers.datasets import Dataset

        key = (self.record.tenant, self.record.dataset_id)
        found = await info.context.loaders.datasets.load(key)
        return None if found is None else Dataset.of(found)

    @classmethod
    def of(cls, spend: model.Spend) -> "DpSpend":
        """The GraphQL object of a spend."""
        entry = read_entry(spend.entry)
        return cls(
            record=spend,
            id=strawberry.ID(ids.encode(IdKind.DP_SPEND, spend.tenant, spend.spend_id)),
            sequence=spend.sequence,
            epsilon=Epsilon(spend.epsilon),
            query=DpQueryKind(entry.charge["query"]),
            mechanism=DpMechanism(entry.charge["mechanism"]),
            state=spend.state,
            actor=str(entry.charge["actor"]),
            at=datetime.fromisoformat(entry.at),
            entry=spend.entry,
            chain_hash=digest(spend.chain_hash),
        )

    @classmethod
    async def load(cls, key: tuple[str, UUID], context: RequestContext) -> "DpSpend | None":
        """The spend with this tenant and id."""
        found = await context.loaders.spends.load(key)
        return None if found is None else cls.of(found)

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["DpSpend | None"]:
        """The spends with these ids; one statement."""
        loader = context.loaders.spends
        return await load_by_id(IdKind.DP_SPEND, keys, loader, by_tenant, cls.of)


@object_type(access=AS_PARENT)
class Warrant:
    """Who demanded an override, and by which document."""

    reference: str = attribute("What the document is filed under.")
    issued_by: str = attribute("Who issued it.")
    issued_at: datetime = attribute("From when on it holds.")
    expires_at: datetime = attribute("Until when it holds.")
    document_digest: Digest = attribute("The digest of the document.")


@object_type(access=_READ, key="id")
class BudgetOverride:
    """A request for epsilon on top of a window's limit; two others have to approve."""

    request: strawberry.Private[OverrideRequest]
    id: strawberry.ID = attribute("The id of the request.")
    epsilon: Epsilon = attribute("How much more.")
    warrant: Warrant = attribute("By which right.")
    state: RequestState = attribute("What became of it.")
    request_digest: Digest = attribute("What an approver signs for.")
    approvals: list[Approval] = attribute("Who approved.", at_most=3)
    approvals_needed: int = attribute("How many people have to approve.")
    rejection: Rejection | None = attribute("Who refused it, if somebody did.")
    created_at: datetime = attribute("When it was made.")

    @field(access=scope(Scope.LEDGER_READ), paged=True)
    async def events(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[LedgerEvent] | None:
        """What happened, oldest first."""
        key = self.request.approval.key
        return await events_about(info.context, key.tenant, key.request_id, first, after)

    @classmethod
    def of(cls, request: OverrideRequest) -> "BudgetOverride":
        """The GraphQL object of a request."""
        approval, warrant = request.approval, request.warrant
        key = approval.key
        return cls(
            request=request,
            id=strawberry.ID(ids.encode(IdKind.BUDGET_OVERRIDE, key.tenant, key.request_id)),
            epsilon=Epsilon(request.epsilon),
            warrant=Warrant(
                reference=warrant.reference,
                issued_by=warrant.issued_by,
                issued_at=warrant.issued_at,
                expires_at=warrant.expires_at,
                document_digest=Digest(warrant.document_digest),
            ),
            state=request_state(approval),
            request_digest=Digest(approval.digest),
            approvals=approvals_of(approval),
            approvals_needed=approval.needed,
            rejection=rejection_of(approval),
            created_at=approval.created_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["BudgetOverride | None"]:
        """The requests with these ids; one statement."""
        loader = context.loaders.budget_overrides
        return await load_by_id(IdKind.BUDGET_OVERRIDE, keys, loader, by_tenant, cls.of)


@object_type(access=_READ, key="id")
class PrivacyBudget:
    """A window: what may be spent in it, and what was."""

    budget: strawberry.Private[model.Budget]
    id: strawberry.ID = attribute("The id of the window.")
    accountant: DpAccountant = attribute("How costs add up.")
    window_start: datetime = attribute("When it begins.")
    window_end: datetime = attribute("The first instant behind it.")
    epsilon_limit: Epsilon = attribute("What may be spent, overrides included.")
    epsilon_spent: Epsilon = attribute("What was spent, on answers that are being made too.")
    epsilon_reserved: Epsilon = attribute("What queued operations will spend.")
    epsilon_remaining: Epsilon = attribute("What is left; the lifetime may have less.")
    remaining_ratio: float = attribute("What is left, as a share of the limit.")
    lifetime_limit: Epsilon | None = attribute("What may be spent in all windows together.")
    lifetime_remaining: Epsilon | None = attribute("What is left of that.")
    accountant_hash: Digest = attribute("The head of the spend chain of the window.")

    @field()
    async def tenant(
        self, info: Info
    ) -> Annotated["Tenant", strawberry.lazy("resolvers.tenants")] | None:
        """The tenant whose budget it is."""
        from resolvers.tenants import tenant_of

        return await tenant_of(self.budget.tenant, info.context)

    @field(paged=True)
    async def spends(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[DpSpend] | None:
        """The spend log of the window, in order."""
        checked_first(first)
        services, budget = info.context.services, self.budget
        identity = ListIdentity("spends", budget.tenant, f"sequence of {budget.window_start}")
        behind = position(services.cursors, identity, after)
        found = await services.budgets.reader.spends(
            budget, first=first + 1, after=0 if behind is None else int(behind)
        )
        return page_of(
            [DpSpend.of(spend) for spend in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda shown: shown.sequence,
        )

    @field(paged=True)
    async def overrides(
        self, info: Info, first: First = 20, after: After = None
    ) -> Connection[BudgetOverride] | None:
        """The overrides that were applied to the window or asked for in it, newest first."""
        checked_first(first)
        context, budget = info.context, self.budget
        services = context.services
        identity = ListIdentity("overrides", budget.tenant, f"created of {budget.window_start}")
        named = await services.budgets.reader.overrides(
            budget, first=first + 1, after=moment_of(services.cursors, identity, after)
        )
        loaded = await context.loaders.budget_overrides.load_many(
            [(budget.tenant, request_id) for request_id in named]
        )
        return page_of(
            [BudgetOverride.of(request) for request in loaded if request is not None],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda shown: moment(shown.created_at, shown.request.approval.key.request_id),
        )

    @classmethod
    def of(cls, budget: model.Budget) -> "PrivacyBudget":
        """The GraphQL object of a window."""
        limit = budget.limit + budget.granted
        return cls(
            budget=budget,
            id=strawberry.ID(
                ids.encode(IdKind.PRIVACY_BUDGET, budget.tenant, window_key(budget.window_start))
            ),
            accountant=DpAccountant.PURE_EPSILON,
            window_start=budget.window_start,
            window_end=budget.window_end,
            epsilon_limit=Epsilon(limit),
            epsilon_spent=Epsilon(budget.spent),
            epsilon_reserved=Epsilon(budget.promised),
            epsilon_remaining=Epsilon(budget.remaining),
            remaining_ratio=float(budget.remaining / limit),
            lifetime_limit=_limit(budget.lifetime_limit),
            lifetime_remaining=_limit(budget.lifetime_remaining),
            accountant_hash=digest(budget.head),
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["PrivacyBudget | None"]:
        """The windows with these ids; one statement."""
        loader = context.loaders.budgets
        return await load_by_id(IdKind.PRIVACY_BUDGET, keys, loader, _window, cls.of)


def _limit(amount: Decimal | None) -> Epsilon | None:
    return None if amount is None else Epsilon(amount)


def _window(entity: EntityId) -> tuple[str, datetime] | None:
    start = window_of_key(entity.key)
    return None if start is None else (entity.tenant, start)
