"""One target, asked for embeddings: over the same transport, limits, gates and errors as its model calls, and metered.

Owns the call; `embedding_wire.py` has what is written and read. A call is not streamed, so there is no first token:
`connect_s`, `call_s` and the caller's own deadline are its limits.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence

from msgspec import Raw, Struct

from golive.core.clock import Clock
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, GoliveError, ModelAuthFailed, ModelError, ModelMalformed
from golive.core.messages import Usage
from golive.models.call import CallContext, Finished, Metered, ModelCall, ModelEvent, ModelRequest, Opened
from golive.models.capabilities import ModelCapabilities
from golive.models.course import Chained, ChainTarget, Lane
from golive.models.dialect import Dialect, Target
from golive.models.embedding_wire import Embedded, EmbeddingRequest, wire_of
from golive.models.estimate import text_bytes
from golive.models.gate import Gate
from golive.models.meter import Pricer
from golive.models.provider import MAX_ERROR_BYTES, Limits, LimitsSeen, Observe
from golive.models.transport import BodyTooLong, Response, Transport, TransportError
from golive.models.transport_errors import cut, too_late, unanswered
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

    def events(self) -> list[ModelEvent]:
        """What a model's answer would have told of itself."""
        return [Opened(response_model=self.model, request_id=self.request_id), Finished("stop"), self.metered]


Embed = Callable[[EmbeddingRequest, CallContext], AsyncGenerator[list[ModelEvent] | EmbeddingAnswer, None]]
"""A call for embeddings: events as of a model's call (attempts, what they cost), and last the answer."""

_ASKED = ModelRequest(messages=())
"""Stands for the texts where a chain hands on a request that it need not know."""


class EmbeddingChain:
    """An `Embed` over the lanes of one target, behind the gates that its model calls stand behind."""

    def __init__(
        self, ref: str, lanes: Callable[[str], Sequence[tuple["EmbeddingCall", Gate]]],
        chain: Callable[[Chained, str], ModelCall],
    ) -> None:  # fmt: skip
        """`lanes`: those of a tenant; may raise ModelNoCredential. `chain` makes a tenant's call along a chain."""
        self._ref = ref
        self._lanes = lanes
        self._chain = chain

    async def __call__(
        self, request: EmbeddingRequest, ctx: CallContext
    ) -> AsyncGenerator[list[ModelEvent] | EmbeddingAnswer, None]:
        """Raises what `Chain` does."""
        found: list[EmbeddingAnswer] = []
        lanes = tuple([Lane(call.asked(request, found.append), gate) for call, gate in self._lanes(ctx.tenant)])
        chain = self._chain(Chained((ChainTarget(self._ref, lanes, ModelCapabilities()),)), ctx.tenant)
        events = chain(_ASKED, ctx)
        try:
            async for batch in events:
                yield batch
        finally:
            await events.aclose()
        yield found[-1]


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
        limits_seen: LimitsSeen | None = None,
        renewed: Callable[[str | None], Awaitable[str | None]] | None = None,
    ) -> None:
        self._renewed = renewed
        self.target = Target(provider, model, base_url.rstrip("/"))
        self._limits = limits
        self._dialect = dialect
        self._transport = transport
        self._credential = credential
        self._price = price
        self._clock = clock
        self._observe = observe
        self._limits_seen = limits_seen

    def asked(self, request: EmbeddingRequest, found: Callable[[EmbeddingAnswer], None]) -> ModelCall:
        """The call for these texts in the shape of a model's, for a chain; `found` is told the answer.

        Its one batch says what it cost, also where it failed after the request was sent.

        Raises:
            DeadlineExceeded: the caller's deadline passed. ModelTimeout: one of the provider's limits did.
            ModelBadRequest: the provider's dialect cannot be asked this.
            ModelError: anything else that went wrong with the provider.
        """

        async def call(_: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
            started = self._clock.monotonic()
            try:
                answer = await self._answer(request, ctx, started)
            except asyncio.CancelledError:
                if ctx.on_abandoned is not None:
                    ctx.on_abandoned(self._metered(request, 0, started))
                raise
            except GoliveError as error:
                refused = not isinstance(error, ModelError | DeadlineExceeded) or error.fields.get("status") is not None
                if not refused and error.fields.get("sent", True):
                    yield [self._metered(request, 0, started)]
                raise
            found(answer)
            yield answer.events()

        return call

    async def _answer(self, request: EmbeddingRequest, ctx: CallContext, started: float) -> EmbeddingAnswer:
        if ctx.deadline.at <= started:
            error = ctx.deadline.error()
            error.fields["sent"] = False
            raise error
        secret = self._credential()
        origin = Origin(self.target.provider, self.target.model, secret=secret)
        try:
            embedded = await self._within(ctx.deadline, self._ask(request, origin, secret), origin)
        except ModelAuthFailed:
            fresh = None if self._renewed is None else await self._renewed(secret)
            if fresh is None:
                raise
            origin = Origin(self.target.provider, self.target.model, secret=fresh)
            embedded = await self._within(ctx.deadline, self._ask(request, origin, fresh), origin)
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
            error = too_late(origin, name, self._limits.call_s, sent=True)
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
        if self._limits_seen is not None:
            self._limits_seen(response.header)
        return wire.decode(answer, request, origin)

    async def _refusal(self, response: Response, origin: Origin) -> ModelError:
        try:
            body = await response.read(MAX_ERROR_BYTES)
        except TransportError:
            body = b""
        return self._dialect.refusal(origin, response.status, response.header, body, self._clock.now())

    def _broken(self, error: TransportError, origin: Origin, begun: bool) -> ModelError:
        if isinstance(error, BodyTooLong):
            return origin.error(ModelMalformed, f"sent an answer of more than {MAX_ANSWER_BYTES} bytes.")
        if begun:
            return cut(origin, error, begun=True)
        return unanswered(origin, error, self._limits.connect_s)

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
