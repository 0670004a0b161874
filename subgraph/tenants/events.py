"""What the ledger says of a registration."""

from subgraph.errors import JSONValue
from subgraph.ledger.model import EventType, NewEvent
from subgraph.tenants.model import Column, Dataset, Tenant


def tenant_registered(tenant: Tenant, *, by: str) -> NewEvent:
    """The first event of a tenant's log; the name, which may be a person's, can be erased."""
    return NewEvent(
        EventType.TENANT_REGISTERED,
        by,
        tenant.tenant_id,
        payload={
            "homeRegion": tenant.home_region,
            "allowedRegions": list(tenant.allowed_regions),
        },
        personal={"name": tenant.name},
    )


def dataset_registered(dataset: Dataset, *, by: str) -> NewEvent:
    """A data set with everything that its queries are accounted by."""
    return NewEvent(
        EventType.DATASET_REGISTERED,
        by,
        dataset.tenant_id,
        payload={
            "datasetId": str(dataset.dataset_id),
            "slug": dataset.slug,
            "sourceId": str(dataset.source_id),
            "region": dataset.region,
            "license": dataset.license,
            "licenseTextDigest": dataset.license_text_digest,
            "version": dataset.version,
            "privacyUnit": dataset.privacy_unit,
            "maxContributions": dataset.max_contributions,
            "columns": [_column(column) for column in dataset.columns],
        },
    )


def dataset_version_published(dataset: Dataset, *, replaced: str, by: str) -> NewEvent:
    """A new version of a data set: what was released of the replaced one is not given again."""
    return NewEvent(
        EventType.DATASET_VERSION_PUBLISHED,
        by,
        dataset.tenant_id,
        payload={
            "datasetId": str(dataset.dataset_id),
            "version": dataset.version,
            "replaced": replaced,
        },
    )


def _column(column: Column) -> dict[str, JSONValue]:
    # Bounds are decimal texts: a ledger holds no binary fractions.
    described: dict[str, JSONValue] = {"name": column.name, "kind": column.kind.value}
    if column.lower is not None:
        described["lower"] = repr(column.lower)
    if column.upper is not None:
        described["upper"] = repr(column.upper)
    if column.values is not None:
        described["values"] = list(column.values)
    return described
