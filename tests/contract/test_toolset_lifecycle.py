"""The contract of `Toolset`, over both implementations: deadlines, capacity, lifespan, and tools that are refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.config.schema import ToolConfig, WorkerConfig
from golive.core.errors import AgentError
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolOutcome
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import ToolBench, call, closed_at_work


@pytest.fixture(params=[WorkerToolset, InlineToolset], ids=["worker", "inline"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(request.param, tmp_path)
    yield bench
    await bench.close()


async def test_calls_run_side_by_side(bench: ToolBench) -> None:
    """Two async calls and two sync calls that each wait for the other all finish."""
    toolset = await bench.open(
        """
        import asyncio, threading
        meet = threading.Barrier(2)
        events = {}
        def sync() -> str:
            meet.wait(20)
            return "met"
        async def first() -> str:
            events["second"] = asyncio.Event()
            events["first"].set() if "first" in events else None
            await events["second"].wait()
            return "met"
        async def second() -> str:
            if "second" not in events:
                events["first"] = asyncio.Event()
                await events["first"].wait()
            events["second"].set()
            return "met"
        """
    )
    async with Tasks("test") as tasks:
        started = [tasks.start(call(toolset, name), name) for name in ("sync", "sync", "first", "second")]
    assert [task.result().content for task in started] == ["met"] * 4


async def test_an_async_call_past_its_deadline_is_cancelled(bench: ToolBench) -> None:
    """The tool's own timeout_s applies when it is sooner; the coroutine is really cancelled; the worker stays."""
    toolset = await bench.open(
        """
        import asyncio, os
        seen = []
        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
        def look() -> list[str]: return seen
        def pid() -> int: return os.getpid()
        """,
        tools={"hang": ToolConfig(timeout_s=0.1)},
    )
    before = await call(toolset, "pid")
    outcome = await call(toolset, "hang")
    assert outcome.error_code == "tool.timeout"
    assert "hang was not done within 0.1 s (tools.hang.timeout_s)" in outcome.content
    assert (await call(toolset, "look")).content == '["cancelled"]'
    assert await call(toolset, "pid") == before


async def test_the_callers_deadline_applies_when_it_is_sooner(bench: ToolBench) -> None:
    """What names the limit is the limit that was sooner."""
    toolset = await bench.open("import asyncio\nasync def hang() -> None: await asyncio.Event().wait()\n")
    outcome = await call(toolset, "hang", seconds=0.1)
    assert outcome.error_code == "tool.timeout"
    assert "(limits.deadline_s)" in outcome.content
    over = await call(toolset, "hang", seconds=0.0)
    assert over.content.startswith("hang was not done within 0 s (limits.deadline_s). It was not started.")


async def test_a_hung_sync_call_times_out_and_others_go_on(bench: ToolBench) -> None:
    """A thread that never returns costs its own call only."""
    toolset = await bench.open(
        "import threading\ndef hang() -> None: threading.Event().wait()\ndef fine() -> int: return 1\n",
        WorkerConfig(concurrency=1),
        tools={"hang": ToolConfig(timeout_s=0.1)},
    )
    for _ in range(2):
        assert (await call(toolset, "hang")).error_code == "tool.timeout"
        assert await call(toolset, "fine") == ToolOutcome(True, "1")


async def test_a_cancelled_caller_cancels_the_call(bench: ToolBench) -> None:
    """When the run is cancelled, so is the coroutine of its tool, and its place is free again."""
    toolset = await bench.open(
        """
        import asyncio
        seen = []
        async def hang() -> None:
            seen.append("started")
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("ended")
        async def look() -> list[str]: return seen
        """,
        WorkerConfig(concurrency=2),
    )
    async with Tasks("test") as tasks:
        task = tasks.start(call(toolset, "hang"), "hang")
        while (await call(toolset, "look")).content != '["started"]':
            pass
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        while (await call(toolset, "look")).content != '["started","ended"]':
            pass
    async with Tasks("both") as tasks:
        started = [tasks.start(call(toolset, "hang", seconds=0.1), "hang") for _ in range(2)]
    assert all("It may have taken effect" in one.result().content for one in started)


async def test_calls_above_capacity_wait_their_turn(bench: ToolBench) -> None:
    """With one place, a second call waits for it, and gives up at its own deadline."""
    free = bench.folder / "free"
    toolset = await bench.open(
        """
        import asyncio, pathlib
        async def hold() -> str:
            while not pathlib.Path(FREE).exists():
                await asyncio.sleep(0.005)
            return "held"
        async def quick() -> str: return "quick"
        """.replace("FREE", repr(str(free))),
        WorkerConfig(concurrency=1),
    )
    async with Tasks("test") as tasks:
        hold = tasks.start(call(toolset, "hold"), "hold")
        await asyncio.sleep(0)
        late = tasks.start(call(toolset, "quick", seconds=0.05), "late")
        patient = tasks.start(call(toolset, "quick"), "patient")
        await asyncio.wait([late])
        free.touch()
    assert hold.result().content == "held"
    assert patient.result().content == "quick"
    assert late.result().error_code == "tool.timeout"
    assert "It was not started." in late.result().content


