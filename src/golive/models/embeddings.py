"""One target, asked for embeddings: over the same transport, limits and errors as its model calls, and metered.

Owns the call; `embedding_wire.py` has what is written and read. A call is not streamed, so there is no first token:
`connect_s`, `call_s` and the caller's own deadline are its limits.
"""

import asyncio
from collections.abc import Callable, Coroutine

from msgspec import Raw, Struct

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    GoliveError,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelTimeout,
    ModelUnreachable,
)
from golive.core.messages import Usage
from golive.models.call import CallContext, Metered
from golive.models.dialect import Dialect, Target
from golive.models.embedding_wire import Embedded, EmbeddingRequest, wire_of
from golive.models.estimate import text_bytes
from golive.models.meter import Pricer
from golive.models.provider import MAX_ERROR_BYTES, Limits, Observe
from golive.models.transport import (
    BodyTooLong,
    ConnectFailed,
    ConnectTimedOut,
    ProtocolBroken,
    Response,
    Transport,
    TransportError,
)
from golive.models.vendor_errors import Origin, request_id

MAX_ANSWER_BYTES = 268_435_456
"""Longest answer: 2,048 vectors of 3,072 numbers as text are 150 MB at most."""


class EmbeddingAnswer(Struct, frozen=True):
    """`vectors`: one for each input, in their order. Each is JSON: an array of numbers, or a string of base64."""

    vectors: tuple[Raw, ...]
    model: str
    """As the vendor names it; "" where it does not."""
    request_id: str | None
    metered: Metered


class EmbeddingCall:
    """Embeddings of one model of one provider; the arguments are those of `ProviderCall` and `MeteredCall`."""

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
        price: Pricer,
        clock: Clock,
        observe: Observe = lambda error, latency_ms: None,
    ) -> None:
        self.target = Target(provider, model, base_url.rstrip("/"))
        self._limits = limits
        self._dialect = dialect
        self._transport = transport
        self._credential = credential
        self._price = price
        self._clock = clock
        self._observe = observe

    async def __call__(self, request: EmbeddingRequest, ctx: CallContext) -> EmbeddingAnswer:
        """The vectors. What a call that failed or was given up may have cost goes to `ctx.on_abandoned`.

        Raises:
            DeadlineExceeded: the caller's deadline passed. ModelTimeout: one of the provider's limits did.
            ModelBadRequest: the provider's dialect cannot be asked this.
            ModelError: anything else that went wrong with the provider.
        """
        started = self._clock.monotonic()
        if ctx.deadline.at <= started:
            raise ctx.deadline.error()
        secret = self._credential()
        origin = Origin(self.target.provider, self.target.model, secret=secret)
        try:
            embedded = await self._within(ctx.deadline, self._ask(request, origin, secret), origin)
        except asyncio.CancelledError:
            self._abandoned(request, ctx, started)
            raise
        except GoliveError as error:
            refused = not isinstance(error, ModelError | DeadlineExceeded) or error.fields.get("status") is not None
            if not refused and error.fields.get("sent", True):
                self._abandoned(request, ctx, started)
            raise
        metered = self._metered(request, embedded.input_tokens, started)
        return EmbeddingAnswer(embedded.vectors, embedded.model, origin.request_id, metered)

    async def _within(self, deadline: Deadline, asking: Coroutine[None, None, Embedded], origin: Origin) -> Embedded:
        """Waits for the answer until the first of the limits."""
        name = f"providers.{self.target.provider}.call_s"
        own = Deadline.after(self._clock, self._limits.call_s, name)
        try:
            async with deadline.sooner(own).enforced(self._clock):
                return await asking
        except DeadlineExceeded:
            if deadline.at <= own.at:
                raise
            error = self._too_late(origin, name, self._limits.call_s, sent=True)
            self._observe(error, self._limits.call_s * 1000)
            raise error from None

    async def _ask(self, request: EmbeddingRequest, origin: Origin, secret: str | None) -> Embedded:
        target, started = self.target, self._clock.monotonic()
        wire = wire_of(self._dialect, target)
        body = wire.encode(request, self._dialect, target)
        headers = {
            "Content-Type": "application/json", "Accept": "application/json",
            **self._dialect.headers(target.base_url, secret),
        }  # fmt: skip
        url = target.base_url + wire.path(self._dialect, target.model)
        response: Response | None = None
        try:
            response = await self._transport.send("POST", url, headers, body, connect_s=self._limits.connect_s)
            origin.request_id = request_id(response.header)
            if response.status >= 300:
                raise await self._refusal(response, origin)
            answer = await response.read(MAX_ANSWER_BYTES)
        except (TransportError, ModelError) as problem:
            error = problem if isinstance(problem, ModelError) else self._broken(problem, origin, response is not None)
            self._observe(error, (self._clock.monotonic() - started) * 1000)
            raise error from None
        finally:
            if response is not None:
                response.close()
        self._observe(None, (self._clock.monotonic() - started) * 1000)
        return wire.decode(answer, request, origin)

    async def _refusal(self, response: Response, origin: Origin) -> ModelError:
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except TransportError:
            body = b""
        return self._dialect.refusal(origin, response.status, response.header, body, self._clock.now())

    def _broken(self, error: TransportError, origin: Origin, begun: bool) -> ModelError:
        words = origin.redact(str(error), 200)
        if isinstance(error, ConnectTimedOut):
            name = f"providers.{self.target.provider}.connect_s"
            return self._too_late(origin, name, self._limits.connect_s, sent=False)
        if isinstance(error, BodyTooLong):
            return origin.error(ModelMalformed, f"sent an answer of more than {MAX_ANSWER_BYTES} bytes.")
        if begun:
            return origin.error(ModelCut, f"broke off in the middle of its answer: {words}.")
        if isinstance(error, ProtocolBroken):
            return origin.error(ModelMalformed, f"did not answer in HTTP: {words}.", sent=True)
        how = "cannot be reached" if isinstance(error, ConnectFailed) else "closed the connection before answering"
        return origin.error(
            ModelUnreachable, f"{how} ({words}).", sent=error.sent,
            remedy=f"Check base_url of providers.{self.target.provider} and that the server runs.",
        )  # fmt: skip

    def _too_late(self, origin: Origin, name: str, seconds: float, *, sent: bool) -> ModelError:
        return origin.error(
            ModelTimeout, f"did not answer within {seconds:g} s ({name}).", limit=name, seconds=seconds, sent=sent,
            remedy=f"Raise {name} if that is too short.",
        )  # fmt: skip

    def _abandoned(self, request: EmbeddingRequest, ctx: CallContext, started: float) -> None:
        if ctx.on_abandoned is not None:
            ctx.on_abandoned(self._metered(request, 0, started))

    def _metered(self, request: EmbeddingRequest, reported: int, started: float) -> Metered:
        """What the call used and cost; where the provider reported nothing, at the bound (a byte is a token)."""
        bound = sum(text_bytes(text) if isinstance(text, str) else len(text) for text in request.inputs)
        usage = Usage(reported or bound)
        price = self._price()
        known = price is not None and price.is_known
        return Metered(
            attempt=1,
            target=f"{self.target.provider}/{self.target.model}",
            usage=usage,
            cost_microusd=price.cost_microusd(usage) if price is not None and known else 0,
            priced=known,
            estimated=not reported,
            first_token_ms=None,
            latency_ms=(self._clock.monotonic() - started) * 1000,
        )
