"""The connection of uvicorn, with bounds on what a stranger may make it hold: the size of a head, and its slowness.

Owns nothing else; bodies are bounded in `bodies.py`. Costs a look at a dict per read.
"""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 65_536
"""Longest request line and headers together; more is answered 431."""
HEAD_S = 20.0
"""From a connection's first byte, or its making, to the end of the head; then it is closed."""

_BODY = (
    b'{"type":"urn:golive:problem:request.too_large","title":"Request too large","status":431,'
    b'"detail":"The request\'s headers are larger than %d bytes.","code":"request.too_large",'
    b'"remedy":"Send fewer or shorter headers."}'
) % MAX_HEAD_BYTES
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n"
) % len(_BODY) + _BODY


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection that never says anything is not kept either."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timer with the connection."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on; a head that is whole resets what was counted."""
        super().data_received(data)
        scope: Any = self.scope
        if scope is not None and "method" in scope:
            if self._head_timer is not None:
                self._forget_timer()
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
