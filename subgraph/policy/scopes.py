"""The scopes of the contract, and the grammar of the names that authorisation works with."""

import re
from enum import StrEnum
from typing import Final

PLATFORM_PREFIX: Final = "platform:"

_NAME = re.compile(r"[!#-\[\]-~]{1,128}")


class Scope(StrEnum):
    """A right that a token can name; `contract.graphql` says which field asks for which."""

    BREAKGLASS_APPROVE = "breakglass:approve"
    BREAKGLASS_READ = "breakglass:read"
    BREAKGLASS_REQUEST = "breakglass:request"
    BUDGETS_APPROVE = "budgets:approve"
    BUDGETS_OVERRIDE = "budgets:override"
    BUDGETS_READ = "budgets:read"
    BUDGETS_WRITE = "budgets:write"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    DEPRECATIONS_READ = "deprecations:read"
    DP_QUERY = "dp:query"
    EXPORTS_DOWNLOAD = "exports:download"
    EXPORTS_READ = "exports:read"
    EXPORTS_RELEASE = "exports:release"
    EXPORTS_WRITE = "exports:write"
    KEYS_APPROVE = "keys:approve"
    KEYS_DESTROY = "keys:destroy"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    LEDGER_DEPLOYMENT = "ledger:deployment"
    LEDGER_READ = "ledger:read"
    METRICS_READ = "metrics:read"
    PLATFORM_ANY = "platform:*"
    PLATFORM_TENANTS = "platform:tenants"
    PROOFS_READ = "proofs:read"
    QUERIES_READ = "queries:read"
    QUERIES_WRITE = "queries:write"
    RECORDS_DECRYPT = "records:decrypt"
    RECORDS_READ = "records:read"
    RECORDS_WRITE = "records:write"


def is_name(value: object) -> bool:
    """Whether `value` is a scope-token of RFC 6749, section 3.3, of at most 128 characters.

    Tenants, scopes and actions all keep to it. It leaves out NUL, quotes and backslashes, which
    the Rego engine in process would cut a string at, or fail to write.
    """
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
