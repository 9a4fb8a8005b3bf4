"""What follows from an edit in `golive dev`: each agent is reloaded by itself, and what came of it is told.

An agent that is broken, or whose tools are slow to come up, holds up no other. Its last good version goes on, and
a newer edit of it takes the place of the reload under way. A fault is told when it is found, and not again because
something else was edited. Leaves watching the files to `reloading.py`.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import TracebackType

import typer

from golive.app import Server
from golive.cli.idle import tell_idle
from golive.cli.main import tell
from golive.config.load import CONFIG_FILE, Loaded, load_around
from golive.core.errors import GoliveError
from golive.core.tasks import Tasks
from golive.releases.digest import ignored, version_digest

AT_ONCE = 4
"""Agents that are started at the same time."""
_NAMED = 5
"""Most files named in one line."""


class Reloader:
    """Takes edits by `edited`; leaving the block ends the reloads under way."""

    def __init__(self, server: Server, config: Path | None, environ: Mapping[str, str]) -> None:
        self._server = server
        self._config = config
        self._environ = environ
        self._tasks = Tasks("reload")
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(AT_ONCE)
        self._tried: dict[str, str] = {}
        """Agent -> digest of what is being loaded, or could not be."""
        self._told: dict[str, str] = {}
        """Agent or golive.toml -> the fault that was told last."""

    async def __aenter__(self) -> "Reloader":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.close()

    def edited(self, paths: list[str]) -> None:
        """Reloads what the edit of these files (relative to the project's folder) concerns, without waiting for it."""
        before = self._server.loaded
        try:
            loaded, faults = load_around(self._config, self._environ, before)
        except GoliveError as error:
            self._fault(CONFIG_FILE, error, again=CONFIG_FILE in paths)
            return
        if loaded.config.server != before.config.server or loaded.config.store != before.config.store:
            typer.secho("[server] and [store] take effect at the next start", fg=typer.colors.YELLOW)
        of_agents = _by_agent(paths, before)
        if self._told.pop(CONFIG_FILE, "") or CONFIG_FILE in paths:
            _say(f"{CONFIG_FILE} reloaded")
        known = {setting.message for setting in before.idle}
        tell_idle([setting for setting in loaded.idle if setting.message not in known])
        every = self._server.adopt(loaded)
        for name in before.agents.keys() - loaded.agents.keys():
            self._forget(name)
            _say(f"{name} removed")
        for name, fault in faults.items():
            self._forget(name, told=False)
            self._fault(name, fault, again=name in of_agents)
        for name in loaded.agents.keys() - faults.keys():
            self._follow(name, of_agents.get(name, []), every=every)

    def _follow(self, name: str, paths: list[str], *, every: bool) -> None:
        """Reloads an agent that can be read: whenever its files were edited, and else if it is not what is served,
        nor what was tried already. After an edit the digest alone does not tell: what is served may have been read in
        the middle of it."""
        loaded = self._server.loaded
        try:
            content = version_digest(loaded.agents[name], loaded.config, loaded.root)
        except GoliveError as error:
            self._forget(name, told=False)
            self._fault(name, error, again=bool(paths))
            return
        if not (every or paths) and self._served().get(name) == content:
            if self._forget(name):
                _say(f"{name} unchanged")
        elif paths or self._tried.get(name) != content:
            self._forget(name, told=bool(paths))
            self._tried[name] = content
            named = ", ".join(paths[:_NAMED]) + (", …" if len(paths) > _NAMED else "")
            _say(f"reloading {name} ({named}) …" if named else f"reloading {name} …")
            self._loading[name] = self._tasks.start(self._load(name), name)

    async def _load(self, name: str) -> None:
        async with self._free:
            try:
                await self._server.reload(name)
            except GoliveError as error:
                self._fault(name, error, again=False)
                return
        del self._tried[name], self._loading[name]
        self._told.pop(name, None)
        _say(f"{name} reloaded")

    def _forget(self, name: str, *, told: bool = True) -> bool:
        """Ends a reload under way, and lets the agent be tried again; whether it was known to be broken, or loading."""
        task = self._loading.pop(name, None)
        if task is not None:
            task.cancel()
        known = self._tried.pop(name, None) is not None or name in self._told
        if told:
            self._told.pop(name, None)
        return known

    def _fault(self, name: str, error: GoliveError, *, again: bool) -> None:
        """Tells a fault, unless it was told and nobody has edited what it is about since (`again`)."""
        if self._told.get(name) == str(error) and not again:
            return
        self._told[name] = str(error)
        tell(error)
        served = name == CONFIG_FILE or name in self._served()
        typer.secho(f"{name} not reloaded: what was served last goes on" if served else f"{name} not loaded")

    def _served(self) -> dict[str, str]:
        return {version.name: version.digest for version in self._server.agents.served()}


def _by_agent(paths: list[str], loaded: Loaded) -> dict[str, list[str]]:
    """The edited files that are part of a version, by the name of the agent's folder."""
    found: dict[str, list[str]] = {}
    folder = PurePath(loaded.config.agents.path)
    for path in map(PurePath, paths):
        inner = path.parts[len(folder.parts) :] if path.is_relative_to(folder) else ()
        if len(inner) > 1 and not any(map(ignored, inner)):
            found.setdefault(inner[0], []).append(str(path))
    return found


def _say(text: str) -> None:
    typer.secho(text, dim=True)
