"""One HTTP request and its answer, on raw ASGI: what handlers read from and write to.

Owns headers, query and the order of sends. Leaves reading bodies to `bodies.py`, streams of frames to `sse.py`.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from golive.core.errors import Unauthenticated
from golive.tenants.authorize import Principal
from golive.tenants.judged import Hook, unheard

if TYPE_CHECKING:
    from golive.gateway.routes import Route

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

_EVENT_STREAM: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class UndecidedError(RuntimeError):
    """A handler was about to answer without having decided whether who asks may see that: a fault of golive's own."""


class Exchange:
    """A request, and the one answer to it. `status` is 0 until the answer has begun."""

    __slots__ = (
        "_principal", "_send", "headers", "hook", "method", "params", "path", "receive", "recorded", "route", "run",
        "scope", "settle", "status", "told", "undecided", "user",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, hook: Hook = unheard) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.params: dict[str, str] = {}
        self.route: Route | None = None
        self.run: str | None = None
        """The run this request has begun, once there is one; errors name it as x-request-id."""
        self.user: str | None = None
        """The user whom what is asked for belongs to, once that is known (`whose.py`)."""
        self.status = 0
        self.hook = hook
        """Who hears of each decision about this request."""
        self.undecided = False
        """Whether the handler has still to decide on what it is about to show (`permit.py`): until then it cannot."""
        self.settle: Callable[[int], Awaitable[None]] | None = None
        """Awaited with the status before the answer leaves: what was done, or refused, is recorded by then."""
        self.recorded = False
        """Whether an act was recorded as about to be done."""
        self.told: dict[str, str] | None = None
        """What the audit log is to say of an act beside its name: ids, never content."""
        self._principal: Principal | None = None

    @property
    def principal(self) -> Principal:
        """Who asks; known on every route that is not public."""
        if self._principal is None:
            raise Unauthenticated("This route does not know who asks.")
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._principal = principal

    @property
    def known(self) -> Principal | None:
        """Who asks; None: not known, or not yet."""
        return self._principal

    @property
    def tenant(self) -> str:
        """Whose request it is; "" until who asks is known."""
        return self._principal.tenant if self._principal is not None else ""

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def answer(self, status: int, body: bytes, content_type: bytes, headers: Headers = ()) -> None:
        """The whole answer at once."""
        if self.undecided:
            raise UndecidedError(self.path)
        await self._settled(status)
        self.status = status
        length = b"%d" % len(body)
        start = [(b"content-type", content_type), (b"content-length", length), *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": start})
        await self._send({"type": "http.response.body", "body": body})

    async def _settled(self, status: int) -> None:
        """Raises AuditUnavailable where what is about to be answered was done, and cannot be recorded."""
        if self.settle is not None:
            settle, self.settle = self.settle, None
            await settle(status)

    def tell(self, **detail: str) -> None:
        """Adds to what the audit log says of this act."""
        self.told = {**(self.told or {}), **detail}

    async def json(self, value: Any, status: int = 200, headers: Headers = ()) -> None:
        """The whole answer, as JSON of `value` (structs and plain data)."""
        await self.answer(status, _encode(value), b"application/json", headers)

    async def begin_stream(self, headers: Headers = ()) -> None:
        """Begins an event stream; `write` and `end` follow."""
        if self.undecided:
            raise UndecidedError(self.path)
        await self._settled(200)
        self.status = 200
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_EVENT_STREAM, *headers]})

    async def begin_body(self, content_type: bytes, headers: Headers = ()) -> None:
        """Begins an answer of another kind whose length is not known yet; `write` and `end` follow."""
        if self.undecided:
            raise UndecidedError(self.path)
        await self._settled(200)
        self.status = 200
        start = [(b"content-type", content_type), *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": start})

    async def write(self, data: bytes) -> None:
        """Sends a piece of the stream; returns when the client's connection takes more."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last piece, and ends the answer as whole."""
        await self._send({"type": "http.response.body", "body": data})
