"""Equal calls at the same time: one upstream, every reader served, nothing lost when some of them go."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from msgspec import structs

from golive.core.errors import DeadlineExceeded, GoliveError, ModelCut, ShuttingDown
from golive.core.messages import Usage
from golive.core.tasks import Tasks
from golive.models import coalesce
from golive.models.call import AttemptStarted, CallContext, Finished, Metered, ModelEvent, TextDelta
from golive.models.coalesce import Flights
from tests.sim.loop import VirtualClock, simulate
from tests.unit.cache_kit import ANSWER, COST, Model, batches, context, request

SHARED = structs.replace(COST, cost_microusd=0, saved_microusd=50, cached=True)


class World:
    """Flights to one model, in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.model = Model(clock)
        self.flights = Flights(clock)
        self.told: dict[str, Metered] = {}
        """What readers were told by `on_abandoned`."""

    def stream(
        self, key: bytes = b"key", name: str = "", seconds: float = 300.0
    ) -> AsyncGenerator[list[ModelEvent], None]:
        def tell(metered: Metered) -> None:
            assert name not in self.told
            self.told[name] = metered

        ctx = context(self.clock, seconds=seconds, told=tell)
        return self.flights.stream(key, ctx, lambda shared: self.model(request(), shared))

    async def read(self, after: float = 0.0, most: int | None = None, **asked: Any) -> list[list[ModelEvent]]:
        """Begins `after` seconds; leaves after `most` batches."""
        await asyncio.sleep(after)
        return await batches(self.stream(**asked), most)


