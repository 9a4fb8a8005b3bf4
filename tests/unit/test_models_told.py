"""What the journal says of attempts that fail: each failure once, under its own number, with the wait after it."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from golive.core.backoff import BackoffPolicy
from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ModelCut, ModelUnavailable
from golive.core.events import Body, ModelFailed
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.models.call import AttemptFailed, AttemptStarted, CallContext, ModelCall, ModelRequest
from golive.models.hedge import Hedged
from golive.models.recovery import Recovering, Ways
from golive.runtime.relay import Relay
from golive.store.sqlite.store import SqliteStore
from tests.unit import chain_kit, runtime_kit
from tests.unit.chain_kit import GOOD, Provider, Time
from tests.unit.recovery_kit import HALF, REST, recovering, says

sleep = asyncio.sleep
REQUEST = ModelRequest(messages=(Message("user", "Hi"),))


@pytest.fixture
def world(time: Time) -> chain_kit.World:
    return chain_kit.World(time, retries=0)


def cut() -> ModelCut:
    return ModelCut("gone")


def failures(bodies: list[Body]) -> list[tuple[int, str, str]]:
    """Attempt, target and code of each failure that was journalled."""
    return [(body.attempt, body.target, body.code) for body in bodies if isinstance(body, ModelFailed)]


async def run(tmp_path: Path, call: ModelCall) -> list[Body]:
    """What an agent's run journals whose model is `call`."""
    place = runtime_kit.World(tmp_path, call)  # type: ignore[arg-type]
    await place.runtime.wait("default", await place.start())
    return place.bodies


async def relayed(tmp_path: Path, call: ModelCall) -> list[Body]:
    """What a relayed call journals."""
    clock, bodies = SystemClock(), list[Body]()
    store = SqliteStore.open(tmp_path / "t.db", clock=clock, inline=True)
    relay = Relay(
        store=store, target=lambda ref, ttl_s: call, clock=clock, ids=Ids(clock, SeededChance(1)), holder="test",
        observer=lambda state, seen: bodies.extend(seen),
    )  # fmt: skip
    opened = await relay.open(runtime_kit.PRINCIPAL, "a/m", REQUEST)
    with pytest.raises(ModelUnavailable):
        async for _ in opened:
            pass
    await opened.aclose()
    return bodies


async def test_a_break_that_nobody_can_mend_is_one_failure(tmp_path: Path, world: chain_kit.World) -> None:
    """The only target broke off, and may not be asked again for this answer."""
    bodies = await run(tmp_path, recovering(world, Provider(says(HALF, cut()))))
    assert failures(bodies) == [(1, "a/m", "model.cut")]


async def test_and_so_it_is_where_the_others_are_not_to_be_asked(tmp_path: Path, world: chain_kit.World) -> None:
    """A breaker that is open says why nobody is asked, and not why the one that answered broke off."""
    world.gate("a/m").pause(600.0)
    world.gate("c/m").pause(600.0)
    call = recovering(world, Provider(GOOD), Provider(says(HALF, cut())), Provider(GOOD), prefill=(0, 2))
    assert failures(await run(tmp_path, call)) == [(1, "b/m", "model.cut")]


async def test_a_continuation_that_is_none_fails_under_its_own_name(tmp_path: Path, world: chain_kit.World) -> None:
    """The run ends with the break; the second attempt failed for another reason than the first."""
    refusing = Provider(ModelUnavailable("down"))
    call = recovering(world, Provider(says(HALF, cut())), refusing, on_break="reset")
    assert failures(await run(tmp_path, call)) == [(1, "a/m", "model.cut"), (2, "b/m", "model.unavailable")]
    world.gates.clear()
    stubborn = Provider(says("Of course! It goes on like this, and not at all as it stood there before."))
    call = recovering(world, Provider(says(HALF, cut())), stubborn, instructed=True)
    events: list[Any] = []
    with pytest.raises(ModelCut):
        async for batch in call(chain_kit.ASKED, CallContext(Deadline.after(world.time, 300.0, "test"))):
            events += batch
    told = [(event.attempt, type(event.error).__name__) for event in events if isinstance(event, AttemptFailed)]
    assert told == [(1, "ModelCut"), (2, "NotContinued")]
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [1, 2]


@pytest.mark.parametrize("carry", [run, relayed])
async def test_a_wait_at_whose_end_nobody_may_be_asked_is_no_second_failure(
    tmp_path: Path, world: chain_kit.World, monkeypatch: pytest.MonkeyPatch, carry: Any
) -> None:
    """The failure was told when the wait began; while the call waited, others heard that the target wants to rest."""

    async def rests(seconds: float) -> None:
        world.time.at += seconds
        world.gate("a/m").pause(600.0)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", rests)
    world.policy = BackoffPolicy(retries=1)
    down = Provider(ModelUnavailable("down"))
    bodies = await carry(tmp_path, world.chain(world.target("a/m", down)))
    assert (failures(bodies), down.asked) == ([(1, "a/m", "model.unavailable")], 1)


async def waits(call: ModelCall, world: chain_kit.World) -> list[tuple[int, float]]:
    """Of each failure that a call tells: the attempt, and how long was waited after it."""
    told: list[tuple[int, float]] = []
    with suppress(ModelCut):
        async for batch in call(
            chain_kit.ASKED, CallContext(Deadline.after(world.time, 300.0, "test"), retracts="all")
        ):
            told += [(event.attempt, event.wait_s) for event in batch if isinstance(event, AttemptFailed)]
    return told


async def test_the_wait_before_a_broken_target_is_asked_again_is_told(patient: chain_kit.World) -> None:
    """With the break, as other waits are with the failure before them, and before the wait begins."""
    broken = Provider(says(HALF, cut()), says(REST))
    assert await waits(recovering(patient, broken, prefill=(0,)), patient) == [(1, patient.time.slept[0])]
    assert patient.time.slept[0] > 0.0
    moved = recovering(patient, Provider(says(HALF, cut())), Provider(says(REST)), on_break="reset")
    assert await waits(moved, patient) == [(1, 0.0)]


async def test_a_wait_in_a_hedged_call_is_told_once(patient: chain_kit.World) -> None:
    """Of the two requests under way only the first takes the place of the answer that broke off."""
    broken = Provider(says(HALF, cut()), says(REST))
    chain = patient.chain(patient.target("a/m", broken))
    call = Recovering(Hedged(chain, patient.budget, patient.time), Ways("reset"))
    assert await waits(call, patient) == [(1, patient.time.slept[0])]


async def test_a_run_journals_the_wait(tmp_path: Path, patient: chain_kit.World) -> None:
    bodies = await run(tmp_path, recovering(patient, Provider(says(HALF, cut()), says(REST)), prefill=(0,)))
    assert [body.wait_s for body in bodies if isinstance(body, ModelFailed)] == patient.time.slept[:1]
