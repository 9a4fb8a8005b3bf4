"""One target, called: a dialect over the transport, under every time limit.

Owns the limits (connect, first token, between tokens, whole call, and the caller's own deadline; the first one counts)
and the closing of the connection the moment nobody wants the answer. Leaves prices, other targets and retries to the
wrappers.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

from golive.core.clock import Clock
from golive.core.errors import (
    CredentialEnded,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelTimeout,
    SecretRevoked,
)
from golive.models.call import CallContext, ModelEvent, ModelRequest
from golive.models.credentials import OpenCalls
from golive.models.dialect import Decoder, Dialect, Target
from golive.models.transport import Response, Transport, TransportError
from golive.models.transport_errors import cut, too_late, unanswered
from golive.models.vendor_errors import Origin, request_id
from golive.models.watchdog import Limit, Watchdog

MAX_ERROR_BYTES = 65_536
"""How much of an error answer is read."""
TAIL_S = 2.0
"""How long a whole answer may take to end (a usage chunk, the end of the body), so that the connection is kept."""

SIM = "sim"
"""The only provider that is sent a request's own headers: they script the simulator and are nobody else's business."""
_RESERVED = frozenset({
    "authorization", "api-key", "x-api-key", "x-goog-api-key", "anthropic-version", "content-type", "content-length",
    "host", "accept", "accept-encoding", "user-agent", "connection", "transfer-encoding", "anthropic-beta",
    "openai-beta",
})  # fmt: skip
"""Headers a request cannot set, whatever the dialect: they are a dialect's, the credential's or the connection's."""


class Limits(NamedTuple):
    """Seconds; see ProviderConfig."""

    connect_s: float
    first_token_s: float
    between_tokens_s: float
    call_s: float


Observe = Callable[[GoliveError | None, float], None]
"""Told how each call's beginning went: the error or None, and milliseconds until the answer's head."""

LimitsSeen = Callable[[Callable[[str], str | None]], None]
"""Told the headers of each answer of status 200, to see what is left of the provider's limits."""


