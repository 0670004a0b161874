"""What every wrapper of data keys has to do, whoever holds its key; see `contract.Wrap`."""

import asyncio
import base64
import logging
import traceback
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar
from uuid import UUID

import pytest

from subgraph.kms.contract import KeyProvider, Wrap, WrapContext, WrappedKey
from subgraph.kms.faults import KeyFault, KeyProviderError

KEY = bytes(range(100, 132))
CONTEXT = WrapContext("acme", UUID(int=7), "data-key")
OTHER_CONTEXTS = {
    "another tenant": replace(CONTEXT, tenant="acmf"),
    "another data key": replace(CONTEXT, data_key_id=UUID(int=8)),
    "another purpose": replace(CONTEXT, purpose="data-kez"),
    "shifted": replace(CONTEXT, tenant="acme" + str(UUID(int=7))),
}
DAMAGE = frozenset({KeyFault.INTEGRITY, KeyFault.WRONG_KEY})
STATES = (
    "disable", "schedule_deletion", "delete", "deny", "throttle", "hang", "outage", "rotate",
)  # fmt: skip
_POSITIONS = 48
_ENOUGH_SECONDS = 60


class KeyRig:
    """One fresh key at a provider, and what can happen to it there; a new one for every test.

    A subclass overrides each of `STATES` that its provider knows, with its way back (`enable`,
    `allow`, `restore`), and says in `cannot` why it does not know the others. Wrappers are opened
    with a deadline of about a second. `credentials` are what no error and no log may hold.
    """

    provider: ClassVar[KeyProvider]
    cannot: ClassVar[Mapping[str, str]] = {}
    credentials: Sequence[str] = ()

    async def open(self) -> Wrap:
        """A new client for the key."""
        raise NotImplementedError

    async def open_other(self) -> Wrap:
        """A client for another key of the same provider."""
        raise NotImplementedError

    async def disable(self) -> None:
        """The owner disables the key."""
        raise NotImplementedError

    async def enable(self) -> None:
        """The owner enables it again."""
        raise NotImplementedError

    async def schedule_deletion(self) -> None:
        """The owner has the key deleted later."""
        raise NotImplementedError

    async def delete(self) -> None:
        """The key is gone."""
        raise NotImplementedError

    async def deny(self) -> None:
        """The owner takes our permission away."""
        raise NotImplementedError

    async def allow(self) -> None:
        """The owner gives it back."""
        raise NotImplementedError

    async def throttle(self) -> None:
        """The provider refuses calls for their number, until `restore`."""
        raise NotImplementedError

    async def hang(self) -> None:
        """The provider takes calls and does not answer, until `restore`."""
        raise NotImplementedError

    async def outage(self) -> None:
        """The provider cannot be reached, until `restore`."""
        raise NotImplementedError

    async def restore(self) -> None:
        """The provider is itself again."""
        raise NotImplementedError

    async def rotate(self) -> None:
        """A new version, made by whoever may: through our wrapper unless overridden."""
        wrapper = await self.open()
        await wrapper.rotate()
        await wrapper.close()

    @classmethod
    def offers(cls, state: str) -> bool:
        """Whether the rig says how to bring the key into `state`."""
        return state not in cls.cannot


def table(rigs: Sequence[type[KeyRig]]) -> str:
    """Provider by case, as Markdown: `tested`, or why the provider has no such state."""
    rows = [["provider", *STATES], ["---"] * (len(STATES) + 1)]
    rows += [
        [rig.provider.name, *(rig.cannot.get(state, "tested") for state in STATES)] for rig in rigs
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


async def fault(rig: KeyRig, call: Awaitable[object]) -> KeyFault:
    """What `call` fails with; whatever it is, it holds neither the key nor credentials."""
    with pytest.raises(KeyProviderError) as caught:
        async with asyncio.timeout(_ENOUGH_SECONDS):
            await call
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)
    assert not leaks(rig, said)
    return caught.value.fault


def leaks(rig: KeyRig, text: str) -> list[str]:
    """The secrets that `text` holds, in any spelling."""
    spellings = [KEY.hex(), base64.b64encode(KEY).decode(), repr(KEY)[2:-1], str(list(KEY))[1:-1]]
    return [secret for secret in (*spellings, *rig.credentials) if secret in text]


async def both(rig: KeyRig, wrapper: Wrap, wrapped: WrappedKey) -> set[KeyFault]:
    """What wrapping and unwrapping fail with."""
    return {
        await fault(rig, wrapper.wrap(KEY, CONTEXT)),
        await fault(rig, wrapper.unwrap(wrapped, CONTEXT)),
    }


