"""A stretch of wire between golive and PostgreSQL that loses what one wants it to lose."""

import asyncio
import shutil
import tempfile
from pathlib import Path

SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Passes bytes on, both ways, for any number of connections.

    `lose_answers`: the next answer of the server to anybody is thrown away, and its connection cut. `lose_requests`:
    the same with what is sent to the server. `mute`: nothing is passed on any more, and nothing closed. `refuse`:
    nobody can connect.
    """

    def __init__(self, server: Path) -> None:
        self.folder = tempfile.mkdtemp(prefix="golive-px-")
        self._server = str(server / SOCKET)
        self.lose_answers = self.lose_requests = self.mute = self.refuse = False
        self.lost = asyncio.Event()
        self._listener: asyncio.Server
        self._writers: set[asyncio.StreamWriter] = set()

    def url(self, database: str) -> str:
        """The database behind the wire."""
        return f"postgresql://golive@/{database}?host={self.folder}"

    async def start(self) -> None:
        """Begins to listen."""
        self._listener = await asyncio.start_unix_server(self._serve, f"{self.folder}/{SOCKET}")

    async def close(self) -> None:
        """Cuts all connections."""
        self._listener.close()
        self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cut(self) -> None:
        """Cuts what is connected now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        to_reader, to_writer = await asyncio.open_unix_connection(self._server)
        both = {writer, to_writer}
        self._writers |= both
        answers = asyncio.ensure_future(self._pass(to_reader, writer, "lose_answers"))
        try:
            await self._pass(reader, to_writer, "lose_requests")
        finally:
            answers.cancel()
            for end in both:
                end.transport.abort()
            self._writers -= both

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self.mute:
                    self.lost.set()
                    await asyncio.Event().wait()
                if getattr(self, fault):
                    setattr(self, fault, False)
                    self.lost.set()
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()
