"""One worker process, seen from the server: started, spoken to, listened to, ended.

Leaves how many there are, and what follows when one is lost or hangs, to its owner (`pool.py`).
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from msgspec import Raw, Struct

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import AgentError, DeadlineExceeded
from golive.core.messages import ToolSpec
from golive.tools.executor import Log
from golive.tools.toolset import ToolInvocation, ToolOutcome
from golive.workers import protocol
from golive.workers.outcomes import crashed, exit_text, timed_out
from golive.workers.output import LineCapture
from golive.workers.protocol import Call, Cancel, Done, Frames, Hello, Logged, ProtocolBroken, Refused, Setup, Stop

ACKNOWLEDGE_S = 0.5
"""How long after its deadline a call may take to end before its worker counts as hung."""
LAST_WORDS_S = 0.5
"""How long the output of a worker that could not start is waited for."""
KILL_S = 2.0
"""How long the kernel may take to end a killed process."""


class Plan(Struct, frozen=True):
    """What every worker of one pool is started with."""

    folder: Path
    concurrency: int
    max_result_bytes: int
    start_s: float
    environment: Mapping[str, str]


class Owner(Protocol):
    """Told, on the event loop, what becomes of its workers."""

    def freed(self, worker: "WorkerProcess") -> None:
        """A call has really ended, and its place is free."""
        ...

    def lost(self, worker: "WorkerProcess") -> None:
        """The process has ended after it had been ready; all its calls have failed."""
        ...

    def hung(self, worker: "WorkerProcess", tool: str) -> None:
        """A call does not end though its deadline is over."""
        ...


class _Pending:
    __slots__ = ("deadline", "future", "timer", "tool")

    def __init__(self, future: "asyncio.Future[ToolOutcome]", tool: str, deadline: Deadline) -> None:
        self.future = future
        self.tool = tool
        self.deadline = deadline
        self.timer: asyncio.TimerHandle | None = None


class WorkerProcess:
    """`load` counts the calls that hold a place here, `capacity` how many may; both are the owner's to respect."""

    def __init__(self, plan: Plan, owner: Owner, *, clock: Clock, log: Log) -> None:
        self.capacity = plan.concurrency
        self.load = 0
        self.pid = 0
        self.answered = 0
        self.retired = False
        self.started_at = clock.monotonic()
        self.specs: tuple[ToolSpec, ...] = ()
        self._plan = plan
        self._owner = owner
        self._clock = clock
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, _Pending] = {}
        self._last_id = 0
        self._ready: asyncio.Future[Hello | None] = self._loop.create_future()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._channel: asyncio.Transport | None = None
        self._process: asyncio.SubprocessTransport | None = None
        self._streams: _Streams | None = None
        self._was_ready = False

    @property
    def accepting(self) -> bool:
        """Whether a new call has a chance here."""
        return not self.retired and not self._exited.done()

    async def start(self) -> None:
        """Starts the process and waits until it has loaded tools.py.

        Raises:
            AgentError: tools.py cannot be served, the process ended, or it was not ready within `start_s`.
        """
        deadline = Deadline.after(self._clock, self._plan.start_s, "worker.start_s")
        try:
            async with deadline.enforced(self._clock):
                await self._spawn()
                hello = await self._ready
            if hello is None or self._exited.done():
                raise await self._ended_early()
            self._was_ready = True
        except DeadlineExceeded as error:
            raise AgentError(
                f"{self._plan.folder}: the worker was not ready within {error.fields['seconds']:g} s (worker.start_s).",
                remedy="Look for slow imports or a slow lifespan in tools.py, or raise worker.start_s in agent.toml.",
                key="worker.start_s",
            ) from None
        finally:
            if not self._was_ready:
                self._ready.cancel()
                await self.kill()
        self.specs = tuple(ToolSpec(spec.name, spec.description, Raw(spec.parameters)) for spec in hello.specs)
        self._log("worker.started", pid=self.pid, ms=round((self._clock.monotonic() - self.started_at) * 1000, 1))

    async def call(self, invocation: ToolInvocation, arguments: bytes, deadline: Deadline) -> ToolOutcome:
        """Carries one call out. The caller holds a place; it is freed (`Owner.freed`) when the call has really ended,
        which for one that is cancelled or timed out may be later than this returns."""
        self._last_id += 1
        call_id = self._last_id
        remaining = deadline.remaining(self._clock)
        pending = _Pending(self._loop.create_future(), invocation.name, deadline)
        pending.timer = self._loop.call_later(remaining, self._expired, call_id)
        self._calls[call_id] = pending
        self._send(
            Call(call_id, invocation.name, arguments, invocation.tenant, invocation.run, invocation.key, remaining)
        )
        try:
            return await pending.future
        except asyncio.CancelledError:
            if call_id in self._calls:
                self._send(Cancel(call_id))
                self._end_if_forsaken()
            raise

    def retire(self) -> None:
        """It gets no new calls, and is killed as soon as nobody waits for those it has."""
        self.retired = True
        self._end_if_forsaken()

    async def stop(self, seconds: float) -> None:
        """Lets it leave its lifespan for at most `seconds`, then kills it. Returns when the process has gone."""
        if not self.retired and not self._exited.done():
            self._send(Stop())
            await asyncio.wait([self._exited], timeout=seconds)
        await self.kill()

    async def kill(self) -> None:
        """Ends it, and what it has started, at once."""
        if self._process is None:
            return
        try:
            if not self._exited.done():
                self._kill_group()
                await asyncio.wait([self._exited], timeout=KILL_S)
            await self._last_words()
        finally:
            if self._channel is not None:
                self._channel.close()
            self._process.close()

    # ---- starting ----------------------------------------------------------------------------------------------------

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            # -P: the agent's folder, our working directory, must not shadow the standard library. -s: no packages from
            # a home directory. -u: what tools print arrives when they print it.
            # The folder is for whoever reads the list of processes.
            module = ("-m", "golive.workers.main", str(theirs.fileno()), str(self._plan.folder))
            command = (sys.executable, "-P", "-s", "-u", *module)
            try:
                self._process, self._streams = await self._loop.subprocess_exec(
                    lambda: _Streams(self), *command, stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),), cwd=self._plan.folder, env=dict(self._plan.environment),
                    start_new_session=True,
                )  # fmt: skip
            except BaseException as error:
                ours.close()
                if not isinstance(error, OSError):
                    raise
                raise AgentError(
                    f"{self._plan.folder}: no worker process can be started ({error}).",
                    remedy="Check the machine's limits on processes, memory and open files.",
                ) from error
        self.pid = self._process.get_pid()
        self._streams.open(self.pid, self._clock, self._log)
        await self._loop.create_unix_connection(lambda: _Channel(self), sock=ours)
        plan = self._plan
        self._send(Setup(str(plan.folder), plan.concurrency, plan.max_result_bytes, os.getpid()))

    async def _ended_early(self) -> AgentError:
        await self._last_words()
        said = self._streams.last_line if self._streams is not None else ""
        return AgentError(
            f"{self._plan.folder}: the worker process ended while it loaded tools.py ({self._how()}).{said}",
            remedy="Look at what tools.py does when it is imported, and at the log (worker.printed).",
        )

    async def _last_words(self) -> None:
        if self._streams is not None:
            await asyncio.wait([self._streams.silent], timeout=LAST_WORDS_S)

    # ---- what the socket and the process tell ------------------------------------------------------------------------

    def connected(self, channel: asyncio.Transport) -> None:
        self._channel = channel

    def received(self, message: Hello | Refused | Done | Logged) -> None:
        """A frame has come from the worker."""
        if isinstance(message, Done):
            self._done(message)
        elif isinstance(message, Logged):
            self._log(message.event, **{**message.fields, "pid": self.pid})
        elif self._ready.done():
            self.disconnected("it greeted twice")
        elif isinstance(message, Hello):
            self._ready.set_result(message)
        else:
            self._ready.set_exception(
                AgentError(message.message, remedy=message.remedy, origin=message.origin, traceback=message.traceback)
            )

    def disconnected(self, reason: str | None) -> None:
        """The socket has ended: without it the process is of no use, whether or not it still runs."""
        if reason is not None:
            self._log("worker.protocol_broken", pid=self.pid, reason=reason)
        if not self._exited.done():
            self._kill_group()

    def exited(self) -> None:
        """The process has ended, for whatever reason."""
        if self._exited.done():
            return
        self._exited.set_result(None)
        if self._channel is not None and not self._channel.is_closing():
            self._kill_group()  # a process it forked still holds the socket
        if not self._ready.done():
            self._ready.set_result(None)
        if self._was_ready:
            self._fail_calls(self._how())
            self._owner.lost(self)

    def _how(self) -> str:
        return exit_text(self._process.get_returncode() if self._process is not None else None)

    def _fail_calls(self, how: str) -> None:
        calls, self._calls = self._calls, {}
        waited_for = [pending for pending in calls.values() if not pending.future.done()]
        for pending in calls.values():
            if pending.timer is not None:
                pending.timer.cancel()
            if not pending.future.done():
                pending.future.set_result(crashed(pending.tool, how, len(waited_for)))
        self._log("worker.ended", pid=self.pid, how=how, calls=len(waited_for), retired=self.retired)

    # ---- calls -------------------------------------------------------------------------------------------------------

    def _send(self, message: Setup | Call | Cancel | Stop) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(protocol.encode(message))

    def _done(self, done: Done) -> None:
        pending = self._calls.pop(done.id, None)
        if pending is None:
            return
        assert pending.timer is not None
        pending.timer.cancel()
        self.answered += 1
        if not pending.future.done():
            pending.future.set_result(ToolOutcome(done.ok, done.content, done.error_code))
        self._owner.freed(self)
        self._end_if_forsaken()

    def _expired(self, call_id: int) -> None:
        pending = self._calls[call_id]
        if not pending.future.done():
            pending.future.set_result(timed_out(pending.tool, pending.deadline, started=True))
            self._send(Cancel(call_id))
        pending.timer = self._loop.call_later(ACKNOWLEDGE_S, self._overdue, call_id)
        self._end_if_forsaken()

    def _overdue(self, call_id: int) -> None:
        self._owner.hung(self, self._calls[call_id].tool)

    def _end_if_forsaken(self) -> None:
        if self.retired and all(pending.future.done() for pending in self._calls.values()):
            self._kill_group()

    # ---- ending ------------------------------------------------------------------------------------------------------

    def _kill_group(self) -> None:
        """The worker leads a session of its own, so that what its tools have started goes with it."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already
                os.killpg(self.pid, signal.SIGKILL)


class _Channel(asyncio.Protocol):
    """The server's end of the socket."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._frames = Frames(protocol.from_worker)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not derive from asyncio's
        self._worker.connected(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._frames.feed(data)
        except ProtocolBroken as error:
            self._worker.disconnected(str(error))
            return
        for message in messages:
            self._worker.received(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.disconnected(None)


class _Streams(asyncio.SubprocessProtocol):
    """What the process prints, and that it has ended."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._captures: dict[int, LineCapture] = {}
        self.silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process has ended and all it printed is read."""

    def open(self, pid: int, clock: Clock, log: Log) -> None:
        names = {1: "stdout", 2: "stderr"}
        self._captures = {fd: LineCapture(name, pid, clock=clock, log=log) for fd, name in names.items()}

    @property
    def last_line(self) -> str:
        last = self._captures[2].last if self._captures else ""
        return f" Its last line on stderr: {last}" if last else ""

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        if fd in self._captures and isinstance(data, bytes):
            self._captures[fd].feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd in self._captures:
            self._captures[fd].close()

    def process_exited(self) -> None:
        self._worker.exited()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.silent.done():
            self.silent.set_result(None)
