"""The loaders of one request."""

from dataclasses import dataclass, fields

from dataloaders.approvals import (
    BreakGlassLoader,
    BreakGlassReadLoader,
    DestructionLoader,
    break_glass_loader,
    break_glass_read_loader,
    destruction_loader,
)
from dataloaders.budgets import (
    BudgetLoader,
    OverrideLoader,
    SpendLoader,
    budget_loader,
    override_loader,
    spend_loader,
)
from dataloaders.datasets import (
    DatasetLoader,
    DatasetPageLoader,
    dataset_loader,
    dataset_page_loader,
)
from dataloaders.keys import (
    CustomerKeyLoader,
    KeyJobLoader,
    KeyVersionLoader,
    NumberedVersionLoader,
    RemainingLoader,
    customer_key_loader,
    key_job_loader,
    key_version_loader,
    numbered_version_loader,
    remaining_loader,
)
from dataloaders.ledger import EventLoader, InclusionLoader, event_loader, inclusion_loader
from dataloaders.records import (
    RecordLoader,
    RecordPageLoader,
    record_loader,
    record_page_loader,
)
from dataloaders.tenants import TenantLoader, tenant_loader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.keys.custody.destruction import KeyDestructions
from subgraph.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True)
class Loaders:
    """Made anew for every request, so nothing that one caller read reaches another."""

    tenants: TenantLoader
    datasets: DatasetLoader
    dataset_pages: DatasetPageLoader
    budgets: BudgetLoader
    spends: SpendLoader
    budget_overrides: OverrideLoader
    ledger_events: EventLoader
    inclusions: InclusionLoader
    customer_keys: CustomerKeyLoader
    key_versions: KeyVersionLoader
    numbered_versions: NumberedVersionLoader
    records_remaining: RemainingLoader
    key_jobs: KeyJobLoader
    records: RecordLoader
    record_pages: RecordPageLoader
    break_glass: BreakGlassLoader
    break_glass_reads: BreakGlassReadLoader
    key_destructions: DestructionLoader

    @classmethod
    def of(
        cls,
        database: Database,
        reader: LedgerReader,
        visibility: Visibility,
        *,
        break_glass: BreakGlassService,
        destructions: KeyDestructions,
    ) -> "Loaders":
        """The loaders for one caller."""
        return cls(
            tenants=tenant_loader(database, visibility),
            datasets=dataset_loader(database, visibility),
            dataset_pages=dataset_page_loader(database, visibility),
            budgets=budget_loader(database, visibility),
            spends=spend_loader(database, visibility),
            budget_overrides=override_loader(database, visibility),
            ledger_events=event_loader(reader, visibility),
            inclusions=inclusion_loader(reader),
            customer_keys=customer_key_loader(database, visibility),
            key_versions=key_version_loader(database, visibility),
            numbered_versions=numbered_version_loader(database, visibility),
            records_remaining=remaining_loader(database),
            key_jobs=key_job_loader(database, visibility),
            records=record_loader(database, visibility),
            record_pages=record_page_loader(database, visibility),
            break_glass=break_glass_loader(break_glass, visibility),
            break_glass_reads=break_glass_read_loader(break_glass, visibility),
            key_destructions=destruction_loader(destructions, visibility),
        )

    def forget(self) -> None:
        """Read anew from here on: something was written."""
        for loader in fields(self):
            getattr(self, loader.name).forget()
