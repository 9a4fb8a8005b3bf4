"""The drills of dead tools: each fails when what it is about is really broken, and the user's own tools never run."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.checks import tools_out
from golive.checklist.engine import prove
from golive.checklist.registry import load as load_checks
from golive.checklist.twin import Twin
from golive.core.words import WAYS
from tests.e2e.check_kit import GOLIVE, PRICES, hold, mark, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DRILLS = (
    "RT-2.tool-raises",
    "RT-2.tool-hangs",
    "RT-2.tool-dies",
    "RT-14.tool-skipped",
    "RT-14.tool-out",
    "RT-14.tools-done",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fragile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server whose runs end with their tools, and wait for them for ever."""
    async with twin_of(project(tmp_path_factory.mktemp("fragile")), "fragile", "tool_timeout") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inside(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that runs tools itself, and minds no critical one."""
    async with twin_of(project(tmp_path_factory.mktemp("inside")), "inline_tools", "critical") as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def curt(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that says neither what is missing nor why."""
    async with twin_of(project(tmp_path_factory.mktemp("curt")), "words", "nameless") as found:
        yield found


async def test_dead_tools_are_stand_ins(tmp_path: Path) -> None:
    """All drills pass on a sound server; the user's own are imported once, by the first twin, and never called."""
    async with twin_of(project(tmp_path)) as sound:
        report = await prove(load_checks().select(DRILLS), sound)
    assert {check.status for check in report.checks} == {"pass"}, [(check.id, check.why) for check in report.checks]
    assert mark(tmp_path).read_text() == "imported\n"
    for check in report.checks:
        replaced = check.evidence[0]
        assert replaced.did.endswith("in which stand-ins are called in place of count_sheep, lock_gate")
        assert "def count_sheep(fate: _Fate" in replaced.got
        assert "times as fast, durations as configured" in check.measured
    measured = {check.id: check.measured for check in report.checks}
    assert "missing count_sheep (tool.raised)" in measured["RT-2.tool-raises"]
    assert "missing count_sheep (tool.timeout)" in measured["RT-2.tool-hangs"]
    assert "missing count_sheep (tool.worker_crashed)" in measured["RT-2.tool-dies"]
    assert "was told “I do without count_sheep.”; de: completed" in measured["RT-14.tool-skipped"]
    assert "was told “count_sheep gab mir nichts.”" in measured["RT-14.tool-skipped"]
    assert "was told “Ohne lock_gate ist das nichts.”" in measured["RT-14.tool-out"]
    assert f"{WAYS['model_out'].words} What I did do: count_sheep." in measured["RT-14.tools-done"]


async def test_raises_sees_a_run_that_ends_with_its_tool(fragile: Twin) -> None:
    """A run that a failed tool takes along is told with its end."""
    found = await hold("RT-2.tool-raises", fragile)
    assert found.status == "fail"
    assert "the run ended as failed (tool.failed)" in found.why


async def test_raises_sees_a_run_that_names_nothing(curt: Twin) -> None:
    """The answer is whole, and nobody could tell that a tool is missing."""
    found = await hold("RT-2.tool-raises", curt)
    assert (found.status, found.why) == ("fail", "missing is nothing, and not count_sheep (tool.raised)")


async def test_hangs_sees_a_timeout_that_is_ignored(fragile: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no timeout ends the wait, the run is not over in time."""
    monkeypatch.setattr(tools_out, "GIVE_UP_S", 1.0)  # it waits for ever
    found = await hold("RT-2.tool-hangs", fragile)
    assert (found.status, found.why) == ("fail", "count_sheep hangs, and the run is not over in time")


async def test_dies_sees_a_server_that_dies_too(inside: Twin) -> None:
    """A tool that runs in the server ends the server; the twin is there again for what comes after."""
    found = await hold("RT-2.tool-dies", inside)
    assert (found.status, found.why) == ("fail", "count_sheep dies, and the server is gone with it")
    assert (await hold("RT-2.tool-raises", inside)).status == "pass"


async def test_tool_out_sees_a_critical_tool_that_counts_for_nothing(inside: Twin) -> None:
    """A run that is called whole without its critical tool."""
    found = await hold("RT-14.tool-out", inside)
    assert found.status == "fail"
    assert "the run ended as completed (done)" in found.why


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        ("tool-skipped", "I do without count_sheep."),
        ("tool-out", "I got no result from"),
        ("tools-done", WAYS["model_out"].words),
    ],
)
async def test_words_of_tools_sees_a_bare_agent_failed(curt: Twin, end: str, wanted: str) -> None:
    """The user is told something else than the agent's words, in each language."""
    found = await hold(f"RT-14.{end}", curt)
    assert found.status == "fail"
    assert re.search(f"the user is told “agent failed( agent failed)?” instead of “{wanted}", found.why)
    assert "; de: " in found.why


@pytest.mark.parametrize(
    ("settings", "tools", "statuses", "told"),
    [
        ("", None, ["unknown"] * 6, "the agent has no tool that could die"),
        ("max_steps = 1", "both", ["unknown"] * 6, "limits.max_steps is 1"),
        ("deadline_s = 20", "both", ["pass", "unknown", "pass", "pass", "pass", "pass"], "lower the latter"),
        ("", "free", ["pass", "pass", "pass", "pass", "unknown", "pass"], "no tool is critical"),
        ("", "critical", ["pass", "pass", "pass", "unknown", "pass", "pass"], "each tool is critical"),
    ],
)
async def test_what_an_agent_does_not_have_is_not_known(
    tmp_path: Path, settings: str, tools: str | None, statuses: list[str], told: str
) -> None:
    """No tools, no step for an answer, a deadline before the timeout, nothing critical, nothing else: with reason."""
    async with twin_of(_variant(project(tmp_path, golive=GOLIVE + PRICES), settings, tools)) as found:
        report = await prove(load_checks().select(DRILLS), found)
    by_id = {check.id: check for check in report.checks}
    assert [by_id[check_id].status for check_id in DRILLS] == statuses, [(one.id, one.why) for one in report.checks]
    assert all(told in check.why for check in report.checks if check.status == "unknown")


def _variant(folder: Path, settings: str, tools: str | None) -> Path:
    agent = folder / "agents" / "clerk"
    text = (agent / "agent.toml").read_text()
    if settings:
        text = text.replace("max_steps = 4", settings)
    if tools != "both" and tools != "critical":
        text = text.replace("[tools.lock_gate]\ncritical = true\n", "")
    if tools == "critical":
        text = text.replace("[tools.lock_gate]", "[tools.count_sheep]\ncritical = true\n\n[tools.lock_gate]")
    (agent / "agent.toml").write_text(text)
    if tools is None:
        (agent / "tools.py").unlink()
    return folder
