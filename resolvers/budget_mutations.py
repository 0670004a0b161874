"""What can be changed of privacy budgets, and of the versions of data sets."""

from datetime import datetime
from typing import Annotated

import strawberry

from resolvers.budgets import BudgetOverride, BudgetPolicy, PrivacyBudget
from resolvers.context import Info
from resolvers.datasets import Dataset
from resolvers.errors import GovernanceError, InvalidInput
from resolvers.key_errors import outcome
from resolvers.key_mutations import (
    IdempotencyKey,
    Reason,
    RequestDigest,
    TenantId,
    named,
    require_tenant,
)
from subgraph.approvals.errors import InvalidRequest
from subgraph.budgets import model
from subgraph.budgets.model import BudgetTerms, BudgetWindow, DpAccountant
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, input_type, mutation, object_type
from subgraph.federation.scalars import Digest, Epsilon
from subgraph.policy.scopes import Scope

_MOST_ERRORS = 100
_APPROVE = scope(Scope.BUDGETS_APPROVE)

RequestId = Annotated[strawberry.ID, strawberry.argument(description="The id of the request.")]


@input_type
class BudgetPolicyInput:
    """How much may be spent."""

    accountant: DpAccountant = attribute("How costs add up.", default=DpAccountant.PURE_EPSILON)
    window: BudgetWindow = attribute("What a window is.", default=BudgetWindow.MONTH)
    epsilon_limit: Epsilon = attribute("What may be spent in one window.")
    lifetime_limit: Epsilon | None = attribute(
        "What may be spent in all windows together; without it there is no such limit.",
        default=None,
    )
    max_epsilon_per_operation: Epsilon | None = attribute(
        "What one operation may cost; without it only the window's limit holds.", default=None
    )


@input_type
class WarrantInput:
    """Who demands an override, and by which document."""

    reference: str = attribute("What the document is filed under.")
    issued_by: str = attribute("Who issued it.")
    issued_at: datetime = attribute("From when on it holds.")
    expires_at: datetime = attribute("Until when it holds.")
    document_digest: Digest = attribute("The digest of the document.")


@input_type
class BudgetOverrideInput:
    """An override to request."""

    epsilon: Epsilon = attribute("How much more.")
    warrant: WarrantInput = attribute("By which right.")


