"""Watching a project's files for `golive dev`, and being told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from watchfiles import Change, awatch

from golive.app import Server
from golive.cli.main import tell
from golive.config.load import CONFIG_FILE, load
from golive.core.errors import GoliveError

_SETTLE_MS = 80
"""Edits that follow each other this closely are taken as one."""


@asynccontextmanager
async def stopped() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def reload_on_change(
    server: Server, config: Path | None, environ: Mapping[str, str], stop: asyncio.Event
) -> None:
    """Reloads what was edited until `stop`; an edit that cannot be used is told, and what was served stays."""
    root = server.loaded.root
    agents = root / server.loaded.config.agents.path
    watched = [path for path in (agents, root / CONFIG_FILE) if path.exists()]
    async for changes in awatch(*watched, stop_event=stop, step=_SETTLE_MS, debounce=4 * _SETTLE_MS):
        names = _names(changes, root)
        if not names:
            continue
        try:
            loaded = load(config, environ)
            if loaded.config.server != server.loaded.config.server or loaded.config.store != server.loaded.config.store:
                typer.secho("[server] and [store] take effect at the next start", fg=typer.colors.YELLOW)
            faults = await server.reload(loaded)
        except GoliveError as error:
            faults = [error]
        for fault in faults:
            tell(fault)
        mark = "not reloaded, the last good version goes on" if faults else "reloaded"
        typer.secho(f"{', '.join(names[:5])}: {mark}", dim=not faults or None)


def _names(changes: Iterable[tuple[Change, str]], root: Path) -> list[str]:
    """The files that changed; what came and went in between is left out (editors write beside a file and rename)."""
    seen = {path for _, path in changes if "__pycache__" not in path}
    lasting = {path for path in seen if Path(path).exists()}
    gone = {path for change, path in changes if change is Change.deleted} - {
        path for change, path in changes if change is Change.added
    }
    return sorted(str(Path(path).relative_to(root)) for path in lasting | (gone & seen))
