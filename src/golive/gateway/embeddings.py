"""Embeddings, in OpenAI's shape: POST /v1/embeddings, for providers' models.

Journalled, priced and metered as every relayed call is; neither texts nor vectors are kept.

Source: https://platform.openai.com/docs/api-reference/embeddings (November 2026).
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from golive.core.errors import GoliveError, InvalidRequest, ModelCut
from golive.gateway.bodies import Reader, read_body
from golive.gateway.cache_header import CACHE_PARAM, cache_ttl_s
from golive.gateway.exchange import Exchange
from golive.gateway.other_names import explain
from golive.gateway.permit import demand
from golive.gateway.routes import Answer, Route
from golive.gateway.watch import Watch
from golive.gateway.whose import USER_PARAM, whose
from golive.models.call import CallContext, ModelEvent
from golive.models.embedding_wire import EmbeddingRequest
from golive.models.embeddings import Embed, EmbeddingAnswer
from golive.runtime.relay import Relay

MAX_INPUTS = 2_048
"""Most texts of one request, as with OpenAI."""
TokenId = Annotated[int, Meta(ge=0)]


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    """Embeddings asked for. `model` is provider/model; `input` a text, its tokens, or a list of either."""

    model: Annotated[str, Meta(extra_json_schema={"minLength": 1})]
    input: str | list[str | TokenId | list[TokenId]]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


_reader = Reader(EmbeddingsBody)
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
_OURS = frozenset({"model", "input", "dimensions", "encoding_format"})
_HINTS = frozenset({"user"})
"""Further parameters that say nothing about the vectors."""


class Asking:
    """One call for embeddings as the relay makes it: `answer` is there once its stream has ended."""

    __slots__ = ("_call", "_request", "answer")

    def __init__(self, call: Embed, request: EmbeddingRequest) -> None:
        self._call = call
        self._request = request
        self.answer: EmbeddingAnswer | None = None

    async def stream(self, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        """The call's events."""
        inner = self._call(self._request, ctx)
        try:
            async for told in inner:
                if isinstance(told, EmbeddingAnswer):
                    self.answer = told
                else:
                    yield told
        finally:
            await inner.aclose()


class EmbeddingsFace:
    """Handler of /v1/embeddings."""

    def __init__(
        self, relay: Relay, embeddings: Callable[[str, float | None], Embed], dialect: Callable[[str], str | None],
        limit: int,
    ) -> None:  # fmt: skip
        """Takes what it calls.

        Args:
            embeddings: the call for embeddings of `provider/model`, whose answers are kept for so many seconds (None:
                as configured); raises NotFound.
            dialect: that of `provider/model`; None where there is no such provider.
            limit: most bytes of a body.
        """
        self._relay = relay
        self._embeddings = embeddings
        self._dialect = dialect
        self._limit = limit

    async def create(self, exchange: Exchange) -> None:
        """POST /v1/embeddings"""
        body = await read_body(exchange, self._limit)
        asked = _reader.decode(body)
        if "/" not in asked.model:
            raise InvalidRequest(
                f"{asked.model[:100]!r} makes no embeddings: a model of a provider does, an agent does not.",
                remedy="Name it as provider/model.", field="model", value=asked.model[:100],
            )  # fmt: skip
        demand(exchange, "models.call", "model", asked.model)
        request = embedding_request(asked, body, self._dialect(asked.model))
        asking = Asking(self._embeddings(asked.model, cache_ttl_s(exchange)), request)
        user = whose(exchange, asked.user)
        call = await self._relay.open_stream(exchange.principal, asked.model, asking.stream, user)
        exchange.run = call.run
        try:
            async with Watch(exchange):
                async for _ in call:
                    pass
        except GoliveError as error:
            explain(error, request.dialect, self._dialect(asked.model))
            raise
        finally:
            await call.aclose()
        if asking.answer is None:
            raise ModelCut(f"{asked.model} gave no vectors.")
        told = answer_body(asking.answer, asked.model)
        await exchange.answer(200, told, b"application/json", [(b"x-request-id", call.run.encode())])

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "POST", "/v1/embeddings", "models.call", self.create, "Embeddings, in OpenAI's shape", kind="model",
                narrows=True, tag="OpenAI", face="openai", body=EmbeddingsBody, params=(CACHE_PARAM, USER_PARAM),
                answers=(Answer(200, "OpenAI's list of embeddings, in the order of the inputs.", dict[str, Any]),),
                description="`model` is `provider/model`. `encoding_format` is `float` unless said otherwise.",
            )
        ]  # fmt: skip


def embedding_request(asked: EmbeddingsBody, body: bytes, dialect: str | None) -> EmbeddingRequest:
    """The request for a provider's model.

    Args:
        dialect: the provider's; None where there is no such provider, which is told when it is called.

    Raises:
        InvalidRequest: the input is empty or too much, or a parameter means nothing to the provider; `field` names it.
    """
    more = {name: raw for name, raw in _fields(body).items() if name not in _OURS and bytes(raw) != b"null"}
    for name in more:
        if dialect is not None and not dialect.startswith("openai") and name not in _HINTS:
            raise InvalidRequest(
                f"{name[:60]} means nothing to a provider that speaks {dialect}.", remedy=f"Leave {name[:60]} out.",
                field=name[:60],
            )  # fmt: skip
    return EmbeddingRequest(
        inputs=_inputs(asked.input),
        dimensions=asked.dimensions,
        base64=asked.encoding_format == "base64",
        dialect="openai-chat",
        extra=more,
    )


def _inputs(given: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """The inputs one by one; a list of numbers is the tokens of a single one."""
    tokens = [one for one in given if isinstance(one, int)] if isinstance(given, list) else []
    if tokens and len(tokens) < len(given):
        raise InvalidRequest(
            "input mixes tokens with texts.", remedy="Send a text, its tokens, or a list of either.", field="input"
        )
    several: Sequence[str | list[int] | int] = [given] if isinstance(given, str) else [tokens] if tokens else given
    inputs = tuple(one if isinstance(one, str) else tuple(one) for one in several if not isinstance(one, int))
    if not 0 < len(inputs) <= MAX_INPUTS:
        raise InvalidRequest(
            f"input has {len(inputs)} texts; 1 to {MAX_INPUTS} are taken at once.",
            remedy="Send at least one." if not inputs else "Send the rest in further requests.",
            field="input", value=len(inputs),
        )  # fmt: skip
    for index, one in enumerate(inputs):
        if not one:
            field = f"input[{index}]" if isinstance(given, list) and not tokens else "input"
            raise InvalidRequest(f"{field} is empty.", remedy="Send only texts that say something.", field=field)
    return inputs


def answer_body(answer: EmbeddingAnswer, model: str) -> bytes:
    """OpenAI's answer; `model` stands where the vendor did not name its own."""
    data = [
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, bytes(vector))
        for index, vector in enumerate(answer.vectors)
    ]
    tokens = answer.metered.usage.input_tokens
    return b'{"object":"list","data":[%b],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        b",".join(data), _encode(answer.model or model), tokens, tokens,
    )  # fmt: skip
