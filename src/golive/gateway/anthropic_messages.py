"""The Anthropic face: POST /v1/messages, for agents (they run, tools inside) and for providers' models (relayed).

A stream that breaks ends with an `error` event and without message_stop: a truncated answer is not shown as a whole
one. The flow is `face.py`'s.
"""

from typing import Any

import msgspec
from msgspec import Struct

from golive.core.errors import GoliveError, InvalidRequest
from golive.core.messages import Message
from golive.gateway.anthropic_answer import WholeMessage, agent_message
from golive.gateway.anthropic_errors import anthropic_error, failed_run, request_ids
from golive.gateway.anthropic_events import MessageStream
from golive.gateway.anthropic_request import MessagesBody, agent_messages, model_request, read_messages
from golive.gateway.beta_header import beta_param
from golive.gateway.cache_header import CACHE_PARAM
from golive.gateway.exchange import Exchange
from golive.gateway.face import Face, demand_for
from golive.gateway.problems import Headers
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.whose import USER_PARAM
from golive.models.call import ModelRequest, Opened
from golive.models.estimate import input_bound
from golive.runtime.api import RunResult

_encode = msgspec.json.Encoder(enc_hook=str).encode


class TokenCount(Struct, frozen=True):
    """Anthropic's count of tokens; here an upper bound."""

    input_tokens: int


class MessagesAsked:
    """A Messages request; see `face.Asked`."""

    __slots__ = ("_asked", "_body", "model", "stream")

    def __init__(self, body: bytes) -> None:
        """Raises InvalidRequest naming the field."""
        self._body = body
        self._asked = asked = read_messages(body)
        self.model = asked.model
        self.stream = bool(asked.stream)

    def model_request(self, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
        return model_request(self._asked, self._body, headers)

    def agent_input(self) -> tuple[Message, ...]:
        return agent_messages(self._asked, self._body)

    def metadata(self) -> dict[str, str]:
        said = self._asked.metadata
        return {} if said is None else {name: value for name, value in msgspec.structs.asdict(said).items() if value}

    def named_user(self) -> tuple[str | None, str]:
        said = self._asked.metadata
        return None if said is None else said.user_id, "metadata.user_id"

    def streamed(self, run: str, opened: Opened, now: float) -> MessageStream:
        return MessageStream(run, opened, self.model)

    def collected(self) -> WholeMessage:
        return WholeMessage()

    def run_answer(self, result: RunResult) -> bytes:
        return agent_message(result)

    def failed_run(self, result: RunResult) -> tuple[int, bytes]:
        status, told = failed_run(result)
        return status, _encode(told)

    def refusal(self, error: GoliveError, run: str) -> tuple[int, Headers, bytes]:
        return anthropic_error(error, run)

    def headers(self, run: str) -> Headers:
        return request_ids(run)


class MessagesFace:
    """Handlers of /v1/messages."""

    def __init__(self, face: Face) -> None:
        self._face = face

    async def create(self, exchange: Exchange) -> None:
        """POST /v1/messages"""
        await self._face.answer(exchange, MessagesAsked(await self._face.body(exchange)))

    async def count_tokens(self, exchange: Exchange) -> None:
        """POST /v1/messages/count_tokens"""
        asked = MessagesAsked(await self._face.body(exchange))
        demand_for(exchange, asked.model)
        request = asked.model_request(())
        if request.only_there:
            where = ", ".join(request.only_there)
            raise InvalidRequest(
                f"The tokens of {where} cannot be bounded without asking the provider.",
                remedy="Leave it out of what is counted.",
                field=request.only_there[0].partition(" ")[0],
            )
        await exchange.json(TokenCount(input_bound(request)))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "POST", "/v1/messages", ("runs.create", "models.call"), self.create,
                "Message, in Anthropic's shape", kind="model", tag="Anthropic", face="anthropic", body=MessagesBody,
                narrows=True, params=(
                    Param("x-conversation-id", "header", "Agents: the conversation to continue."), CACHE_PARAM,
                    USER_PARAM, beta_param("anthropic"),
                ),
                answers=(
                    Answer(200, "Anthropic's message,", dict[str, Any]),
                    Answer(200, "or with `stream` its events as server-sent events.", media="text/event-stream"),
                ),
                description=(
                    "`model` is an agent, which runs with its tools, or `provider/model`, which is relayed, whatever "
                    "API the provider has."
                ),
            ),
            Route(
                "POST", "/v1/messages/count_tokens", ("runs.create", "models.call"), self.count_tokens,
                "Count tokens, in Anthropic's shape", kind="model", narrows=True, tag="Anthropic", face="anthropic",
                body=MessagesBody,
                answers=(
                    Answer(200, "An upper bound, made from bytes: no provider is asked.", TokenCount),
                ),
                description="What an agent adds (its prompt, its tools, the conversation) is not in it.",
            ),
        ]  # fmt: skip
