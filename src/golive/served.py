"""The agents in service: each one's version with its toolset, made from its folder, replaced when it is edited.

What is replaced goes on for the runs that began with it, and ends with the last of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from golive.config.agents import LoadedAgent
from golive.config.load import Loaded
from golive.core.clock import Clock
from golive.core.tasks import Tasks
from golive.guards.redact import Redactor
from golive.models.plane import ModelPlane
from golive.releases.digest import version_digest
from golive.releases.registry import Version, dev_name, register, unbound
from golive.runtime.agent import Agents, AgentVersion, Limits
from golive.runtime.routing import routing
from golive.runtime.tiers import tier_of
from golive.store.ports import TenantStore
from golive.telemetry.logs import Log
from golive.telemetry.run_log import without_content
from golive.tools.toolset import Toolset
from golive.workers.environment import secret_values
from golive.workers.inline import InlineToolset
from golive.workers.pool import WorkerToolset

_RETIRE_POLL_S = 0.2
_WARNINGS = frozenset(
    {"worker.retired", "worker.stalled", "worker.start_failed", "worker.protocol_broken", "tool.raised"}
)


class Served:
    """The agents of one installation; their versions are registered in its own tenant.

    Args:
        agents: where versions that answer are put.
        inline: tools run inside this process.
        dev: version names carry the content's digest.
        plane: the model plane that new versions call through.
        busy: whether a run of the version with this digest is under way here.
    """

    def __init__(
        self, loaded: Loaded, agents: Agents, environ: Mapping[str, str], *, inline: bool, dev: bool, clock: Clock,
        redactor: Redactor, log: Log, tasks: Tasks, store: TenantStore, plane: Callable[[], ModelPlane],
        busy: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._loaded = loaded
        self._agents = agents
        self._environ = environ
        self._inline = inline
        self._dev = dev
        self._clock = clock
        self._redactor = redactor
        self._log = log
        self._tasks = tasks
        self._store = store
        self._plane = plane
        self._busy = busy
        self._planes: dict[str, ModelPlane] = {}
        """Through which each agent's version calls."""

    async def put_all(self) -> None:
        """Puts every agent into service.

        Raises:
            GoliveError: one of them cannot be served.
        """
        await unbound(self._store, map(self._named, self._loaded.agents.values()))
        for agent in self._loaded.agents.values():
            self._agents.put(await self._version(agent))

    def adopt(self, loaded: Loaded) -> None:
        """Takes edited settings over; agents that are gone end."""
        self._loaded = loaded
        for version in self._agents.served():
            if version.name not in loaded.agents:
                self._agents.drop(version.name)
                self._retire(version)

    async def put(self, name: str) -> None:
        """Puts an agent into service as it is configured now; running runs finish on the version they began with.

        Raises:
            GoliveError: it cannot be served; what was served goes on.
        """
        version = await self._version(self._loaded.agents[name])
        before = self._agents.put(version)
        self._log.info("agent.loaded", agent=name, version=version.version_name)
        if before:
            self._retire(before)

    def uses(self, plane: ModelPlane) -> bool:
        """Whether an agent in service calls through the plane."""
        return any(self._planes[version.name] is plane for version in self._agents.served())

    def retire(self, idle: Callable[[], bool], close: Callable[[], Awaitable[Any]], what: str) -> None:
        """Closes something as soon as nobody needs it any more."""
        self._tasks.start(self._close_when(idle, close), f"retire {what}")

    async def close(self) -> None:
        """Ends all tools."""
        for version in self._agents.served():
            await version.toolset.close()

    def _retire(self, version: AgentVersion) -> None:
        self.retire(lambda: not self._busy(version.digest), version.toolset.close, version.name)

    async def _close_when(self, idle: Callable[[], bool], close: Callable[[], Awaitable[Any]]) -> None:
        try:
            while not idle():  # noqa: ASYNC110 - runs end in many places; a look now and then is enough
                await asyncio.sleep(_RETIRE_POLL_S)
        finally:  # also when the server ends before
            await close()

    def _named(self, agent: LoadedAgent) -> Version:
        content = version_digest(agent, self._loaded.config, self._loaded.root)
        version = agent.config.version
        return Version(agent.name, dev_name(version, content) if self._dev else version, content)

    async def _version(self, agent: LoadedAgent) -> AgentVersion:
        config, rules, plane = agent.config, agent.config.routing, self._plane()
        named = self._named(agent)
        toolset = self._toolset(agent)
        try:
            await toolset.start()
            # Only now: a name is not to be bound for good to content that could never be served.
            await register(self._store, named, self._clock.now())
        except BaseException:
            await toolset.close()
            raise
        self._planes[agent.name] = plane
        limits = config.limits
        return AgentVersion(
            name=agent.name, version_name=named.name, digest=named.digest, description=config.description,
            prompt=agent.prompt,
            tiers={name: tier_of(agent, name, plane) for name in config.models},
            toolset=toolset,
            limits=Limits(limits.max_steps, limits.deadline_s, limits.max_tool_calls_per_step, limits.decide_s),
            on_disconnect=config.on_disconnect,
            messages=config.messages,
            critical=frozenset(name for name, settings in config.tools.items() if settings.critical),
            routing=routing(rules.supervisor, rules.strong, rules.judge, rules.summarise_over, rules.wait_s),
        )  # fmt: skip

    def _toolset(self, agent: LoadedAgent) -> Toolset:
        kind = InlineToolset if self._inline else WorkerToolset
        config = agent.config
        self._redactor.learn(*secret_values(self._environ, config.worker.env))
        return kind(
            agent.folder, config.worker, config.tools, config.limits, clock=self._clock, log=self._worker_log,
            name=agent.name, redact=self._redactor.text, **({} if self._inline else {"environ": self._environ}),
        )  # fmt: skip

    def _worker_log(self, event: str, /, **fields: Any) -> None:
        content = self._loaded.config.log.content
        if not (self._dev if content is None else content):
            fields = without_content(event, fields)
        loud = event in _WARNINGS or fields.get("calls") or (self._dev and event == "worker.printed")
        (self._log.warning if loud else self._log.info)(event, **fields)
