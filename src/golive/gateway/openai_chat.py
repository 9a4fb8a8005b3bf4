"""The OpenAI face: POST /v1/chat/completions, for agents (they run, tools inside) and for providers' models (relayed).

A stream that breaks ends with an error object and without [DONE], never with `stop`: a truncated answer is not shown as
a whole one. The flow is `face.py`'s.
"""

from typing import Any

import msgspec

from golive.core.errors import GoliveError
from golive.core.messages import Message, Usage
from golive.gateway.beta_header import beta_param
from golive.gateway.cache_header import CACHE_PARAM
from golive.gateway.exchange import Exchange
from golive.gateway.face import Face
from golive.gateway.openai_answer import FINISH_OF_OUTCOME, WholeAnswer, agent_answer
from golive.gateway.openai_chunks import DONE, Chunks
from golive.gateway.openai_errors import error_of, failed_run, openai_error
from golive.gateway.openai_request import ChatBody, agent_messages, model_request, read_chat
from golive.gateway.problems import Headers
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.sse import HEARTBEAT
from golive.gateway.whose import USER_PARAM, openai_user
from golive.models.call import ModelRequest, Opened
from golive.runtime.api import RunResult

_encode = msgspec.json.Encoder().encode


class ChatStream(Chunks):
    """A streamed chat completion, from its first chunk to [DONE] or an error."""

    __slots__ = ("_with_usage",)
    heartbeat = HEARTBEAT

    def __init__(self, chat: ChatBody, run: str, opened: Opened, now: float) -> None:
        super().__init__(
            opened.response_id or f"chatcmpl-{run}",
            opened.created or int(now),
            opened.response_model or chat.model,
            with_usage=chat.with_usage,
            extra=opened.extra,
        )
        self._with_usage = chat.with_usage

    @property
    def whole(self) -> bool:
        return bool(self.finished)

    def begin(self) -> bytes:
        return self.role()

    def end(self, usage: Usage | None) -> bytes:
        return (self.usage(usage) if self._with_usage and usage is not None else b"") + DONE

    def run_end(self, result: RunResult) -> bytes:
        text = b"" if result.text or not result.message else self.text(_encode(result.message))
        return text + self.finish(FINISH_OF_OUTCOME[result.outcome or "partial"]) + self.end(result.usage)

    def error(self, error: GoliveError) -> bytes:
        return self.last(error_of(error))

    def failed_run(self, result: RunResult) -> bytes:
        return self.last(failed_run(result)[1])


class ChatAsked:
    """A chat completion request; see `face.Asked`."""

    __slots__ = ("_body", "_chat", "model", "stream")

    def __init__(self, body: bytes) -> None:
        """Raises InvalidRequest naming the field."""
        self._body = body
        self._chat = chat = read_chat(body)
        self.model = chat.model
        self.stream = bool(chat.stream)

    def model_request(self, headers: tuple[tuple[str, str], ...]) -> ModelRequest:
        return model_request(self._chat, self._body, headers)

    def agent_input(self) -> tuple[Message, ...]:
        return agent_messages(self._chat, self._body)

    def metadata(self) -> dict[str, str]:
        return dict(self._chat.metadata or {})

    def named_user(self) -> tuple[str | None, str]:
        return openai_user(self._chat.user, self._chat.safety_identifier)

    def streamed(self, run: str, opened: Opened, now: float) -> ChatStream:
        return ChatStream(self._chat, run, opened, now)

    def collected(self) -> WholeAnswer:
        return WholeAnswer()

    def run_answer(self, result: RunResult) -> bytes:
        return agent_answer(result)

    def failed_run(self, result: RunResult) -> tuple[int, bytes]:
        status, told = failed_run(result)
        return status, _encode(told)

    def refusal(self, error: GoliveError, run: str) -> tuple[int, Headers, bytes]:
        return openai_error(error)

    def headers(self, run: str) -> Headers:
        return [(b"x-request-id", run.encode())]


class ChatFace:
    """Handler of /v1/chat/completions."""

    def __init__(self, face: Face) -> None:
        self._face = face

    async def complete(self, exchange: Exchange) -> None:
        """POST /v1/chat/completions"""
        await self._face.answer(exchange, ChatAsked(await self._face.body(exchange)))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "POST", "/v1/chat/completions", ("runs.create", "models.call"), self.complete,
                "Chat completion, in OpenAI's shape", kind="model", narrows=True, tag="OpenAI", face="openai",
                body=ChatBody,
                params=(
                    Param("x-conversation-id", "header", "Agents: the conversation to continue."), CACHE_PARAM,
                    USER_PARAM, beta_param("openai-chat"),
                ),
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
