"""What the tests of toolsets share: opening one over source text, and calling it."""

import asyncio
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from golive.config.schema import LimitsConfig, WorkerConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolInvocation, ToolOutcome, Toolset
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset

CLOCK = SystemClock()


class ToolBench:
    """Opens toolsets over source text, and calls them."""

    def __init__(self, kind: type[WorkerToolset] | type[InlineToolset], folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[Any] = []
        self.environ: dict[str, str] = {}

    def log(self, event: str, /, **fields: Any) -> None:
        self.logged.append((event, fields))

    async def close(self) -> None:
        for toolset in self.opened:
            await toolset.close()

    async def open(self, source: str | None, config: WorkerConfig | None = None, **settings: Any) -> Any:
        if source is not None:
            (self.folder / "tools.py").write_text(textwrap.dedent(source))
        tools = settings.pop("tools", {})
        extra: dict[str, Any] = {} if self.kind is InlineToolset else {"environ": os.environ | self.environ}
        if "redact" in settings:
            extra["redact"] = settings.pop("redact")
        limits = LimitsConfig(**settings)
        toolset = self.kind(self.folder, config or WorkerConfig(), tools, limits, clock=CLOCK, log=self.log, **extra)
        self.opened.append(toolset)
        await toolset.start()
        return toolset


async def call(toolset: Toolset, name: str, arguments: str = "{}", seconds: float = 20.0) -> ToolOutcome:
    invocation = ToolInvocation("acme", "run_1", "run_1//1", name, arguments)
    return await toolset.call(invocation, Deadline.after(CLOCK, seconds, "limits.deadline_s"))


async def wait_for(condition: Callable[[], bool]) -> None:
    """Until `condition` holds; the test's own timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.005)


async def closed_at_work(bench: ToolBench) -> tuple[Toolset, list[ToolOutcome]]:
    """A toolset that was closed under two calls, one that ran and one that waited; and the outcomes of both."""
    began = bench.folder / "began"
    toolset: Toolset = await bench.open(
        f"""
        import asyncio
        async def hang() -> None:
            open({str(began)!r}, "w").close()
            await asyncio.Event().wait()
        """,
        WorkerConfig(concurrency=1),
    )
    async with Tasks("test") as tasks:
        calls = [tasks.start(call(toolset, "hang"), "hang") for _ in range(2)]
        await wait_for(began.exists)
        await toolset.close()
    return toolset, [task.result() for task in calls]
