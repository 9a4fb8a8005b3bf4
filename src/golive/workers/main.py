"""The worker process: loads one agent's tools and carries out the calls that come over the socket.

Started by `spawn.py` as `python -m golive.workers.main SOCKET PAGE FOLDER`, the first two being descriptors. It imports
as little of golive as it can (people wait for its start), holds no secret, and never outlives the server: the kernel
kills it with its parent (Linux), and the end of the socket ends it elsewhere.
"""

import asyncio
import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from golive.core.clock import SystemClock
from golive.core.errors import AgentError, ToolTimeout
from golive.core.tasks import Tasks
from golive.tools.executor import Carried, Executor, Work, utf8_safe
from golive.tools.loading import LoadedTools, expose, load_tools
from golive.tools.toolset import NotCarriedOut, ToolOutcome
from golive.workers import protocol
from golive.workers.progress import Progress
from golive.workers.protocol import (
    Call,
    Cancel,
    Done,
    Frames,
    FromWorker,
    Heard,
    Hello,
    Logged,
    NeverDone,
    Refused,
    Setup,
    Spec,
    Stop,
    Unbegun,
)

MODULE = "tools"
"""The name tools.py has here, so that its siblings may import it."""
MAX_LOGGED_CHARS = 65_536
"""Of one field of a logged event; a traceback keeps its end."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Serves until told to stop or until the server has gone; never returns."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)  # what tools start must not hold the socket open after us
    page = int(sys.argv[2])
    progress = Progress(page)
    os.close(page)
    setup = _receive_setup(channel)
    _die_with(setup.server_pid)
    faulthandler.enable()  # a segmentation fault leaves its stack on stderr, which is captured
    folder = Path(setup.folder)
    expose(folder)
    sys.argv = [str(folder / "tools.py")]
    try:
        loaded = load_tools(folder, MODULE, setup.named)
        asyncio.run(_serve(channel, setup, loaded, progress))
    except AgentError as error:
        channel.setblocking(True)
        channel.sendall(protocol.encode(_refused(error)))
        _leave(1)
    _leave(0)


def _receive_setup(channel: socket.socket) -> Setup:
    frames = Frames(protocol.to_worker)
    while data := channel.recv(65_536):
        for message in frames.feed(data):
            assert isinstance(message, Setup)
            return message
    _leave(0)
    raise AssertionError


def _die_with(server_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server_pid:  # it went before we asked
        _leave(0)


def _leave(code: int) -> None:
    """Ends at once: a thread that never returns, or an atexit hook, must not hold the process up."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, replaced by users' code, or nobody reads any more
            stream.flush()
    os._exit(code)


def _refused(error: AgentError) -> Refused:
    text = error.fields.get
    return Refused(error.message, error.remedy, str(text("origin", "")), str(text("traceback", ""))[-MAX_LOGGED_CHARS:])


async def _serve(channel: socket.socket, setup: Setup, loaded: LoadedTools, progress: Progress) -> None:
    connection = _Connection(progress)
    clock = SystemClock()
    executor = Executor(
        loaded, clock=clock, threads=setup.concurrency, max_result_bytes=setup.max_result_bytes, log=connection.log
    )
    await executor.start()
    connection.executor = executor
    await asyncio.get_running_loop().create_unix_connection(lambda: connection, sock=channel)
    connection.send(Hello(tuple(Spec(spec.name, spec.description, bytes(spec.parameters)) for spec in loaded.specs)))
    await connection.stopped.wait()
    await connection.calls.close()
    await executor.close()
    _leave(0)


class _Connection(asyncio.Protocol):
    """The worker's end of the socket."""

    executor: Executor

    def __init__(self, progress: Progress) -> None:
        self.stopped = asyncio.Event()
        self.calls = Tasks("worker")
        self._loop = asyncio.get_running_loop()
        self._clock = SystemClock()
        self._frames = Frames(protocol.to_worker)
        self._progress = progress
        self._running: dict[int, tuple[asyncio.Task[Carried | None], Work]] = {}
        self._transport: asyncio.Transport | None = None
        self._early: list[Logged] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for message in self._early:
            self.send(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.stopped.set()

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if isinstance(message, Call):
                self._begin(message)
            elif isinstance(message, Cancel):
                self._cancel(message.id)
            elif isinstance(message, Stop):
                self.stopped.set()

    def send(self, message: FromWorker) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(protocol.encode(message))

    def log(self, event: str, /, **fields: Any) -> None:
        """Called by the executor, also from threads."""
        message = Logged(event, {key: utf8_safe(str(value)[-MAX_LOGGED_CHARS:]) for key, value in fields.items()})
        if self._transport is None:
            self._early.append(message)
        else:
            self._loop.call_soon_threadsafe(self.send, message)

    def _begin(self, call: Call) -> None:
        if self.stopped.is_set():
            return
        deadline_at = self._clock.monotonic() + call.remaining_s
        work = Work(
            call.name, call.arguments, call.tenant, call.run, call.key, deadline_at, call.begin_by, call.role,
            call.result,
        )  # fmt: skip
        task = self.calls.start(self._carry_out(call.id, work), call.name)
        self._running[call.id] = (task, work)
        task.add_done_callback(lambda done: self._ended(call.id, done))

    async def _carry_out(self, call_id: int, work: Work) -> Carried | None:
        return await self.executor.call(work) if self._progress.begin(call_id) else None

    def _cancel(self, call_id: int) -> None:
        running = self._running.get(call_id)
        if running is None:
            return
        self.send(Heard(call_id))
        task, work = running
        if call_id > self._progress.begun or self.executor.stoppable(work):
            task.cancel()

    def _ended(self, call_id: int, task: "asyncio.Task[Carried | None]") -> None:
        del self._running[call_id]
        outcome = ToolOutcome(False, "cancelled", ToolTimeout.code) if task.cancelled() else task.result()
        if outcome is None:
            self.send(Unbegun(call_id))
        elif isinstance(outcome, NotCarriedOut):
            self.send(NeverDone(call_id))
        else:
            self.send(Done(call_id, outcome.ok, outcome.content, outcome.error_code, outcome.begun))


if __name__ == "__main__":
    main()
