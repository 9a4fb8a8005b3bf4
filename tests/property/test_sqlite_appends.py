"""Random interleavings of appends and takeovers against a model of ten lines: what stands is exactly what should."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.core.clock import SystemClock
from golive.core.errors import Conflict, Fenced
from golive.core.events import Event
from golive.core.tasks import Tasks
from golive.store.ports import Lease, LedgerEntry, RunView, Store
from golive.store.sqlite import SqliteStore

RUNS = ("run_a", "run_b", "run_c")

acts = st.one_of(
    st.tuples(st.just("acquire"), st.sampled_from(RUNS)),
    st.tuples(
        st.just("append"),
        st.sampled_from(RUNS),
        st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),  # how far the epoch is off
        st.sampled_from([0, 0, 0, 0, 0, 0, -1, 1]),  # how far the expected seq is off
        st.integers(0, 3),  # events
    ),
)
ticks = st.lists(st.lists(acts, min_size=1, max_size=8), min_size=1, max_size=6)


class Model:
    """What the contract says, with a dict for a database."""

    def __init__(self) -> None:
        self.at: dict[str, tuple[int, int]] = {}
        self.events: dict[str, list[Event]] = {run: [] for run in RUNS}
        self.views: dict[str, RunView] = {}
        self.spent = dict.fromkeys(RUNS, 0)

    def acquire(self, run: str) -> int | None:
        if run not in self.at:
            return None
        epoch, seq = self.at[run]
        self.at[run] = (epoch + 1, seq)
        return epoch + 1

    def append(self, lease: Lease, seq: int, events: list[Event], view: RunView, amount: int) -> type | None:
        epoch, last = self.at.get(lease.run, (None, 0))
        if epoch is None and not (lease.epoch == 1 and seq == 0 and events):
            return Conflict
        if epoch is not None and epoch != lease.epoch:
            return Fenced
        if last != seq or (epoch is not None and lease.epoch == 1 and seq == 0 and events):
            return Conflict
        self.at[lease.run] = (lease.epoch, seq + len(events))
        self.events[lease.run] += events
        self.views[lease.run] = view
        self.spent[lease.run] += amount
        return None


def prepared(model: Model, number: int, act: tuple[Any, ...], of: str) -> tuple[Lease, int, list[Event], RunView, int]:
    _, run, epoch_off, seq_off, count = act
    epoch, seq = model.at.get(run, (1, 0))
    epoch, seq = max(1, epoch + epoch_off), max(0, seq + seq_off)
    events = [Event(of, run, seq + 1 + i, epoch, "", "d", float(number), "k", b"%d" % number) for i in range(count)]
    view = RunView(
        tenant=of, run=run, branch="", version="d", epoch=epoch, agent="a", version_name="1", source="agent",
        conversation=f"c{number % 3}", principal="p", state="running", created_at=0.0, steps=number,
    )  # fmt: skip
    return Lease(of, run, epoch, "h"), seq, events, view, number


async def outcome(work: Any) -> Any:
    try:
        result = await work
    except (Fenced, Conflict) as error:
        return type(error)
    return result.epoch if isinstance(result, Lease) else result


async def play(store: Store, script: list[list[tuple[Any, ...]]], of: str = "t") -> None:
    """Carries the script out on runs of the tenant `of`, and compares."""
    model = Model()
    number = 0
    for tick in script:
        expected: list[Any] = []
        started: list[Any] = []
        async with Tasks("tick") as tasks:
            for act in tick:
                number += 1
                if act[0] == "acquire":
                    expected.append(model.acquire(act[1]))
                    started.append(tasks.start(outcome(store.acquire(of, act[1], "h")), "acquire"))
                    continue
                lease, seq, events, view, amount = prepared(model, number, act, of)
                expected.append(model.append(lease, seq, events, view, amount))
                entry = LedgerEntry(
                    of, lease.run, "", "d", lease.epoch, seq, 0.0, "settled", "x", amount, 0, 0, 0, 0, 0
                )
                work = store.append(lease, seq, events, views=[view], ledger=[entry])
                started.append(tasks.start(outcome(work), "append"))
        assert [task.result() for task in started] == expected
    tenant = store.tenant(of)
    for run in RUNS:
        found = await tenant.events(run)
        assert found == model.events[run]
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        epochs = [event.epoch for event in found]
        assert epochs == sorted(epochs)
        assert await tenant.run(run) == model.views.get(run)
        assert await tenant.spent(run) == model.spent[run]


@pytest.mark.parametrize("inline", [False, True], ids=["threads", "inline"])
@given(script=ticks)
@settings(max_examples=60, deadline=None)
def test_interleaved_appends_keep_every_promise(inline: bool, script: list[list[tuple[Any, ...]]]) -> None:
    """Each outcome is the model's; seq is gapless, epochs never fall, views and ledger equal what stood."""

    async def go() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteStore.open(Path(folder) / "golive.db", clock=SystemClock(), inline=inline)
            try:
                await play(store, script)
            finally:
                await store.close()

    asyncio.run(go())
