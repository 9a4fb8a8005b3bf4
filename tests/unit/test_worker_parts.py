"""The parts of the worker pool that need no process: places, output, environment, threads, pauses."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from golive.core.errors import AgentError, Overloaded, WorkerCrashed
from golive.core.tasks import Tasks
from golive.tools.threads import Threads
from golive.workers.environment import secret_values, worker_environment
from golive.workers.outcomes import exit_text
from golive.workers.output import MAX_LINES_PER_S, LineCapture
from golive.workers.places import MAX_WAITING, Places
from golive.workers.pool import restart_pause


class Clock:
    """Time that stands still unless told."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Host:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.load = 0


def capture() -> tuple[LineCapture, list[tuple[str, dict[str, Any]]], Clock]:
    logged: list[tuple[str, dict[str, Any]]] = []
    clock = Clock()

    def log(event: str, /, **fields: Any) -> None:
        logged.append((event, fields))

    return LineCapture("stdout", 7, clock=clock, log=log), logged, clock


def lines_of(logged: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [fields["line"] for event, fields in logged if event == "worker.printed"]


def test_restart_pauses_double_up_to_a_bound() -> None:
    """The first restart is immediate, later ones in a row wait 0.1, 0.2, 0.4 … at most 10 s."""
    assert [restart_pause(crashes) for crashes in (0, 1, 2, 3, 4, 8, 9, 10_000)] == [0, 0, 0.1, 0.2, 0.4, 6.4, 10, 10]


def test_lines_are_joined_over_reads_and_cut() -> None:
    """However the bytes arrive, lines come out whole; endless ones are cut; the last needs no newline."""
    capture_, logged, _ = capture()
    for piece in (b"on", b"e\ntwo\r\nth", b"ree"):
        capture_.feed(piece)
    assert lines_of(logged) == ["one", "two"]
    capture_.close()
    assert lines_of(logged) == ["one", "two", "three"]
    capture_.feed(b"x" * 1_000_000)
    capture_.feed(b"x" * 1_000_000 + b"\n")
    assert len(lines_of(logged)[-1]) == 8_192


def test_a_flood_is_counted_not_logged() -> None:
    """Of one second only the first lines are logged; the rest is counted and told when the next second comes."""
    capture_, logged, clock = capture()
    capture_.feed(b"x\n" * (MAX_LINES_PER_S + 50))
    assert len(lines_of(logged)) == MAX_LINES_PER_S
    clock.at += 1.0
    capture_.feed(b"later\n")
    assert logged[-2] == ("worker.output_dropped", {"pid": 7, "stream": "stdout", "lines": 50})
    assert lines_of(logged)[-1] == "later"


def test_the_environment_holds_only_what_is_allowed() -> None:
    """Unset names are left out, secrets stay behind, named variables may replace HOME."""
    server = {"PATH": "/bin", "HOME": "/home/me", "AWS_KEY": "s", "TZ": "UTC", "A": "1"}
    assert worker_environment(server, ["A", "B"], "/private") == {
        "HOME": "/private", "TMPDIR": "/private", "PATH": "/bin", "TZ": "UTC", "A": "1",
    }  # fmt: skip
    assert worker_environment(server, ["HOME"], "/private")["HOME"] == "/home/me"
    with pytest.raises(AgentError, match="GOLIVE_X"):
        worker_environment(server, ["GOLIVE_X"], "/private")


def test_what_a_worker_is_shown_may_be_secret() -> None:
    """Of the variables handed to tools, those whose name tells of a credential and passwords in addresses are kept out
    of what tools raise; plain settings and what is not set are not."""
    server = {
        "STRIPE_KEY": "abc-1", "GH_TOKEN": "t-2", "DB_PASSWD": "p-3", "MY_SECRET": "s-4", "REGION": "eu-central",
        "SHOP_URL": "postgres://shop:hunt%21er22@db:5432/x", "PLAIN_URL": "https://db/x", "ODD": "http://[",
        "EMPTY_KEY": "",
    }  # fmt: skip
    assert secret_values(server, [*server, "UNSET_KEY"]) == [
        "abc-1", "t-2", "p-3", "s-4", "hunt%21er22", "hunt!er22",
    ]  # fmt: skip
    assert secret_values(server, ["REGION"]) == []


def test_exit_codes_read_like_what_happened() -> None:
    """Signals by name, codes by number."""
    assert [exit_text(code) for code in (0, 3, -11, -200, None)] == [
        "exit code 0", "exit code 3", "SIGSEGV", "signal 200", "still running",
    ]  # fmt: skip
    assert exit_text(-9).startswith("SIGKILL")


async def test_places_are_given_to_the_least_loaded_host_then_in_turn() -> None:
    """Free places are taken evenly; who comes later waits first come, first served."""
    places: Places[Host] = Places()
    one, two = Host(2), Host(1)
    places.add(one)
    places.add(two)
    assert [await places.take(1), await places.take(1), await places.take(1)] == [one, two, one]
    async with Tasks("test") as tasks:
        first = tasks.start(places.take(60), "first")
        second = tasks.start(places.take(60), "second")
        await asyncio.sleep(0)
        assert places.waiting == 2
        places.give_back(two)
        places.give_back(one)
    assert (first.result(), second.result()) == (two, one)
    assert (one.load, two.load) == (2, 1)


async def test_a_place_handed_to_a_cancelled_waiter_is_not_lost() -> None:
    """Cancelled between being served and waking, it gives the place back."""
    places: Places[Host] = Places()
    host = Host(1)
    places.add(host)
    await places.take(1)
    tasks = Tasks("test")
    waiter = tasks.start(places.take(60), "waiter")
    await asyncio.sleep(0)
    places.give_back(host)
    waiter.cancel()
    await tasks.close()
    assert host.load == 0
    assert places.waiting == 0


async def test_waiting_is_bounded_in_number_and_time_and_can_be_ended() -> None:
    """Beyond the maximum: refused; past its time: None; when told so: an error for all."""
    places: Places[Host] = Places()
    assert await places.take(0) is None
    tasks = Tasks("test")
    waiting = [tasks.start(places.take(60), "waiting") for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await places.take(60)
    places.fail(WorkerCrashed("gone"))
    await asyncio.wait(waiting)
    assert {type(task.exception()) for task in waiting} == {WorkerCrashed}
    await tasks.close()


async def test_a_host_that_left_serves_nobody() -> None:
    """Places that come free in a removed host are not handed out."""
    places: Places[Host] = Places()
    host = Host(1)
    places.add(host)
    await places.take(1)
    places.remove(host)
    places.give_back(host)
    assert places.try_take() is None


async def test_threads_are_reused_bounded_and_counted_when_abandoned() -> None:
    """A thread in a call that nobody waits for is counted until it ends; none is started beyond the maximum."""
    threads = Threads(2, "test")
    assert await threads.run(threading.get_ident) == await threads.run(threading.get_ident)
    release, began = threading.Event(), threading.Event()

    def hang() -> bool:
        began.set()
        return release.wait(60)

    tasks = Tasks("test")
    first, second = (tasks.start(threads.run(hang), "hang") for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="All 2 threads"):
        await threads.run(hang)
    first.cancel()
    await asyncio.wait([first])
    assert (threads.busy, threads.abandoned) == (2, 1)
    release.set()
    assert await second is True
    while threads.busy:
        await asyncio.sleep(0)
    assert threads.abandoned == 0
    threads.close()
    await tasks.close()


def test_a_server_closes_its_environment_to_processes_of_its_user() -> None:
    """After `close_to_peers` the kernel hands /proc/PID/environ to root alone."""
    code = (
        "import os; from golive.workers.environment import close_to_peers\n"
        "before = os.stat('/proc/self/environ').st_uid; os.setuid(65534) if os.getuid() == 0 else None\n"
        "close_to_peers(); print(os.stat('/proc/self/environ').st_uid)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
