"""The connection of uvicorn, with bounds on what a stranger may make it hold: the size of a head, and any slowness.

Refuses whatever two servers could read in two ways (RFC 9112, 11.2), so that no proxy before it and golive differ about
where a request ends. Tells who asks when the client has gone. Bodies' sizes are bounded in `bodies.py`.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from golive.config.transport import HttpLimitsConfig
from golive.gateway import early_answers
from golive.gateway.early_answers import Early
from golive.gateway.watch import CONNECTION

ONCE = (
    b"host", b"authorization", b"x-api-key", b"content-type", b"content-length", b"transfer-encoding",
    b"x-golive-tenant",
)  # fmt: skip
"""Headers of which a second one is refused: whoever reads the first and whoever reads the last would differ."""
_TUNNEL = b"CONNECT"
"""Names no path, so that no route can refuse it. TRACE, like every other method, is refused by the path it is for."""
_VERSIONS = ("1.1", "1.0")
"""The parser takes others, too, such as 0.9."""


class Bounds:
    """What the connections of one socket share: the limits, the answers to who exceeds them, and how many there are."""

    def __init__(self, limits: HttpLimitsConfig, most: int, refused: Callable[[str], None] = lambda reason: None):
        """
        Args:
            most: connections at once.
            refused: told the reason of each early answer.
        """
        self.limits = limits
        self.most = most
        self.refused = refused
        self.open = 0
        self._by_address: dict[str, int] = {}
        self.line_too_long = early_answers.line_too_long(limits.request_line_bytes)
        self.head_too_large = early_answers.head_too_large(limits.header_bytes)
        self.too_many_headers = early_answers.too_many_headers(limits.headers)
        self.body_quiet = early_answers.body_quiet(limits.body_quiet_s)
        self.body_slow = early_answers.body_slow(limits.body_s)

    def enter(self, address: str) -> Early | None:
        """Counts a connection; the answer to give instead where there is no room for it, and then it is not counted."""
        if self.open >= self.most:
            return early_answers.OVERLOADED
        there = self._by_address.get(address, 0)
        if there >= self.limits.connections_per_ip:
            return early_answers.TOO_MANY
        self.open += 1
        self._by_address[address] = there + 1
        return None

    def leave(self, address: str) -> None:
        """A counted connection has ended."""
        self.open -= 1
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, bounds: Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._limits = bounds.limits
        self._address: str | None = None
        """Under which it is counted."""
        self._refused = False
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._body_timer: TimerHandle | None = None
        self._body_at = 0.0
        self._body_since = 0.0
        self._on_gone: Callable[[], None] | None = None
        self._gone = False

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """See `Watchable`."""
        self._on_gone = on_gone
        if self._gone and on_gone is not None:
            self.loop.call_soon(self._tell_gone)

    def connection_made(self, transport: Any) -> None:
        """A connection that never says anything is not kept either, and one too many not at all."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if (full := self._bounds.enter(address)) is not None:
            self._refuse(full)
            return
        self._address = address
        self._head_timer = self.loop.call_later(self._limits.header_s, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timers with the connection, and tells who watches."""
        self._forget_head_timer()
        self._forget_body_timer()
        if self._address is not None:
            self._bounds.leave(self._address)
            self._address = None
        self._gone = True
        super().connection_lost(exc)
        self._tell_gone()

    # ---- the parser's callbacks; after a refusal in the middle of a read it may go on with the rest ------------------

    def on_message_begin(self) -> None:
        """Shows the connection to the application."""
        super().on_message_begin()
        self._in_head = True
        scope: Any = self.scope
        scope[CONNECTION] = self

    def on_url(self, url: bytes) -> None:
        """Bounds the address."""
        super().on_url(url)
        if len(self.url) > self._limits.request_line_bytes:
            self._refuse(self._bounds.line_too_long)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bounds the number; what stands behind a body (trailers) is nothing that anybody asked for."""
        if not self._in_head:
            return
        super().on_header(name, value)
        if len(self.headers) > self._limits.headers:
            self._refuse(self._bounds.too_many_headers)

    def on_headers_complete(self) -> None:
        """Lets the request through, unless it can be read in two ways."""
        if self._refused:
            return
        if (objection := self._objection()) is not None:
            self._refuse(objection)
            return
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _objection(self) -> Early | None:
        if self.parser.get_method() == _TUNNEL:
            return early_answers.METHOD
        names = [name for name, _ in self.headers]
        if len(set(names)) != len(names) and any(names.count(name) > 1 for name in ONCE):
            return early_answers.TWICE
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            return early_answers.MALFORMED
        old = version == "1.0"
        if b"host" not in names and not old:
            return early_answers.NO_HOST
        if b"transfer-encoding" in names and (old or b"content-length" in names or not self._chunked()):
            return early_answers.FRAMING
        return None

    def _chunked(self) -> bool:
        """Whether the one coding is chunked; golive knows no other."""
        return any(name == b"transfer-encoding" and value.lower() == b"chunked" for name, value in self.headers)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Reads on; a head that is whole resets what was counted."""
        if self._refused:
            return
        super().data_received(data)
        if self._over():
            return
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
        if self._head_bytes > self._limits.header_bytes:
            self._refuse(self._bounds.head_too_large)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.header_s, self._head_late)

    def _over(self) -> bool:
        return self._refused

    def send_400_response(self, msg: str) -> None:
        """In the place of uvicorn's own: what the parser cannot read."""
        self._refuse(early_answers.MALFORMED)

    def _refuse(self, answer: Early) -> None:
        """Answers, and reads nothing more. Where another answer is due or under way, that is broken off instead."""
        if self._refused:
            return
        self._refused = True
        self._forget_head_timer()
        self._forget_body_timer()
        self._bounds.refused(answer.reason)
        cycle = self.cycle
        due = cycle is not None and not cycle.response_complete and (self._in_head or cycle.response_started)
        if due or self.transport.is_closing():
            self.transport.close()
        else:
            lines = [answer.head]
            for name, value in self.server_state.default_headers:
                lines += (name, b": ", value, b"\r\n")
            self.transport.write(b"".join((*lines, answer.tail)))
            self.transport.close()

    def _body_came(self) -> None:
        self._body_at = self.loop.time()
        if self._body_timer is None:
            self._body_since = self._body_at
            self._body_timer = self.loop.call_later(self._soonest(), self._body_late)

    def _soonest(self) -> float:
        """Seconds until one of a body's limits may be reached."""
        now = self.loop.time()
        return min(self._body_at + self._limits.body_quiet_s - now, self._body_since + self._limits.body_s - now)

    def _body_late(self) -> None:
        self._body_timer = None
        if self.transport.is_closing() or not self.cycle.more_body or self.cycle.response_started:
            return
        if self.flow.read_paused:  # it is we who do not read
            self._body_at = self._body_since = self.loop.time()
        if (left := self._soonest()) > 0:
            self._body_timer = self.loop.call_later(left, self._body_late)
            return
        slow = self.loop.time() < self._body_at + self._limits.body_quiet_s
        self._refuse(self._bounds.body_slow if slow else self._bounds.body_quiet)

    def _tell_gone(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def _head_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._bounds.refused("header_s")
            self.transport.close()

    def _forget_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _forget_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
