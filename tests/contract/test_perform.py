"""The contract of `perform`, the one door for effects, over every journal that can stand behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.core.events import RunAccepted, ToolFinished, ToolStarted
from golive.core.tasks import Tasks
from golive.runtime.journal import RunJournal
from golive.runtime.perform import Diverged, Done, Effect, EffectJournal, Unknown, perform
from golive.runtime.state import EffectRecord, RunState
from golive.runtime.stream import FrameLog
from golive.store.ports import Lease
from golive.store.sqlite.store import SqliteStore

DONE = ToolFinished(1, 1, "run_1//1", "c1", "pay", True, "paid")


class InMemory:
    """The smallest journal there can be; a crash loses nothing of it."""

    def __init__(self) -> None:
        self.records: dict[str, EffectRecord] = {}

    def effect(self, key: str) -> EffectRecord | None:
        return self.records.get(key)

    async def intend(self, started: ToolStarted) -> None:
        self.records[started.key] = EffectRecord(started)

    async def conclude(self, finished: ToolFinished) -> None:
        self.records[finished.key].finished = finished

    async def reopened(self) -> "InMemory":
        return self


class Stored:
    """A run's own journal over SQLite; reopened, it knows what is on disk and no more."""

    def __init__(self, store: SqliteStore, state: RunState) -> None:
        self.store = store
        lease = Lease("default", "run_1", state.epoch, "test")
        log = FrameLog(lambda: None)
        self.journal = RunJournal(
            store=store, lease=lease, state=state, log=log, clock=SystemClock(), tasks=Tasks("t"),
            observer=lambda state, bodies: None,
        )  # fmt: skip

    @classmethod
    async def begin(cls, path: Path) -> "Stored":
        state = RunState("default", "run_1", "digest")
        state.epoch = 1
        stored = cls(SqliteStore.open(path / "t.db", clock=SystemClock(), inline=True), state)
        stored.journal.note(RunAccepted("helper", "1"))
        await stored.journal.flush()
        return stored

    def effect(self, key: str) -> EffectRecord | None:
        return self.journal.state.effects.get(key)

    async def intend(self, started: ToolStarted) -> None:
        self.journal.note(started)
        await self.journal.flush()

    async def conclude(self, finished: ToolFinished) -> None:
        self.journal.note(finished)
        await self.journal.flush()

    async def reopened(self) -> "Stored":
        return Stored(self.store, RunState.of(await self.store.tenant("default").events("run_1")))


class Reopened(EffectJournal, Protocol):
    async def reopened(self) -> "Reopened": ...


@pytest.fixture(params=["in memory", "stored"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopened]:
    if request.param == "in memory":
        yield InMemory()
    else:
        stored = await Stored.begin(tmp_path)
        yield stored
        await stored.store.close()


def effect(arguments: str = "{}") -> Effect:
    return Effect("run_1", "", 1, 1, "c1", "pay", arguments)


def never(what: str) -> Callable[[Effect], Awaitable[ToolFinished]]:
    async def fail(asked: Effect) -> ToolFinished:
        raise AssertionError(f"{what} must not be asked")

    return fail


async def test_the_intent_is_there_before_the_call_and_the_outcome_after(journal: Reopened) -> None:
    """While the effect is done, a crash would find its intent; afterwards, its outcome."""

    async def call(asked: Effect) -> ToolFinished:
        found = (await journal.reopened()).effect(asked.key)
        assert found is not None
        assert (found.started.intent, found.finished) == (asked.intent(), None)
        return DONE

    assert await perform(journal, effect(), call, never("recover")) == Done(DONE)
    kept = (await journal.reopened()).effect("run_1//1")
    assert kept is not None
    assert kept.finished == DONE


async def test_a_known_outcome_is_returned_and_nothing_is_done_again(journal: Reopened) -> None:
    """A replay of a finished effect pays nothing twice."""

    async def call(asked: Effect) -> ToolFinished:
        return DONE

    await perform(journal, effect(), call, never("recover"))
    later = await journal.reopened()
    assert await perform(later, effect(), never("call"), never("recover")) == Done(DONE)


async def test_an_unknown_outcome_is_never_begun_again(journal: Reopened) -> None:
    """After a crash between intent and outcome only `recover` decides: the outcome, or that nobody knows."""

    async def crash(asked: Effect) -> ToolFinished:
        raise StoreUnavailable("the process ended here")

    async def nobody_knows(asked: Effect) -> ToolFinished | None:
        return None

    async def was_done(asked: Effect) -> ToolFinished | None:
        assert asked.key == "run_1//1", "the same key as before the crash"
        return DONE

    with pytest.raises(StoreUnavailable):
        await perform(journal, effect(), crash, never("recover"))
    later = await journal.reopened()
    assert await perform(later, effect(), never("call"), nobody_knows) == Unknown("run_1//1")
    assert await perform(later, effect(), never("call"), was_done) == Done(DONE)
    again = await later.reopened()
    assert await perform(again, effect(), never("call"), never("recover")) == Done(DONE)


async def test_another_intent_at_the_same_place_is_told_not_done(journal: Reopened) -> None:
    """Code that changed between crash and replay asks for something else: that is detected, not guessed."""

    async def call(asked: Effect) -> ToolFinished:
        return DONE

    await perform(journal, effect('{"amount":1}'), call, never("recover"))
    found = await perform(await journal.reopened(), effect('{"amount":2}'), never("call"), never("recover"))
    assert isinstance(found, Diverged)
    assert found.key == "run_1//1"
    assert found.journalled != found.asked


def test_the_key_is_the_place_and_nothing_else() -> None:
    """Retries, resumes and replays have the same key: run, branch, ordinal; arguments and call ids do not matter."""
    assert effect("{}").key == effect('{"other":1}').key == "run_1//1"
    assert Effect("run_1", "b", 2, 1, "c9", "pay", "{}").key == "run_1/b/2"
