"""Calls in the wrong place: beside a blocked event loop, and in workers that crash before they began them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.config.schema import ToolConfig, WorkerConfig
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolOutcome
from golive.workers import process
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import ToolBench, call, wait_for

TOOLS = """
    import asyncio, os, re, threading, time
    def touch(path: str) -> None: open(path, "w").close()
    async def block(began: str, free: str) -> int:
        touch(began)
        while not os.path.exists(free):
            time.sleep(0.005)
        return os.getpid()
    async def regex(began: str) -> None:
        touch(began)
        re.match("(a+)+$", "a" * 60 + "b")
    async def wait(began: str) -> None:
        touch(began)
        await asyncio.Event().wait()
    async def crash(began: str) -> None:
        touch(began)
        time.sleep(0.2)
        os._exit(3)
    def hang() -> None: threading.Event().wait()
    def die() -> None: os._exit(3)
    async def ok(done: str) -> int:
        with open(done, "a") as file: file.write("once ")
        return os.getpid()
    def in_thread(done: str) -> int:
        with open(done, "a") as file: file.write("once ")
        return os.getpid()
"""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(WorkerToolset, tmp_path)
    yield bench
    await bench.close()


def events(bench: ToolBench) -> list[str]:
    return [event for event, _ in bench.logged]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("block", '{"began": "b", "free": "never"}'), ("regex", '{"began": "b"}')],
    ids=["sleep", "regex"],
)
async def test_a_blocked_event_loop_does_not_outlive_the_time_out_that_it_broke(
    bench: ToolBench, name: str, arguments: str
) -> None:
    """Of a worker whose loop is blocked, whether or not Python's lock is held, the call that is overdue has timed out,
    what had begun beside it fails when the worker is killed, and what had not runs elsewhere, once."""
    toolset = await bench.open(TOOLS, tools={name: ToolConfig(timeout_s=0.3)})
    async with Tasks("test") as tasks:
        beside = tasks.start(call(toolset, "wait", '{"began": "w"}', seconds=100), "beside")
        await wait_for((bench.folder / "w").exists)
        blocking = tasks.start(call(toolset, name, arguments), "blocking")
        await wait_for((bench.folder / "b").exists)
        later = [tasks.start(call(toolset, ok, f'{{"done": "{ok}"}}', 100), ok) for ok in ("ok", "in_thread")]
    assert blocking.result().error_code == "tool.timeout"
    assert "It may have taken effect all the same." in blocking.result().content
    assert beside.result().error_code == "tool.worker_crashed"
    how = f"killed, for its event loop was blocked and {name} long overdue"
    assert beside.result().content.startswith(f"The worker process ended ({how}) while wait ran in it.")
    assert "It may have taken effect all the same." in beside.result().content
    assert [task.result().ok for task in later] == [True, True]
    assert [(bench.folder / ok).read_text() for ok in ("ok", "in_thread")] == ["once ", "once "]
    assert ("worker.stalled", {"agent": bench.folder.name, "tools": ["wait", name]}) in [
        (event, {key: value for key, value in fields.items() if key != "pid"}) for event, fields in bench.logged
    ]


async def test_calls_that_a_blocked_worker_has_not_begun_move_to_another(bench: ToolBench) -> None:
    """While one of two workers is blocked, for however long, the other answers all that comes, and each call once; the
    call that blocks is left alone and comes to its end."""
    toolset = await bench.open(TOOLS, WorkerConfig(processes=2))
    await wait_for(lambda: events(bench).count("worker.started") == 2)
    async with Tasks("test") as tasks:
        blocking = tasks.start(call(toolset, "block", '{"began": "b", "free": "f"}', 100), "blocking")
        await wait_for((bench.folder / "b").exists)
        async with Tasks("others") as others:
            answers = [others.start(call(toolset, "ok", '{"done": "done"}', 100), "ok") for _ in range(6)]
        assert not blocking.done()
        (bench.folder / "f").touch()
    assert blocking.result().ok
    assert all(task.result().ok for task in answers)
    assert blocking.result().content not in {task.result().content for task in answers}
    assert (bench.folder / "done").read_text() == "once " * 6
    assert "worker.retired" not in events(bench)


async def test_a_worker_that_stays_blocked_has_a_stand_in(bench: ToolBench) -> None:
    """With one worker, calls are answered by another while it is blocked; there is one again when it runs again."""
    toolset = await bench.open(TOOLS)
    async with Tasks("test") as tasks:
        blocking = tasks.start(call(toolset, "block", '{"began": "b", "free": "f"}', 100), "blocking")
        await wait_for((bench.folder / "b").exists)
        other = await call(toolset, "in_thread", '{"done": "done"}', 100)
        assert not blocking.done()
        (bench.folder / "f").touch()
    assert other.ok
    assert blocking.result().ok
    assert blocking.result().content != other.content
    assert (bench.folder / "done").read_text() == "once "
    await wait_for(lambda: "worker.ended" in events(bench))
    assert await call(toolset, "ok", '{"done": "done"}') == other
    assert toolset.health().detail.startswith("1 of 1 workers, 0 calls, 0 waiting")


async def test_a_call_that_times_out_before_it_was_begun_never_begins(bench: ToolBench) -> None:
    """Its words are true: "It was not started", also when the worker comes to it later."""
    toolset = await bench.open(TOOLS, tools={"ok": ToolConfig(timeout_s=0.1)})
    async with Tasks("test") as tasks:
        blocking = tasks.start(call(toolset, "block", '{"began": "b", "free": "f"}', 100), "blocking")
        await wait_for((bench.folder / "b").exists)
        late = await call(toolset, "ok", '{"done": "done"}')
        (bench.folder / "f").touch()
    assert late.error_code == "tool.timeout"
    assert "It was not started." in late.content
    assert blocking.result().ok
    pid = (await call(toolset, "in_thread", '{"done": "after"}')).content
    assert pid == blocking.result().content
    assert not (bench.folder / "done").exists()


async def test_a_hung_thread_does_not_count_as_a_blocked_event_loop(
    bench: ToolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs beside it in a retired worker is left alone for as long as its own deadline allows."""
    monkeypatch.setattr(process, "DEAD_S", 0.01)
    toolset = await bench.open(TOOLS, tools={"hang": ToolConfig(timeout_s=0.1)})
    async with Tasks("test") as tasks:
        beside = tasks.start(call(toolset, "wait", '{"began": "w"}', seconds=2), "beside")
        await wait_for((bench.folder / "w").exists)
        assert (await call(toolset, "hang")).error_code == "tool.timeout"
    assert "worker.retired" in events(bench)
    assert beside.result().error_code == "tool.timeout"


