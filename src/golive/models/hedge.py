"""A second request when the first token is later than it nearly always was; whoever says something first, answers.

Opt-in per tier: it buys the slowest answers' speed with a few requests more, bounded by the budget that retries share.
The loser is closed at once; what it cost is told and counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import msgspec

from golive.core.backoff import RetryBudget
from golive.core.clock import Clock
from golive.core.errors import GoliveError, Outrun
from golive.core.tasks import Tasks
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Metered,
    ModelCall,
    ModelEvent,
    ModelRequest,
    Opened,
    UsageReported,
)

SAMPLES = 100
"""First tokens remembered."""
MIN_SAMPLES = 20
"""Before so many are known nothing is late."""
SHARE = 0.95
FIRST_ATTEMPT = 10
"""The second request's attempts are counted from here on, so that both can go on trying."""

_NOT_CONTENT = (AttemptStarted, AttemptFailed, Opened, UsageReported, Metered)


class Lateness:
    """Knows when a first token is late, from those that were seen."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=SAMPLES)

    def saw(self, seconds: float) -> None:
        """A first token came after so long."""
        self._seen.append(seconds)

    def late_s(self) -> float | None:
        """The 95th percentile, seconds; None while too few were seen."""
        if len(self._seen) < MIN_SAMPLES:
            return None
        return sorted(self._seen)[min(int(len(self._seen) * SHARE), len(self._seen) - 1)]


class Hedged:
    """A `ModelCall` around another."""

    def __init__(self, call: ModelCall, budget: RetryBudget, clock: Clock) -> None:
        self._call = call
        self._budget = budget
        self._clock = clock
        self._lateness = Lateness()

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """Raises what the call raises: with two under way, what the last of them does."""
        begun = self._clock.monotonic()
        late_s = self._lateness.late_s()
        tasks = Tasks("hedge")
        first = _Racer(self._call, request, ctx, tasks)
        second: _Racer | None = None
        winner: _Racer | None = None
        try:
            while winner is None:
                wait_s = None if late_s is None or second else max(begun + late_s - self._clock.monotonic(), 0.0)
                done = await _any_of([racer for racer in (first, second) if racer and not racer.out], wait_s)
                if done is None:
                    if self._budget.take():
                        avoid = (*ctx.avoid, first.target)
                        again = msgspec.structs.replace(ctx, avoid=avoid, attempts=ctx.attempts + FIRST_ATTEMPT)
                        second = _Racer(self._call, request, again, tasks)
                    late_s = None
                    continue
                for events in done.take():
                    yield events
                if done.out:
                    other = first if done is second else second
                    if other is None or other.out:
                        assert done.error is not None
                        raise done.error
                    yield [AttemptFailed(done.attempt, done.target, done.error or _lost(done), 0.0)]
                elif done.content or done.ended:
                    winner = done
            self._lateness.saw(self._clock.monotonic() - begun)
            loser = first if winner is second else second
            if loser is not None and not loser.out:
                yield await loser.give_up()
            for events in winner.held():
                yield events
            async for events in winner.rest():
                yield events
        finally:
            await first.close()
            if second is not None:
                await second.close()


class _Racer:
    """One of the two calls, read ahead by a task of its own until it has said something."""

    def __init__(self, call: ModelCall, request: ModelRequest, ctx: CallContext, tasks: Tasks) -> None:
        self._tasks = tasks
        self._report = ctx.on_abandoned
        self._stream = call(request, msgspec.structs.replace(ctx, on_abandoned=self._abandoned))
        self._metered: Metered | None = None
        self._losing = False
        self._held: list[list[ModelEvent]] = []
        self.attempt = ctx.attempts + 1
        self.target = ""
        self.content = False
        self.ended = False
        self.out = False
        """It failed."""
        self.error: GoliveError | None = None
        self.task: asyncio.Task[list[ModelEvent]] | None = None

    def go(self) -> "asyncio.Task[list[ModelEvent]]":
        """The reading of the next batch."""
        if self.task is None:
            self.task = self._tasks.start(self._read(), self.target or "first")
        return self.task

    async def _read(self) -> list[ModelEvent]:
        """The next batch; empty when there is none, `ended` or `error` saying why."""
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self.ended = True
        except GoliveError as error:
            self.error, self.out = error, True
        return []

    def take(self) -> list[list[ModelEvent]]:
        """Takes in what was read; gives what may be told at once: the beginnings and ends of attempts."""
        task, self.task = self.task, None
        assert task is not None
        events = task.result()
        if not events:
            return []
        for event in events:
            if isinstance(event, AttemptStarted):
                self.attempt, self.target = event.attempt, event.target
        if all(isinstance(event, AttemptStarted | AttemptFailed | Metered) for event in events):
            return [events]
        self.content = any(not isinstance(event, _NOT_CONTENT) for event in events)
        self._held.append(events)
        return []

    def held(self) -> list[list[ModelEvent]]:
        """What was kept back until it was known who answers."""
        held, self._held = self._held, []
        return held

    async def rest(self) -> AsyncGenerator[list[ModelEvent], None]:
        """What follows."""
        if not self.ended:
            async for events in self._stream:
                yield events

    async def give_up(self) -> list[ModelEvent]:
        """Closes the loser; the events that say so, with what it cost."""
        self._losing = True
        if self.task is not None and self.task.done():
            self.take()
        await self.close()
        lost: list[ModelEvent] = [AttemptFailed(self.attempt, self.target, _lost(self), 0.0)]
        return [self._metered, *lost] if self._metered is not None else lost

    async def close(self) -> None:
        """Ends the reading and the call."""
        task, self.task = self.task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        await self._stream.aclose()

    def _abandoned(self, metered: Metered) -> None:
        if self._losing:
            self._metered = metered
        elif self._report is not None:
            self._report(metered)


def _lost(racer: _Racer) -> Outrun:
    return Outrun(f"{racer.target} was slower than another request for the same answer.")


async def _any_of(racers: list[_Racer], wait_s: float | None) -> _Racer | None:
    """The first that has read something; None when none has within `wait_s`."""
    tasks = [racer.go() for racer in racers]
    done, _ = await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    return next((racer for racer in racers if racer.task in done), None)
