"""Status and undo functions in worker processes: crashes of theirs, and of the calls that they are about."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.config.schema import ToolConfig
from golive.core.deadline import Deadline
from golive.core.errors import AgentError
from golive.tools.toolset import CarriedOut, NotCarriedOut, NotKnown, ToolInvocation, ToolOutcome
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import CLOCK, ToolBench, call, wait_for

TOOLS = """
    import os, pathlib
    from golive.tools.context import ToolContext
    def pay(then: str, ctx: ToolContext) -> str:
        if then == "dies before": os._exit(3)
        pathlib.Path("paid").write_text(ctx.idempotency_key)
        if then == "dies after": os._exit(3)
        return "paid"
    def _paid(then, ctx: ToolContext):
        if then == "asked to death": os._exit(4)
        return "paid" if os.path.exists("paid") else None
    def _back(then: str, result: str, ctx: ToolContext) -> str:
        if then == "asked to death": os._exit(4)
        os.remove("paid")
        return f"{result}, and back"
    def pid() -> int: return os.getpid()
"""
PAY = {"pay": ToolConfig(status="_paid", undo="_back")}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(WorkerToolset, tmp_path)
    yield bench
    await bench.close()


def paying(then: str) -> ToolInvocation:
    return ToolInvocation("acme", "run_1", "run_1//1", "pay", f'{{"then": "{then}"}}')


def soon() -> Deadline:
    return Deadline.after(CLOCK, 60.0, "limits.deadline_s")


async def test_after_a_crash_the_next_worker_tells_what_was_done(bench: ToolBench) -> None:
    """Two calls that look the same to whoever waits, their worker being dead: one had paid, the other had not."""
    toolset = await bench.open(TOOLS, tools=PAY)
    for then, found in (("dies before", NotCarriedOut()), ("dies after", CarriedOut(ToolOutcome(True, "paid")))):
        outcome = await toolset.call(paying(then), soon())
        assert (outcome.error_code, outcome.begun) == ("tool.worker_crashed", True)
        assert await toolset.status(paying(then), soon()) == found
    assert await toolset.undo(paying("dies after"), "paid", soon()) == ToolOutcome(True, "paid, and back")
    assert not (bench.folder / "paid").exists()


async def test_a_status_function_that_kills_its_worker_says_nothing(bench: ToolBench) -> None:
    """Nor does an undo function that does count as done; both are named, and the worker is replaced."""
    toolset = await bench.open(TOOLS, tools=PAY)
    before = await call(toolset, "pid")
    answer = await toolset.status(paying("asked to death"), soon())
    assert isinstance(answer, NotKnown)
    assert answer.error_code == "tool.worker_crashed"
    assert answer.reason.startswith("The worker process ended (exit code 4) while pay (status) ran in it.")
    outcome = await toolset.undo(paying("asked to death"), "paid", soon())
    assert (outcome.ok, outcome.error_code, outcome.begun) == (False, "tool.worker_crashed", True)
    assert "while pay (undo) ran in it." in outcome.content
    assert await call(toolset, "pid") != before


async def test_a_replacement_that_lost_its_status_function_is_refused(bench: ToolBench) -> None:
    """A version keeps what it declared: of two texts of tools.py only that which it was loaded with is served."""
    toolset = await bench.open(TOOLS, tools=PAY)
    path = bench.folder / "tools.py"
    path.write_text(path.read_text().replace("def _paid", "def _was_paid"))
    await toolset.call(paying("dies before"), soon())
    await wait_for(lambda: "tools.pay.status names _paid" in toolset.health().detail)


async def test_a_worker_refuses_with_the_place_of_the_fault(bench: ToolBench) -> None:
    """File and line cross the socket, for the log and for `golive dev`."""
    with pytest.raises(AgentError) as caught:
        await bench.open(TOOLS + "    def _other(order): ...\n", tools={"pay": ToolConfig(undo="_other")})
    assert caught.value.fields["origin"] == f"{bench.folder / 'tools.py'}:17"
