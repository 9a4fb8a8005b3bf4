"""The OpenAI face: POST /v1/chat/completions, for agents (they run, tools inside) and for providers' models (relayed).

A stream that breaks ends with an error object and without [DONE], never with `stop`: a truncated answer is not shown as
a whole one.
"""

from typing import Any

import msgspec

from golive.config.schema import ServerConfig
from golive.core.clock import Clock
from golive.core.errors import GoliveError, InvalidRequest, ModelCut
from golive.core.frames import Frame
from golive.gateway.bodies import read_body
from golive.gateway.exchange import Exchange
from golive.gateway.openai_answer import FINISH_OF_OUTCOME, WholeAnswer, agent_answer
from golive.gateway.openai_chunks import DONE, Chunks, Tail
from golive.gateway.openai_errors import error_of, failed_run, openai_error
from golive.gateway.openai_request import ChatBody, agent_messages, model_request, read_chat
from golive.gateway.routes import Answer, Param, Route, forbidden
from golive.gateway.runs import sim_headers
from golive.gateway.sse import HEARTBEAT
from golive.gateway.watch import Watch
from golive.models.call import Opened
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.relay import Relay, RelayCall
from golive.runtime.service import Runtime
from golive.runtime.stream import Subscription
from golive.tenants.authorize import Resource, Verb, authorize

_result = msgspec.json.Decoder(RunResult).decode
_encode = msgspec.json.Encoder().encode


