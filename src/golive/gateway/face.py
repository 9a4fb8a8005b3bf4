"""What the faces in vendors' shapes share: an agent's run, or a relayed call, answered whole or as a stream.

Owns the order of things: who may, when the status is sent, what ends an answer, what a client that left ends. Each face
brings its own reading and writing, as `Asked`, `Streamed` and `Collected`. On every one a stream that breaks ends with
the face's error and never as if whole.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from golive.config.schema import ServerConfig
from golive.core.clock import Clock
from golive.core.errors import GoliveError, InvalidRequest, ModelCut, RunWaiting
from golive.core.frames import RESET, Frame
from golive.core.messages import Message, Usage
from golive.gateway import outsiders
from golive.gateway.beta_header import with_betas
from golive.gateway.bodies import read_body
from golive.gateway.cache_header import cache_ttl_s
from golive.gateway.exchange import Exchange
from golive.gateway.language import languages
from golive.gateway.other_names import explain
from golive.gateway.permit import demand
from golive.gateway.plain import plain, plain_run
from golive.gateway.problems import Headers, retry_headers
from golive.gateway.runs import sim_headers
from golive.gateway.watch import Watch
from golive.gateway.whose import whose
from golive.models.call import Metered, ModelEvent, ModelRequest, Opened, TextDelta, UsageReported
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.relay import Relay
from golive.runtime.relay_call import RelayCall
from golive.runtime.service import Runtime
from golive.runtime.subscription import Subscription

ANSWERED = frozenset({"completed", "escalated", "partial", "refused"})
"""Outcomes of a run that are an answer; `failed` and `cancelled` are errors on every face."""

_LOST = "The run goes on elsewhere, and not with the text that is shown here."
_ASK = "Read what became of it with GET /v1/runs/{run}."

_result = msgspec.json.Decoder(RunResult).decode


class Streamed(Protocol):
    """One streamed answer, as a face writes it. Every piece is bytes ready to be sent, b"" where nothing is to say."""

    heartbeat: bytes
    """What a quiet stream is sent."""

    @property
    def whole(self) -> bool:
        """Whether the model has said that its answer is over."""
        ...

    def begin(self) -> bytes:
        """The first bytes of an agent's answer. A relayed one begins with its first batch."""
        ...

    def batch(self, events: list[ModelEvent]) -> bytes:
        """A batch of a relayed answer."""
        ...

    def end(self, usage: Usage | None) -> bytes:
        """What ends a relayed answer that is whole."""
        ...

    def frames(self, frames: list[Frame]) -> bytes:
        """A batch of an agent's frames; its tools and status stay inside."""
        ...

    def run_end(self, result: RunResult) -> bytes:
        """What ends an agent's answer whose outcome is in `ANSWERED`."""
        ...

    def error(self, error: GoliveError) -> bytes:
        """What ends a broken answer."""
        ...

    def failed_run(self, result: RunResult) -> bytes:
        """What ends the stream of a run that has no answer."""
        ...


class Collected(Protocol):
    """One answer put together from its events."""

    @property
    def whole(self) -> bool:
        """Whether the model has said that its answer is over."""
        ...

    def add(self, events: list[ModelEvent]) -> None:
        """Takes in a batch."""
        ...

    def body(self, run: str, model: str, now: float) -> bytes:
        """The answer; what the vendor did not say comes from `run` (id), `model` and `now` (seconds)."""
        ...