@object_type(access=AS_PARENT)
class SetBudgetPolicyPayload:
    """What `setBudgetPolicy` did."""

    policy: BudgetPolicy | None = attribute("The policy, if it is set.")
    budget: PrivacyBudget | None = attribute("The current window under it.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RequestBudgetOverridePayload:
    """What `requestBudgetOverride` did."""

    override: BudgetOverride | None = attribute("The request, if it is made.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class ApproveBudgetOverridePayload:
    """What `approveBudgetOverride` did."""

    override: BudgetOverride | None = attribute("The request, approved.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RejectBudgetOverridePayload:
    """What `rejectBudgetOverride` did."""

    override: BudgetOverride | None = attribute("The request, refused.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class PublishDatasetVersionPayload:
    """What `publishDatasetVersion` did."""

    dataset: Dataset | None = attribute("The data set, at its new version.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=None)
class BudgetMutations:
    """The mutations on privacy budgets and versions of data sets."""

    @mutation(access=scope(Scope.BUDGETS_WRITE))
    async def set_budget_policy(
        self,
        info: Info,
        tenant_id: TenantId,
        input: Annotated[
            BudgetPolicyInput, strawberry.argument(description="How much may be spent.")
        ],
    ) -> SetBudgetPolicyPayload | None:
        """Set the policy; what it raises waits until the open windows have ended."""
        context = info.context
        await require_tenant(context, Scope.BUDGETS_WRITE, tenant_id)
        terms = BudgetTerms(
            window=input.window,
            epsilon_limit=input.epsilon_limit,
            lifetime_limit=input.lifetime_limit,
            max_epsilon_per_operation=input.max_epsilon_per_operation,
            accountant=input.accountant,
        )
        budgets = context.services.budgets
        try:
            policy = await budgets.set_policy(tenant_id, terms, by=context.caller().subject)
        except SubgraphError as error:
            return SetBudgetPolicyPayload(policy=None, budget=None, user_errors=_refused(error))
        context.loaders.forget()
        current = await budgets.reader.current(tenant_id)
        return SetBudgetPolicyPayload(
            policy=BudgetPolicy.of(policy),
            budget=None if current is None else PrivacyBudget.of(current),
            user_errors=[],
        )

    @mutation(access=scope(Scope.BUDGETS_OVERRIDE))
    async def request_budget_override(
        self,
        info: Info,
        tenant_id: TenantId,
        input: Annotated[
            BudgetOverrideInput, strawberry.argument(description="The override to request.")
        ],
        idempotency_key: IdempotencyKey,
    ) -> RequestBudgetOverridePayload | None:
        """Ask for more epsilon in the current window; two others have to approve."""
        context = info.context
        await require_tenant(context, Scope.BUDGETS_OVERRIDE, tenant_id)
        try:
            made = await context.services.budgets.overrides.request(
                tenant_id,
                input.epsilon,
                _warrant(input.warrant),
                idempotency_key=idempotency_key,
                by=context.caller().subject,
            )
        except SubgraphError as error:
            return RequestBudgetOverridePayload(override=None, user_errors=_refused(error))
        context.loaders.forget()
        return RequestBudgetOverridePayload(override=BudgetOverride.of(made), user_errors=[])

    @mutation(access=_APPROVE)
    async def approve_budget_override(
        self, info: Info, id: RequestId, request_digest: RequestDigest
    ) -> ApproveBudgetOverridePayload | None:
        """Approve an override; the approval that completes the number applies it."""
        context = info.context
        entity = await named(context, Scope.BUDGETS_APPROVE, IdKind.BUDGET_OVERRIDE, id)
        caller = context.caller()
        try:
            approved = await context.services.budgets.overrides.approve(
                entity.tenant,
                entity.key,
                digest=request_digest,
                by=caller.subject,
                token_id=caller.token_id,
            )
        except SubgraphError as error:
            return ApproveBudgetOverridePayload(override=None, user_errors=_refused(error))
        context.loaders.forget()
        return ApproveBudgetOverridePayload(override=BudgetOverride.of(approved), user_errors=[])

    @mutation(access=_APPROVE)
    async def reject_budget_override(
        self, info: Info, id: RequestId, reason: Reason
    ) -> RejectBudgetOverridePayload | None:
        """Refuse an override."""
        context = info.context
        entity = await named(context, Scope.BUDGETS_APPROVE, IdKind.BUDGET_OVERRIDE, id)
        try:
            refused = await context.services.budgets.overrides.reject(
                entity.tenant, entity.key, reason=reason, by=context.caller().subject
            )
        except SubgraphError as error:
            return RejectBudgetOverridePayload(override=None, user_errors=_refused(error))
        context.loaders.forget()
        return RejectBudgetOverridePayload(override=BudgetOverride.of(refused), user_errors=[])

    @mutation(access=scope(Scope.DATASETS_WRITE))
    async def publish_dataset_version(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the data set.")],
        version: Annotated[
            str, strawberry.argument(description="A label that the data set never had.")
        ],
    ) -> PublishDatasetVersionPayload | None:
        """Say that the data have changed: answers of older versions are not given again."""
        context = info.context
        entity = await named(context, Scope.DATASETS_WRITE, IdKind.DATASET, id)
        try:
            dataset = await context.services.tenants.publish_version(
                entity.tenant, entity.key, version, by=context.caller().subject
            )
        except SubgraphError as error:
            return PublishDatasetVersionPayload(dataset=None, user_errors=_refused(error))
        context.loaders.forget()
        return PublishDatasetVersionPayload(dataset=Dataset.of(dataset), user_errors=[])


def _warrant(given: WarrantInput) -> model.Warrant:
    return model.Warrant(
        reference=given.reference,
        issued_by=given.issued_by,
        issued_at=given.issued_at,
        expires_at=given.expires_at,
        document_digest=given.document_digest,
    )


def _refused(error: SubgraphError) -> list[GovernanceError]:
    if isinstance(error, InvalidRequest):
        place = ["input", "warrant", *error.field]
        return [InvalidInput(code=error.code.name, message=error.message, field=place)]
    if error.code is ErrorCode.BUDGET_NOT_SET:
        return [InvalidInput(code=error.code.name, message=error.message, field=None)]
    return outcome(error)
