"""Answers that are kept: for whom, for how long, which ones, and in how much memory."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec import Raw, structs

from golive.core.clock import SystemClock
from golive.core.errors import ModelCut
from golive.core.messages import Message, Opaque, Usage
from golive.models.cache import ENTRY_BYTES, CachedCall, KeptAnswer, KeptAnswers, is_deterministic, key_of
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    Retracted,
    StateReported,
    TextDelta,
    ToolCallDelta,
)
from golive.models.coalesce import Flights
from tests.sim.loop import VirtualClock, simulate
from tests.unit.cache_kit import ANSWER, COST, Model, batches, context, request

TOOL_CALL: list[ModelEvent] = [ToolCallDelta(0, "c1", "look", "{}"), Finished("tool_calls")]


class World:
    """A model behind a cache, in virtual time."""

    def __init__(self, clock: VirtualClock, max_bytes: int = 1_000_000) -> None:
        self.clock = clock
        self.model = Model(clock)
        self.cache = KeptAnswers(max_bytes, clock)
        self.flights = Flights(clock)

    def call(self, *, name: str = "a/m", ttl_s: float = 60.0, deterministic_only: bool = False) -> CachedCall:
        return CachedCall(
            self.model, name=name, ttl_s=ttl_s, deterministic_only=deterministic_only, cache=self.cache,
            flights=self.flights, clock=self.clock,
        )  # fmt: skip

    async def ask(
        self, asked: ModelRequest | None = None, ctx: CallContext | None = None, **settings: Any
    ) -> list[list[ModelEvent]]:
        return await batches(self.call(**settings)(asked or request(), ctx or context(self.clock)))


def played(scene: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main(clock: VirtualClock) -> None:
        await scene(World(clock, **settings))

    simulate(main)


def test_a_kept_answer_is_the_same_in_the_same_batches_and_costs_nothing() -> None:
    """The second time no provider is asked: every event comes again as it came, and what it cost is what it saved."""

    async def scene(world: World) -> None:
        first = await world.ask()
        assert first == [*ANSWER, [COST]]
        began = world.clock.monotonic()
        again = await world.ask()
        assert again[:-1] == first[:-1]
        assert again[-1] == [
            structs.replace(COST, cost_microusd=0, saved_microusd=50, cached=True, first_token_ms=0.0, latency_ms=0.0)
        ]
        assert (world.model.calls, world.clock.monotonic()) == (1, began)

    played(scene)


def test_readers_cannot_change_what_is_kept() -> None:
    """A wrapper may put other events into a batch that it was handed."""

    async def scene(world: World) -> None:
        for _ in range(3):
            got = await world.ask()
            assert got[1] == ANSWER[1]
            for batch in got:
                batch.clear()

    played(scene)


def test_an_answer_is_kept_for_its_time_and_not_longer() -> None:
    """By the injected clock: just before the end it is given again, at the end it is asked for anew."""

    async def scene(world: World) -> None:
        await world.ask(ttl_s=60)
        await asyncio.sleep(59.9)
        await world.ask(ttl_s=60)
        assert world.model.calls == 1
        await asyncio.sleep(0.1)
        await world.ask(ttl_s=60)
        assert (world.model.calls, len(world.cache)) == (2, 1)
        await asyncio.sleep(60)
        world.model.error = lambda: ModelCut("broke off")
        with pytest.raises(ModelCut):
            await world.ask(ttl_s=60)
        assert (len(world.cache), world.cache.bytes) == (0, 0), "nothing is kept of what is over"

    played(scene)


DIFFERENT: dict[str, tuple[ModelRequest, dict[str, str]]] = {
    "tenant": (request(), {"tenant": "other"}),
    "version": (request(), {"version": "v2"}),
    "text": (request("Hi!"), {}),
    "temperature": (request(temperature=0.5), {}),
    "limit": (request(max_output_tokens=5), {}),
    "stream": (request(stream=False), {}),
    "verbatim parameters": (request(extra={"n": Raw(b"2")}), {}),
    "headers": (request(headers=(("x-sim-script", "{}"),)), {}),
    "a provider's state": (
        ModelRequest(messages=(Message("user", "Hi", state=(Opaque("a", Raw(b'"s"')),)),)), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DIFFERENT)
def test_only_the_very_same_is_the_same(what: str) -> None:
    """Another tenant, another version, or any other word of the request is never given a kept answer."""

    async def scene(world: World) -> None:
        asked, who = DIFFERENT[what]
        await world.ask()
        await world.ask(asked, context(world.clock, **who))
        assert world.model.calls == 2
        await world.ask(asked, context(world.clock, **who))
        assert world.model.calls == 2

    played(scene)


def test_parts_of_a_key_cannot_be_shifted_into_each_other() -> None:
    """A tenant whose name ends as another's version begins is still another one."""

    async def scene(world: World) -> None:
        keys = {
            key_of(context(world.clock, tenant, version), "answer", name, request())
            for tenant, version, name in (
                ("ab", "c", "d"), ("a", "bc", "d"), ("a", "b", "cd"), ('a","b', "c", "d"), ("", "abc", "d"),
            )
        }  # fmt: skip
        assert len(keys) == 5

    played(scene)