async def test_calls_that_a_crashed_worker_had_not_begun_run_in_the_next(bench: ToolBench) -> None:
    """Only what ran in the process has failed with it."""
    toolset = await bench.open(TOOLS)
    async with Tasks("test") as tasks:
        crashing = tasks.start(call(toolset, "crash", '{"began": "b"}'), "crashing")
        await wait_for((bench.folder / "b").exists)
        others = [tasks.start(call(toolset, "ok", '{"done": "done"}'), "ok") for _ in range(3)]
    assert crashing.result().error_code == "tool.worker_crashed"
    assert "calls were running in it" not in crashing.result().content
    assert [task.result().ok for task in others] == [True] * 3
    assert (bench.folder / "done").read_text() == "once " * 3


async def test_crashes_in_a_row_make_calls_wait_and_not_fail(bench: ToolBench) -> None:
    """However often workers crash: as long as they can be started, calls that did not run wait for the next one."""
    toolset = await bench.open(TOOLS)
    for _ in range(4):
        assert (await call(toolset, "die")).error_code == "tool.worker_crashed"
    async with Tasks("test") as tasks:
        innocent = [tasks.start(call(toolset, "ok", '{"done": "done"}'), "ok") for _ in range(3)]
        await asyncio.sleep(0)
        assert toolset.health().state == "down"
    assert [task.result().ok for task in innocent] == [True] * 3
    assert toolset.health().state == "up"


async def test_one_failed_start_refuses_nobody(bench: ToolBench) -> None:
    """A start that fails once (memory, descriptors) is tried again while calls wait; two in a row refuse at once."""
    toolset = await bench.open(TOOLS)
    tools = bench.folder / "tools.py"
    good = tools.read_text()
    tools.write_text(
        f"import os\nif not os.path.exists('once'):\n    open('once', 'w').close()\n    os._exit(9)\n{good}"
    )
    assert (await call(toolset, "die")).error_code == "tool.worker_crashed"
    assert (await call(toolset, "ok", '{"done": "done"}')).ok
    assert events(bench).count("worker.start_failed") == 1
    assert (bench.folder / "once").exists()


async def test_the_servers_page_cannot_be_taken_from_under_it(bench: ToolBench) -> None:
    """A tool that finds the shared memory cannot shorten it, which would end the server at its next look."""
    toolset = await bench.open(
        """
        import os
        def shorten() -> list[str]:
            said = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    if "memfd" in os.readlink(f"/proc/self/fd/{name}"): os.ftruncate(int(name), 0)
                except OSError as error:
                    said.append(error.strerror)
            return said
        """
    )
    outcome = await call(toolset, "shorten")
    assert "Operation not permitted" in outcome.content
    assert (await call(toolset, "shorten")) == ToolOutcome(True, outcome.content)
