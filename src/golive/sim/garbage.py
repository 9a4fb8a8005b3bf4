"""Answers that are none: what proxies, broken servers and worse send in the place of JSON."""

from golive.core.chance import Chance
from golive.sim.playback import Done, Playback
from golive.sim.protocol import Connection
from golive.sim.script import Script

HEADER_BYTES = 64 * 1024
MAX_HEADER_BYTES = 256 * 1024 * 1024
"""After so much of one header the connection is reset, should the client not have ended it."""
_GZIP_BYTES = 600
_PAGE = (
    b"<!DOCTYPE html>\n<html>\n<head><title>Bad gateway</title></head>\n<body>\n<center><h1>Bad gateway</h1></center>\n"
    b"<hr><center>proxy</center>\n</body>\n</html>\n"
)


class GarbagePlayback(Playback):
    """Plays what `garbage` says. The provider charges nothing."""

    def __init__(self, connection: Connection, script: Script, done: Done, headers: bytes, chance: Chance) -> None:
        super().__init__(connection, script, done)
        self._headers = headers
        self._chance = chance
        self._written = 0

    def produced(self) -> int:
        return 0

    def answer(self) -> None:
        """Sends the page, the bytes or the header."""
        self._report("failed")
        status = self._script.status or 200
        if self._script.garbage == "html":
            self._connection.respond(status, _PAGE, headers=self._headers, content_type=b"text/html; charset=UTF-8")
        elif self._script.garbage == "gzip":
            body = b"\x1f\x8b\x08" + self._chance.token(_GZIP_BYTES)
            self._connection.respond(status, body, headers=self._headers + b"content-encoding: gzip\r\n")
        else:
            self._connection.write(b"HTTP/1.1 200 OK\r\n%bx-filler: " % self._headers)
            self._connection.on_drain = self._more
            self._more()

    def _more(self) -> None:
        while not self._connection.paused and not self._connection.closed:
            if self._written >= MAX_HEADER_BYTES:
                self._connection.reset()
                return
            self._written += HEADER_BYTES
            self._connection.write(b"a" * HEADER_BYTES)