def test_another_chain_answers_for_itself() -> None:
    """What one chain answered is not given to another."""

    async def scene(world: World) -> None:
        await world.ask(name="a/m")
        await world.ask(name="b/m")
        assert world.model.calls == 2

    played(scene)


def answering(*last: list[ModelEvent]) -> list[list[ModelEvent]]:
    return [*ANSWER[:2], *last]


NOT_KEPT: dict[str, list[list[ModelEvent]]] = {
    "no end": answering(),
    "cut by length": answering([Finished("length")]),
    "filtered": answering([Finished("content_filter")]),
    "a second choice without its end": answering([TextDelta("B", choice=1), Finished("stop")]),
    "a tool call without its end": answering([ToolCallDelta(0, "c1", "look", "{")]),
    "retracted and begun anew": answering([Retracted(0)], [TextDelta("B"), Finished("stop")]),
    "put together from two attempts": answering(
        [AttemptFailed(1, "a/m", ModelCut("x"), 1.0)], [AttemptStarted(2, "b/m")], [TextDelta("B"), Finished("stop")]
    ),
}


@pytest.mark.parametrize("what", NOT_KEPT)
def test_what_is_not_a_whole_answer_is_not_kept(what: str) -> None:
    """Nothing that a model did not end by itself is given to anyone else."""

    async def scene(world: World) -> None:
        world.model.answer = NOT_KEPT[what]
        for calls in (1, 2):
            await world.ask()
            assert (world.model.calls, len(world.cache)) == (calls, 0)

    played(scene)


def test_a_failure_is_not_kept() -> None:
    """Also not one that came behind a whole text."""

    async def scene(world: World) -> None:
        world.model.error = lambda: ModelCut("broke off")
        for _ in range(2):
            with pytest.raises(ModelCut):
                await world.ask()
        assert (world.model.calls, len(world.cache), world.cache.bytes) == (2, 0, 0)

    played(scene)


def test_a_whole_tool_call_is_kept() -> None:
    """It is an answer like any other, with the same ids."""

    async def scene(world: World) -> None:
        world.model.answer = [*ANSWER[:1], [Opened(), *TOOL_CALL]]
        await world.ask()
        assert (await world.ask())[1] == [Opened(), *TOOL_CALL]
        assert world.model.calls == 1

    played(scene)


def test_of_several_attempts_only_the_one_that_answered_is_kept() -> None:
    """Given again, the answer is that of a first attempt at the target that gave it, at its own cost alone."""

    async def scene(world: World) -> None:
        failed = Metered(1, "a/m", Usage(7, 0, 0), 9, True, True, None, 1.0)
        world.model.answer = [
            [AttemptStarted(1, "a/m")], [failed], [AttemptFailed(1, "a/m", ModelCut("x"), 1.0)],
            [AttemptStarted(2, "b/m")], [Opened(), TextDelta("B"), Finished("stop")],
        ]  # fmt: skip
        await world.ask()
        again = await world.ask()
        assert again[:-1] == [[AttemptStarted(1, "b/m")], [Opened(), TextDelta("B"), Finished("stop")]]
        assert [event.saved_microusd for event in again[-1] if isinstance(event, Metered)] == [50]
        assert [event.attempt for event in again[-1] if isinstance(event, Metered)] == [1]

    played(scene)


