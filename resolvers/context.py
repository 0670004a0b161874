"""What the fields of one request share."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from strawberry.types import Info as StrawberryInfo

from dataloaders.loaders import Loaders
from dataloaders.visibility import Visibility
from resolvers import spending
from subgraph.budgets.handle import OperationReleases
from subgraph.budgets.planning import AskedRelease
from subgraph.budgets.runtime import BudgetsRuntime
from subgraph.db.cursors import CursorCodec
from subgraph.deprecations.service import DeprecationRegister
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import Access
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.keys.custody.destruction import KeyDestructions
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.jobs.service import KeyJobs
from subgraph.keys.records.service import RecordService
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.subjects import Subjects
from subgraph.policy.model import PolicyRequest, Principal
from subgraph.policy.scopes import Scope
from subgraph.queries.service import OperationService
from subgraph.tenants.regions import RegionRegistry
from subgraph.tenants.service import TenantService


@dataclass(frozen=True, slots=True)
class Client:
    """The client that the caller named; for metrics and `Caller.client`, never for decisions."""

    name: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Services:
    """What resolvers call; one set a process."""

    tenants: TenantService
    regions: RegionRegistry
    deprecations: DeprecationRegister
    cursors: CursorCodec
    ledger: LedgerReader
    subjects: Subjects
    keys: KeyCustody
    key_jobs: KeyJobs
    key_destructions: KeyDestructions
    records: RecordService
    break_glass: BreakGlassService
    budgets: BudgetsRuntime
    operations: OperationService
    revocation_bound_seconds: int
    sdl: str


@dataclass(slots=True)
class RequestContext:
    """One HTTP request: its caller, its loaders, and the decisions taken for it."""

    visibility: Visibility
    client: Client | None
    via_gateway: bool
    production: bool
    loaders: Loaders
    services: Services
    idempotency_key: str | None = None
    releases: OperationReleases | None = None
    _permitted: dict[Access, bool] = field(default_factory=dict)
    _decided: dict[tuple[Scope, str], asyncio.Task[frozenset[str]]] = field(default_factory=dict)

    @property
    def client_name(self) -> str | None:
        """The client, as it names itself."""
        return None if self.client is None else self.client.name

    @property
    def principal(self) -> Principal | None:
        """The caller, if a token was sent."""
        return self.visibility.principal

    async def authorise(self, wanted: Iterable[Access]) -> None:
        """Decide each access before the operation begins. Raises `POLICY_UNAVAILABLE`."""
        for access in wanted:
            if access not in self._permitted:
                self._permitted[access] = await self._decide(access)

    async def paying(self, asked: Sequence[AskedRelease]) -> "RequestContext":
        """The context of one operation, whose releases are planned and paid for."""
        return replace(self, releases=await spending.begin(self, asked))

    def require(self, access: Access) -> None:
        """Return if the caller has `access`; raise `UNAUTHENTICATED` or `FORBIDDEN` if not."""
        if self._permitted.get(access, False):
            return
        if self.principal is None:
            raise SubgraphError(ErrorCode.UNAUTHENTICATED)
        raise SubgraphError(ErrorCode.FORBIDDEN, f"Needs the scope {access.name}.")

    async def allows(self, action: Scope, tenant: str) -> bool:
        """Whether the caller may take `action` on the tenant; decided once a request.

        A guard decides for the caller, and for one of the platform that says nothing of single
        tenants. Raises `POLICY_UNAVAILABLE`.
        """
        deciding = self._decided.get((action, tenant))
        if deciding is None:
            deciding = asyncio.create_task(self.visibility.tenants(action, [tenant]))
            self._decided[action, tenant] = deciding
        return tenant in await asyncio.shield(deciding)

    def caller(self) -> Principal:
        """The caller; for fields that are guarded, where there is one."""
        if self.principal is None:
            raise SubgraphError(ErrorCode.UNAUTHENTICATED)
        return self.principal

    async def _decide(self, access: Access) -> bool:
        principal = self.principal
        if principal is None:
            return False
        own = () if access.deployment or principal.tenant is None else (principal.tenant,)
        action = access.scope or access.name
        decision = await self.visibility.policy.decide(PolicyRequest(principal, action, own))
        return bool(decision.tenants) if own else decision.allowed


Info = StrawberryInfo[RequestContext, None]
