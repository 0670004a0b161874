"""What the ledger says of a key: provenance, never material."""

from collections.abc import Mapping

from subgraph.errors import JSONValue
from subgraph.keys.custody.model import CustomerKey, KeyVersion, StoredDataKey
from subgraph.kms.contract import KeyDescription
from subgraph.ledger.entry import write_time
from subgraph.ledger.model import EventType, NewEvent


def attached(key: CustomerKey, *, by: str, before: CustomerKey | None) -> NewEvent:
    """A tenant brought a key, or another one than `before`."""
    payload: dict[str, JSONValue] = {
        "keyId": str(key.key_id),
        "provider": key.provider.value,
        "keyUri": key.key_uri,
    }
    if before is not None:
        payload["replaces"] = {"provider": before.provider.value, "keyUri": before.key_uri}
    return NewEvent(EventType.KEY_ATTACHED, by, key.tenant_id, payload=payload)


def version_activated(version: KeyVersion, described: KeyDescription, *, by: str) -> NewEvent:
    """Where a version of the key comes from, as its provider says."""
    payload: dict[str, JSONValue] = {
        "versionId": str(version.version_id),
        "number": version.number,
        "provider": version.provider.value,
        "keyUri": version.key_uri,
        "providerVersion": version.provider_version,
        "origin": version.origin,
        "protectionLevel": version.protection_level,
    }
    if version.region is not None:
        payload["region"] = version.region
    if described.created_at is not None:
        payload["createdAtProvider"] = write_time(described.created_at)
    return NewEvent(EventType.KEY_VERSION_ACTIVATED, by, version.tenant_id, payload=payload)


def data_key(kind: EventType, key: StoredDataKey, *, by: str) -> NewEvent:
    """A data key was made, wrapped again or retired."""
    payload: dict[str, JSONValue] = {
        "dataKeyId": str(key.data_key_id),
        "objectType": key.object_type,
        "generation": key.generation,
        "keyVersion": key.key_version,
    }
    return NewEvent(kind, by, key.tenant_id, payload=payload)


def about_key(
    kind: EventType, key: CustomerKey, *, by: str, reason: str | None = None, **said: JSONValue
) -> NewEvent:
    """Something happened to the key as a whole; the reason, in free words, can be erased."""
    payload: Mapping[str, JSONValue] = {"keyId": str(key.key_id), **said}
    personal = None if reason is None else {"reason": reason}
    return NewEvent(kind, by, key.tenant_id, payload=payload, personal=personal)


def about_version(kind: EventType, version: KeyVersion, *, by: str, **said: JSONValue) -> NewEvent:
    """Something happened to one version of the key."""
    payload: Mapping[str, JSONValue] = {
        "versionId": str(version.version_id),
        "number": version.number,
        **said,
    }
    return NewEvent(kind, by, version.tenant_id, payload=payload)
