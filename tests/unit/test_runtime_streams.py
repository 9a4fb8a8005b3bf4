"""Streams cut, resumed, shared, lagging; conversations; restart; a store that fails."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from golive.core.errors import ConversationBusy, NotFound, StoreUnavailable
from golive.core.events import (
    Event,
    ModelStarted,
    RunAccepted,
    RunStarted,
    TextBlock,
    encode_body,
)
from golive.core.frames import Cursor
from golive.core.messages import Message
from golive.models.call import TextDelta
from golive.runtime.api import RunRequest
from golive.runtime.shown import view_of
from golive.runtime.state import RunState
from golive.runtime.stream import KEEP_FRAMES
from golive.store.ports import Lease
from golive.store.sqlite.store import SqliteStore
from tests.unit.runtime_kit import PRINCIPAL, ScriptedModel, World, answer, drain, holding, over, shown


async def test_a_late_subscriber_of_a_long_run_gets_everything_once(tmp_path: Path) -> None:
    """Frames dropped from memory are read from the journal; the join is gapless for every reader."""
    words = [f"w{number} " for number in range(10 * KEEP_FRAMES)]
    gate, end = asyncio.Event(), asyncio.Event()
    ticks = [part for word in words for part in (TextDelta(word), lambda: asyncio.sleep(0))]
    world = World(tmp_path, ScriptedModel([gate.wait, *ticks, end.wait, *answer("")]))
    run = await world.start()
    early = await world.runtime.subscribe("default", run)
    gate.set()
    seen = shown(await early.next(5.0) or [])
    while not seen.endswith(words[-1]):
        seen += shown(await early.next(5.0) or [])
    late = await world.runtime.subscribe("default", run)
    resumed = await world.runtime.subscribe("default", run, Cursor(1, 10))
    end.set()
    rest, all_of_it, tail = await drain(early), await drain(late), await drain(resumed)
    whole = "".join(words)
    assert seen + shown(rest) == whole
    assert shown(all_of_it) == whole
    assert tail[0].pos > 10
    assert whole.endswith(shown(tail))
    assert len(whole) - len(shown(tail)) == 7, "three status frames, then seven characters, were seen before"


async def test_a_slow_subscriber_falls_back_to_the_journal(tmp_path: Path) -> None:
    """A subscriber that does not read while frames are dropped misses nothing."""
    gate = asyncio.Event()
    ticks = [part for n in range(20 * KEEP_FRAMES) for part in (TextDelta(f"{n},"), lambda: asyncio.sleep(0))]
    world = World(tmp_path, ScriptedModel([gate.wait, *ticks, *answer("")]))
    run = await world.start()
    slow = await world.runtime.subscribe("default", run)
    head = await slow.next(5.0) or []
    gate.set()
    await world.runtime.wait("default", run)
    assert shown([*head, *await drain(slow)]) == "".join(f"{n}," for n in range(20 * KEEP_FRAMES))


async def test_a_cursor_that_is_no_place_of_the_stream_begins_again(tmp_path: Path) -> None:
    """A made-up position is answered with a reset to 0 and the whole stream: nothing is lost."""
    world = World(tmp_path, ScriptedModel(answer("hello")))
    run = await world.start()
    await world.runtime.wait("default", run)
    frames = await drain(await world.runtime.subscribe("default", run, Cursor(1, 10_000)))
    assert (frames[0].event, bytes(frames[0].data)) == ("text.reset", b'{"pos":0}')
    assert shown(frames) == "hello"
    assert frames[-1].event == "run.finished"


async def test_runs_of_one_conversation_take_turns_and_see_each_other(tmp_path: Path) -> None:
    """A second run waits for the first, then is shown its turns; the queue is bounded; agents do not mix."""
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait, *answer("I am Ada")], answer("You asked my name"))
    world = World(tmp_path, model, conversation_queue=1)
    first = await world.start("Who are you?", conversation="c1")
    second = await world.start("What did I ask?", conversation="c1")
    with pytest.raises(ConversationBusy, match="conversation_queue"):
        await world.start("third", conversation="c1")
    assert (await world.runtime.result("default", second)).state == "queued"
    gate.set()
    await world.runtime.wait("default", first)
    await world.runtime.wait("default", second)
    texts = [turn.content for turn in model.requests[1].messages]
    assert texts == ["Be brief.", "Who are you?", "I am Ada", "What did I ask?"]
    other = world.agents.get("default", "helper")
    world.agents.put(msgspec.structs.replace(other, name="other"))
    with pytest.raises(NotFound, match="There is no conversation 'c1'"):
        await world.runtime.start(
            RunRequest(agent="other", input=(Message("user", "x"),), principal=PRINCIPAL, conversation="c1")
        )


async def test_a_conversation_belongs_to_the_agent_that_began_it(tmp_path: Path) -> None:
    """Another agent is refused, and not told whose, also while the first run of the conversation is being accepted."""
    world = World(tmp_path, ScriptedModel(answer("one")))
    helper = world.agents.get("default", "helper")
    world.agents.put(replace(helper, name="other"))
    begun = asyncio.ensure_future(world.start(conversation="c"))
    while not world.runtime.open_runs():
        await asyncio.sleep(0)
    other = RunRequest(agent="other", input=(Message("user", "Hi"),), principal=PRINCIPAL, conversation="c")
    for _ in range(2):
        with pytest.raises(NotFound) as refused:
            await world.runtime.start(other)
        assert refused.value.message == "There is no conversation 'c'."
        await world.runtime.wait("default", await begun)


async def test_a_cancelled_wait_gives_its_turn_up(tmp_path: Path) -> None:
    """A run cancelled while it waits for its turn ends, and the one behind it is let in."""
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait, *answer("one")], answer("three"))
    world = World(tmp_path, model)
    first = await world.start("1", conversation="c", background=True)
    second = await world.start("2", conversation="c", background=True)
    third = await world.start("3", conversation="c", background=True)
    assert (await world.runtime.steering.cancel("default", second, "k", "")).outcome == "cancelled"
    gate.set()
    assert (await world.runtime.wait("default", third)).text == "three"
    assert (await world.runtime.result("default", first)).text == "one"


async def test_a_run_whose_agent_is_gone_ends_with_its_text(tmp_path: Path) -> None:
    """Nobody can go on with it: failed (interrupted) under a new epoch. A journal nobody can read harms no other."""
    world = World(tmp_path, ScriptedModel())
    lease = Lease("default", "run_1", 1, "dead")
    bodies = [
        RunAccepted("gone", "1", on_disconnect="continue"),
        RunStarted("dead"),
        ModelStarted(1, 1, "sim/x"),
        TextBlock("msg_1", "answer", "half an answer", 2),
    ]
    events = [
        Event("default", "run_1", seq, 1, "", "d", 1.0, body.kind, encode_body(body))
        for seq, body in enumerate(bodies, 1)
    ]
    await world.store.append(lease, 0, events, views=(view_of(RunState.of(events)),))
    broken = Event("default", "run_0", 1, 1, "", "d", 0.5, "run.accepted", b"no JSON")
    view = msgspec.structs.replace(view_of(RunState.of(events)), run="run_0", created_at=0.5)
    await world.store.append(Lease("default", "run_0", 1, "dead"), 0, [broken], views=(view,))
    hold = holding(world, world.runtime, "test")
    await hold.start()
    await hold.look()
    assert [type(fault) for fault in world.faults] == [msgspec.DecodeError]
    assert [body.kind for body in world.bodies] == ["model.failed", "run.finished"], "metrics count it"
    result = await world.runtime.result("default", "run_1")
    assert (result.outcome, result.reason, result.text) == ("failed", "interrupted", "half an answer")
    assert result.priced is False, "nobody knows what the call under way has cost"
    # a subscriber that saw text which never became durable is told where the stream stands
    frames = await drain(await world.runtime.subscribe("default", "run_1", Cursor(1, 2 + 14 + 9)))
    assert [(frame.event, frame.epoch, frame.pos) for frame in frames] == [
        ("text.reset", 2, 16),
        ("model.failed", 2, 17),
        ("run.finished", 2, 18),
    ]


async def test_a_store_that_fails_at_acceptance_refuses_the_run(tmp_path: Path) -> None:
    """When the acceptance cannot be made durable the caller gets the error, and no run exists."""
    world = World(tmp_path, model := ScriptedModel(answer("x")))
    broken = _Broken(world.store)
    over(world.runtime, broken)
    with pytest.raises(StoreUnavailable):
        await world.start()
    assert world.runtime.open_runs() == 0
    assert model.turns == [], "the model call was begun, not carried out"


async def test_a_store_that_fails_later_ends_the_stream_with_an_error_and_settles_when_it_can(tmp_path: Path) -> None:
    """Subscribers are told why their stream ends; the run's end becomes durable once the store is back."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("text")]))
    broken = _Broken(world.store, after=1)
    over(world.runtime, broken)
    run = await world.start()
    subscription = await world.runtime.subscribe("default", run)
    gate.set()
    frames = await drain(subscription)
    assert frames[-1].event == "error"
    assert b"store.unavailable" in bytes(frames[-1].data)
    broken.after = 10**9
    while world.runtime.open_runs():
        await asyncio.sleep(0.05)
    result = await world.runtime.result("default", run)
    assert (result.state, result.text) == ("finished", "text")


class _Broken:
    """A store whose appends fail after so many."""

    def __init__(self, store: SqliteStore, after: int = 0) -> None:
        self.store, self.after, self.appends = store, after, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def append(self, *args: object, **options: object) -> None:
        self.appends += 1
        if self.appends > self.after:
            raise StoreUnavailable("disk full", remedy="free some space")
        await self.store.append(*args, **options)  # type: ignore[arg-type]
