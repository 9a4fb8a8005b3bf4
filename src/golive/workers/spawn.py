"""Starts one worker process: its command, and all that it inherits from the server."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from golive.core.errors import AgentError
from golive.tools.effects import Named
from golive.workers.hearing import Listener, Streams
from golive.workers.progress import Progress, share


class Plan(Struct, frozen=True):
    """What every worker of one pool is started with."""

    folder: Path
    concurrency: int
    max_result_bytes: int
    start_s: float
    environment: Mapping[str, str]
    named: tuple[Named, ...] = ()


class Born(NamedTuple):
    """A process just started, and the server's ends of what leads to it."""

    process: asyncio.SubprocessTransport
    streams: Streams
    socket: socket.socket
    progress: Progress


async def spawn(plan: Plan, listener: Listener) -> Born:
    """Starts it; `listener` is told what it prints, and when it ends.

    Raises:
        AgentError: the operating system refuses.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        try:
            page = share()
            theirs.callback(os.close, page)
            progress = Progress(page)
            ours.callback(progress.close)
            here, there = socket.socketpair()
            theirs.enter_context(there)
            ours.enter_context(here).setblocking(False)
            # -P: the agent's folder, our working directory, must not shadow the standard library. -s: no packages from
            # a home directory. -u: what tools print arrives when they print it.
            # The folder is for whoever reads the list of processes.
            module = ("-m", "golive.workers.main", str(there.fileno()), str(page), str(plan.folder))
            process, streams = await asyncio.get_running_loop().subprocess_exec(
                lambda: Streams(listener), sys.executable, "-P", "-s", "-u", *module,
                stdin=asyncio.subprocess.DEVNULL, pass_fds=(there.fileno(), page), cwd=plan.folder,
                env=dict(plan.environment), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise AgentError(
                f"{plan.folder}: no worker process can be started ({error}).",
                remedy="Check the machine's limits on processes, memory and open files.",
            ) from error
        ours.pop_all()
        return Born(process, streams, here, progress)