def test_a_call_that_goes_on_with_a_broken_answer_passes_by() -> None:
    """It is one half of an answer."""

    async def scene(world: World) -> None:
        for _ in range(2):
            await world.ask(ctx=structs.replace(context(world.clock), attempts=1))
        assert (world.model.calls, len(world.cache)) == (2, 0)

    played(scene)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request(), False), (request(temperature=0.1), False), (request(temperature=0.0), True),
        (request(seed=7), True), (request(seed=0), True), (request(extra={"temperature": Raw(b"0")}), True),
        (request(extra={"temperature": Raw(b"0.0")}), True), (request(extra={"temperature": Raw(b"1")}), False),
        (request(extra={"seed": Raw(b"null")}), False), (request(extra={"seed": Raw(b"3")}), True),
        (request(extra={"temperature": Raw(b'"0"')}), False),
    ],
)  # fmt: skip
def test_deterministic_requests_are_told_by_temperature_or_seed(asked: ModelRequest, expected: bool) -> None:
    """In our own words, or in those of a request that is handed on verbatim; others are left alone where so set."""
    assert is_deterministic(asked) is expected

    async def scene(world: World) -> None:
        for _ in range(2):
            await world.ask(asked, deterministic_only=True)
        assert world.model.calls == (1 if expected else 2)

    played(scene)


def test_only_readers_that_can_take_back_the_same_share_a_call() -> None:
    """A call may retract what it said where its reader can take that back; another reader must never be told so. The
    answer, once whole, is for all of them."""

    async def scene(world: World) -> None:
        everything = structs.replace(context(world.clock), retracts="all")
        reads = await asyncio.gather(world.ask(), world.ask(ctx=everything), world.ask(), world.ask(ctx=everything))
        assert (world.model.calls, [read[:-1] for read in reads]) == (2, [ANSWER] * 4)
        await world.ask(ctx=structs.replace(everything, retracts="tools"))
        assert world.model.calls == 2

    played(scene)


def test_memory_is_bounded_and_the_least_used_makes_way() -> None:
    """Whatever is asked for, the cache never holds more than its bytes, and keeps what was used last."""

    async def scene(world: World) -> None:
        world.model.answer = [[TextDelta("x" * 3_000), Finished("stop")]]
        await world.ask(request("first"))
        size = world.cache.bytes
        assert size > 3_000 + ENTRY_BYTES
        for number in range(30):
            await world.ask(request(str(number)))
            await world.ask(request("first"))
            assert world.cache.bytes == len(world.cache) * size <= 40_000
        assert len(world.cache) == 40_000 // size
        assert world.model.calls == 31

    played(scene, max_bytes=40_000)


def test_an_answer_too_large_is_not_kept_and_pushes_nothing_out() -> None:
    """Past a fourth of the cache; the reader is given all of it all the same."""

    async def scene(world: World) -> None:
        await world.ask(request("small"))
        kept = world.cache.bytes
        huge: list[list[ModelEvent]] = [[TextDelta("y" * 1_000)] for _ in range(60)]
        world.model.answer = [*huge, [Finished("stop")]]
        assert len(await world.ask(request("large"))) == 62
        assert (world.cache.bytes, len(world.cache)) == (kept, 1)

    played(scene, max_bytes=200_000)


def test_what_is_kept_does_not_hold_the_networks_buffers() -> None:
    """Raw JSON inside events is a view into a whole read; the kept events have copies of their own."""

    async def scene(world: World) -> None:
        read = bytearray(b'{"logprobs":[1]}' + b" " * 100_000)

        def seen() -> list[ModelEvent]:
            view = Raw(memoryview(read)[:16])
            return [Opened(extra=view), TextDelta("x", extra=view), StateReported(Opaque("a", view)), Finished("stop")]

        world.model.answer = [seen()]
        await world.ask()
        world.model.answer = []
        gc.collect()
        read.clear()  # refused by Python while anything still looks at it
        assert world.cache.bytes < 3_000
        events = (await world.ask())[0]
        assert [bytes(event.extra) for event in events if isinstance(event, Opened | TextDelta) and event.extra] == [
            b'{"logprobs":[1]}'
        ] * 2
        assert [bytes(event.state.data) for event in events if isinstance(event, StateReported)] == [
            b'{"logprobs":[1]}'
        ]

    played(scene)


def test_a_key_put_twice_counts_once() -> None:
    """The newer answer takes the older one's place and bytes."""

    async def scene(world: World) -> None:
        for size in (2_000, 5_000):
            world.cache.put(b"key", KeptAnswer((), COST, size), 10.0, "acme")
        assert (world.cache.bytes, len(world.cache)) == (5_000, 1)

    played(scene)


def test_answers_of_a_tenant_are_forgotten_and_no_others() -> None:
    """Their memory is free again."""
    cache = KeptAnswers(10_000, SystemClock())
    for key, tenant in ((b"1", "acme"), (b"2", "beta"), (b"3", "acme")):
        cache.put(key, KeptAnswer((), COST, 100), 10.0, tenant)
    cache.forget("acme")
    assert [cache.get(key, KeptAnswer) is not None for key in (b"1", b"2", b"3")] == [False, True, False]
    assert cache.bytes == 100
