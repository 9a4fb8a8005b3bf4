"""Watching a project's files for `golive dev`, and being told to stop.

The watcher only says when to look; what was edited is found by comparing with the last look. So nothing is missed that
happens before the watch stands or while a reload runs, nor a file that an editor replaces, and what came and went in
between is not told. Leaves what follows from an edit to `reloader.py`.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from watchfiles import awatch

from golive.app import Server
from golive.cli.reloader import Reloader
from golive.config.load import CONFIG_FILE, Loaded

_SETTLE_MS = 80
"""Edits that follow each other this closely are taken as one."""
_LOOK_MS = 1_000
"""A look is taken this often even if the watcher says nothing."""

Look = dict[str, tuple[int, int]]
"""Modification time and size of each file, by its path below the project's folder."""


def look(loaded: Loaded) -> Look:
    """The files that a reload would read, as they are now."""
    found: Look = {}
    for path in _files(loaded):
        try:
            state = path.stat()
        except OSError:  # gone since it was listed
            continue
        found[os.path.relpath(path, loaded.root)] = (state.st_mtime_ns, state.st_size)
    return found


def _files(loaded: Loaded) -> list[Path]:
    files = [loaded.root / CONFIG_FILE]
    for folder, below, names in os.walk(loaded.root / loaded.config.agents.path):
        below[:] = [name for name in below if name != "__pycache__" and not name.startswith(".")]
        files += [Path(folder, name) for name in names]
    return files


@asynccontextmanager
async def stopped() -> AsyncIterator[asyncio.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
        ending.append(signal.SIGHUP)
    for number in ending:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in ending:
            loop.remove_signal_handler(number)


async def reload_on_change(
    server: Server, config: Path | None, environ: Mapping[str, str], seen: Look, stop: asyncio.Event
) -> None:
    """Reloads what was edited until `stop`; what that does is the `Reloader`'s.

    Args:
        seen: the look taken before what is served now was read.
    """
    root = server.loaded.root
    agents = root / server.loaded.config.agents.path
    watched = [path for path in (agents, root / CONFIG_FILE) if path.exists()]
    async with Reloader(server, config, environ) as reloader:
        async for _ in awatch(
            *watched,
            stop_event=stop,
            step=_SETTLE_MS,
            debounce=4 * _SETTLE_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
        ):
            if stop.is_set():
                return
            now = look(server.loaded)
            edited = sorted(path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path))
            if edited:
                seen = now
                reloader.edited(edited)
