"""The Responses face: POST /v1/responses, for agents and for providers' models, and GET /v1/responses/{id}, for agents.

An agent's responses are runs: `resp_` and the run's id. Each belongs to a conversation, so that `previous_response_id`
can go on with it. Of relayed calls golive keeps no content; a provider of the same dialect keeps its responses itself.
The flow is `face.py`'s.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import GoliveError, InvalidRequest, NotFound
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.gateway.beta_header import beta_param
from golive.gateway.bodies import Reader
from golive.gateway.cache_header import CACHE_PARAM
from golive.gateway.exchange import Exchange
from golive.gateway.face import ANSWERED, Face, Tail
from golive.gateway.openai_errors import failed_run, openai_error
from golive.gateway.permit import demand, see
from golive.gateway.plain import plain
from golive.gateway.problems import Headers
from golive.gateway.responses_events import ResponseStream
from golive.gateway.responses_output import ResponseObject, echo, more
from golive.gateway.responses_request import (
    NATIVE,
    ResponsesBody,
    agent_input,
    fields_of,
    model_request,
    read_responses,
)
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.whose import USER_PARAM, confined, openai_user, whose
from golive.models.call import Finished, ModelEvent, ModelRequest, Opened
from golive.runtime.api import RunResult
from golive.runtime.service import Runtime

_encode = msgspec.json.Encoder().encode
_KEPT, _NOT_KEPT = Raw(b"true"), Raw(b"false")


class RetrieveQuery(Struct, frozen=True):
    stream: bool = False


class CollectedResponse:
    """A relayed answer that is sent whole; see `face.Collected`."""

    __slots__ = ("_begin", "_events", "_tail", "whole")

    def __init__(self, begin: Callable[[str, Opened, float], ResponseStream]) -> None:
        self._begin = begin
        self._events: list[ModelEvent] = []
        self._tail = Tail()
        self.whole = False

    def add(self, events: list[ModelEvent]) -> None:
        self._tail.see(events)
        self._events += events
        self.whole = self.whole or any(isinstance(event, Finished) and event.choice == 0 for event in events)

    def body(self, run: str, model: str, now: float) -> bytes:
        stream = self._begin(run, self._tail.opened or Opened(), now)
        stream.batch(self._events)
        stream.end(self._tail.usage)
        return stream.last


class ResponsesAsked:
    """A response asked for; see `face.Asked`."""

    __slots__ = ("_body", "_dialect", "_fields", "asked", "conversation", "model", "stream")

    def __init__(self, body: bytes, dialect: Callable[[str], str | None]) -> None:
        """Raises InvalidRequest naming the field."""
        self._body = body
        self.asked: ResponsesBody = read_responses(body)
        self._fields = fields_of(body)
        self.model = self.asked.model
        self.stream = bool(self.asked.stream)
        self._dialect = dialect(self.model) if "/" in self.model else None
        self.conversation: str | None = None
        """Agents: the conversation that the run belongs to."""

    def model_request(self, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
        return model_request(self.asked, self._body, self._dialect, headers)

    def agent_input(self) -> tuple[Message, ...]:
        return agent_input(self.asked, self._body)

    def metadata(self) -> dict[str, str]:
        named = {} if self.conversation is None else {"conversation_id": self.conversation}
        return {**(self.asked.metadata or {}), **named}

    def named_user(self) -> tuple[str | None, str]:
        return openai_user(self.asked.user, self.asked.safety_identifier)

    def streamed(self, run: str, opened: Opened, now: float) -> ResponseStream:
        response_id = opened.response_id if self._dialect == NATIVE and opened.response_id else f"resp_{run}"
        created = opened.created or int(now)
        settings = {**self._settings(), **more(opened.extra)}
        response = ResponseObject(response_id, created, opened.response_model or self.model, settings)
        return ResponseStream(response, run, native=self._dialect == NATIVE)

    def collected(self) -> CollectedResponse:
        return CollectedResponse(self.streamed)

    def run_answer(self, result: RunResult) -> bytes:
        return run_response(result, self._settings())

    def failed_run(self, result: RunResult) -> tuple[int, bytes]:
        status, told = failed_run(result)
        return status, _encode(told)

    def refusal(self, error: GoliveError, run: str) -> tuple[int, Headers, bytes]:
        return openai_error(error)

    def headers(self, run: str) -> Headers:
        return [(b"x-request-id", run.encode())]

    def _settings(self) -> dict[str, Raw]:
        """What the response repeats of the request; `store` says what is so."""
        said = echo(self._fields)
        if self.conversation is not None:
            return {**said, **_of_run(self.conversation)}
        return {"store": _KEPT, **said} if self._dialect == NATIVE else {**said, "store": _NOT_KEPT}


def run_response(result: RunResult, settings: dict[str, Raw]) -> bytes:
    """The response that a run is, in whatever state."""
    response = ResponseObject(f"resp_{result.run}", int(result.created_at), result.agent, settings)
    stream = ResponseStream(response, result.run)
    if result.text:
        stream.text(_encode(result.text))
    if result.outcome is None:
        return stream.so_far("queued" if result.state == "queued" else "in_progress", None)
    if result.outcome == "cancelled":
        return stream.so_far("cancelled", result.usage)
    if result.outcome in ANSWERED:
        stream.run_end(result)
    else:
        stream.failed_run(result)
    return stream.last


class ResponsesFace:
    """Handlers of /v1/responses."""

    def __init__(self, face: Face, runtime: Runtime, dialect: Callable[[str], str | None], ids: Ids) -> None:
        """`dialect` tells that of `provider/model`; None where there is no such provider."""
        self._face = face
        self._runtime = runtime
        self._dialect = dialect
        self._ids = ids
        self._query = Reader(RetrieveQuery)

    async def create(self, exchange: Exchange) -> None:
        """POST /v1/responses"""
        asked = ResponsesAsked(await self._face.body(exchange), self._dialect)
        if "/" not in asked.model:
            demand(exchange, "runs.create", "agent", asked.model)
            asked.conversation = await self._conversation(exchange, asked.asked)
        await self._face.answer(exchange, asked)

    async def show(self, exchange: Exchange) -> None:
        """GET /v1/responses/{id}"""
        response_id = exchange.params["id"]
        if self._query.query(exchange.scope["query_string"]).stream:
            raise InvalidRequest(
                "A response cannot be streamed again here.", remedy="Follow its run: GET /v1/runs/{run}/events.",
                field="stream", value=True,
            )  # fmt: skip
        result = await self._run_of(exchange, response_id)
        only = confined(exchange)
        if result is None or only not in (None, result.user):
            raise NotFound(
                f"Response with id {response_id[:100]!r} not found.",
                remedy="Responses of agents can be asked for here; of relayed calls golive keeps no content.",
                field="id", value=response_id[:100],
            )  # fmt: skip
        settings = _of_run(result.conversation) | {"metadata": Raw(_encode(result.metadata))}
        await exchange.answer(200, run_response(result, settings), b"application/json")

    async def _run_of(self, exchange: Exchange, response_id: str) -> RunResult | None:
        """The agent's run that a response is; None when the tenant has none, or what is there was relayed."""
        if not response_id.startswith("resp_"):
            return None
        try:
            result = await self._runtime.result(exchange.principal.tenant, response_id.removeprefix("resp_"))
        except NotFound:
            return None
        if "/" in result.agent or not see(exchange, "runs.read", "run", result.run, result.agent):
            return None
        return result

    async def _conversation(self, exchange: Exchange, asked: ResponsesBody) -> str:
        """The conversation that the run belongs to: as named, that of the response before, or a new one."""
        named = asked.conversation if isinstance(asked.conversation, str | None) else asked.conversation.id
        named = exchange.header(b"x-conversation-id") or named or (asked.metadata or {}).get("conversation_id")
        previous = asked.previous_response_id
        if previous is None:
            return named or self._ids.new("conv")
        plain("previous_response_id", previous)
        if named is not None:
            raise InvalidRequest(
                "previous_response_id and a conversation cannot both be given.", remedy="Leave one of them out.",
                field="previous_response_id", value=previous[:100],
            )  # fmt: skip
        result = await self._run_of(exchange, previous)
        user = whose(exchange, *openai_user(asked.user, asked.safety_identifier))
        if result is None or result.conversation is None or result.user != user:
            raise InvalidRequest(
                f"Previous response with id {previous[:100]!r} not found.",
                remedy="An agent goes on from its own responses, as they were made here, and from no others.",
                field="previous_response_id", value=previous[:100], openai_code="previous_response_not_found",
            )  # fmt: skip
        return result.conversation

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "POST", "/v1/responses", ("runs.create", "models.call"), self.create, "Response, in OpenAI's shape",
                kind="model", narrows=True, tag="OpenAI", face="openai", body=ResponsesBody,
                params=(
                    Param("x-conversation-id", "header", "Agents: the conversation to continue."), CACHE_PARAM,
                    USER_PARAM, beta_param("openai-responses"),
                ),
                answers=(
                    Answer(200, "OpenAI's response object,", dict[str, Any]),
                    Answer(200, "or with `stream` its events.", media="text/event-stream"),
                ),
                description=(
                    "`model` is an agent, which runs with its tools, or `provider/model`, which is relayed: as it "
                    "stands to a provider of dialect openai-responses, translated to every other."
                ),
            ),
            Route(
                "GET", "/v1/responses/{id}", "runs.read", self.show, "Show an agent's response, in OpenAI's shape",
                kind="run", narrows=True, tag="OpenAI", face="openai",
                params=(
                    Param("id", "path", "The response's id: `resp_` and the run's."),
                    Param("stream", "query", "Must be false."),
                ),
                answers=(Answer(200, "The response as it stands.", dict[str, Any]),),
            ),
        ]  # fmt: skip


def _of_run(conversation: str | None) -> dict[str, Raw]:
    """What every response of an agent says: a run is kept, in its conversation."""
    told = None if conversation is None else {"id": conversation}
    return {"store": _KEPT, "conversation": Raw(_encode(told))}
