"""How the writer groups what it is asked for, and its bounds."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Fenced
from golive.core.tasks import Tasks
from golive.store.sqlite import SqliteStore
from golive.store.sqlite.bulk import Bulk
from golive.store.sqlite.connection import connect
from golive.store.sqlite.group import Append, Call, Job, commit
from golive.store.sqlite.writer import MAX_IN_FLIGHT, ThreadWriter
from tests.contract.store_kit import events, lease, view


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "golive.db")
    asyncio.run(SqliteStore.open(path, clock=SystemClock()).close())
    return path


def append(run: str, seq: int = 0) -> Append:
    of = lease(run)
    return Append(of, seq, events(range(seq + 1, seq + 3), of), (), (), [view(of)])


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 200, 1023])
def test_any_number_of_rows_is_written_once_each(rows: int) -> None:
    """Rows are cut into powers of two; none is lost, doubled or out of order."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    bulk = Bulk("INSERT INTO t (a, b)", 2)
    assert bulk.execute(connection, [value for row in range(rows) for value in (row, -row)]) == rows
    assert connection.execute("SELECT a, b FROM t ORDER BY rowid").fetchall() == [(row, -row) for row in range(rows)]
    connection.close()


def test_a_group_is_one_transaction_of_few_statements(path: str) -> None:
    """Sixty-four appends of two events and a view: begin, leases, events (twice 64 rows), views, commit."""
    connection = connect(path)
    for first in (True, False):
        jobs: list[Job] = [append(f"run_{n}", 0 if first else 2) for n in range(64)]
        seen: list[str] = []
        connection.set_trace_callback(lambda sql, seen=seen: seen.append(sql.split("(")[0].strip()))  # type: ignore[misc]
        commit(connection, jobs, path)
        assert [job.error for job in jobs] == [None] * 64
        guard = "INSERT INTO leases" if first else "UPDATE leases SET seq = v.column5, at_rest = v.column6 FROM"
        rows = ["INSERT INTO events", "INSERT INTO events", "INSERT INTO runs"]
        assert seen == ["BEGIN IMMEDIATE", guard, *rows, "COMMIT"]
    connection.close()


def test_what_follows_a_takeover_in_the_same_group_is_fenced(path: str) -> None:
    """Members keep their order: the append before the takeover stands, the one after it does not."""
    connection = connect(path)
    take = Call(lambda connection: connection.execute("UPDATE leases SET epoch = epoch + 1 WHERE run = 'r'").rowcount)
    jobs: list[Job] = [append("r"), take, append("r", 2), append("s")]
    commit(connection, jobs, path)
    assert [type(job.error) for job in jobs] == [type(None), type(None), Fenced, type(None)]
    assert take.value == 1
    assert connection.execute("SELECT run, epoch, seq FROM leases ORDER BY run").fetchall() == [
        ("r", 2, 2),
        ("s", 1, 2),
    ]
    connection.close()


def test_a_call_that_fails_takes_only_its_own_writes_back(path: str) -> None:
    """Half of a failing member's work is undone; its neighbours' work stays."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE installation SET pings = 100")
        raise ZeroDivisionError("on the way")

    connection = connect(path)
    ping = Call(lambda connection: connection.execute("UPDATE installation SET pings = pings + 1").rowcount)
    jobs: list[Job] = [append("a"), ping, Call(half), append("b")]
    commit(connection, jobs, path)
    assert [job.error is None for job in jobs] == [True, True, False, True]
    assert "on the way" in str(jobs[2].error)
    assert connection.execute("SELECT pings FROM installation").fetchone() == (1,)
    connection.close()


async def test_more_callers_than_the_bound_wait_and_are_all_served(path: str) -> None:
    """No group exceeds the bound, and the order of the callers is kept."""
    served: list[int] = []
    writer = ThreadWriter(connect(path), path)
    total = 2 * MAX_IN_FLIGHT + 10

    async def write(number: int) -> None:
        served.append(await writer.write(Call(lambda _: number)))

    async with Tasks("callers") as tasks:
        for number in range(total):
            tasks.start(write(number), "caller")
    assert served == list(range(total))
    await writer.close()


async def test_waiting_callers_that_are_cancelled_never_reach_the_disk(path: str) -> None:
    """Cancelled before the hand-over they write nothing; closing still ends."""
    writer = ThreadWriter(connect(path), path)
    async with Tasks("callers") as tasks:
        started = [tasks.start(writer.write(append(f"run_{n}")), "caller") for n in range(5)]
        # The callers run in the next tick and queue the hand-over for the one after; these run between the two.
        asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in started])
    assert all(task.cancelled() for task in started)
    assert await writer.write(Call(lambda c: c.execute("SELECT count(*) FROM events").fetchone())) == (0,)
    await writer.close()
    await writer.close()


async def test_closing_waits_for_what_was_asked_before(path: str) -> None:
    """Writes queued in the same tick as the closing are done, and two closings do not disturb each other."""
    writer = ThreadWriter(connect(path), path)
    async with Tasks("callers") as tasks:
        started = [tasks.start(writer.write(append(f"run_{n}")), "caller") for n in range(5)]
        await asyncio.sleep(0)
        tasks.start(writer.close(), "close")
        tasks.start(writer.close(), "close")
    assert [task.exception() for task in started] == [None] * 5


def test_a_store_serves_one_loop(path: str) -> None:
    """A second event loop is refused instead of mixed up with the first."""
    store = SqliteStore.open(path, clock=SystemClock())
    asyncio.run(store.ping())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(store.ping())
    asyncio.run(store.close())


async def test_a_store_in_memory_works_inline_only() -> None:
    """Threads would each see a database of their own."""
    store = SqliteStore.open(":memory:", clock=SystemClock(), inline=True)
    await store.append(lease(), 0, events(range(1, 2), lease()))
    assert len(await store.tenant("acme").events("run_1")) == 1
    await store.ping()
    await store.close()
    with pytest.raises(ValueError, match="inline"):
        SqliteStore.open(":memory:", clock=SystemClock())
