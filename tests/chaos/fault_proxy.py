"""A TCP proxy that passes on, delays, holds back, refuses and resets: the faults of a network between two processes."""

import asyncio
import socket
import struct
from contextlib import suppress

LINGER_0 = struct.pack("ii", 1, 0)
"""A close then sends a reset, and not an orderly end."""
CHUNK = 65_536


class FaultProxy:
    """Listens on a port of 127.0.0.1 and passes on to `upstream`: a host and port, or the path of a Unix socket.

    `delay_s`: how long each piece is held. `refusing`: connections are reset at once.
    """

    def __init__(self, name: str, upstream: tuple[str, int] | str) -> None:
        self.name = name
        self.port = 0
        self.delay_s = 0.0
        self.refusing = False
        self.passed = 0
        """Connections so far."""
        self._upstream = upstream
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, None] = {}

    async def start(self) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1_024)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Stops listening and resets what is open."""
        if self._server is not None:
            self._server.close()
        self.drop()
        self._open.set()
        await asyncio.sleep(0)

    def hold(self) -> None:
        """From now on nothing passes, in neither direction; connections stay, and new ones hang."""
        self._open.clear()

    def release(self) -> None:
        """What was held back passes."""
        self._open.set()

    def drop(self) -> int:
        """Resets all that are open; returns how many."""
        writers, self._writers = list(self._writers), {}
        for writer in writers:
            _reset(writer)
        return len(writers) // 2

    def well(self) -> None:
        """No faults any more."""
        self.delay_s, self.refusing = 0.0, False
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = None
        self.passed += 1
        onward: asyncio.StreamWriter | None = None
        try:
            await self._open.wait()
            if self.refusing:
                return
            back, onward = await self._connect()
            self._writers[onward] = None
            here = asyncio.ensure_future(self._pass(reader, onward))
            there = asyncio.ensure_future(self._pass(back, writer))
            done, rest = await asyncio.wait((here, there), return_when=asyncio.FIRST_COMPLETED)
            if all(task.result() for task in done) and rest:  # one side has nothing more to say
                await asyncio.wait(rest)
            here.cancel()
            there.cancel()
        except OSError:
            pass
        finally:
            for one in (writer, onward):
                if one is not None and self._writers.pop(one, self) is None:
                    _reset(one)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, str):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection(*self._upstream)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Passes on until the end, which is passed on too; False if either side broke."""
        try:
            while data := await reader.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            await self._open.wait()
            writer.write_eof()
        except (OSError, RuntimeError):  # uvloop raises the latter of what was aborted
            return False
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    with suppress(OSError, RuntimeError):
        writer.transport.abort()
