"""The parts of a process that spends, put together."""

from typing import Any, cast
from uuid import uuid4

import pytest

from subgraph.budgets.model import ReservationRequest
from subgraph.budgets.runtime import BudgetsRuntime
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings


async def test_nothing_is_reserved_while_the_database_is_behind_its_witness(
    settings: Settings, database: Database
) -> None:
    recording = LedgerRuntime(settings, database)
    runtime = BudgetsRuntime(settings, database, recording, cast("Any", None))
    recording._gate.close(ErrorCode.LEDGER_BEHIND_WITNESS)
    with pytest.raises(SubgraphError) as refused:
        await runtime.accountant.reserve("t-any", ReservationRequest("a", uuid4(), "ann", ()))
    assert refused.value.code is ErrorCode.LEDGER_BEHIND_WITNESS
    await recording.close()
