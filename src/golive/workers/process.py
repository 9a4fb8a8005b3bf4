"""One worker process, seen from the server: started, spoken to, listened to, ended.

Leaves how many there are, and what follows when one is lost or hangs, to its owner (`pool.py`).
"""

import asyncio
import contextlib
import os
import signal
from typing import Protocol

from msgspec import Raw

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import AgentError, DeadlineExceeded
from golive.core.messages import ToolSpec
from golive.tools.executor import Carried, Log, Work
from golive.tools.toolset import NotCarriedOut, ToolOutcome
from golive.workers import protocol
from golive.workers.hearing import Channel, Streams
from golive.workers.outcomes import crashed, exit_text, timed_out
from golive.workers.progress import SETTLE_S, Progress
from golive.workers.protocol import (
    Call,
    Cancel,
    Done,
    FromWorker,
    Heard,
    Hello,
    Logged,
    NeverDone,
    Setup,
    Stop,
    Unbegun,
)
from golive.workers.spawn import Plan, spawn

STALLED_S = 0.5
"""How long a worker may leave a call lying; then its event loop is blocked, and what it has not begun is taken back."""
ACKNOWLEDGE_S = 0.5
"""How long after its deadline a call may take to end before its worker counts as hung."""
DEAD_S = 1.0
"""How long after that the event loop of a hung worker may stay blocked before the worker is killed."""
LAST_WORDS_S = 0.5
"""How long the output of a worker that could not start is waited for."""
KILL_S = 2.0
"""How long the kernel may take to end a killed process."""


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

    def stalled(self, worker: "WorkerProcess", tools: list[str]) -> None:
        """It begins no call: its event loop is blocked, by one of the calls to `tools` and most likely by the last."""
        ...

    def revived(self, worker: "WorkerProcess") -> None:
        """It was stalled, and its event loop runs again."""
        ...


class _Pending:
    __slots__ = ("deadline", "future", "heard", "sent_at", "timer", "tool", "work")

    def __init__(
        self, future: "asyncio.Future[Carried | None]", work: Work, deadline: Deadline, sent_at: float
    ) -> None:
        self.future = future
        self.tool = work.label
        self.work = work
        self.deadline = deadline
        self.sent_at = sent_at
        self.heard = False
        """The worker's event loop has run since this call was cancelled."""
        self.timer: asyncio.TimerHandle | None = None


