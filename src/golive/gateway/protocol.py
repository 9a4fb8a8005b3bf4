"""The connection of uvicorn, with bounds on what a stranger may make it hold: the size of a head, and any slowness.

Tells who asks when the client has gone. Bodies' sizes are bounded in `bodies.py`. Costs a look at a dict per read.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from golive.gateway.watch import CONNECTION

MAX_HEAD_BYTES = 65_536
"""Longest request line and headers together; more is answered 431."""
HEAD_S = 20.0
"""From a connection's first byte, or its making, to the end of the head; then it is closed."""
QUIET_S = 30.0
"""Longest silence within a request's body, seconds; then it is answered 408."""


def _refusal(status: int, reason: str, code: str, detail: str, remedy: str) -> bytes:
    body = (
        f'{{"type":"urn:golive:problem:{code}","title":"{reason}","status":{status},'
        f'"detail":"{detail}","code":"{code}","remedy":"{remedy}"}}'
    )
    return (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
    ).encode()


_TOO_LARGE = _refusal(
    431,
    "Request Header Fields Too Large",
    "request.too_large",
    f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.",
    "Send fewer or shorter headers.",
)
_TOO_QUIET = _refusal(
    408,
    "Request Timeout",
    "request.timeout",
    f"The request's body did not arrive: nothing came for {QUIET_S:g} s.",
    "Send it again.",
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._body_timer: TimerHandle | None = None
        self._body_at = 0.0
        self._on_gone: Callable[[], None] | None = None
        self._gone = False

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """See `Watchable`."""
        self._on_gone = on_gone
        if self._gone and on_gone is not None:
            self.loop.call_soon(self._tell_gone)

    def connection_made(self, transport: Any) -> None:
        """A connection that never says anything is not kept either."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timers with the connection, and tells who watches."""
        self._forget_head_timer()
        self._forget_body_timer()
        self._gone = True
        super().connection_lost(exc)
        self._tell_gone()

    def on_message_begin(self) -> None:
        """Shows the connection to the application."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[CONNECTION] = self

    def data_received(self, data: bytes) -> None:
        """Reads on; a head that is whole resets what was counted."""
        super().data_received(data)
        scope: Any = self.scope
        if scope is not None and "method" in scope:
            if self._head_timer is not None:
                self._forget_head_timer()
            self._head_bytes = 0
            if self.cycle.more_body:
                self._body_came()
            elif self._body_timer is not None:
                self._forget_body_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._head_late)

    def _body_came(self) -> None:
        self._body_at = self.loop.time()
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(QUIET_S, self._body_late)

    def _body_late(self) -> None:
        self._body_timer = None
        if self.transport.is_closing() or not self.cycle.more_body or self.cycle.response_started:
            return
        left = self._body_at + QUIET_S - self.loop.time()
        if self.flow.read_paused:  # it is we who do not read
            left = QUIET_S
        if left > 0:
            self._body_timer = self.loop.call_later(left, self._body_late)
        else:
            self.transport.write(_TOO_QUIET)
            self.transport.close()

    def _tell_gone(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _forget_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
