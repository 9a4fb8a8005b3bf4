"""A run whose id is given: begun once, whoever begins it again, in this process or another."""

from pathlib import Path

import pytest

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.core.events import RunAccepted, decode_body
from golive.core.ids import Ids, derived
from golive.store.ports import RunFilter
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, over
from tests.unit.test_runtime_ending import make_ill

RUN = derived("run", 1_800_000_000.0, "nightly")


def test_a_derived_id_is_the_same_everywhere_and_sorts_by_its_time() -> None:
    """Name and time say it all; among ids made of the clock it stands where its time is."""
    assert derived("run", 1_800_000_000.0, "nightly") == RUN != derived("run", 1_800_000_000.0, "daily")
    later = derived("run", 1_800_000_060.0, "nightly")
    assert len(RUN) == len(Ids(SystemClock(), SeededChance(1)).new("run")) == 30
    assert later > RUN
    assert RUN[:12] != later[:12]


async def begin(world: World, **fields: object) -> str:
    from golive.core.messages import Message
    from golive.runtime.api import RunRequest

    request = RunRequest(agent="helper", input=(Message("user", "Hi"),), principal=PRINCIPAL, **fields)  # type: ignore[arg-type]
    return await world.runtime.start(request, RUN)


@pytest.mark.parametrize("conversation", [None, "c"])
async def test_a_run_is_begun_once(tmp_path: Path, conversation: str | None) -> None:
    """While it runs, after it has ended: the second start is the first one's run, and nothing is done again."""
    world = World(tmp_path, model := ScriptedModel(answer("one")))
    assert await begin(world, conversation=conversation, schedule="nightly") == RUN
    assert await begin(world, conversation=conversation, schedule="nightly") == RUN
    result = await world.runtime.wait("default", RUN)
    assert (result.text, result.schedule) == ("one", "nightly")
    assert await begin(world, conversation=conversation) == RUN
    assert len(model.requests) == 1
    assert len(await world.runtime.runs("default", RunFilter())) == 1
    (first, *_) = await world.store.tenant("default").events(RUN)
    accepted = decode_body(first)
    assert isinstance(accepted, RunAccepted)
    assert accepted.schedule == "nightly"


@pytest.mark.parametrize("conversation", [None, "c"])
async def test_two_processes_begin_it_at_once(tmp_path: Path, conversation: str | None) -> None:
    """Neither sees the other's in time; the store takes one, and the other process does nothing of it."""
    one, two = World(tmp_path, ScriptedModel(answer("one"))), World(tmp_path, late := ScriptedModel(answer("two")))
    over(two.runtime, one.store)
    two.store = one.store
    handle = one.store.tenant("default")

    async def nothing_yet(run: str) -> None:
        return None

    handle.run = nothing_yet  # type: ignore[method-assign]
    one.store.tenant = lambda tenant: handle  # type: ignore[method-assign]
    assert [await begin(world, conversation=conversation) for world in (one, two)] == [RUN, RUN]
    assert two.runtime.open_runs() == 0
    assert (await one.runtime.wait("default", RUN)).text == "one"
    assert (late.requests, two.faults) == ([], [])
    assert two.runtime._carrier.conversations.speaks("default", "c") is None, "its place is given back"


async def test_a_start_that_the_store_refuses_can_be_made_again(tmp_path: Path) -> None:
    """Nothing stays of it, not even the place in the conversation."""
    world = World(tmp_path, ScriptedModel(answer("one")))
    make_ill(world).appends = [StoreUnavailable("locked")]
    with pytest.raises(StoreUnavailable):
        await begin(world, conversation="c")
    assert world.runtime.open_runs() == 0
    assert await begin(world, conversation="c") == RUN
    assert (await world.runtime.wait("default", RUN)).text == "one"
