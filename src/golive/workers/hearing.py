"""What the server hears of one worker process: frames over its socket, lines on its output, and that it has ended.

Leaves what follows from it to whoever listens (`process.py`).
"""

import asyncio
from typing import Protocol, cast

from golive.core.clock import Clock
from golive.tools.executor import Log
from golive.workers import protocol
from golive.workers.output import LineCapture
from golive.workers.protocol import Frames, FromWorker, ProtocolBroken


class Listener(Protocol):
    """Told on the event loop."""

    def connected(self, channel: asyncio.Transport) -> None:
        """The socket is open."""
        ...

    def received(self, message: FromWorker) -> None:
        """A frame has come from the worker."""
        ...

    def disconnected(self, reason: str | None) -> None:
        """The socket has ended, or what came over it is not our protocol (`reason`)."""
        ...

    def exited(self) -> None:
        """The process has ended, for whatever reason."""
        ...


class Channel(asyncio.Protocol):
    """The server's end of the socket."""

    def __init__(self, worker: Listener) -> None:
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


class Streams(asyncio.SubprocessProtocol):
    """What the process prints, and that it has ended."""

    def __init__(self, worker: Listener) -> None:
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
