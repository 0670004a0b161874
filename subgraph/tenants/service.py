"""Registers tenants and data sets, each with an event in the tenant's ledger."""

import re
from dataclasses import replace
from uuid import UUID, uuid4

from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.service import Ledger
from subgraph.tenants import store
from subgraph.tenants.errors import InvalidRegistration
from subgraph.tenants.events import (
    dataset_registered,
    dataset_version_published,
    tenant_registered,
)
from subgraph.tenants.model import (
    Dataset,
    DatasetRegistration,
    Tenant,
    TenantRegistration,
    encode_columns,
)
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.registration import check_columns, check_dataset, check_tenant

_FIRST_VERSION = "1"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TenantService:
    """Registers tenants and data sets; a repeated, equal registration answers what stands."""

    def __init__(self, database: Database, regions: RegionRegistry, ledger: Ledger) -> None:
        self._database = database
        self._regions = regions
        self._ledger = ledger

    async def register_tenant(self, wanted: TenantRegistration, *, by: str) -> Tenant:
        """Register a tenant on behalf of the subject `by`.

        Raises `InvalidRegistration`: a rule is broken, a region is unknown, or the id is taken by
        a tenant with other data (`ALREADY_EXISTS`).
        """
        check_tenant(wanted, self._regions)
        allowed = tuple(sorted(set(wanted.allowed_regions)))
        tenant = Tenant(wanted.tenant_id, wanted.name, wanted.home_region, allowed)
        async with self._database.transaction(tenant.tenant_id) as transaction:
            registered = await store.insert_tenant(transaction, tenant, by=by)
            if registered:
                await self._ledger.append(transaction, tenant_registered(tenant, by=by))
        if registered:
            return tenant
        standing = await store.tenants(self._database, [tenant.tenant_id])
        if standing.get(tenant.tenant_id) != tenant:
            message = "a tenant with this id is registered with other data"
            raise InvalidRegistration(message, ("input", "id"), ErrorCode.ALREADY_EXISTS)
        return tenant

    async def register_dataset(
        self, tenant: str, wanted: DatasetRegistration, *, by: str
    ) -> Dataset:
        """Register a data set of `tenant` over a provisioned source.

        Raises `InvalidRegistration`: a rule is broken, the source is not the tenant's, or the slug
        is taken by a data set with other metadata (`ALREADY_EXISTS`).
        """
        license_expression = check_dataset(wanted, self._regions)
        source_id = self._source_key(tenant, wanted.source)
        source = await store.source(self._database, tenant, source_id)
        if source is None:
            raise _unknown_source()
        check_columns(wanted, source)
        owner = (await store.tenants(self._database, [tenant]))[tenant]
        if wanted.region not in owner.allowed_regions:
            message = "not one of the tenant's allowed regions"
            raise InvalidRegistration(message, ("input", "region"))
        dataset = Dataset(
            tenant_id=tenant,
            dataset_id=uuid4(),
            slug=wanted.slug,
            name=wanted.name,
            source_id=source_id,
            region=wanted.region,
            license=license_expression,
            license_text_digest=wanted.license_text_digest,
            version=_FIRST_VERSION,
            privacy_unit=wanted.privacy_unit,
            max_contributions=wanted.max_contributions,
            encoded_columns=encode_columns(wanted.columns),
        )
        async with self._database.transaction(tenant) as transaction:
            if await store.insert_dataset(transaction, dataset, by=by):
                await self._ledger.append(transaction, dataset_registered(dataset, by=by))
                return dataset
            standing = await store.dataset_by_slug(transaction, tenant, dataset.slug)
        if standing is None or not dataset.describes_the_same(standing):
            message = "a data set with this slug is registered with other metadata"
            raise InvalidRegistration(message, ("input", "slug"), ErrorCode.ALREADY_EXISTS)
        return standing

    async def publish_version(
        self, tenant: str, dataset_id: UUID, version: str, *, by: str
    ) -> Dataset:
        """Say that the data of a data set have changed, under a label that it never had.

        Repeating the current label changes nothing. Raises `UNKNOWN_OBJECT`, `INVALID_INPUT` for a
        text that is no label, and `ALREADY_EXISTS` for one of an older version.
        """
        if not _LABEL.fullmatch(version):
            message = "version: 1 to 64 letters, digits, dots, underscores and hyphens"
            raise SubgraphError(ErrorCode.INVALID_INPUT, message)
        async with self._database.transaction(tenant) as transaction:
            dataset = await store.lock_dataset(transaction, tenant, dataset_id)
            if dataset is None:
                raise SubgraphError(ErrorCode.UNKNOWN_OBJECT, "there is no such data set")
            if dataset.version == version:
                return dataset
            if not await store.publish_version(transaction, dataset, version, by=by):
                message = "the data set had this version before"
                raise SubgraphError(ErrorCode.ALREADY_EXISTS, message)
            published = replace(dataset, version=version)
            event = dataset_version_published(published, replaced=dataset.version, by=by)
            await self._ledger.append(transaction, event)
        return published

    @staticmethod
    def _source_key(tenant: str, source: str) -> UUID:
        entity = ids.decode(IdKind.DATASET_SOURCE, source)
        if entity is None or entity.tenant != tenant:
            raise _unknown_source()
        return entity.key


def _unknown_source() -> InvalidRegistration:
    message = "not a source that the operator provisioned for this tenant"
    return InvalidRegistration(message, ("input", "source"), ErrorCode.UNKNOWN_SOURCE)