class ChatFace:
    """Handler of /v1/chat/completions."""

    def __init__(self, runtime: Runtime, relay: Relay, clock: Clock, server: ServerConfig) -> None:
        self._runtime = runtime
        self._relay = relay
        self._clock = clock
        self._limit = server.max_body_bytes
        self._heartbeat_s = server.heartbeat_s

    async def complete(self, exchange: Exchange) -> None:
        """POST /v1/chat/completions"""
        body = await read_body(exchange, self._limit)
        chat = read_chat(body)
        if "/" in chat.model:
            _demand(exchange, "models.call", "model", chat.model)
            await self._relayed(exchange, chat, body)
        else:
            _demand(exchange, "runs.create", "agent", chat.model)
            await self._run(exchange, chat, body)

    # ---- a provider's model ------------------------------------------------------------------------------------------

    async def _relayed(self, exchange: Exchange, chat: ChatBody, body: bytes) -> None:
        request = model_request(chat, body, sim_headers(exchange))
        call = await self._relay.open(exchange.principal, chat.model, request)
        exchange.run = call.run
        try:
            async with Watch(exchange):
                if chat.stream:
                    last = await self._stream_call(exchange, chat, call)
                else:
                    whole = WholeAnswer()
                    async for batch in call:
                        whole.add(batch)
                    if not whole.whole:
                        raise ModelCut(f"{chat.model} ended its answer without saying why.")
                    last = whole.body(call.run, chat.model, self._clock.now())
        finally:
            await call.aclose()
        if chat.stream:
            await exchange.end(last)
        else:
            await exchange.answer(200, last, b"application/json", [(b"x-request-id", call.run.encode())])

    async def _stream_call(self, exchange: Exchange, chat: ChatBody, call: RelayCall) -> bytes:
        """Sends all but the end, which it returns; a failure before the first event is raised: it gets a status."""
        chunks: Chunks | None = None
        tail = Tail()
        try:
            async for batch in call:
                tail.see(batch)
                if chunks is None:
                    if not any(type(event) is Opened for event in batch):
                        continue
                    chunks = self._chunks(chat, call.run, tail.opened)
                    await exchange.begin_stream([(b"x-request-id", call.run.encode())])
                if data := chunks.batch(batch):
                    await exchange.write(data)
        except GoliveError as error:
            if chunks is None:
                raise
            return chunks.error(error_of(error))
        if chunks is None or not chunks.finished:
            cut = ModelCut(f"{chat.model} ended its answer without saying why.")
            if chunks is None:
                raise cut
            return chunks.error(error_of(cut))
        usage = chunks.usage(tail.usage) if chat.with_usage and tail.usage is not None else b""
        return usage + DONE

    def _chunks(self, chat: ChatBody, run: str, opened: Opened | None) -> Chunks:
        opened = opened or Opened()
        return Chunks(
            opened.response_id or f"chatcmpl-{run}",
            opened.created or int(self._clock.now()),
            opened.response_model or chat.model,
            with_usage=chat.with_usage,
            extra=opened.extra,
        )

    # ---- an agent ----------------------------------------------------------------------------------------------------

    async def _run(self, exchange: Exchange, chat: ChatBody, body: bytes) -> None:
        principal = exchange.principal
        metadata = dict(chat.metadata or {})
        run = await self._runtime.start(
            RunRequest(
                agent=chat.model,
                input=agent_messages(chat, body),
                principal=principal,
                conversation=_conversation(exchange, metadata),
                metadata=metadata,
                headers=sim_headers(exchange),
            )
        )
        # A finished run must not be repeated by an SDK that takes its failure for a passing one.
        headers = [(b"x-request-id", run.encode()), (b"x-should-retry", b"false")]
        if chat.stream:
            await self._stream_run(exchange, chat, run, headers)
            return
        try:
            async with Watch(exchange):
                result = await self._runtime.wait(principal.tenant, run)
        except GoliveError as refused:
            status, _, told = openai_error(refused)
            await exchange.answer(status, told, b"application/json", headers)
            return
        if result.outcome in FINISH_OF_OUTCOME:
            await exchange.answer(200, agent_answer(result), b"application/json", headers)
        else:
            status, error = failed_run(result)
            await exchange.json(error, status, headers)

    async def _stream_run(
        self, exchange: Exchange, chat: ChatBody, run: str, headers: list[tuple[bytes, bytes]]
    ) -> None:
        frames = await self._runtime.subscribe(exchange.principal.tenant, run)
        chunks = Chunks(f"chatcmpl-{run}", int(self._clock.now()), chat.model, with_usage=chat.with_usage)
        try:
            await exchange.begin_stream(headers)
            await exchange.write(chunks.role())
            async with Watch(exchange):
                end = await self._send_run(exchange, chat, chunks, frames)
        except GoliveError as error:
            end = chunks.error(error_of(error))
        finally:
            frames.close()
        await exchange.end(end)

    async def _send_run(self, exchange: Exchange, chat: ChatBody, chunks: Chunks, frames: Subscription) -> bytes:
        """Sends all but the end, which it returns."""
        last: Frame | None = None
        while (batch := await frames.next(self._heartbeat_s)) is not None:
            if not batch:
                await exchange.write(HEARTBEAT)
                continue
            last = batch[-1]
            if data := chunks.frames(batch):
                await exchange.write(data)
        if last is None or last.event != "run.finished":
            return chunks.error(error_of(ModelCut("The run's stream broke off.", remedy="Ask for the run itself.")))
        return _run_end(chunks, _result(last.data), chat.with_usage)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "POST", "/v1/chat/completions", ("runs.create", "models.call"), self.complete,
                "Chat completion, in OpenAI's shape", kind="model", tag="OpenAI", face="openai", body=ChatBody,
                params=(Param("x-conversation-id", "header", "Agents: the conversation to continue."),),
                answers=(
                    Answer(200, "OpenAI's chat.completion,", dict[str, Any]),
                    Answer(200, "or with `stream` its chunks as server-sent events.", media="text/event-stream"),
                ),
                description=(
                    "`model` is an agent, which runs with its tools, or `provider/model`, which is relayed with every "
                    "parameter as it stands."
                ),
            )
        ]  # fmt: skip


def _run_end(chunks: Chunks, result: RunResult, with_usage: bool) -> bytes:
    finish = FINISH_OF_OUTCOME.get(result.outcome or "")
    if finish is None:
        return chunks.error(failed_run(result)[1])
    text = b"" if result.text or not result.message else chunks.text(_encode(result.message))
    usage = chunks.usage(result.usage) if with_usage else b""
    return text + chunks.finish(finish) + usage + DONE


def _demand(exchange: Exchange, verb: Verb, kind: str, name: str) -> None:
    principal = exchange.principal
    decision = authorize(principal, verb, Resource(principal.tenant, kind, name))
    if not decision.allowed:
        raise forbidden(decision, verb)


def _conversation(exchange: Exchange, metadata: dict[str, str]) -> str | None:
    """The conversation's id from the header, or from metadata, whence it is taken out."""
    named = metadata.pop("conversation_id", None)
    conversation = exchange.header(b"x-conversation-id") or named
    if conversation is not None and not 0 < len(conversation) <= 200:
        raise InvalidRequest(
            "The conversation's id is not usable.", remedy="Use 1 to 200 characters.", field="x-conversation-id"
        )
    return conversation