class ProviderCall:
    """A `ModelCall` to one model of one provider."""

    def __init__(
        self,
        *,
        provider: str,
        model: str,
        base_url: str,
        limits: Limits,
        dialect: Dialect,
        transport: Transport,
        credential: Callable[[], str | None],
        clock: Clock,
        observe: Observe = lambda error, latency_ms: None,
        limits_seen: LimitsSeen | None = None,
        renewed: Callable[[str | None], Awaitable[str | None]] | None = None,
        open_calls: OpenCalls | None = None,
    ) -> None:
        """`renewed` is asked when the provider refuses a credential: another value than that, or None.

        `open_calls` is told which value each call uses, so that calls can be cut with it.
        """
        self.provider = provider
        self.model = model
        self.base_url = base_url.rstrip("/")
        self.target = Target(provider, model, self.base_url)
        self._urls = (
            self.base_url + dialect.path(model, streamed=False), self.base_url + dialect.path(model, streamed=True),
        )  # fmt: skip
        self.limits = limits
        self.dialect = dialect
        self.transport = transport
        self.credential = credential
        self.clock = clock
        self.observe = observe
        self.limits_seen = limits_seen
        self.renewed = renewed
        self.open_calls = open_calls or OpenCalls()
        self._head: tuple[str | None, dict[str, str]] | None = None
        self._settings: dict[str, str] = {name: f"providers.{provider}.{name}" for name in Limits._fields}

    async def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """Calls the target. Closing the iterator, or cancelling its reader, closes the connection at once.

        Raises:
            DeadlineExceeded: the caller's deadline passed. ModelTimeout: one of the provider's limits did (`limit`).
            ModelError: anything else that went wrong with the provider.
        """
        exchange = _Exchange(self, request, ctx)
        try:
            await exchange.open(request)
            while True:
                events = await exchange.read()
                if events:
                    yield events
                if exchange.over:
                    exchange.raise_failure()
                    return
        finally:
            exchange.close()

    def url(self, request: ModelRequest) -> str:
        """Where the request goes."""
        return self._urls[request.stream]

    def setting(self, name: str) -> str:
        """The full name of a limit, for errors."""
        return self._settings[name]

    def headers(self, secret: str | None, request: ModelRequest) -> dict[str, str]:
        """Headers of one request; the usual ones are kept until the credential changes."""
        head = self._head
        if head is None or head[0] != secret:
            head = self._head = (
                secret,
                {
                    "Content-Type": "application/json", "Accept": "text/event-stream, application/json",
                    **self.dialect.headers(self.base_url, secret),
                },
            )  # fmt: skip
        if not request.headers and not request.betas:
            return head[1]
        return head[1] | self._of_request(request)

    def _of_request(self, request: ModelRequest) -> dict[str, str]:
        """What this request adds: features of the vendor's own, and for the simulator its script."""
        added: dict[str, str] = {}
        beta_header = self.dialect.beta_header
        if request.betas and beta_header is not None and request.dialect == self.dialect.name:
            added[beta_header] = ",".join(request.betas)
        if self.provider == SIM:
            added |= {name: value for name, value in request.headers if name.lower() not in _RESERVED}
        return added


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_between", "_call", "_clock", "_ctx", "_cut", "_decoder", "_first", "_origin", "_outer", "_response",
                 "_revoked", "_secret", "_started", "_streamed", "_watchdog", "over")  # fmt: skip

    def __init__(self, call: ProviderCall, request: ModelRequest, ctx: CallContext) -> None:
        self._call = call
        self._clock = call.clock
        self._ctx = ctx
        self._streamed = request.stream
        self._started = started = self._clock.monotonic()
        self._outer = outer = _sooner(
            Limit(ctx.deadline.at, "", ctx.deadline.seconds), started, call.limits.call_s, call.setting("call_s")
        )
        if outer.at <= started:
            raise self._too_late(outer, sent=False)
        first_s = call.limits.first_token_s
        self._first = _sooner(outer, started, first_s, call.setting("first_token_s")) if request.stream else outer
        self._between = call.setting("between_tokens_s")
        self._cut = False
        self._revoked: SecretRevoked | None = None
        self._secret: str | None = None
        try:
            self._secret = call.credential()
        except SecretRevoked as error:
            self._revoked = error
        call.open_calls.begin(self._secret, self)
        self._origin = Origin(call.provider, call.model, secret=self._secret)
        self._watchdog = Watchdog(self._clock, self._first)
        self._response: Response | None = None
        self._decoder: Decoder | None = None
        self.over = False

    async def open(self, request: ModelRequest) -> None:
        """Sends the request and waits for a head of status 200."""
        call = self._call
        if request.only_there and request.dialect != call.dialect.name:
            raise self._untranslatable(request)
        body = call.dialect.encode(request, call.target)
        try:
            self._watchdog.begin(self._first)
            response = await self._sent(request, body)
        except asyncio.CancelledError:
            if not self._watchdog.barked():
                raise
            if self._cut:
                raise self._ended() from None
            late = self._too_late(self._watchdog.limit)
            call.observe(late if isinstance(late, ModelTimeout) else None, self._elapsed_ms())
            raise late from None
        except TransportError as broken:
            error = unanswered(self._origin, broken, call.limits.connect_s)
            call.observe(error, self._elapsed_ms())
            raise error from None
        except GoliveError as error:
            call.observe(error, self._elapsed_ms())
            raise
        finally:
            self._watchdog.rest()
        call.observe(None, self._elapsed_ms())
        if call.limits_seen is not None:
            call.limits_seen(response.header)
        self._decoder = call.dialect.decoder(self._origin, streamed=request.stream, header=response.header)

    async def _sent(self, request: ModelRequest, body: bytes) -> Response:
        """The answer's head; with another credential where there is one by now in the place of one that is refused."""
        if self._revoked is not None and not await self._renewed():
            raise self._revoked
        try:
            return await self._send(request, body)
        except ModelAuthFailed:
            if not await self._renewed():
                raise
            if self._response is not None:
                self._response.close()
            return await self._send(request, body)

    async def _send(self, request: ModelRequest, body: bytes) -> Response:
        call = self._call
        response = await call.transport.send(
            "POST", call.url(request), call.headers(self._secret, request), body, connect_s=call.limits.connect_s
        )
        self._response = response
        self._origin.request_id = request_id(response.header)
        if response.status >= 300:
            raise await self._refusal(response)
        return response

    async def _renewed(self) -> bool:
        """Whether there is another credential now, with which the call is to be begun again."""
        call = self._call
        fresh = None if call.renewed is None else await call.renewed(self._secret)
        if fresh is None or fresh == self._secret:
            return False
        call.open_calls.end(self._secret, self)
        self._secret = fresh
        call.open_calls.begin(fresh, self)
        self._origin = Origin(call.provider, call.model, secret=fresh)
        return True

    def cut(self) -> None:
        """Its credential was revoked, and whoever did that wants the calls that use it to end."""
        self._cut = True
        self._watchdog.bark()

    async def read(self) -> list[ModelEvent]:
        """The events of one read. `over` is set with the last ones."""
        assert self._response is not None
        assert self._decoder is not None
        if self._cut and not self._decoder.complete:
            raise self._ended()
        watchdog, decoder = self._watchdog, self._decoder
        limit = self._first
        if decoder.began:
            # Counted from here and not from the last read: a reader may take its time.
            seconds = TAIL_S if decoder.complete else self._call.limits.between_tokens_s
            limit = _sooner(self._outer, self._clock.monotonic(), seconds, self._between)
        try:
            watchdog.begin(limit)
            data = await self._response.chunk()
            watchdog.rest()
        except (asyncio.CancelledError, TransportError) as error:
            broken = isinstance(error, TransportError)
            if broken:
                watchdog.rest()
            elif not watchdog.barked():
                raise
            if decoder.complete:
                self.over = True  # whole already: that the server does not hang up, or rudely, takes nothing from it
                return []
            if self._cut:
                raise self._ended() from None
            if not broken:
                raise self._too_late(watchdog.limit) from None
            raise cut(self._origin, error, begun=decoder.began or not self._streamed) from None
        if self._ctx.received is not None:
            self._ctx.received.body_bytes += len(data)
        events = decoder.feed(data) if data else decoder.end()
        if not data or decoder.failure is not None:
            self.over = True
        return events

    def raise_failure(self) -> None:
        """Raises what the decoder found wrong, once its events have been handed on."""
        if self._decoder is not None and self._decoder.failure is not None:
            raise self._decoder.failure

    def close(self) -> None:
        self._call.open_calls.end(self._secret, self)
        self._watchdog.close()
        if self._response is not None:
            self._response.close()

    # ---- errors -----------------------------------------------------------------------------------------------------

    async def _refusal(self, response: Response) -> GoliveError:
        """The error of a status of 300 and above, with as much of its body as can be had."""
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except TransportError:
            body = b""
        return self._call.dialect.refusal(self._origin, response.status, response.header, body, self._clock.now())

    def _ended(self) -> GoliveError:
        return self._origin.error(
            CredentialEnded, "was cut off: its credential was revoked.", remedy="Ask again; another credential is used."
        )

    def _untranslatable(self, request: ModelRequest) -> GoliveError:
        """What only another vendor's API can say is refused, not left out."""
        where = ", ".join(request.only_there)
        return self._origin.error(
            ModelBadRequest, f"speaks {self._call.dialect.name} and cannot be sent {where}.",
            remedy=f"Leave it out, or use a model whose provider speaks {request.dialect}.", sent=False,
        )  # fmt: skip

    def _too_late(self, limit: Limit, *, sent: bool = True) -> GoliveError:
        """The caller's own deadline is the caller's error; any other limit is about the provider."""
        if not limit.name:
            error: GoliveError = self._ctx.deadline.error()
            error.fields["sent"] = sent
            return error
        origin = Origin(self._call.provider, self._call.model)
        return too_late(origin, limit.name, limit.seconds, sent=sent, remedy=", or add another target to the chain")

    def _elapsed_ms(self) -> float:
        return (self._clock.monotonic() - self._started) * 1000


def _sooner(outer: Limit, start: float, seconds: float, name: str) -> Limit:
    """The limit of `seconds` from `start`, unless the outer one is earlier."""
    at = start + seconds
    return outer if outer.at <= at else Limit(at, name, seconds)
