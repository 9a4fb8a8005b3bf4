"""What the agents that golive brings along declare of their tools' effects is true: the demo's and the template's."""

import shutil
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import golive.cli
from golive.config.schema import AgentConfig
from golive.core.deadline import Deadline
from golive.tools.toolset import CarriedOut, NotCarriedOut, ToolInvocation, ToolOutcome, Toolset
from golive.workers.inline import InlineToolset
from tests.contract.toolset_kit import CLOCK, ToolBench, call

CLI = Path(golive.cli.__file__).parent
SHOP, TEMPLATE = CLI / "shop/agents/support", CLI / "templates/agent"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(InlineToolset, tmp_path / "agent")
    yield bench
    await bench.close()


async def opened(bench: ToolBench, agent: Path) -> Toolset:
    shutil.copytree(agent, bench.folder)
    text = (agent / "agent.toml").read_text().replace("@NAME@", "bistro")
    settings = AgentConfig.model_validate(tomllib.loads(text)).tools
    toolset: Toolset = await bench.open(None, tools=settings)
    return toolset


def soon() -> Deadline:
    return Deadline.after(CLOCK, 60.0, "limits.deadline_s")


@pytest.mark.parametrize("agent", [SHOP, TEMPLATE], ids=["demo", "template"])
async def test_no_tool_makes_a_run_wait_for_a_person(bench: ToolBench, agent: Path) -> None:
    """Each can be called again: those that read, and those that go by the key."""
    toolset = await opened(bench, agent)
    assert [name for name, rules in toolset.effects.items() if not rules.idempotent] == []


async def test_a_refund_is_made_once_found_and_taken_back(bench: ToolBench) -> None:
    """Twice under one key it pays once; status tells its result; undone, it is not there any more."""
    toolset = await opened(bench, SHOP)
    refund = ToolInvocation("acme", "run_1", "run_1//1", "refund", '{"order_id": "A-1043", "amount_usd": 59}')
    made = ToolOutcome(True, '{"order_id":"A-1043","refunded_usd":59.0}')
    assert await toolset.status(refund, soon()) == NotCarriedOut()
    assert [await toolset.call(refund, soon()) for _ in range(2)] == [made, made]
    assert await toolset.status(refund, soon()) == CarriedOut(made)
    assert await toolset.undo(refund, made.content, soon()) == ToolOutcome(True, "refund taken back")
    assert await toolset.undo(refund, made.content, soon()) == ToolOutcome(True, "there was no refund")
    assert await toolset.status(refund, soon()) == NotCarriedOut()


async def test_a_table_is_booked_once_and_the_booking_cancelled(bench: ToolBench) -> None:
    """Twice under one key it is one booking, which its undo function takes away."""
    toolset = await opened(bench, TEMPLATE)
    booking = ToolInvocation("acme", "run_1", "run_1//1", "book_table", '{"day": "friday", "people": 4}')
    booked = ToolOutcome(True, '{"day":"friday","people":4,"tables_booked_here":1}')
    assert [await toolset.call(booking, soon()) for _ in range(2)] == [booked, booked]
    assert await toolset.undo(booking, booked.content, soon()) == ToolOutcome(True, "booking cancelled")
    another = await call(toolset, "book_table", '{"day": "sunday", "people": 2}')
    assert another.content == '{"day":"sunday","people":2,"tables_booked_here":1}'
