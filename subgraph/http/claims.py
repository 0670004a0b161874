"""From the claims of a verified token to a principal."""

import re
from collections.abc import Mapping
from typing import Final

from subgraph.policy.model import Principal
from subgraph.policy.scopes import is_name

MAX_SUBJECT: Final = 255
MAX_SCOPES: Final = 256
MAX_CLIENT: Final = 64

_SCOPE_CLAIMS: Final = ("scope", "scopes", "scp")
_CLIENT_CLAIMS: Final = ("client_name", "azp", "client_id")

_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9 ._:/@+-]")


class UnusableClaims(Exception):
    """A claim has a value that no principal can be made of; the message names the claim."""


def read_principal(claims: Mapping[str, object]) -> Principal:
    """Return the principal that the claims speak of.

    Raises `UnusableClaims`. A tenant claim that is there without naming a tenant is refused, not
    taken for none: without a tenant a token may act for the platform.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise UnusableClaims("sub")
    if not subject.isprintable():
        raise UnusableClaims("sub")
    tenant = claims.get("tenant")
    if tenant is None and "tenant" not in claims:
        return Principal(subject, None, _scopes(claims), _client_name(claims))
    if not isinstance(tenant, str) or not is_name(tenant):
        raise UnusableClaims("tenant")
    return Principal(subject, tenant, _scopes(claims), _client_name(claims))


def read_label(value: str) -> str | None:
    """Return a client's name or version as a metric can carry it: 64 plain characters at most."""
    return _NOT_IN_A_LABEL.sub("_", value.strip()[:MAX_CLIENT]) or None


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    claim = next((name for name in _SCOPE_CLAIMS if name in claims), None)
    if claim is None:
        return frozenset()
    value = claims[claim]
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, list) or len(scopes) > MAX_SCOPES:
        raise UnusableClaims(claim)
    if not all(is_name(scope) for scope in scopes):
        raise UnusableClaims(claim)
    return frozenset(scopes)


def _client_name(claims: Mapping[str, object]) -> str | None:
    names = (claims.get(claim) for claim in _CLIENT_CLAIMS)
    name = next((name for name in names if isinstance(name, str)), None)
    return read_label(name) if name is not None else None