def played(scene: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main(clock: VirtualClock) -> None:
        world = World(clock)
        await scene(world)
        assert (len(world.flights), world.model.running) == (0, 0)

    simulate(main)


async def together(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*reads, return_exceptions=True)


def test_every_reader_is_given_every_event_and_the_provider_is_asked_once() -> None:
    """Also one who comes when half of it is said; the first one pays, the others are told that it was free."""

    async def scene(world: World) -> None:
        reads = await together(*[world.read(after) for after in (0.0, 0.0, 1.5, 3.9)])
        assert [read[:-1] for read in reads] == [ANSWER] * 4
        assert [read[-1] for read in reads] == [[COST], [SHARED], [SHARED], [SHARED]]
        assert (world.model.calls, world.told) == (1, {})

    played(scene)


def test_no_reader_can_change_what_another_is_given() -> None:
    """A wrapper may put other events into a batch that it was handed. And what the provider's own cache saved counts to
    what the others had for nothing."""

    async def scene(world: World) -> None:
        world.model.answer = [*ANSWER, [structs.replace(COST, saved_microusd=7)]]
        first, second = world.stream(), world.stream()
        for expected in ANSWER:
            batch = await anext(first)
            assert batch == expected
            batch.clear()
            assert await anext(second) == expected
        told = [await anext(second) for _ in range(2)]
        assert told == [[structs.replace(SHARED, saved_microusd=57)], [SHARED]]
        await first.aclose()
        await second.aclose()

    played(scene)


def test_a_hundred_readers_are_served_at_the_pace_of_one() -> None:
    """The answer takes as long as a single one's, and exactly one of them pays."""

    async def scene(world: World) -> None:
        began = world.clock.monotonic()
        reads = await together(*[world.read() for _ in range(100)])
        assert world.clock.monotonic() - began == 4.0
        costs = [event.cost_microusd for read in reads for event in read[-1]]
        assert (sum(costs), costs.count(0), world.model.calls) == (50, 99, 1)

    played(scene)


def test_other_keys_and_later_calls_are_calls_of_their_own() -> None:
    """What is over is joined by nobody."""

    async def scene(world: World) -> None:
        await together(world.read(), world.read(key=b"other"), world.read(after=4.1))
        assert world.model.calls == 3

    played(scene)


def test_one_who_leaves_does_not_end_the_others() -> None:
    """Neither the first of them nor one in between; who stays longest pays, once."""

    async def scene(world: World) -> None:
        reads = await together(
            world.read(most=1, name="first"), world.read(name="second"), world.read(most=2, name="third")
        )
        assert [len(read) for read in reads] == [1, 5, 2]
        assert reads[1] == [*ANSWER, [COST]]
        assert (world.model.given_up, world.told) == (0, {})

    played(scene)


def test_the_last_one_who_leaves_ends_the_call_and_is_told_its_cost() -> None:
    """At once: when it has left, the provider's connection is closed and the meter has said what it was."""

    async def scene(world: World) -> None:
        await together(world.read(most=1, name="first"), world.read(most=2, name="last"))
        assert (world.model.given_up, world.model.running) == (1, 0)
        assert world.told == {"last": COST}

    played(scene)


def test_a_reader_that_is_cancelled_leaves_like_any_other() -> None:
    """The call goes on while somebody waits, and ends with the cancellation of the last."""

    async def scene(world: World) -> None:
        async with Tasks("readers") as tasks:
            first, last = (tasks.start(world.read(name=name), name) for name in ("first", "last"))
            await asyncio.sleep(1.5)
            first.cancel()
            await asyncio.sleep(0.1)
            assert (world.model.given_up, world.model.running) == (0, 1)
            last.cancel()
        assert (world.model.given_up, world.told) == (1, {"last": COST})

    played(scene)


def test_after_the_last_one_left_the_next_begins_anew() -> None:
    """Nobody joins a call that is being given up; the end of that one does not hide the new one from later readers."""

    async def scene(world: World) -> None:
        world.model.closing_s = 0.5
        reads = await together(world.read(most=1), world.read(after=1.2), world.read(after=2.0))
        assert [read[-1] for read in reads[1:]] == [[COST], [SHARED]]
        assert (world.model.calls, world.model.given_up) == (2, 1)

    played(scene)


def test_the_payer_who_leaves_before_it_was_told_is_told_all_the_same() -> None:
    """The provider's bill was made out to it: it is not lost, and nobody else is charged for it."""

    async def scene(world: World) -> None:
        payer = world.stream(name="payer")
        await anext(payer)
        other = await batches(world.stream(name="other"))
        assert other[-1] == [SHARED]
        await payer.aclose()
        assert world.told == {"payer": COST}

    played(scene)


def test_all_that_a_leaving_payer_owes_is_told_in_one_figure() -> None:
    """Of several attempts, each with a cost."""

    async def scene(world: World) -> None:
        failed = Metered(1, "a/m", Usage(7, 0, 1), 9, True, True, None, 1.0)
        world.model.answer = [[AttemptStarted(1, "a/m")], [failed], [TextDelta("x"), Finished("stop")]]
        payer = world.stream(name="payer")
        await anext(payer)
        await batches(world.stream(name="other"))
        await payer.aclose()
        both = structs.replace(COST, usage=Usage(17, 0, 5), cost_microusd=59, estimated=True)
        assert world.told["payer"] == both

    played(scene)


def test_the_last_one_who_leaves_has_been_told_all_when_it_has_left() -> None:
    """An earlier attempt's cost, which it did not read, and that of the attempt under way: once, in one figure. And
    the provider's connection is closed by then, however long that takes."""

    async def scene(world: World) -> None:
        failed = Metered(1, "a/m", Usage(7, 0, 1), 9, True, False, None, 1.0)
        world.model.answer = [[AttemptStarted(1, "a/m")], [failed], [TextDelta("x")], [TextDelta("y")]]
        world.model.closing_s = 0.5
        last = world.stream(name="last")
        await anext(last)
        await asyncio.sleep(2.5)
        await last.aclose()
        assert (world.model.given_up, world.model.running) == (1, 0)
        assert world.told == {"last": structs.replace(COST, usage=Usage(17, 0, 5), cost_microusd=59)}

    played(scene)


def test_an_error_goes_to_all_each_with_its_own_copy() -> None:
    """What came before is read first; what one reader writes into its error, no other sees."""

    async def scene(world: World) -> None:
        world.model.error = lambda: ModelCut("broke off", remedy="Wait.", status=502)
        caught: list[GoliveError] = []

        async def read() -> list[list[ModelEvent]]:
            got: list[list[ModelEvent]] = []
            with pytest.raises(ModelCut) as raised:
                async for batch in world.stream():
                    got.append(batch)
            caught.append(raised.value)
            return got

        reads = await together(read(), read(), read())
        assert [read[:-1] for read in reads] == [ANSWER] * 3
        assert [read[-1] for read in reads] == [[COST], [SHARED], [SHARED]]
        caught[0].fields["attempts"] = ["mine"]
        assert [error.fields.get("attempts") for error in caught] == [["mine"], None, None]
        assert {(error.message, error.remedy, error.fields["status"]) for error in caught} == {
            ("broke off", "Wait.", 502)
        }
        assert world.model.calls == 1

    played(scene)


def test_a_deadlines_error_is_copied_whole() -> None:
    """An error whose making takes other arguments keeps its class, its words and its fields."""

    async def scene(world: World) -> None:
        world.model.error = lambda: DeadlineExceeded(limit="call", seconds=3.0)
        (got,) = await together(world.read())
        assert isinstance(got, DeadlineExceeded)
        assert (str(got), got.fields) == (
            str(DeadlineExceeded(limit="call", seconds=3.0)), DeadlineExceeded(limit="call", seconds=3.0).fields,
        )  # fmt: skip

    played(scene)


def test_a_fault_of_our_own_reaches_every_reader() -> None:
    """Nobody waits for ever when the shared call falls over."""

    async def scene(world: World) -> None:
        world.model.error = lambda: ZeroDivisionError("oops")
        assert [type(got) for got in await together(world.read(), world.read())] == [ZeroDivisionError] * 2

    played(scene)


def test_each_reader_has_its_own_deadline() -> None:
    """The one whose time is up leaves at that moment, with its own limit's error; the others are given the whole."""

    async def scene(world: World) -> None:
        late, whole = await together(world.read(seconds=2.5), world.read(seconds=100))
        assert isinstance(late, DeadlineExceeded)
        assert late.fields["limit"] == "test"
        assert whole == [*ANSWER, [COST]]
        began = world.clock.monotonic()
        await together(world.read(seconds=1.5))
        assert world.clock.monotonic() - began == 1.5
        assert world.model.given_up == 1

    played(scene)


def test_a_slow_reader_holds_up_nobody() -> None:
    """It is given all of it in its own time, also when the call has long been over."""

    async def scene(world: World) -> None:
        async def slowly() -> list[list[ModelEvent]]:
            got: list[list[ModelEvent]] = []
            async for batch in world.stream(name="slow"):
                got.append(batch)
                await asyncio.sleep(50)
            return got

        async def quickly() -> float:
            await world.read()
            return world.clock.monotonic()

        slow, at = await together(slowly(), quickly())
        assert at == 4.0
        assert slow == [*ANSWER, [COST]]

    played(scene)


def test_when_the_server_stops_readers_are_told() -> None:
    """Whoever still waits gets an error that says so, and the provider's connection is closed."""

    async def scene(world: World) -> None:
        async with Tasks("readers") as tasks:
            reading = [tasks.start(together(world.read()), "reader") for _ in range(2)]
            await asyncio.sleep(1.5)
            await world.flights.close()
        assert [type(read.result()[0]) for read in reading] == [ShuttingDown] * 2
        assert world.model.given_up == 1

    played(scene)


def test_past_the_maximum_calls_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are answered, pay for themselves, and end with their reader."""
    monkeypatch.setattr(coalesce, "MAX_FLIGHTS", 1)

    async def scene(world: World) -> None:
        reads = await together(world.read(key=b"a"), world.read(key=b"b"), world.read(key=b"b"), world.read(key=b"a"))
        assert [read[-1] for read in reads] == [[COST], [COST], [COST], [SHARED]]
        assert world.model.calls == 3
        world.model.closing_s = 0.5
        shared, alone = world.stream(key=b"a"), world.stream(key=b"b", name="alone")
        await together(anext(shared), anext(alone))
        await alone.aclose()
        assert (world.model.running, world.told) == (1, {"alone": COST})
        await shared.aclose()

    played(scene)


def test_the_shared_call_belongs_to_tenant_and_version_of_its_first_reader() -> None:
    """Keys carry both, so that they are every reader's; its deadline is none of the readers'."""

    async def scene(world: World) -> None:
        seen: list[CallContext] = []

        def begin(shared: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
            seen.append(shared)
            return world.model(request(), shared)

        await batches(world.flights.stream(b"k", context(world.clock, "acme", "v7", seconds=5.0), begin))
        assert [(ctx.tenant, ctx.version, ctx.deadline.seconds) for ctx in seen] == [("acme", "v7", coalesce.FLIGHT_S)]

    played(scene)
