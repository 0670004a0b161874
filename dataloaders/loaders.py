"""The loaders of one request."""

from dataclasses import dataclass

from dataloaders.datasets import (
    DatasetLoader,
    DatasetPageLoader,
    dataset_loader,
    dataset_page_loader,
)
from dataloaders.ledger import EventLoader, InclusionLoader, event_loader, inclusion_loader
from dataloaders.tenants import TenantLoader, tenant_loader
from dataloaders.visibility import Visibility
from subgraph.db.service import Database
from subgraph.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True)
class Loaders:
    """Made anew for every request, so nothing that one caller read reaches another."""

    tenants: TenantLoader
    datasets: DatasetLoader
    dataset_pages: DatasetPageLoader
    ledger_events: EventLoader
    inclusions: InclusionLoader

    @classmethod
    def of(cls, database: Database, reader: LedgerReader, visibility: Visibility) -> "Loaders":
        """The loaders for one caller."""
        return cls(
            tenants=tenant_loader(database, visibility),
            datasets=dataset_loader(database, visibility),
            dataset_pages=dataset_page_loader(database, visibility),
            ledger_events=event_loader(reader, visibility),
            inclusions=inclusion_loader(reader),
        )

    def forget(self) -> None:
        """Read anew from here on: something was written."""
        self.tenants.forget()
        self.datasets.forget()
        self.dataset_pages.forget()
        self.ledger_events.forget()
        self.inclusions.forget()
