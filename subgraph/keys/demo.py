"""Gives the demonstration's tenants a software key each, and the first one two records."""

from collections.abc import Sequence

from subgraph.keys.records.model import NewRecord
from subgraph.keys.runtime import KeysRuntime
from subgraph.kms.contract import KeyProvider

KEY_URI = "local:demo"
_OPERATOR = "demo-operator"
_RECORDS = (
    NewRecord(
        object_type="customer",
        external_id="C-1001",
        fields=(
            ("name", "Ada Byron"),
            ("email", "ada@example.com"),
            ("iban", "GB33BUKB20201555555555"),
        ),
    ),
    NewRecord(
        object_type="customer",
        external_id="C-1002",
        fields=(
            ("name", "Grace Murray"),
            ("email", "grace@example.com"),
            ("iban", "DE75512108001245126199"),
        ),
    ),
)


async def load(keys: KeysRuntime, tenants: Sequence[str]) -> None:
    """Load what is missing; a second run changes nothing. A key that was moved stays moved."""
    for tenant in tenants:
        if tenant not in await keys.custody.attached([tenant]):
            await keys.custody.attach(
                tenant, KeyProvider.LOCAL, KEY_URI, idempotency_key="demo", by=_OPERATOR
            )
    for number, record in enumerate(_RECORDS):
        await keys.records.put(tenants[0], record, idempotency_key=f"demo-{number}", by=_OPERATOR)
