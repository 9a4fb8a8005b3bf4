"""A second request when the first token is later than it nearly always was; whoever says something first, answers.

Opt-in per tier: it buys the slowest answers' speed with a few requests more, bounded by the budget that retries share.
The loser is closed at once; what it cost is told and counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

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
    total,
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
        return sorted(self._seen)[int(len(self._seen) * SHARE)]


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
        racers, racing = [first], [first]
        winner: _Racer | None = None
        try:
            while winner is None:
                wait_s = None if late_s is None else max(begun + late_s - self._clock.monotonic(), 0.0)
                done = await _any_of(racing, wait_s)
                if done is None:
                    late_s = None
                    if self._budget.take():
                        avoid = (*ctx.avoid, first.target)
                        attempts = ctx.attempts + FIRST_ATTEMPT
                        again = msgspec.structs.replace(ctx, avoid=avoid, broke=None, attempts=attempts)
                        second = _Racer(self._call, request, again, tasks)
                        racers.append(second)
                        racing.append(second)
                    continue
                told = done.take()
                if done.error is not None:
                    racing.remove(done)
                    told += done.failed(done.error) if racing else []
                elif done.content or done.ended:
                    winner = done
                if told:
                    yield told
                if done.error is not None and not racing:
                    raise done.error
            self._lateness.saw(self._clock.monotonic() - begun)
            racing.remove(winner)
            for loser in racing:
                if told := await loser.give_up():
                    yield told
            async for events in winner.rest():
                yield events
        finally:
            await _close(racers, ctx.on_abandoned)


class _Racer:
    """One of the two calls, read ahead by a task of its own until it has said something."""

    def __init__(self, call: ModelCall, request: ModelRequest, ctx: CallContext, tasks: Tasks) -> None:
        self._tasks = tasks
        self.left: list[Metered] = []
        """What was given up cost, until it is told."""
        self._stream = call(request, msgspec.structs.replace(ctx, on_abandoned=self.left.append))
        self._held: list[list[ModelEvent]] = []
        self.attempt = 0
        self.target = ""
        self.asking = False
        """An attempt is under way."""
        self.content = False
        self.ended = False
        self.error: GoliveError | None = None
        self.task: asyncio.Task[list[ModelEvent]] | None = None

    def go(self) -> "asyncio.Task[list[ModelEvent]]":
        """The reading of the next batch."""
        if self.task is None:
            self.task = self._tasks.start(self._read(), self.target or "first")
        return self.task

    async def _read(self) -> list[ModelEvent]:
        """The next batch; `ended` or `error` say why there is no other.

        What an attempt cost comes with what follows: nothing of the other call is told between the two.
        """
        read: list[ModelEvent] = []
        try:
            while all(type(event) is Metered for event in read):
                read += await anext(self._stream)
        except StopAsyncIteration:
            self.ended = True
        except GoliveError as error:
            self.error = error
        return read

    def take(self) -> list[ModelEvent]:
        """Takes in what was read; gives what may be told at once: the beginnings and ends of attempts."""
        task, self.task = self.task, None
        assert task is not None
        events = task.result()
        for event in events:
            if isinstance(event, AttemptStarted):
                self.attempt, self.target, self.asking = event.attempt, event.target, True
            elif isinstance(event, AttemptFailed):
                self.asking = False
        if all(isinstance(event, AttemptStarted | AttemptFailed | Metered) for event in events):
            return events
        self.content = any(not isinstance(event, _NOT_CONTENT) for event in events)
        self._held.append(events)
        return []

    async def rest(self) -> AsyncGenerator[list[ModelEvent], None]:
        """What was kept back until it was known who answers, and what follows."""
        for events in self._held:
            yield events
        async for events in self._stream:
            yield events

    async def give_up(self) -> list[ModelEvent]:
        """Closes the loser; the events that say so, with what it cost."""
        told: list[ModelEvent] = []
        if self.task is not None and self.task.done():
            told += self.take()
        await self.close()
        told += self.left
        self.left.clear()
        error = self.error or Outrun(f"{self.target} was slower than another request for the same answer.")
        return [*told, *self.failed(error)]

    def failed(self, error: GoliveError) -> list[ModelEvent]:
        """The event of the attempt under way; none where nobody is asked."""
        return [AttemptFailed(self.attempt, self.target, error, 0.0)] if self.asking else []

    async def close(self) -> None:
        """Ends the reading and the call."""
        task, self.task = self.task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        await self._stream.aclose()


async def _close(racers: list[_Racer], report: Callable[[Metered], None] | None) -> None:
    """Ends what is under way, and tells what that cost in one figure."""
    try:
        await racers[0].close()
    finally:
        for second in racers[1:]:
            await second.close()
    left = [metered for racer in racers for metered in racer.left]
    if left and report is not None:
        report(total(left))


async def _any_of(racers: list[_Racer], wait_s: float | None) -> _Racer | None:
    """The first that has read something; None when none has within `wait_s`."""
    tasks = [racer.go() for racer in racers]
    done, _ = await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    return next((racer for racer in racers if racer.task in done), None)
