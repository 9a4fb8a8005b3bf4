"""Server-sent events out of network reads, each with the moment and the read that completed it.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator
from typing import NamedTuple


class Arrived(NamedTuple):
    """One event. `after_s`: seconds from the request; `read`: number of the network read that completed it."""

    id: str
    event: str
    data: bytes
    after_s: float
    read: int


class Parser:
    """Takes bytes as they come, gives events as they become complete. Comments (heartbeats) are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._event = ""
        self._data: list[bytes] = []
        self._read = 0

    def feed(self, data: bytes, after_s: float) -> Iterator[Arrived]:
        """The events that `data` completes. Line ends are LF or CRLF."""
        self._read += 1
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if not line:
                if self._data:
                    yield Arrived(self._id, self._event, b"\n".join(self._data), after_s, self._read)
                self._event, self._data = "", []
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
            elif name == b"event":
                self._event = value.decode("utf-8", "replace")
            elif name == b"id":
                self._id = value.decode("utf-8", "replace")
