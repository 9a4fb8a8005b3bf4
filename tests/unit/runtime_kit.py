"""What the runtime's tests are built from: a scripted model, tools as coroutines, a real store."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Raw

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.events import Body
from golive.core.frames import Frame
from golive.core.ids import Ids
from golive.core.messages import Message, ToolSpec, Usage
from golive.models.call import (
    AttemptStarted,
    CallContext,
    Finished,
    Metered,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from golive.runtime.agent import Agents, AgentVersion, Limits, Tier
from golive.runtime.api import RunRequest
from golive.runtime.holding import Holding
from golive.runtime.journal import unannounced
from golive.runtime.service import Runtime, RuntimeSettings
from golive.runtime.state import RunState
from golive.runtime.subscription import Subscription
from golive.store.sqlite.store import SqliteStore
from golive.tenants.authorize import Principal
from golive.tools.toolset import EffectRules, NotKnown, StatusAnswer, ToolInvocation, ToolOutcome

PRINCIPAL = Principal("default", "key_1", "user")
TARGET = "sim/sim-text"
Item = ModelEvent | list[ModelEvent] | Exception | Awaitable[object] | Callable[[], Awaitable[object]]


def answer(*texts: str, reason: str = "stop") -> list[Item]:
    """A turn that says the texts, one batch each, and ends."""
    return [*(TextDelta(text) for text in texts), Finished(reason)]  # type: ignore[arg-type]


def asks(*calls: tuple[str, str], text: str = "") -> list[Item]:
    """A turn that asks for tools: (name, JSON arguments) each."""
    said: list[Item] = [TextDelta(text)] if text else []
    for index, (name, arguments) in enumerate(calls):
        said.append(ToolCallDelta(index, f"c{index}_{name}", name, arguments))
    return [*said, Finished("tool_calls")]


class ScriptedModel:
    """Plays one turn a call; keeps the requests it was sent. An item that can be awaited is awaited at its place."""

    def __init__(self, *turns: list[Item], repeat: bool = False, priced: bool = True, estimated: bool = False) -> None:
        self.turns = list(turns)
        self.repeat = repeat
        self.priced = priced
        self.estimated = estimated
        self.usage = Usage(input_tokens=10, output_tokens=5)
        self.requests: list[ModelRequest] = []

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        self.requests.append(request)
        turn = self.turns[0] if self.repeat else self.turns.pop(0)
        yield [AttemptStarted(1, TARGET)]
        usage = self.usage
        metered = Metered(1, TARGET, usage, 30 if self.priced else 0, self.priced, self.estimated, 1.0, 2.0)
        try:
            for item in turn:
                if isinstance(item, Exception):
                    yield [metered]
                    raise item
                if isinstance(item, list):
                    yield item
                elif callable(item):
                    await item()
                elif isinstance(item, Awaitable):
                    await item
                else:
                    yield [item]
        except (asyncio.CancelledError, GeneratorExit):
            if ctx.on_abandoned:
                ctx.on_abandoned(metered)
            raise
        yield [UsageReported(usage)]
        yield [metered]


class Tools:
    """A toolset of coroutines. `effects` and `answers` (of status functions) may be set."""

    def __init__(self, **tools: Callable[[ToolInvocation], Awaitable[ToolOutcome]]) -> None:
        self.tools = tools
        self.calls: list[ToolInvocation] = []
        self.effects: dict[str, EffectRules] = {}
        self.answers: dict[str, StatusAnswer] = {}
        self.asked: list[ToolInvocation] = []
        self.undone: list[tuple[ToolInvocation, str]] = []
        self.specs = tuple(ToolSpec(name, name, Raw(b'{"type":"object"}')) for name in sorted(tools))

    async def start(self) -> None: ...

    async def call(self, invocation: ToolInvocation, deadline: Deadline) -> ToolOutcome:
        self.calls.append(invocation)
        if invocation.name not in self.tools:
            return ToolOutcome(False, f"there is no tool {invocation.name}", "tool.unknown")
        return await self.tools[invocation.name](invocation)

    async def status(self, invocation: ToolInvocation, deadline: Deadline) -> StatusAnswer:
        self.asked.append(invocation)
        return self.answers.get(invocation.name, NotKnown(f"{invocation.name} has no status function", "tool.unknown"))

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        self.undone.append((invocation, result))
        return ToolOutcome(True, f"{invocation.name} undone")

    async def close(self) -> None: ...


async def open_runs(store: SqliteStore) -> list[tuple[str, str]]:
    """Tenant and id of the runs that somebody is to carry on, oldest first."""
    sql = "SELECT tenant, run FROM leases WHERE at_rest = 0 ORDER BY run"
    return await store.read(lambda connection: connection.execute(sql).fetchall())


class World:
    """A runtime over a real store with one agent `helper`."""

    def __init__(self, path: Path, model: ScriptedModel, tools: Tools | None = None, **options: object) -> None:
        self.clock = SystemClock()
        self.store = SqliteStore.open(path / "test.db", clock=self.clock, inline=True)
        self.bodies: list[Body] = []
        self.faults: list[BaseException] = []
        self.agents = Agents()
        self.model = model
        limits = Limits(int(options.get("max_steps", 15)), float(options.get("deadline_s", 30.0)), 4)  # type: ignore[call-overload, arg-type]
        self.agents.put(
            AgentVersion(
                name="helper",
                version_name="1.0.0",
                digest="sha256:test",
                description="",
                prompt="Be brief.",
                tiers={"default": Tier(call=model, targets=(TARGET,), output_schema=options.get("output_schema"))},  # type: ignore[arg-type]
                toolset=tools or Tools(),
                limits=limits,
                on_disconnect="cancel",
                messages=options.get("messages", {}),  # type: ignore[arg-type]
                critical=options.get("critical", frozenset()),  # type: ignore[arg-type]
            ),
        )
        self.options = options
        self.runtime = self.another("test")

    def another(self, holder: str, generation: int = 1) -> Runtime:
        """A further server over the same store, with the same agents."""
        options = self.options
        settings = RuntimeSettings(
            holder=holder,
            max_open_runs=int(options.get("max_open_runs", 100)),  # type: ignore[call-overload]
            conversation_queue=int(options.get("conversation_queue", 8)),  # type: ignore[call-overload]
            disconnect_grace_s=float(options.get("grace_s", 0.0)),  # type: ignore[arg-type]
            moves_on=bool(options.get("moves_on", False)),
            store_patience_s=float(options.get("store_patience_s", 0.0)),  # type: ignore[arg-type]
        )

        def observe(state: RunState, bodies: list[Body]) -> None:
            self.bodies.extend(bodies)

        return Runtime(
            store=self.store,
            agents=self.agents,
            clock=self.clock,
            ids=Ids(self.clock, SeededChance(len(holder))),
            settings=settings,
            observer=observe,
            faults=lambda run, error: self.faults.append(error),
            announce=options.get("announce", unannounced),  # type: ignore[arg-type]
            generation=generation,
        )

    async def start(self, text: str = "Hello", **fields: object) -> str:
        request = RunRequest(agent="helper", input=(Message("user", text),), principal=PRINCIPAL, **fields)  # type: ignore[arg-type]
        return await self.runtime.start(request)

    async def kinds(self, run: str) -> list[str]:
        return [event.kind for event in await self.store.tenant("default").events(run)]


def over(runtime: Runtime, store: Any) -> None:
    """Has the server use another store from now on, everywhere."""
    for part in (runtime, runtime.steering, runtime._carrier, runtime._carrier._ender):
        part._store = store


def holding(
    world: World, runtime: Runtime, holder: str, *, versions: tuple[str, ...] = ("sha256:test",),
    lost: Callable[[list[str], bool], None] = lambda runs, lapsed: None,
) -> Holding:  # fmt: skip
    """The hold of one of the world's servers on its runs, as `app.py` makes it."""

    def told(lapsed: bool) -> None:
        if runs := runtime.lost():
            lost(runs, lapsed)

    return Holding(
        store=world.store, clock=world.clock, holder=holder, replica="", lease_s=10.0, versions=lambda: versions,
        take_over=runtime.steering.take_over, room=runtime.room, expire=runtime.steering.expire,
        faults=lambda run, error: world.faults.append(error), taken_over=lambda runs: None, carries=runtime.carries_run,
        followed=runtime.followed, lost=told,
    )  # fmt: skip


async def drain(subscription: Subscription) -> list[Frame]:
    """All frames to the end."""
    frames: list[Frame] = []
    while (batch := await subscription.next(5.0)) is not None:
        frames.extend(batch)
    subscription.close()
    return frames


def shown(frames: list[Frame]) -> str:
    """The text of the answer channel as a subscriber joins it."""
    return "".join(frame.text() for frame in frames if frame.event == "text.delta")
