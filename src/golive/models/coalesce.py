"""Equal calls at the same time share one: each reader is given every event, the provider is asked once.

The shared call belongs to none of its readers: it runs in a task of its own, until its end or until the last one has
left. What it costs is the first reader's who is still there when that is known; the others are told that it was had for
nothing. Each reader keeps its own deadline.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial

from msgspec import structs

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError, ShuttingDown
from golive.core.tasks import Tasks, uncancelled
from golive.models.call import CallContext, Metered, ModelEvent, total

MAX_FLIGHTS = 10_000
"""Most shared calls at once; further ones go alone."""
FLIGHT_S = 600.0
"""Longest shared call; the providers' own limits are tighter."""

Begin = Callable[[CallContext], AsyncGenerator[list[ModelEvent], None]]
"""Begins the call in earnest."""


class Flights:
    """The shared calls under way, by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[bytes, _Flight] = {}
        self._tasks = Tasks("shared calls")

    def __len__(self) -> int:
        return len(self._open)

    async def stream(self, key: bytes, ctx: CallContext, begin: Begin) -> AsyncGenerator[list[ModelEvent], None]:
        """The events of the call under `key`, from its first: of the one under way, else of a new one.

        Raises:
            DeadlineExceeded: the reader's own deadline passed. Whatever the shared call raises.
        """
        flight = self._open.get(key)
        if flight is None:
            if len(self._open) >= MAX_FLIGHTS:
                alone = begin(ctx)
                try:
                    async for events in alone:
                        yield events
                finally:
                    await alone.aclose()
                return
            flight = self._open[key] = _Flight(partial(self._forget, key))
            shared = structs.replace(
                ctx, deadline=Deadline.after(self._clock, FLIGHT_S, "shared call"), on_abandoned=flight.abandoned
            )
            flight.task = self._tasks.start(flight.run(begin(shared)), ctx.run)
        reader = flight.join(ctx)
        try:
            while (batch := await reader.next(self._clock)) is not None:
                yield batch
        finally:
            await flight.leave(reader)

    def _forget(self, key: bytes, flight: "_Flight") -> None:
        """Nobody joins this one any more."""
        if self._open.get(key) is flight:
            del self._open[key]

    async def close(self) -> None:
        """Ends what is under way; its readers are told that the server stops."""
        await self._tasks.close()


class _Flight:
    """One shared call: what came of it so far, and who reads it."""

    def __init__(self, forget: "Callable[[_Flight], None]") -> None:
        self.log: list[tuple[list[ModelEvent], _Reader | None]] = []
        """Batches, and for those that tell what the call cost, who pays."""
        self.over = False
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self._forget = forget
        self._readers: dict[_Reader, None] = {}
        self._last: _Reader | None = None

    async def run(self, stream: AsyncGenerator[list[ModelEvent], None]) -> None:
        """Reads the call to its end."""
        try:
            async for events in stream:
                metered = any(isinstance(event, Metered) for event in events)
                self.log.append((events, next(iter(self._readers), None) if metered else None))
                self._wake()
        except Exception as error:
            self.error = error
        except asyncio.CancelledError:
            self.error = ShuttingDown("The server stopped before the call was over.", remedy="Send the request again.")
            raise
        finally:
            self.over = True
            self._forget(self)
            self._wake()
            await stream.aclose()

    def join(self, ctx: CallContext) -> "_Reader":
        """A further reader, from the first event on."""
        reader = _Reader(self, ctx)
        self._readers[reader] = None
        return reader

    async def leave(self, reader: "_Reader") -> None:
        """A reader goes; with the last one the call ends, and what it cost until then is the last one's."""
        self._readers.pop(reader, None)
        if self.over or self._readers:
            reader.owe()
            return
        self._last = reader
        self._forget(self)
        assert self.task is not None
        self.task.cancel()
        await uncancelled(_ended(self.task))
        reader.owe()

    def abandoned(self, metered: Metered) -> None:
        """The meter's figure for a call that was given up."""
        payer = self._last or next(iter(self._readers), None)
        if payer is not None:
            payer.owed.append(metered)

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()


class _Reader:
    """One who reads a shared call."""

    def __init__(self, flight: _Flight, ctx: CallContext) -> None:
        self.ctx = ctx
        self._flight = flight
        self.owed: list[Metered] = []
        """Of the call that was given up while this one read it."""
        self._read = 0
        self._news: asyncio.Future[None] | None = None

    async def next(self, clock: Clock) -> list[ModelEvent] | None:
        """The next batch, None at the end; raises the call's error, each reader a copy of its own."""
        flight = self._flight
        while self._read == len(flight.log):
            if flight.error is not None:
                raise _copy(flight.error)
            if flight.over:
                return None
            self._news = asyncio.get_running_loop().create_future()
            async with self.ctx.deadline.enforced(clock):
                await self._news
        events, payer = flight.log[self._read]
        self._read += 1
        if payer is None or payer is self:
            return list(events)
        return [free_of_cost(event) if isinstance(event, Metered) else event for event in events]

    def wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def owe(self) -> None:
        """Tells the cost of what this reader pays for and did not read to the end, in one figure."""
        unread = [
            event for events, payer in self._flight.log[self._read :] if payer is self for event in events
            if isinstance(event, Metered)
        ]  # fmt: skip
        if self.ctx.on_abandoned is not None and (owed := [*unread, *self.owed]):
            self.ctx.on_abandoned(total(owed))


def free_of_cost(metered: Metered) -> Metered:
    """What is told of an answer that was had for nothing, because somebody else pays for it or did so before."""
    saved = metered.saved_microusd + metered.cost_microusd
    return structs.replace(metered, cost_microusd=0, saved_microusd=saved, priced=True, cached=True)


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])


def _copy(error: Exception) -> Exception:
    """An error of its own for each reader, who may add to its fields."""
    if not isinstance(error, GoliveError):
        return error
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    copied.fields = dict(error.fields)
    return copied
