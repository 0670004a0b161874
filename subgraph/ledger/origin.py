"""The names of the logs: one of the deployment, and one of each tenant below the same base."""

import re

from subgraph.ledger.errors import EntryInvalid, Finding

_BASE = r"[a-z0-9](?:[a-z0-9.:_/-]{0,126}[a-z0-9])?"
_TENANT = re.compile(rf"({_BASE})/tenant/([a-z][a-z0-9-]{{1,62}})", re.ASCII)
_DEPLOYMENT = re.compile(rf"({_BASE})/deployment", re.ASCII)


def deployment_log(base: str) -> str:
    """The origin of the deployment log; EntryInvalid when the base cannot be one."""
    return _checked(f"{base}/deployment")


def tenant_log(base: str, tenant: str) -> str:
    """The origin of a tenant's log; EntryInvalid when it would not be a plain schema-less URL."""
    return _checked(f"{base}/tenant/{tenant}")


def tenant_of(origin: str) -> str | None:
    """The tenant of the log, None for a deployment log; EntryInvalid for any other name."""
    if match := _TENANT.fullmatch(origin):
        return match[2]
    if _DEPLOYMENT.fullmatch(origin):
        return None
    raise _malformed()


def deployment_beside(origin: str) -> str:
    """The deployment log of the same deployment as this log; EntryInvalid as in `tenant_of`."""
    if match := _TENANT.fullmatch(origin) or _DEPLOYMENT.fullmatch(origin):
        return deployment_log(match[1])
    raise _malformed()


def _checked(origin: str) -> str:
    tenant_of(origin)
    return origin


def _malformed() -> EntryInvalid:
    message = "an origin is a base, then /deployment, or /tenant/ and the id of a tenant"
    return EntryInvalid(Finding.ENTRY_MALFORMED, message)
