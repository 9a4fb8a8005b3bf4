"""What the tests of `golive check` share: a small project, twins of it (whole or broken), one check at a time."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from golive.checklist.engine import prove
from golive.checklist.registry import load as load_checks
from golive.checklist.report import CheckReport
from golive.checklist.target import Target
from golive.checklist.twin import COMMAND, Twin, twin
from golive.config.load import load
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock

BROKEN = Path(__file__).with_name("broken_server.py")

GOLIVE = """
[server]
disconnect_grace_s = 2

[providers.first]
base_url = "https://first.example.com/v1"
api_key = "env:A_KEY_THAT_IS_NOT_SET"

[providers.second]
base_url = "https://second.example.com/v1"
models = ["tiny"]
"""
PRICES = """
[prices."first/*"]
input_usd_per_mtok = 1.00
cached_input_usd_per_mtok = 0.25
output_usd_per_mtok = 4.00

[prices."second/*"]
input_usd_per_mtok = 0.50
output_usd_per_mtok = 1.50
"""
AGENT = """
name = "clerk"
version = "1.0.0"

[models.default]
chain = [{chain}]
{model}
[limits]
max_steps = 4

[tools.lock_gate]
critical = true

[messages]
tool_skipped = "I do without {{tools}}."

[messages.de]
tool_skipped = "{{tools}} gab mir nichts."
tool_out = "Ohne {{tools}} ist das nichts."
"""
TOOLS = '''
"""A clerk's tools: none may be called, or even imported where tools are drilled; MARK tells of both."""

import pathlib

MARK = pathlib.Path({mark!r})
with MARK.open("a") as file:
    file.write("imported\\n")


def count_sheep(field: str) -> int:
    """Counts the sheep on a field."""
    MARK.write_text("called")
    return len(field)


def lock_gate(gate: str) -> bool:
    """Locks a gate."""
    MARK.write_text("called")
    return True
'''


FURTHER = GOLIVE.replace("[providers.second]", 'more_api_keys = ["env:ANOTHER_UNSET_KEY"]\n\n[providers.second]')
"""With a second credential at the first provider."""


def project(
    folder: Path, *, golive: str = GOLIVE + PRICES, chain: str = '"first/large", "second/tiny"', model: str = ""
) -> Path:
    """Writes a project with one agent; `model` holds more of its [models.default]. Returns its folder."""
    agent = folder / "agents" / "clerk"
    agent.mkdir(parents=True)
    (folder / "golive.toml").write_text(golive)
    (agent / "agent.toml").write_text(AGENT.format(chain=chain, model=model))
    (agent / "prompt.md").write_text("You count sheep.\n")
    (agent / "answer.json").write_text('{"type": "object"}')
    (agent / "tools.py").write_text(TOOLS.format(mark=str(mark(folder))))
    return folder


def mark(folder: Path) -> Path:
    """The file, outside the project, that tells what became of its tools: a line for each import, or `called`."""
    return folder.with_suffix(".mark")


@asynccontextmanager
async def twin_of(folder: Path, *sabotages: str) -> AsyncIterator[Twin]:
    """A twin of the project; with `sabotages`, of a server in which these are broken."""
    loaded = load(folder, {})
    command = (sys.executable, str(BROKEN)) if sabotages else COMMAND
    async with twin(
        loaded,
        os.environ,
        clock=SystemClock(),
        chance=SystemChance(),
        command=command,
        extra_environ={"SABOTAGE": ",".join(sabotages)} if sabotages else {},
    ) as found:
        yield found


@asynccontextmanager
async def breaking(well: Twin, *sabotages: str) -> AsyncIterator[Twin]:
    """The twin itself, whole; what a check builds beside it until the end of the block is broken so, and goes with it.

    For checks that provoke only what they build: one twin serves all their sabotages.
    """
    build = partial(
        twin, well.original, os.environ, clock=SystemClock(), chance=SystemChance(),
        command=(sys.executable, str(BROKEN)), extra_environ={"SABOTAGE": ",".join(sabotages)},
    )  # fmt: skip
    before = {name: getattr(well, name) for name in ("_another", "_fast", "_dying", "_effecting")}
    async with AsyncExitStack() as stack:

        async def another(**wanted: Any) -> Twin:
            its_own = await stack.enter_async_context(AsyncExitStack())
            made = await its_own.enter_async_context(build(**wanted))
            made.taken_away = its_own.aclose
            return made

        vars(well).update(before | {"_another": another, "_fast": None, "_dying": None, "_effecting": None})
        try:
            yield well
        finally:
            vars(well).update(before)


async def hold(check_id: str, target: Target, *, url: str | None = None) -> CheckReport:
    """One check's report, optionally with the target at another address (a proxy before it)."""
    check = next(check for check in load_checks() if check.id == check_id)
    before = target.url
    target.url = url or before
    try:
        report = await prove([check], target)
    finally:
        target.url = before
    return report.checks[0]
