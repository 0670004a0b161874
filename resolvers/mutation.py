"""The mutation type."""

from typing import Annotated

import strawberry

from resolvers.budget_mutations import BudgetMutations
from resolvers.context import Info
from resolvers.datasets import Dataset
from resolvers.errors import GovernanceError, invalid_input
from resolvers.key_mutations import KeyMutations
from resolvers.record_mutations import RecordMutations
from resolvers.tenants import Tenant
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, deployment_scope, scope
from subgraph.federation.declare import attribute, input_type, mutation, object_type
from subgraph.federation.scalars import Digest
from subgraph.policy.scopes import Scope
from subgraph.tenants import model
from subgraph.tenants.errors import InvalidRegistration

_MOST_ERRORS = 100


@input_type
class RegisterTenantInput:
    """A tenant to register."""

    id: strawberry.ID = attribute("A lower-case letter, then letters, digits and hyphens.")
    name: str = attribute("The name for people.")
    home_region: strawberry.ID = attribute("The region where its data are at home.")
    allowed_regions: list[strawberry.ID] = attribute("The regions where its data may be.")


@input_type
class DatasetColumnInput:
    """A column that may be queried."""

    name: str = attribute("The name of the column in the source.")
    kind: model.ColumnKind = attribute("What the column holds.")
    lower: float | None = attribute("The public lower bound of a number.", default=None)
    upper: float | None = attribute("The public upper bound of a number.", default=None)
    values: list[str] | None = attribute("The public values of a category.", default=None)


@input_type
class RegisterDatasetInput:
    """A data set to register."""

    slug: str = attribute("The short name, unique within the tenant.")
    name: str = attribute("The name for people.")
    source: strawberry.ID = attribute("A relation that the operator provisioned for the tenant.")
    region: strawberry.ID = attribute("The region where the data are kept.")
    license: str = attribute("The license, an SPDX expression.")
    license_text_digest: Digest = attribute("The digest of the license's text.")
    privacy_unit: str = attribute("The column that names what is protected.")
    max_contributions: int = attribute("How many rows of one privacy unit count.", default=1)
    columns: list[DatasetColumnInput] = attribute("The columns that may be queried.")


@object_type(access=AS_PARENT)
class RegisterTenantPayload:
    """What `registerTenant` did."""

    tenant: Tenant | None = attribute("The tenant, if it is registered.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=AS_PARENT)
class RegisterDatasetPayload:
    """What `registerDataset` did."""

    dataset: Dataset | None = attribute("The data set, if it is registered.")
    user_errors: list[GovernanceError] = attribute("Why not, if it is not.", at_most=_MOST_ERRORS)


@object_type(access=None)
class Mutation(BudgetMutations, KeyMutations, RecordMutations):
    """What can be changed."""

    @mutation(access=deployment_scope(Scope.PLATFORM_TENANTS))
    async def register_tenant(
        self,
        info: Info,
        input: Annotated[
            RegisterTenantInput, strawberry.argument(description="The tenant to register.")
        ],
    ) -> RegisterTenantPayload | None:
        """Register a tenant; repeating an equal registration answers the tenant."""
        wanted = model.TenantRegistration(
            tenant_id=input.id,
            name=input.name,
            home_region=input.home_region,
            allowed_regions=tuple(input.allowed_regions),
        )
        context = info.context
        try:
            tenant = await context.services.tenants.register_tenant(
                wanted, by=context.caller().subject
            )
        except InvalidRegistration as error:
            return RegisterTenantPayload(tenant=None, user_errors=invalid_input(error))
        context.loaders.forget()
        return RegisterTenantPayload(tenant=Tenant.of(tenant), user_errors=[])

    @mutation(access=scope(Scope.DATASETS_WRITE))
    async def register_dataset(
        self,
        info: Info,
        tenant_id: Annotated[
            strawberry.ID, strawberry.argument(description="The tenant that the data belong to.")
        ],
        input: Annotated[
            RegisterDatasetInput, strawberry.argument(description="The data set to register.")
        ],
    ) -> RegisterDatasetPayload | None:
        """Register a data set; repeating an equal registration answers the data set."""
        context = info.context
        if tenant_id not in await context.visibility.tenants(Scope.DATASETS_WRITE, [tenant_id]):
            raise SubgraphError(ErrorCode.FORBIDDEN)
        try:
            dataset = await context.services.tenants.register_dataset(
                tenant_id, _registration(input), by=context.caller().subject
            )
        except InvalidRegistration as error:
            return RegisterDatasetPayload(dataset=None, user_errors=invalid_input(error))
        context.loaders.forget()
        return RegisterDatasetPayload(dataset=Dataset.of(dataset), user_errors=[])


def _registration(wanted: RegisterDatasetInput) -> model.DatasetRegistration:
    return model.DatasetRegistration(
        slug=wanted.slug,
        name=wanted.name,
        source=wanted.source,
        region=wanted.region,
        license=wanted.license,
        license_text_digest=wanted.license_text_digest,
        privacy_unit=wanted.privacy_unit,
        max_contributions=wanted.max_contributions,
        columns=tuple(
            model.Column(
                name=column.name,
                kind=column.kind,
                lower=column.lower,
                upper=column.upper,
                values=None if column.values is None else tuple(column.values),
            )
            for column in wanted.columns
        ),
    )
