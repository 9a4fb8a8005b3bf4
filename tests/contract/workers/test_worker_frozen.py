"""Worker processes that are frozen (SIGSTOP, a suspended container) and woken when their calls may no longer begin."""

import asyncio
import contextlib
import math
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from golive.config.schema import WorkerConfig
from golive.core.deadline import Deadline
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolInvocation, ToolOutcome
from golive.workers import process
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import CLOCK, ToolBench, call, wait_for

TOOLS = """
    import asyncio, os, time
    def pid() -> int: return os.getpid()
    def pay() -> str:
        open("paid", "a").close()
        return "paid"
    async def pay_async() -> str: return pay()
    async def block(began: str, free: str) -> None:
        open(began, "w").close()
        while not os.path.exists(free):
            time.sleep(0.005)
"""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(WorkerToolset, tmp_path)
    yield bench
    await bench.close()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def pay(toolset: WorkerToolset, name: str, begin_by: float = math.inf) -> ToolOutcome:
    invocation = ToolInvocation("acme", "run_1", "run_1//1", name, "{}", begin_by)
    return await toolset.call(invocation, Deadline.after(CLOCK, 60.0, "limits.deadline_s"))


@pytest.mark.parametrize("name", ["pay", "pay_async"])
async def test_a_worker_woken_after_begin_by_does_not_begin(
    bench: ToolBench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The call lies in the frozen worker, nobody has taken it back, and the worker itself sees that it is too late."""
    monkeypatch.setattr(process, "STALLED_S", 3_600.0)
    toolset = await bench.open(TOOLS)
    pid = int((await call(toolset, "pid")).content)
    begin_by = CLOCK.monotonic() + 0.1
    async with Tasks("test") as tasks:
        with stopped(pid):
            paying = tasks.start(pay(toolset, name, begin_by), "pay")
            await wait_for(lambda: CLOCK.monotonic() > begin_by)
            assert not paying.done()
    words = f"{name} was not begun: the time by which it had to begin was over. Nothing was done."
    assert paying.result() == ToolOutcome(False, words, "tool.not_begun", begun=False)
    assert (await call(toolset, "pid")).content == str(pid)
    assert not (bench.folder / "paid").exists()


async def test_a_worker_woken_before_begin_by_begins(bench: ToolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a freeze delays within its time is carried out all the same."""
    monkeypatch.setattr(process, "STALLED_S", 3_600.0)
    toolset = await bench.open(TOOLS)
    pid = int((await call(toolset, "pid")).content)
    async with Tasks("test") as tasks:
        with stopped(pid):
            paying = tasks.start(pay(toolset, "pay", CLOCK.monotonic() + 50), "pay")
            await asyncio.sleep(0)  # it is sent
    assert paying.result() == ToolOutcome(True, "paid")


async def test_a_call_taken_back_from_a_frozen_worker_is_not_given_to_another_too_late(bench: ToolBench) -> None:
    """The server takes the call back after half a second; its time to begin is over by then, though another worker is
    free, and the frozen one begins nothing when it wakes."""
    toolset = await bench.open(TOOLS, WorkerConfig(processes=2))
    await wait_for(lambda: [event for event, _ in bench.logged].count("worker.started") == 2)
    pids = {fields["pid"] for event, fields in bench.logged if event == "worker.started"}
    with contextlib.ExitStack() as frozen:
        for pid in pids:
            frozen.enter_context(stopped(pid))
        outcome = await pay(toolset, "pay", CLOCK.monotonic() + 0.2)
        assert (outcome.error_code, outcome.begun) == ("tool.not_begun", False)
    assert (await call(toolset, "pid")).ok
    assert not (bench.folder / "paid").exists()


async def test_a_call_behind_a_blocked_event_loop_is_not_begun_too_late(
    bench: ToolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is merely busy looks at the clock as well."""
    monkeypatch.setattr(process, "STALLED_S", 3_600.0)
    toolset = await bench.open(TOOLS)
    begin_by = CLOCK.monotonic() + 0.3
    async with Tasks("test") as tasks:
        tasks.start(call(toolset, "block", '{"began": "b", "free": "f"}'), "block")
        await wait_for((bench.folder / "b").exists)
        paying = tasks.start(pay(toolset, "pay_async", begin_by), "pay")
        await wait_for(lambda: CLOCK.monotonic() > begin_by)
        (bench.folder / "f").touch()
    assert (paying.result().error_code, paying.result().begun) == ("tool.not_begun", False)
    assert not (bench.folder / "paid").exists()


async def test_a_crash_says_that_the_call_had_begun(bench: ToolBench) -> None:
    """Of a call whose worker is killed in it nobody can say that nothing was done."""
    toolset = await bench.open("import os\ndef die() -> None: os._exit(3)\n")
    outcome = await call(toolset, "die")
    assert (outcome.error_code, outcome.begun) == ("tool.worker_crashed", True)