class WorkerProcess:
    """`load` counts the calls that hold a place here, `capacity` how many may; both are the owner's to respect."""

    def __init__(self, plan: Plan, owner: Owner, *, clock: Clock, log: Log) -> None:
        self.capacity = plan.concurrency
        self.load = 0
        self.pid = 0
        self.answered = 0
        self.retired = False
        self.stalled = False
        self.started_at = clock.monotonic()
        self.specs: tuple[ToolSpec, ...] = ()
        self._plan = plan
        self._owner = owner
        self._clock = clock
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, _Pending] = {}
        self._last_id = 0
        self._progress: Progress | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._killed_for = ""
        self._ready: asyncio.Future[Hello | None] = self._loop.create_future()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._channel: asyncio.Transport | None = None
        self._process: asyncio.SubprocessTransport | None = None
        self._streams: Streams | None = None
        self._was_ready = False

    @property
    def accepting(self) -> bool:
        """Whether a new call has a chance here."""
        return not self.retired and not self.stalled and not self._exited.done()

    def runs(self, key: str) -> bool:
        """Whether the call of the key has not ended here, though nobody may wait for it any more."""
        return any(each.work.key == key and each.work.role == "call" for each in self._calls.values())

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

    async def call(self, work: Work, deadline: Deadline) -> Carried | None:
        """Carries one call out. The caller holds a place; it is freed (`Owner.freed`) when the call has really ended,
        which for one that is cancelled or timed out may be later than this returns.

        Returns:
            None: the call was not begun and never will be here, so that another worker may have it.
        """
        self._last_id += 1
        call_id = self._last_id
        now = self._clock.monotonic()
        remaining = max(0.0, deadline.at - now)
        pending = _Pending(self._loop.create_future(), work, deadline, now)
        pending.timer = self._loop.call_later(remaining, self._expired, call_id)
        self._calls[call_id] = pending
        if self._watch is None:
            self._watch = self._loop.call_later(STALLED_S, self._look)
        self._send(
            Call(
                call_id, work.name, work.arguments, work.tenant, work.run, work.key, remaining, work.begin_by,
                work.role, work.result,
            )
        )  # fmt: skip
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
        born = await spawn(self._plan, self)
        self._process, self._streams, self._progress = born.process, born.streams, born.progress
        self.pid = self._process.get_pid()
        self._streams.open(self.pid, self._clock, self._log)
        await self._loop.create_unix_connection(lambda: Channel(self), sock=born.socket)
        plan = self._plan
        self._send(Setup(str(plan.folder), plan.concurrency, plan.max_result_bytes, os.getpid(), plan.named))

    async def _ended_early(self) -> AgentError:
        await self._last_words()
        said = self._streams.last_line if self._streams is not None else ""
        return AgentError(
            f"{self._plan.folder}: the worker process ended while it loaded tools.py ({self._how()}).{said}",
            remedy="Look at what tools.py does when it is imported, and at the log: worker.printed (log.content).",
        )

    async def _last_words(self) -> None:
        if self._streams is not None:
            await asyncio.wait([self._streams.silent], timeout=LAST_WORDS_S)

    # ---- what the socket and the process tell ------------------------------------------------------------------------

    def connected(self, channel: asyncio.Transport) -> None:
        self._channel = channel

    def received(self, message: FromWorker) -> None:
        if self.stalled:
            self.stalled = False
            self._owner.revived(self)
        if isinstance(message, Done):
            self._done(message.id, ToolOutcome(message.ok, message.content, message.error_code, message.begun))
        elif isinstance(message, NeverDone):
            self._done(message.id, NotCarriedOut())
        elif isinstance(message, Logged):
            self._log(message.event, **{**message.fields, "pid": self.pid})
        elif isinstance(message, Heard):
            if message.id in self._calls:
                self._calls[message.id].heard = True
        elif isinstance(message, Unbegun):
            self._give_back(message.id)
        elif self._ready.done():
            if not self._ready.cancelled():  # a start that was given up is greeted too late, and not twice
                self.disconnected("it greeted twice")
        elif isinstance(message, Hello):
            self._ready.set_result(message)
        else:
            self._ready.set_exception(
                AgentError(message.message, remedy=message.remedy, origin=message.origin, traceback=message.traceback)
            )

    def disconnected(self, reason: str | None) -> None:
        if reason is not None:  # without its socket the process is of no use, whether or not it still runs
            self._log("worker.protocol_broken", pid=self.pid, reason=reason)
        if not self._exited.done():
            self._kill_group()

    def exited(self) -> None:
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
        if self._watch is not None:
            self._watch.cancel()
        if self._progress is not None:
            self._progress.close()

    def _how(self) -> str:
        return self._killed_for or exit_text(self._process.get_returncode() if self._process is not None else None)

    def _fail_calls(self, how: str) -> None:
        calls, self._calls = self._calls, {}
        begun = self._begun
        running = sum(call_id <= begun and not pending.future.done() for call_id, pending in calls.items())
        for call_id, pending in calls.items():
            if pending.timer is not None:
                pending.timer.cancel()
            if not pending.future.done():
                pending.future.set_result(crashed(pending.tool, how, running) if call_id <= begun else None)
        self._log("worker.ended", pid=self.pid, how=how, calls=running, retired=self.retired)

    # ---- calls -------------------------------------------------------------------------------------------------------

    def _send(self, message: Setup | Call | Cancel | Stop) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(protocol.encode(message))

    def _done(self, call_id: int, carried: Carried) -> None:
        pending = self._ended(call_id)
        if pending is not None and not pending.future.done():
            pending.future.set_result(carried)
        self.answered += pending is not None
        self._end_if_forsaken()

    def _ended(self, call_id: int) -> _Pending | None:
        pending = self._calls.pop(call_id, None)
        if pending is not None:
            assert pending.timer is not None
            pending.timer.cancel()
            self._owner.freed(self)
        return pending

    def _expired(self, call_id: int) -> None:
        pending = self._calls[call_id]
        if not pending.future.done():
            if call_id > self._begun:  # it must not begin once its caller was told that it did not
                self._take_back(call_id)
                pending.timer = self._loop.call_later(2 * SETTLE_S, self._expired, call_id)
                return
            pending.future.set_result(timed_out(pending.tool, pending.deadline, started=True))
            self._send(Cancel(call_id))
        pending.timer = self._loop.call_later(ACKNOWLEDGE_S, self._overdue, call_id)
        self._end_if_forsaken()

    def _overdue(self, call_id: int) -> None:
        pending = self._calls[call_id]
        pending.timer = self._loop.call_later(DEAD_S, self._blocked, call_id)
        self._owner.hung(self, pending.tool)

    def _blocked(self, call_id: int) -> None:
        pending = self._calls[call_id]
        if not pending.heard:  # what else runs on its event loop never ends either
            self._killed_for = f"killed, for its event loop was blocked and {pending.tool} long overdue"
            self._kill_group()

    def _end_if_forsaken(self) -> None:
        if self.retired and all(pending.future.done() for pending in self._calls.values()):
            self._kill_group()

    # ---- calls that are not begun ------------------------------------------------------------------------------------

    @property
    def _begun(self) -> int:
        assert self._progress is not None, "it has started"
        return self._progress.begun

    def _look(self) -> None:
        """Sees whether it has left a call lying for too long."""
        self._watch = None
        begun = self._begun
        oldest = next(
            (pending for call_id, pending in self._calls.items() if call_id > begun and not pending.future.done()), None
        )
        if oldest is None:
            return
        left = oldest.sent_at + STALLED_S - self._clock.monotonic()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
            return
        self.stalled = True
        self._take_back(self._last_id)
        self._owner.stalled(self, [pending.tool for call_id, pending in self._calls.items() if call_id <= begun])

    def _take_back(self, through: int) -> None:
        assert self._progress is not None, "it has started"
        self._progress.take_back(through)
        self._loop.call_later(SETTLE_S, self._settled, through)

    def _settled(self, through: int) -> None:
        begun = self._begun
        for call_id in [call_id for call_id in self._calls if begun < call_id <= through]:
            self._give_back(call_id)

    def _give_back(self, call_id: int) -> None:
        pending = self._ended(call_id)
        if pending is not None and not pending.future.done():
            pending.future.set_result(None)
        self._end_if_forsaken()

    # ---- ending ------------------------------------------------------------------------------------------------------

    def _kill_group(self) -> None:
        """The worker leads a session of its own, so that what its tools have started goes with it."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already
                os.killpg(self.pid, signal.SIGKILL)