class Asked(Protocol):
    """One request on a face: what it wants, and how it is answered."""

    @property
    def model(self) -> str:
        """An agent's name, or `provider/model`."""
        ...

    @property
    def stream(self) -> bool: ...

    def model_request(self, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
        """The request for a provider's model; raises InvalidRequest naming the field."""
        ...

    def agent_input(self) -> tuple[Message, ...]:
        """What an agent's run begins with.

        Raises:
            InvalidRequest: a parameter or message that an agent cannot honour; `field` names it.
        """
        ...

    def metadata(self) -> dict[str, str]:
        """What the client notes with an agent's run; `conversation_id` and `language` in it are golive's, too."""
        ...

    def named_user(self) -> tuple[str | None, str]:
        """The user whom the body names, None: nobody; and in which field."""
        ...

    def streamed(self, run: str, opened: Opened, now: float) -> Streamed:
        """Begins a streamed answer."""
        ...

    def collected(self) -> Collected:
        """Begins an answer that is sent whole."""
        ...

    def run_answer(self, result: RunResult) -> bytes:
        """The whole answer of a run whose outcome is in `ANSWERED`."""
        ...

    def failed_run(self, result: RunResult) -> tuple[int, bytes]:
        """Status and body for a run that ended without an answer."""
        ...

    def refusal(self, error: GoliveError, run: str) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to an error."""
        ...

    def headers(self, run: str) -> Headers:
        """Headers of every answer, the request's id among them."""
        ...


class Tail:
    """What the events of an answer say about its two ends: who opened it; usage, as reported or else as metered."""

    __slots__ = ("opened", "usage")

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.usage: Usage | None = None

    def see(self, events: list[ModelEvent]) -> None:
        """Takes in a batch."""
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                continue
            if kind is Opened:
                self.opened = self.opened or event  # type: ignore[assignment]
            elif kind is UsageReported or (kind is Metered and self.usage is None):
                self.usage = event.usage  # type: ignore[union-attr]


class Face:
    """Answers what was asked on any face."""

    def __init__(
        self, runtime: Runtime, relay: Relay, clock: Clock, server: ServerConfig, dialect: Callable[[str], str | None]
    ) -> None:
        """`dialect`: that of `provider/model`; None where there is no such provider."""
        self._runtime = runtime
        self._dialect = dialect
        self._relay = relay
        self._clock = clock
        self._limit = server.max_body_bytes
        self._heartbeat_s = server.heartbeat_s

    async def body(self, exchange: Exchange) -> bytes:
        """The request's body, within the server's limit; raises as `read_body`."""
        return await read_body(exchange, self._limit)

    async def answer(self, exchange: Exchange, asked: Asked) -> None:
        """Demands the verb that applies, and answers: a provider's model by a relayed call, an agent by a run."""
        demand_for(exchange, asked.model)
        if "/" in asked.model:
            await self._relayed(exchange, asked)
        else:
            await self._run(exchange, asked)

    # ---- a provider's model ------------------------------------------------------------------------------------------

    async def _relayed(self, exchange: Exchange, asked: Asked) -> None:
        request = with_betas(exchange, asked.model_request(sim_headers(exchange)))
        user = whose(exchange, *asked.named_user())
        call = await self._relay.open(exchange.principal, asked.model, request, cache_ttl_s(exchange), user)
        exchange.run = call.run
        try:
            async with Watch(exchange):
                if asked.stream:
                    last = await self._stream_call(exchange, asked, call, request.dialect)
                else:
                    collected = asked.collected()
                    async for batch in call:
                        collected.add(batch)
                    if not collected.whole:
                        raise _unfinished(asked)
                    last = collected.body(call.run, asked.model, self._clock.now())
        except GoliveError as error:
            explain(error, request.dialect, self._dialect(asked.model))
            raise
        finally:
            await call.aclose()
        if asked.stream:
            await exchange.end(last)
        else:
            await exchange.answer(200, last, b"application/json", asked.headers(call.run))

    async def _stream_call(self, exchange: Exchange, asked: Asked, call: RelayCall, dialect: str) -> bytes:
        """Sends all but the end, which it returns; a failure before the first event is raised: it gets a status."""
        streamed: Streamed | None = None
        tail = Tail()
        try:
            async for batch in call:
                tail.see(batch)
                if streamed is None:
                    if tail.opened is None:
                        continue
                    streamed = asked.streamed(call.run, tail.opened, self._clock.now())
                    await exchange.begin_stream(asked.headers(call.run))
                if data := streamed.batch(batch):
                    await exchange.write(data)
        except GoliveError as error:
            if streamed is None:
                raise
            explain(error, dialect, self._dialect(asked.model))
            return streamed.error(outsiders.told(exchange, error))
        if streamed is None:
            raise _unfinished(asked)
        return streamed.end(tail.usage) if streamed.whole else streamed.error(_unfinished(asked))

    # ---- an agent ----------------------------------------------------------------------------------------------------

    async def _run(self, exchange: Exchange, asked: Asked) -> None:
        principal = exchange.principal
        metadata = asked.metadata()
        plain_run(None, metadata)
        run = await self._runtime.start(
            RunRequest(
                unbroken=asked.stream,
                agent=asked.model,
                input=asked.agent_input(),
                principal=principal,
                user=whose(exchange, *asked.named_user()),
                conversation=_conversation(exchange, metadata.pop("conversation_id", None)),
                metadata=metadata,
                headers=sim_headers(exchange),
                languages=languages(exchange, metadata.get("language")),
            )
        )
        # A finished run must not be repeated by an SDK that takes its failure for a passing one.
        headers = [*asked.headers(run), (b"x-should-retry", b"false")]
        if asked.stream:
            await self._stream_run(exchange, asked, run, headers)
            return
        try:
            async with Watch(exchange):
                result = await self._runtime.wait(principal.tenant, run)
                if result.state == "waiting":
                    raise _waiting(run)
        except GoliveError as refused:
            status, further, told = asked.refusal(outsiders.told(exchange, refused), run)
            headers += further
        else:
            if result.outcome in ANSWERED:
                status, told = 200, asked.run_answer(result)
            else:
                status, told = asked.failed_run(result)
                headers += retry_headers(result)
        await exchange.answer(status, told, b"application/json", headers)

    async def _stream_run(self, exchange: Exchange, asked: Asked, run: str, headers: Headers) -> None:
        frames = await self._runtime.subscribe(exchange.principal.tenant, run)
        streamed = asked.streamed(run, Opened(), self._clock.now())
        try:
            await exchange.begin_stream(headers)
            await exchange.write(streamed.begin())
            async with Watch(exchange):
                end = await self._send_run(exchange, streamed, frames, run)
        except GoliveError as error:
            end = streamed.error(outsiders.told(exchange, error))
        finally:
            frames.close()
        await exchange.end(end)

    async def _send_run(self, exchange: Exchange, streamed: Streamed, frames: Subscription, run: str) -> bytes:
        """Sends all but the end, which it returns.

        Text that a server showed and that is lost, since it was cut off from its store and another has gone on with the
        run, cannot be taken back here: the answer ends with an error.
        """
        last: Frame | None = None
        shown = 0
        while (batch := await frames.next(self._heartbeat_s)) is not None:
            if not batch:
                await exchange.write(streamed.heartbeat)
                continue
            stands, shown = _standing(batch, shown)
            if data := streamed.frames(batch[:stands]):
                await exchange.write(data)
            if stands < len(batch):
                return streamed.error(ModelCut(_LOST, remedy=_ASK.format(run=run)))
            last = batch[-1]
            asks = any(frame.event == "decision.requested" for frame in batch)
            if asks and await self._runtime.waits(exchange.principal.tenant, run):
                return streamed.error(_waiting(run))
        if last is None or last.event != "run.finished":
            broken = ModelCut("The run's stream broke off.", remedy=_ASK.format(run=run))
            return streamed.error(outsiders.told(exchange, frames.failure) if frames.failure else broken)
        result = _result(last.data)
        return streamed.run_end(result) if result.outcome in ANSWERED else streamed.failed_run(result)


def _standing(batch: list[Frame], shown: int) -> tuple[int, int]:
    """How many of the frames come before one that takes shown text back, and how far text has been shown after them."""
    for number, frame in enumerate(batch):
        if frame.is_text:
            shown = frame.pos
        elif frame.event == RESET and frame.pos < shown:
            return number, shown
    return len(batch), shown


def demand_for(exchange: Exchange, model: str) -> None:
    """Raises Forbidden unless who asks may call this model, which is an agent or `provider/model`."""
    if "/" in model:
        demand(exchange, "models.call", "model", model)
    else:
        demand(exchange, "runs.create", "agent", model)


def _unfinished(asked: Asked) -> ModelCut:
    return ModelCut(f"{asked.model} ended its answer without saying why.")


def _conversation(exchange: Exchange, named: str | None) -> str | None:
    """The conversation's id from the header, or as the body names it."""
    conversation = exchange.header(b"x-conversation-id") or named
    if conversation is not None and not 0 < len(conversation) <= 200:
        raise InvalidRequest(
            f"x-conversation-id has {len(conversation)} characters.",
            remedy="Use 1 to 200.",
            field="x-conversation-id",
        )
    plain("x-conversation-id", conversation)
    return conversation


def _waiting(run: str) -> RunWaiting:
    """What clients of other vendors' faces are told: their protocols know no waiting for people."""
    return RunWaiting(
        f"{run} waits for a person's decision, and goes on by itself once that is made.",
        remedy=f"Decide with POST /v1/runs/{run}/decisions/…, and read GET /v1/runs/{run}; do not send it again.",
        run=run,
    )
