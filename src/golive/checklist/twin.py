"""A twin: the user's own configuration, running in a folder of its own against a simulated provider.

A target with handles: faults can be injected, the server's process, log and files looked at, and nobody is charged. The
user's secrets are not needed, the user's store is not touched, and no tool is called: models say only what a check
scripts. Everything is taken away at the end, also when the check is interrupted.
"""

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from golive.checklist import ledger, stand_ins, twin_config
from golive.checklist.http import Http
from golive.checklist.registry import NEEDS
from golive.checklist.server_process import ServerProcess
from golive.checklist.simulator import SimulatorControl
from golive.checklist.target import Target, TargetUnusable
from golive.config.load import Loaded, load
from golive.config.schema import AgentConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.runtime import routing
from golive.sim.process import SimulatorProcess
from golive.tenants.opening import create_key
from golive.workers.scratch import Scratch, sweep

FOLDER_PREFIX = "golive-check-"
SPEED = 10.0
"""How fast time goes in the twin in which drills wait out what the user configured: 30 s of an open breaker are 3.

Faster would be quicker, and a busy machine would miss limits such as connect_s that it keeps in real time."""
AT_LENGTH = "Never mind these words, which only make the question long. " * (routing.MAX_CHARS // 50)
COMMAND = (sys.executable, "-m", "golive.cli.main")
"""How `golive` is started."""


StandIns = Callable[[Path, AgentConfig], None]
"""Puts stand-ins for an agent's tools into its folder."""


class Another(Protocol):
    """Makes a further twin of the same configuration, which ends with the first."""

    async def __call__(
        self, *, speed: float = 1.0, tools: StandIns | None = None, settings: Mapping[str, str] | None = None
    ) -> "Twin": ...


class Twin(Target):
    """See the module.

    `original`: the user's own configuration. `revocable`: (id, key) of a key that a check may revoke. `secrets`: name
    -> value. `speed`: how fast time goes in the server and in the simulated provider.
    """

    kind = "twin"

    def __init__(
        self,
        http: Http,
        *,
        loaded: Loaded,
        folder: Path,
        process: ServerProcess,
        simulator: SimulatorControl,
        key: str,
        revocable: tuple[str, str],
        provider_keys: Sequence[str],
        speed: float,
        another: Another,
    ) -> None:
        super().__init__(http, process.url, key)
        self.loaded = self.original = loaded
        self.folder = folder
        self.process = process
        self.simulator = simulator
        self.revocable = revocable
        pepper = (folder / twin_config.PEPPER_FILE).read_text().strip()
        self.secrets = {
            "the API key in use": key,
            "an API key": revocable[1],
            "the provider's key": provider_keys[0],
            **{f"the provider's key {number}": key for number, key in enumerate(provider_keys[1:], 2)},
            "the pepper": pepper,
        }
        http.conceal(revocable[1], "$GOLIVE_REVOKED_KEY")
        http.conceal(provider_keys[0], "$PROVIDER_KEY")
        for number, provider_key in enumerate(provider_keys[1:], 2):
            http.conceal(provider_key, f"$PROVIDER_KEY_{number}")
        http.conceal(pepper, "$PEPPER")
        self.speed = speed
        self._another = another
        self.taken_away: Callable[[], Awaitable[None]] | None = None
        """Set for a twin that another made: ends all of it."""
        self.ledger = ledger.Ledger(folder)
        """What stand-ins did, in a twin where they have an effect."""
        self._fast: Twin | None = None
        self._dying: Twin | None = None
        self._effecting: Twin | None = None
        self.worn = False
        """What a check sets that has used up the budget of retries, or the version: the next one gets a new server."""
        self.golive = True
        self.targets = twin_config.targets(loaded.config, loaded.agents)

    def stands_for(self, original: Loaded, agent: str | None, model: str) -> None:
        """Sets whose twin it is, and what is asked of it."""
        self.original, self.agent, self.model = original, agent, model
        self.others = tuple(sorted(original.agents.keys() - {agent}))

    @property
    def twin(self) -> "Twin":
        return self

    def question(self, text: str) -> str:
        """Where the agent has `[routing]`, at such length that its strong tier answers and no supervisor is asked."""
        if self.agent is None or self.loaded.agents[self.agent].config.routing.supervisor is None:
            return text
        return f"{text} {AT_LENGTH}"

    async def reset(self) -> None:
        """The providers are well again, and the server remembers no failure of theirs."""
        await self.simulator.calm()
        if self.worn:
            await self.restart()
        await self.http.send(
            "POST", f"{self.process.url}/v1/breakers/reset", headers=self.authorized(), body={}, remember=False
        )

    async def restart(self) -> None:
        """Stops the server and starts it again on the same store, at the same address."""
        await self.process.stop()
        await self.process.start()
        self.worn = False

    async def end(self) -> None:
        """Kills the server; of a twin that another made, all is taken away: a check calls it for those it made."""
        await self.process.kill()
        if self.taken_away is not None:
            await self.taken_away()

    async def fast(self) -> "Twin":
        """A twin of the same configuration in which time goes `SPEED` times as fast, as new."""
        if self._fast is None:
            self._fast = await self._another(speed=SPEED)
        await self._fast.reset()
        return self._fast

    async def dying(self, tools: Sequence[str]) -> "Twin":
        """As `fast`, without the agent's tools.py: under their names stand tools that die (`stand_ins.py`)."""
        if self._dying is None:
            self._dying = await self._another(speed=SPEED, tools=partial(stand_ins.write, names=tools))
        await self._dying.reset()
        return self._dying

    async def effecting(self, tools: Sequence[str]) -> "Twin":
        """In real time, with stand-ins for these tools that enter their effects into a file (`ledger.py`)."""
        if self._effecting is None:
            self._effecting = await self._another(tools=partial(ledger.write, names=tools))
        await self._effecting.reset()
        return self._effecting

    async def replica(self, tools: Sequence[str], timeout_s: float, settings: Mapping[str, str]) -> "Twin":
        """As `effecting`, a new one each time: with these settings in its environment, and this time for each tool."""
        return await self._another(tools=partial(ledger.write, names=tools, timeout_s=timeout_s), settings=settings)

    async def configured(self, settings: Mapping[str, str], speed: float = 1.0) -> "Twin":
        """A new one each time, with these settings in its environment; in real time unless it says otherwise."""
        return await self._another(settings=settings, speed=speed)

    def store_files(self) -> list[Path]:
        """The database's files (main, write-ahead log, shared memory), to be read and not written."""
        return sorted(self.folder.glob(f"{twin_config.STORE_FILE}*"))

    def stored_versions(self, run: str) -> set[str]:
        """The version digests on the run's stored events. Blocks: call it in a thread."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.folder / twin_config.STORE_FILE}?mode=ro", uri=True)
        ) as db:
            return {str(row[0]) for row in db.execute("SELECT DISTINCT version FROM events WHERE run = ?", (run,))}


def choose(loaded: Loaded, agent: str | None) -> tuple[str | None, str]:
    """The agent to ask (None where there is none), and the `model` for chat completions: named, else the first.

    Raises:
        TargetUnusable: there is no such agent, or nothing to ask at all.
    """
    names = sorted(loaded.agents)
    if agent is not None and agent not in names:
        remedy = f"Agents of this configuration: {', '.join(names) or 'none'}."
        raise TargetUnusable(f"there is no agent {agent!r}.", remedy=remedy, key="--agent", value=agent)
    if names:
        return agent or names[0], agent or names[0]
    targets = twin_config.targets(loaded.config, loaded.agents)
    if targets:
        return None, targets[0]
    raise TargetUnusable(
        "the configuration has neither an agent nor a provider with `models`: there is nothing to ask.",
        remedy="Add an agent (`golive new NAME`), or list models of a provider.",
        key="providers",
        value="",
    )


def _models(loaded: Loaded) -> list[str]:
    return [target.partition("/")[2] for target in twin_config.targets(loaded.config, loaded.agents)]


def _write(loaded: Loaded, folder: Path, base_url: str, asked: str | None, tools: StandIns | None) -> Path:
    """The twin's folder; where others stand in for tools, with the asked agent alone."""
    if asked is None or tools is None:
        return twin_config.write(loaded, folder, base_url)
    path = twin_config.write(replace(loaded, agents={asked: loaded.agents[asked]}), folder, base_url)
    tools(folder / "agents" / asked, loaded.agents[asked].config)
    return path


async def _another(
    stack: AsyncExitStack, further: Callable[..., AbstractAsyncContextManager[Twin]], **wanted: Any
) -> Twin:
    """A further twin, which ends with the stack, or before."""
    its_own = await stack.enter_async_context(AsyncExitStack())
    made = await its_own.enter_async_context(further(**wanted))
    made.taken_away = its_own.aclose
    return made


@asynccontextmanager
async def twin(
    loaded: Loaded,
    environ: Mapping[str, str],
    *,
    clock: Clock,
    chance: Chance,
    agent: str | None = None,
    command: Sequence[str] = COMMAND,
    extra_environ: Mapping[str, str] | None = None,
    speed: float = 1.0,
    tools: StandIns | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Twin]:
    """Builds a twin and takes it away again.

    Args:
        loaded: the user's configuration.
        environ: the environment; only what `twin_config.environment` lets through reaches the twin.
        agent: the agent to ask; by default the first.
        command: what starts `golive`, for drills on another build of it.
        extra_environ: further variables for the server's process.
        speed: how fast time goes in it.
        tools: what stands in for the asked agent's tools; other agents are then left out.
        settings: of the twin's own, by their names in the environment.

    Raises:
        TargetUnusable: the configuration has nothing to ask.
        ServerStartFailed, SimulatorStartFailed: it does not start.
    """
    asked, model = choose(loaded, agent)
    async with AsyncExitStack() as stack:
        sweep(FOLDER_PREFIX)
        folder = (scratch := Scratch(FOLDER_PREFIX)).path
        stack.callback(scratch.remove)
        keys = {name: f"sk-check-{chance.token(24).hex()}" for name in twin_config.key_names(loaded.config)}
        http = await stack.enter_async_context(Http(clock))
        provider = SimulatorProcess(clock, api_keys=tuple(keys.values()), speed=speed)
        stack.push_async_callback(provider.stop)
        base_url = await provider.start()
        path = await asyncio.to_thread(_write, loaded, folder, base_url, asked, tools)
        environment = twin_config.environment(environ, loaded.agents, keys) | dict(settings or {})
        mine = load(path, environment)
        made = await create_key(mine, "check", "admin", environment)
        revocable = await create_key(mine, "check, to be revoked", "admin", environment)
        process = ServerProcess(command, path, environment | dict(extra_environ or {}), folder, clock, speed=speed)
        stack.push_async_callback(process.stop)
        await process.start()
        further = partial(
            twin, loaded, environ, clock=clock, chance=chance, agent=agent, command=command, extra_environ=extra_environ
        )
        found = Twin(
            http,
            loaded=mine,
            folder=folder,
            process=process,
            simulator=SimulatorControl(http, base_url, _models(mine)),
            key=made.secret,
            revocable=(revocable.row.id, revocable.secret),
            provider_keys=tuple(keys.values()),
            speed=speed,
            another=partial(_another, stack, further),
        )
        found.stands_for(loaded, asked, model)
        found.handles = set(NEEDS) - ({"agent"} if asked is None else set())
        await found.reset()
        yield found
