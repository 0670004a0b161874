"""The callers of the demonstration: who they are and which rights their tokens name."""

from dataclasses import dataclass
from typing import Final

from subgraph.policy.scopes import Scope

_READS: Final = frozenset(scope for scope in Scope if scope.endswith(":read"))
_APPROVALS: Final = frozenset(scope for scope in Scope if scope.endswith(":approve"))
_DEPLOYMENT: Final = frozenset(
    {Scope.LEDGER_DEPLOYMENT, Scope.PLATFORM_ANY, Scope.PLATFORM_TENANTS}
)

_OPERATOR: Final = frozenset(Scope) - _APPROVALS - _DEPLOYMENT
_APPROVER: Final = _APPROVALS | {Scope.BREAKGLASS_READ, Scope.BUDGETS_READ, Scope.KEYS_READ}
# Proofs hang on exports, so an auditor finds them through these.
_AUDITOR: Final = frozenset(
    {
        Scope.BUDGETS_READ,
        Scope.DEPRECATIONS_READ,
        Scope.EXPORTS_READ,
        Scope.LEDGER_READ,
        Scope.PROOFS_READ,
    }
)
_PLATFORM: Final = frozenset(
    {Scope.PLATFORM_ANY, Scope.LEDGER_DEPLOYMENT, Scope.QUERIES_READ, Scope.QUERIES_WRITE}
)


@dataclass(frozen=True, slots=True)
class Persona:
    """What a demonstration token says of its bearer."""

    subject: str
    tenant: str | None
    scopes: frozenset[Scope]


def personas(tenant: str, other_tenant: str) -> dict[str, Persona]:
    """Return the personas under the names that `demo.json` lists their tokens by."""
    return {
        "viewer": Persona("demo-viewer", tenant, _READS),
        "operator": Persona("demo-operator", tenant, _OPERATOR),
        "approver1": Persona("demo-approver-1", tenant, _APPROVER),
        "approver2": Persona("demo-approver-2", tenant, _APPROVER),
        "auditor": Persona("demo-auditor", tenant, _AUDITOR),
        "platform": Persona("demo-platform", None, _PLATFORM),
        "otherTenantViewer": Persona("demo-other-tenant-viewer", other_tenant, _READS),
    }
