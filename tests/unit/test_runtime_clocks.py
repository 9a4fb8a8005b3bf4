"""Servers whose clocks differ, over one store: what is due, and what expires, goes by the store's clock."""

from pathlib import Path

import pytest

from golive.config.outward import WebhookConfig
from golive.core.chance import SeededChance
from golive.core.clock import Clock, SystemClock
from golive.core.ids import Ids
from golive.runtime.announce import Announcer
from golive.runtime.shown import result_of
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.resume_kit import PAY, begun, hangs, taken_over
from tests.unit.runtime_kit import ScriptedModel, Tools, World, answer, asks, holding
from tests.unit.webhook_kit import webhook


async def paid_slowly(invocation: ToolInvocation) -> ToolOutcome:
    await hangs()()
    raise AssertionError("nobody waits for it")


class Off(SystemClock):
    """A clock that is wrong by so many seconds."""

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s

    def now(self) -> float:
        return super().now() + self._by_s


def off(world: World, by_s: float) -> Clock:
    """From now on the world's next servers have such a clock; the store keeps its own."""
    world.clock = Off(by_s)
    return world.clock


@pytest.mark.parametrize("by_s", [3_600.0, -3_600.0])
async def test_a_webhook_is_due_at_once_whatever_the_clock_of_the_server_says(tmp_path: Path, by_s: float) -> None:
    """It says so without a clock."""
    hooks: dict[str, WebhookConfig] = {"crm": webhook("crm")}
    clock = Off(by_s)
    announce = Announcer(lambda: hooks, result_of, clock, Ids(clock, SeededChance(1)))
    world = World(tmp_path, ScriptedModel(answer("Done.")), announce=announce)
    off(world, by_s)
    world.runtime = world.another("other")
    run = await world.start()
    assert (await world.runtime.wait("default", run)).outcome == "completed"
    assert [found.run for found in await world.store.claim_messages(60, 10)] == [run]


@pytest.mark.parametrize("by_s", [86_400.0 * 365, -86_400.0 * 365])
async def test_a_decision_waits_its_time_whatever_the_clock_of_the_server_says(tmp_path: Path, by_s: float) -> None:
    """One of a server far behind is not decided by default at once."""
    tools = Tools(pay=paid_slowly)
    world = World(tmp_path, ScriptedModel(asks(PAY), answer("Paid.")), tools)
    run = await begun(world, "tool.started")
    off(world, by_s)
    other = await taken_over(world)
    assert (await other.wait("default", run)).state == "waiting"
    hold = holding(world, other, "other")
    await hold.look()
    [row] = await world.store.tenant("default").decisions()
    assert (row.choice, await world.store.due_decisions(10)) == (None, [])
    decide_s = world.agents.get("default", "helper").limits.decide_s
    assert row.expires_at - SystemClock().now() == pytest.approx(decide_s, abs=60)
