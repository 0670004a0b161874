"""Every value is in the ledger before it is shown, and a leaked one names its request."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from subgraph.errors import SubgraphError
from subgraph.keys.breakglass.model import Place, Scope
from subgraph.ledger.faultpoints import FaultPoint
from subgraph.settings import Settings
from tests.unit.approvals.control import Faults, control
from tests.unit.db.scratch import Scratch
from tests.unit.keys.breakglass.glass import OTHER, PLACE, Glass


async def code(action: Awaitable[object]) -> str:
    with pytest.raises(SubgraphError) as caught:
        await action
    return caught.value.code.name


async def test_each_read_is_an_event_about_the_request_and_the_record(glass: Glass) -> None:
    made = await glass.opened()
    markers = await glass.read(made, PLACE, OTHER, PLACE)
    told = [entry.payload or {} for entry in await glass.told("breakglass.read")]
    assert [(one["recordId"], one["field"]) for one in told] == [
        (str(place.record_id), place.field) for place in (PLACE, OTHER)
    ]
    assert all(
        str(one["tag"]) in marker for one, marker in zip(told, markers.values(), strict=True)
    )
    assert await glass.about(PLACE.record_id) == ["breakglass.read"]
    assert (await glass.about(made.request_id))[-2:] == ["breakglass.read"] * 2


async def test_nothing_is_read_twice_for_one_event(glass: Glass) -> None:
    made = await glass.opened()
    await glass.read(made)
    await glass.read(made)
    assert len(await glass.told("breakglass.read")) == 2


@pytest.mark.parametrize(
    "place",
    [
        replace(PLACE, record_id=uuid4()),
        replace(PLACE, field="salary"),
        replace(PLACE, object_type="employee"),
    ],
    ids=["record", "field", "type"],
)
async def test_a_value_out_of_scope_denies_all(glass: Glass, place: Place) -> None:
    made = await glass.opened()
    assert await code(glass.read(made, PLACE, place)) == "BREAK_GLASS_OUT_OF_SCOPE"
    assert await glass.told("breakglass.read") == []


async def test_another_person_reads_nothing_in_the_session(glass: Glass) -> None:
    made = await glass.opened()
    assert await code(glass.read(made, by="ben")) == "FORBIDDEN"


async def test_nothing_is_read_when_the_time_is_over_though_nobody_swept(glass: Glass) -> None:
    made = await glass.opened()
    glass.dual.time.offset = timedelta(minutes=30)
    assert await code(glass.read(made)) == "BREAK_GLASS_CLOSED"


async def test_nothing_is_read_after_closing(glass: Glass) -> None:
    made = await glass.opened()
    await glass.service.close(glass.tenant, made.request_id, by="ann")
    assert await code(glass.read(made)) == "BREAK_GLASS_CLOSED"


async def test_a_ledger_that_refuses_denies_the_read(glass: Glass) -> None:
    made = await glass.opened()
    glass.dual.permitted[0] = False
    assert await code(glass.read(made)) == "WITNESS_UNAVAILABLE"


@pytest.mark.parametrize(
    "point", [FaultPoint.EVENTS_SIGNED, FaultPoint.HEAD_LOCKED, FaultPoint.EVENTS_RECORDED]
)
async def test_a_connection_that_drops_denies_the_read(
    scratch: Scratch, settings: Settings, point: FaultPoint
) -> None:
    faults = Faults(scratch)
    async with control(scratch, settings, faults=faults) as dual:
        glass = Glass(dual, await dual.make_tenant())
        made = await glass.opened()
        faults.at = point
        with pytest.raises(SubgraphError):
            await glass.read(made)
        assert await glass.told("breakglass.read") == []
        assert list(await glass.read(made)) == [PLACE]


async def test_no_read_stands_behind_the_end_of_its_session(glass: Glass) -> None:
    made = await glass.opened()
    actions: list[Awaitable[object]] = [glass.read(made) for _ in range(6)]
    actions.insert(3, glass.service.close(glass.tenant, made.request_id, by="ann"))
    done = await asyncio.gather(*actions, return_exceptions=True)
    read = [one for one in done if isinstance(one, dict)]
    told = (await glass.about(made.request_id))[5:]
    assert told == ["breakglass.read"] * len(read) + ["breakglass.closed"]
    refused = [one.code.name for one in done if isinstance(one, SubgraphError)]
    assert refused == ["BREAK_GLASS_CLOSED"] * (6 - len(read))


async def test_the_whole_of_a_large_scope_is_read_at_once(glass: Glass) -> None:
    records = tuple(uuid4() for _ in range(100))
    fields = tuple(f"f{n}" for n in range(5))
    made = await glass.opened(scope=Scope("customer", records, fields))
    markers = await glass.read(made, *made.terms.scope.places())
    assert len(markers) == len(set(markers.values())) == 500


async def test_a_leaked_value_names_its_request_record_and_field(glass: Glass) -> None:
    made, other = await glass.opened(), await glass.opened()
    first, second = await glass.read(made), await glass.read(other, OTHER)
    text = f"they said jane@example.org{first[PLACE]} and Jane{second[OTHER]}!"
    found = await glass.service.attribute(glass.tenant, text)
    assert [(one.request_id, one.place) for one in found] == [
        (made.request_id, PLACE), (other.request_id, OTHER),
    ]  # fmt: skip


async def test_a_marker_that_was_made_up_is_named_and_not_proven(glass: Glass) -> None:
    made = await glass.opened()
    marker = (await glass.read(made))[PLACE]
    forged = marker[:-5] + ("0000" if marker[-5:-1] != "0000" else "1111") + marker[-1]
    (found,) = await glass.service.attribute(glass.tenant, f"value{forged}")
    assert (found.request_id, found.place) == (made.request_id, None)
    (cut,) = await glass.service.attribute(glass.tenant, f"value{marker[:-8]}")
    assert (cut.request_id, cut.place) == (made.request_id, None)


async def test_a_marker_is_nothing_to_another_tenant(glass: Glass) -> None:
    marker = (await glass.read(await glass.opened()))[PLACE]
    other = await glass.dual.make_tenant()
    assert await glass.service.attribute(other, f"value{marker}") == []


async def test_a_text_without_markers_names_nothing(glass: Glass) -> None:
    await glass.opened()
    assert await glass.service.attribute(glass.tenant, "") == []
    assert await glass.service.attribute(glass.tenant, "bg " + "big background " * 2000) == []
    assert await code(glass.service.attribute(glass.tenant, "x" * 1_000_001)) == "INVALID_INPUT"


async def test_a_marker_of_the_same_place_differs_by_session(glass: Glass) -> None:
    one, other = await glass.read(await glass.opened()), await glass.read(await glass.opened())
    assert one[PLACE] != other[PLACE]