@pytest.mark.parametrize(
    "head", ["async def lifespan():", "def lifespan():", "@contextlib.asynccontextmanager\nasync def lifespan():"]
)
async def test_lifespan_spans_the_toolset(bench: ToolBench, head: str) -> None:
    """lifespan is entered before the first call, its state is in the context, and it is left on close."""
    left = bench.folder / "left"
    source = (
        "import contextlib\nfrom golive.tools.context import ToolContext\n"
        f"{head}\n    yield {{'pool': 'open'}}\n    open({str(left)!r}, 'w').close()\n"
        "async def state(c: ToolContext) -> object: return c.state\n"
    )
    toolset = await bench.open(source)
    assert (await call(toolset, "state")).content == '{"pool":"open"}'
    assert [spec.name for spec in toolset.specs] == ["state"]
    assert not left.exists()
    await toolset.close()
    assert left.exists()


async def test_no_tools_file_is_an_empty_toolset(bench: ToolBench) -> None:
    """An agent without tools.py works, without tools."""
    toolset = await bench.open(None)
    assert toolset.specs == ()
    assert (await call(toolset, "any")).content == "There is no tool 'any'. There are none."


async def test_siblings_are_importable_and_do_not_shadow(bench: ToolBench) -> None:
    """tools.py may import modules beside it; one named like a part of the standard library harms nobody."""
    (bench.folder / "shop_siblings.py").write_text("def answer() -> int: return 42\n")
    (bench.folder / "json.py").write_text("raise RuntimeError('shadowed')\n")
    toolset = await bench.open(
        "import json\nfrom shop_siblings import answer\ndef ask() -> str: return json.dumps([answer()])\n"
    )
    assert (await call(toolset, "ask")).content == "[42]"
    assert [spec.name for spec in toolset.specs] == ["ask"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module_here\n", "No module named 'no_such_module_here' ({path}:1)"),
        ("x = 1\ndef f(:\n", "({path}:2)"),
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero ({path}:3)"),
        ("import sys\nsys.exit(4)\n", "SystemExit: 4 ({path}:2)"),
        ("def f(x) -> None: ...\n", "{path}:1: f, parameter x: it has no type."),
        ("def f(*x: int) -> None: ...\n", "{path}:1: f, parameter x: a model cannot fill an open list of arguments."),
        ("async def lifespan():\n    raise OSError('down')\n    yield\n", "lifespan failed: OSError: down ({path}:2)"),
        ("async def lifespan(app):\n    yield\n", "lifespan takes app."),
        ("lifespan = 3\n", "lifespan is not a function."),
        ("def lifespan(): return 3\n", "lifespan returned a int; it must yield once"),
    ],
)
async def test_unusable_tools_are_refused_with_their_place(bench: ToolBench, source: str, says: str) -> None:
    """start names file and line of the user's own code, and a remedy."""
    with pytest.raises(AgentError) as caught:
        await bench.open(source)
    assert says.format(path=bench.folder / "tools.py") in caught.value.message
    assert caught.value.remedy


async def test_settings_of_an_unknown_tool_are_refused(bench: ToolBench) -> None:
    """[tools.NAME] about a function that does not exist names the nearest one."""
    with pytest.raises(AgentError, match=r"\[tools.serch\].*Did you mean search\?"):
        await bench.open("def search() -> None: ...\n", tools={"serch": ToolConfig()})


async def test_start_is_bounded(bench: ToolBench) -> None:
    """A lifespan that never gets ready is an error within worker.start_s."""
    source = "import asyncio\nasync def lifespan():\n    await asyncio.Event().wait()\n    yield\n"
    with pytest.raises(AgentError, match=r"worker\.start_s"):
        await bench.open(source, WorkerConfig(start_s=0.8))


async def test_after_close_calls_fail_and_waiting_ones_too(bench: ToolBench) -> None:
    """close ends running and waiting calls with an outcome, and nothing works afterwards."""
    toolset, outcomes = await closed_at_work(bench)
    assert [outcome.ok for outcome in outcomes] == [False, False]
    assert (await call(toolset, "hang")).error_code == "tool.worker_crashed"
    await toolset.close()


async def test_an_edited_file_is_loaded_anew(bench: ToolBench) -> None:
    """A second toolset over the same folder runs the new text, even within one second and at the same size."""
    (bench.folder / "sibling_anew.py").write_text("N = 1\n")
    source = "from sibling_anew import N\ndef f() -> int: return N + 10\n"
    first = await bench.open(source)
    assert (await call(first, "f")).content == "11"
    await first.close()
    second = await bench.open(source.replace("10", "20"))
    assert (await call(second, "f")).content == "21"