def positions(size: int) -> list[int]:
    """Up to 48 places in a ciphertext: its ends byte by byte, and evenly between."""
    if size <= _POSITIONS:
        return list(range(size))
    ends = [*range(12), *range(size - 20, size)]
    return sorted({*ends, *range(12, size - 20, max(1, (size - 32) // 16))})


def require(rig: KeyRig, state: str) -> None:
    """Skip, saying why, a test of a state that the provider does not know."""
    if not rig.offers(state):
        pytest.skip(f"{rig.provider.name}: {rig.cannot[state]}")


class WrapConformance:
    """Subclasses offer the fixture `rig`: a `KeyRig` with a key that no other test uses."""

    def test_every_state_is_offered_or_explained(self, rig: KeyRig) -> None:
        offered = {
            state for state in STATES if getattr(type(rig), state) is not getattr(KeyRig, state)
        }
        assert offered | {"rotate"} | set(rig.cannot) == set(STATES)
        assert not offered & set(rig.cannot)

    async def test_what_is_wrapped_is_unwrapped(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        assert KEY not in wrapped.ciphertext
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_fresh_client_unwraps(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await wrapper.close()
        assert await (await rig.open()).unwrap(wrapped, CONTEXT) == KEY

    async def test_the_key_is_described(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        described = await wrapper.describe()
        assert described.provider is wrapper.provider is rig.provider
        assert described.key_uri == wrapped.key_uri
        assert described.provider_version == wrapped.provider_version != ""
        assert described.origin and described.protection_level
        assert described.created_at is None or described.created_at.tzinfo is not None

    @pytest.mark.parametrize("name", OTHER_CONTEXTS)
    async def test_another_context_does_not_unwrap(self, rig: KeyRig, name: str) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        failed = await fault(rig, wrapper.unwrap(wrapped, OTHER_CONTEXTS[name]))
        assert failed is KeyFault.INTEGRITY

    async def test_a_changed_byte_is_noticed(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        for position in positions(len(wrapped.ciphertext)):
            changed = bytearray(wrapped.ciphertext)
            changed[position] ^= 1
            damaged = replace(wrapped, ciphertext=bytes(changed))
            failed = await fault(rig, wrapper.unwrap(damaged, CONTEXT))
            assert failed in DAMAGE, f"byte {position}: {failed}"

    @pytest.mark.parametrize("kept", [0, 1, 16, -1])
    async def test_a_cut_ciphertext_is_noticed(self, rig: KeyRig, kept: int) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        damaged = replace(wrapped, ciphertext=wrapped.ciphertext[:kept])
        assert await fault(rig, wrapper.unwrap(damaged, CONTEXT)) in DAMAGE

    async def test_a_lengthened_ciphertext_is_noticed(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        damaged = replace(wrapped, ciphertext=wrapped.ciphertext + b"\0")
        assert await fault(rig, wrapper.unwrap(damaged, CONTEXT)) in DAMAGE

    async def test_what_another_key_wrapped_is_refused(self, rig: KeyRig) -> None:
        foreign = await (await rig.open_other()).wrap(KEY, CONTEXT)
        wrapper = await rig.open()
        own = await wrapper.wrap(KEY, CONTEXT)
        assert await fault(rig, wrapper.unwrap(foreign, CONTEXT)) in DAMAGE
        renamed = replace(own, ciphertext=foreign.ciphertext)
        assert await fault(rig, wrapper.unwrap(renamed, CONTEXT)) in DAMAGE

    async def test_a_disabled_key_does_nothing(self, rig: KeyRig) -> None:
        require(rig, "disable")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.disable()
        assert await both(rig, wrapper, wrapped) == {KeyFault.KEY_DISABLED}
        await rig.enable()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_key_that_is_to_be_deleted_does_nothing(self, rig: KeyRig) -> None:
        require(rig, "schedule_deletion")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.schedule_deletion()
        assert await both(rig, wrapper, wrapped) == {KeyFault.KEY_PENDING_DELETION}

    async def test_a_deleted_key_is_not_found(self, rig: KeyRig) -> None:
        require(rig, "delete")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.delete()
        assert await both(rig, wrapper, wrapped) == {KeyFault.KEY_NOT_FOUND}

    async def test_without_permission_nothing_is_done(self, rig: KeyRig) -> None:
        require(rig, "deny")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.deny()
        assert await both(rig, wrapper, wrapped) == {KeyFault.ACCESS_DENIED}
        await rig.allow()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_what_happens_to_a_key_leaves_others_alone(self, rig: KeyRig) -> None:
        require(rig, "disable")
        await rig.open()
        other = await rig.open_other()
        wrapped = await other.wrap(KEY, CONTEXT)
        await rig.disable()
        assert await other.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_limit_of_the_provider_is_named(self, rig: KeyRig) -> None:
        require(rig, "throttle")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.throttle()
        assert await both(rig, wrapper, wrapped) == {KeyFault.THROTTLED}
        await rig.restore()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_provider_that_hangs_holds_nobody_up(self, rig: KeyRig) -> None:
        require(rig, "hang")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.hang()
        waiting = asyncio.create_task(both(rig, wrapper, wrapped))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert await waiting == {KeyFault.UNAVAILABLE}
        # Had a call blocked the event loop, this one would have had a turn after each at most.
        assert turns > len(("wrap", "unwrap"))
        await rig.restore()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_call_that_hangs_is_cancelled_at_once(self, rig: KeyRig) -> None:
        require(rig, "hang")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.hang()
        waiting = asyncio.create_task(wrapper.unwrap(wrapped, CONTEXT))
        await asyncio.sleep(0)
        waiting.cancel()
        assert isinstance(
            (await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError
        )
        await rig.restore()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_after_an_outage_it_works_by_itself(self, rig: KeyRig) -> None:
        require(rig, "outage")
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await rig.outage()
        assert await both(rig, wrapper, wrapped) == {KeyFault.UNAVAILABLE}
        assert await fault(rig, wrapper.describe()) is KeyFault.UNAVAILABLE
        await rig.restore()
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY
        assert await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT) == KEY

    async def test_after_a_rotation_old_wraps_still_unwrap(self, rig: KeyRig) -> None:
        require(rig, "rotate")
        wrapper = await rig.open()
        old = await wrapper.wrap(KEY, CONTEXT)
        await rig.rotate()
        described = await wrapper.describe()
        new = await wrapper.wrap(KEY, CONTEXT)
        assert new.provider_version == described.provider_version != old.provider_version
        for wrapped in (old, new):
            assert await wrapper.unwrap(wrapped, CONTEXT) == KEY
            assert await (await rig.open()).unwrap(wrapped, CONTEXT) == KEY

    async def test_rotating_names_the_new_version(self, rig: KeyRig) -> None:
        require(rig, "rotate")
        wrapper = await rig.open()
        before = await wrapper.describe()
        try:
            rotated = await wrapper.rotate()
        except KeyProviderError as error:
            assert error.fault is KeyFault.CONFIG  # noqa: PT017 - the owner has to, then
            return
        assert rotated.provider_version != before.provider_version
        assert rotated.provider_version == (await wrapper.describe()).provider_version

    async def test_many_tasks_call_at_once(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        keys = [bytes([number]) * 32 for number in range(32)]
        wraps = await asyncio.gather(*(wrapper.wrap(key, CONTEXT) for key in keys))
        assert await asyncio.gather(*(wrapper.unwrap(each, CONTEXT) for each in wraps)) == keys

    async def test_cancelled_callers_leave_the_others_alone(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        tasks = [asyncio.create_task(wrapper.unwrap(wrapped, CONTEXT)) for _ in range(16)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[1::2] == [KEY] * 8
        assert await wrapper.unwrap(wrapped, CONTEXT) == KEY

    async def test_a_closed_wrapper_refuses(self, rig: KeyRig) -> None:
        wrapper = await rig.open()
        wrapped = await wrapper.wrap(KEY, CONTEXT)
        await wrapper.close()
        await wrapper.close()
        assert await both(rig, wrapper, wrapped) == {KeyFault.UNAVAILABLE}
        assert await fault(rig, wrapper.describe()) is KeyFault.UNAVAILABLE
        assert await fault(rig, wrapper.rotate()) is KeyFault.UNAVAILABLE

    async def test_closing_one_client_leaves_another_open(self, rig: KeyRig) -> None:
        first, second = await rig.open(), await rig.open()
        wrapped = await first.wrap(KEY, CONTEXT)
        await first.close()
        assert await second.unwrap(wrapped, CONTEXT) == KEY

    async def test_the_log_holds_no_secret(
        self, rig: KeyRig, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        caplog.set_level(logging.DEBUG, "subgraph")
        wrapper = await rig.open()
        await wrapper.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT)
        await wrapper.describe()
        assert not leaks(rig, caplog.text)
