"""A server that dies in the middle of a run, and the one that goes on with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from golive.runtime.service import Runtime
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import World, holding

PAY = ("pay", '{"amount": 5}')


async def killed(world: World) -> None:
    """What a SIGKILL leaves of the first server: nothing runs on, and nobody writes."""
    for task in asyncio.all_tasks():
        if task.get_name().startswith("runs/"):
            task.cancel()
    world.runtime._carrier._store = None  # type: ignore[assignment]
    for live in world.runtime._carrier.live.values():
        live.journal._store = None  # type: ignore[assignment]
    for _ in range(10):
        await asyncio.sleep(0)


async def taken_over(world: World, **options: int) -> Runtime:
    """Another server, which has claimed what the killed one left."""
    await killed(world)
    return await claimed(world, **options)


async def claimed(world: World, **options: int) -> Runtime:
    """Another server, which has claimed what the first one let go of."""
    await world.store.leave("test")
    other = world.another("other", **options)
    hold = holding(world, other, "other")
    await hold.beat()
    await hold.look()
    return other


async def begun(world: World, kind: str, **fields: Any) -> str:
    """A run whose journal has reached an event of the kind."""
    run = await world.start(on_disconnect="continue", **fields)
    async with asyncio.timeout(5):
        while kind not in await world.kinds(run):
            await asyncio.sleep(0.001)
    return run


def hangs() -> Callable[[], Awaitable[object]]:
    return asyncio.Event().wait


async def paid(invocation: ToolInvocation) -> ToolOutcome:
    """A tool that has paid."""
    return ToolOutcome(True, "receipt 1")
