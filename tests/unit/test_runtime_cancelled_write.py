"""A task that is cancelled in the middle of a write: the write is seen through, and the journal knows that."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from golive.core.clock import SystemClock
from golive.core.events import RunAccepted, RunStarted
from golive.core.tasks import Tasks, uncancelled
from golive.runtime.journal import RunJournal
from golive.runtime.state import RunState
from golive.runtime.stream import FrameLog
from golive.store.ports import Lease


class Slow:
    """A store whose writes take until they are let; `held` are the numbers of events it has, in order."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.held: list[int] = []

    async def append(self, lease: Any, expect_seq: int, events: Any, **rows: Any) -> None:
        self.begun.set()
        await self.may_end.wait()
        assert expect_seq == len(self.held)
        self.held += [event.seq for event in events]


def seen_through(journal: RunJournal) -> Awaitable[None]:
    """As intents and outcomes are written."""
    return uncancelled(journal.flush())


def proved(journal: RunJournal) -> Awaitable[None]:
    """What is noted meanwhile (somebody cancels the run) is written by whoever asks whether the run is ours."""
    return journal.prove_ours()


@pytest.mark.parametrize("writes", [seen_through, proved])
async def test_a_write_is_seen_through(writes: Callable[[RunJournal], Awaitable[None]]) -> None:
    """What it holds is not lost, its frames are shown, and the next write goes behind it."""
    state, log, store, lapses = RunState("t", "run_1", "v"), FrameLog(lambda: None), Slow(), [0]
    state.epoch = 1
    async with asyncio.timeout(5), Tasks("test") as tasks:
        journal = RunJournal(
            store=cast(Any, store), lease=Lease("t", "run_1", 1, "h"), state=state, log=log, clock=SystemClock(),
            tasks=tasks, observer=lambda *_: None, announce=lambda *_: (), patience_s=1.0, lapses=lambda: lapses[0],
        )  # fmt: skip
        journal.note(RunAccepted("helper", "1"))
        lapses[0] = 1
        task = asyncio.ensure_future(writes(journal))
        await store.begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        store.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert store.held == [1]
        journal.note(RunStarted("h"))
        await journal.flush()
    assert store.held == [1, 2]
    assert [frame.event for frame in log.frames] == ["run.accepted", "run.started"]
