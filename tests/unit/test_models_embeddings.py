"""Embeddings: what is asked, what is read, what it costs, and every limit and error, in virtual time."""

import asyncio
import json
from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec
import pytest
from google.genai.types import ContentEmbedding
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig
from golive.core.deadline import Deadline
from golive.core.errors import (
    DeadlineExceeded,
    GoliveError,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelRateLimited,
    ModelTimeout,
    ModelUnreachable,
    NotFound,
)
from golive.core.messages import Usage
from golive.models.call import CallContext, Metered, ModelEvent
from golive.models.dialect import Target
from golive.models.embedding_wire import EmbeddingRequest, OpenAIEmbeddings, wire_of
from golive.models.embeddings import EmbeddingAnswer
from golive.models.openai_chat import OpenAIChat
from golive.models.plane import ModelPlane
from golive.models.transport import BodyTooLong, ConnectFailed, ConnectTimedOut, Disconnected, ProtocolBroken
from golive.models.vendor_errors import Origin
from tests.sim.loop import VirtualClock, simulate

CONFIG = GoliveConfig(
    providers={
        "p": ProviderConfig(base_url="http://p/v1", api_key="env:KEY"),
        "r": ProviderConfig(base_url="http://r/v1", dialect="openai-responses"),
        "g": ProviderConfig(base_url="http://g/v1beta", dialect="gemini", api_key="env:KEY"),
    },
    prices={"p/*": PriceConfig(input_usd_per_mtok=2, output_usd_per_mtok=0)},
)
TWO = EmbeddingRequest(inputs=("one", "zwölf"))


class Answer:
    """See `transport.Response`."""

    def __init__(self, body: bytes | Exception, status: int) -> None:
        self.status = status
        self.closed = False
        self._body = body

    def header(self, name: str) -> str | None:
        return {"x-request-id": "req_1", "retry-after": "3"}.get(name)

    async def chunk(self) -> bytes:
        raise AssertionError("an answer that is not streamed is read whole")

    async def read(self, limit: int) -> bytes:
        if isinstance(self._body, Exception):
            raise self._body
        return self._body

    def close(self) -> None:
        self.closed = True


class Network:
    """A transport that remembers what was sent, and answers one thing after some seconds."""

    def __init__(
        self, body: Any = b"", *, status: int = 200, after_s: float = 0.0, fails: Exception | None = None
    ) -> None:
        self.answer = Answer(body if isinstance(body, bytes | Exception) else msgspec.json.encode(body), status)
        self.sent: list[tuple[str, dict[str, str], Any]] = []
        self._after_s = after_s
        self._fails = fails

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> Answer:
        assert (method, connect_s) == ("POST", 5.0)
        self.sent.append((url, dict(headers), msgspec.json.decode(body or b"null")))
        await asyncio.sleep(self._after_s)
        if self._fails is not None:
            raise self._fails
        return self.answer

    async def close(self) -> None: ...


def openai(*vectors: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m-1", "usage": {"prompt_tokens": 6, "total_tokens": 6}} | more


def packed(*numbers: float) -> str:
    return b64encode(array("f", numbers).tobytes()).decode()


async def answered(
    told: AsyncGenerator[list[ModelEvent] | EmbeddingAnswer, None], failed: Callable[[Metered], None] | None = None
) -> EmbeddingAnswer:
    """The answer; `failed` is told what a call cost that failed."""
    metered: list[Metered] = []
    try:
        async for each in told:
            if isinstance(each, EmbeddingAnswer):
                return each
            metered += [event for event in each if isinstance(event, Metered)]
    except GoliveError:
        for each in metered:
            if failed is not None:
                failed(each)
        raise
    finally:
        await told.aclose()
    raise AssertionError("no answer came")


def ask(
    network: Network, request: EmbeddingRequest = TWO, ref: str = "p/m", *, deadline_s: float = 300.0,
    abandoned: Callable[[Metered], None] | None = None,
) -> EmbeddingAnswer:  # fmt: skip
    """The answer, in virtual time."""

    async def main(clock: VirtualClock) -> EmbeddingAnswer:
        plane = ModelPlane(CONFIG, lambda reference: "secret-1234", network, clock)
        ctx = CallContext(Deadline.after(clock, deadline_s, "limits.deadline_s"), on_abandoned=abandoned)
        return await answered(plane.embeddings(ref)(request, ctx), abandoned)

    return simulate(main)


def values(answer: EmbeddingAnswer) -> list[Any]:
    return [msgspec.json.decode(vector) for vector in answer.vectors]


# ---- OpenAI


def test_openai_is_asked_and_read() -> None:
    """Path, credential, body; vectors in order, model, request id, usage and its price; the connection let go."""
    network = Network(openai([0.5, -1], [1.0, 2.0]))
    answer = ask(network)
    url, headers, body = network.sent[0]
    assert url == "http://p/v1/embeddings"
    assert headers["Authorization"] == "Bearer secret-1234"
    assert body == {"model": "m", "input": ["one", "zwölf"]}
    assert set(body) <= set(EmbeddingCreateParams.__annotations__)
    assert values(answer) == [[0.5, -1], [1.0, 2.0]]
    assert (answer.model, answer.request_id) == ("m-1", "req_1")
    metered = answer.metered
    assert (metered.target, metered.usage, metered.cost_microusd, metered.priced, metered.estimated) == (
        "p/m", Usage(6), 12, True, False,
    )  # fmt: skip
    assert network.answer.closed
    CreateEmbeddingResponse.model_validate(openai([0.5, -1], [1.0, 2.0]))


def test_vectors_are_sorted_by_their_index() -> None:
    """A server may answer in any order; where an index is missing, the order is the answer's."""
    body = openai([1.0], [2.0])
    body["data"].reverse()
    assert values(ask(Network(body))) == [[1.0], [2.0]]
    for datum in body["data"]:
        del datum["index"]
    assert values(ask(Network(body))) == [[2.0], [1.0]]


def test_what_a_caller_may_ask_for() -> None:
    """Tokens, dimensions, base64 and the vendor's own fields; never another model or input."""
    extra = {"user": Raw(b'"u"'), "model": Raw(b'"dear"'), "input": Raw(b'"other"'), "encoding_format": Raw(b'"float"')}
    network = Network(openai(packed(0.5, 1.0)))
    answer = ask(network, EmbeddingRequest(inputs=((1, 2, 3),), dimensions=2, base64=True, extra=extra), "r/m")
    assert network.sent[0][2] == {
        "model": "m", "input": [[1, 2, 3]], "encoding_format": "base64", "dimensions": 2, "user": "u"
    }  # fmt: skip
    assert values(answer) == [packed(0.5, 1.0)]


def test_a_server_that_ignores_the_format_is_helped() -> None:
    """Numbers become base64, and base64 numbers, whichever was asked for."""
    assert values(ask(Network(openai([0.5, 1]) | {}), EmbeddingRequest(inputs=("x",), base64=True))) == [
        packed(0.5, 1.0)
    ]
    assert values(ask(Network(openai(packed(0.5, 1.0))), EmbeddingRequest(inputs=("x",)))) == [[0.5, 1.0]]


@pytest.mark.parametrize("usage", [None, {}, 7, {"prompt_tokens": -1}, {"prompt_tokens": 10**30, "total_tokens": "6"}])
def test_without_usage_the_bound_is_counted(usage: Any) -> None:
    """A byte is a token at most: never 0."""
    metered = ask(Network(openai([1.0], [2.0], usage=usage))).metered
    assert (metered.usage, metered.cost_microusd, metered.estimated) == (Usage(9), 18, True)
    tokens = EmbeddingRequest(inputs=((1, 2, 3), (4,)))
    assert ask(Network(openai([1.0], [2.0], usage=usage)), tokens).metered.usage == Usage(4)


# ---- Gemini and Anthropic


def test_gemini_is_asked_and_read() -> None:
    """One request a text, all in one call; no usage, so that the bound stands."""
    network = Network({"embeddings": [{"values": [0.5]}, {"values": [1.0, 2]}]})
    extra = {"taskType": Raw(b'"CLUSTERING"')}
    request = EmbeddingRequest(inputs=("one", "zwölf"), dimensions=1, dialect="gemini", extra=extra)
    answer = ask(network, request, "g/gemini-embedding-001")
    url, headers, body = network.sent[0]
    assert url == "http://g/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert headers["x-goog-api-key"] == "secret-1234"
    assert body == {"requests": [
        {"model": "models/gemini-embedding-001", "taskType": "CLUSTERING", "outputDimensionality": 1,
         "content": {"parts": [{"text": text}]}}
        for text in ("one", "zwölf")
    ]}  # fmt: skip
    assert values(answer) == [[0.5], [1.0, 2]]
    assert ContentEmbedding.model_validate({"values": values(answer)[1]}).values == [1.0, 2.0]
    assert (answer.metered.usage, answer.metered.estimated, answer.metered.priced) == (Usage(9), True, False)
    assert values(
        ask(Network({"embeddings": [{"values": [0.5]}]}), EmbeddingRequest(inputs=("x",), base64=True), "g/m")
    ) == [packed(0.5)]


def test_gemini_takes_no_tokens() -> None:
    """Told with the place, before anything is sent."""
    network = Network()
    with pytest.raises(ModelBadRequest, match=r"input\[1\]"):
        ask(network, EmbeddingRequest(inputs=("x", (1, 2))), "g/m")
    assert network.sent == []


def test_a_dialect_without_embeddings_says_so() -> None:
    """Anthropic has none: the error names the dialects that do."""

    class Mute(OpenAIChat):
        name = "anthropic"

    with pytest.raises(ModelBadRequest, match="which has no embeddings") as refused:
        wire_of(Mute(), Target("a", "claude", "http://a"))
    assert "openai-chat" in refused.value.remedy
    assert refused.value.fields["sent"] is False


def test_an_unknown_target_is_not_found() -> None:
    """As for any model call."""
    for ref in ("nobody/m", "p", "/m"):
        with pytest.raises(NotFound):
            ask(Network(), ref=ref)


# ---- errors and limits


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"\xff", b"[1]", b'"x"', b"null", b"{}", b'{"data": {}}', b'{"data": [7, 8]}', b"[" * 100_000,
        openai([1.0]), openai([1.0], [2.0], [3.0]), openai([1.0], []), openai([1.0], None), openai([1.0], "x"),
        openai([1.0], {"a": 1}), openai([1.0], ["a"]), openai([1.0], [True]), openai([1.0], "ünicode"),
        openai([1.0], packed(1.0)[:-2]), openai([1.0], ""), openai([1.0], packed(float("nan"))),
        openai([1.0], [0.0] * 70_000), b'{"data": [{"embedding": [NaN]}, {"embedding": [1e999]}]}',
        {"data": [{"index": 0}, {"index": 1}]},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_malformed(body: Any) -> None:
    """Too few vectors, too many, none, of no numbers, of none at all, and bytes that are no JSON."""
    seen: list[Metered] = []
    with pytest.raises(ModelMalformed) as refused:
        ask(Network(body), abandoned=seen.append)
    assert refused.value.fields["request_id"] == "req_1"
    assert [(metered.usage, metered.estimated) for metered in seen] == [(Usage(9), True)]


def test_numbers_too_large_to_pack_are_malformed() -> None:
    """Base64 holds 32-bit floats."""
    with pytest.raises(ModelMalformed):
        ask(Network(openai([1e300])), EmbeddingRequest(inputs=("x",), base64=True))
    with pytest.raises(ModelMalformed):
        ask(Network(openai(packed(float("inf")))), EmbeddingRequest(inputs=("x",), base64=True))


@given(body=st.binary(max_size=200) | st.from_regex(rb'\{"data": ?\[\{"embedding": ?[^ ]{0,9}\}\]\}', fullmatch=True))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """A vector or an error of ours."""
    request = EmbeddingRequest(inputs=("x",))
    try:
        read = OpenAIEmbeddings().decode(body, request, Origin("p", "m"))
    except ModelError as error:
        str(error).encode()
    else:
        assert all(isinstance(number, int | float) for number in json.loads(bytes(read.vectors[0])))


def test_a_refusal_is_mapped_and_costs_nothing() -> None:
    """Status, code and Retry-After as for any call."""
    seen: list[Metered] = []
    error = {"error": {"message": "slow down secret-1234", "code": "rate_limit_exceeded"}}
    with pytest.raises(ModelRateLimited) as refused:
        ask(Network(error, status=429), abandoned=seen.append)
    assert refused.value.fields["retry_after_s"] == 3.0
    assert "secret" not in str(refused.value).replace("[secret]", "")
    assert seen == []
    with pytest.raises(ModelRateLimited):
        ask(Network(error), abandoned=seen.append)


@pytest.mark.parametrize(
    ("fails", "kind", "billed"),
    [
        (ConnectFailed("refused"), ModelUnreachable, False), (ConnectTimedOut("slow"), ModelTimeout, False),
        (Disconnected("gone"), ModelUnreachable, True), (ProtocolBroken("what"), ModelMalformed, True),
    ],
)  # fmt: skip
def test_a_network_that_fails(fails: Exception, kind: type, billed: bool) -> None:
    """Before the request was sent nothing is counted; after it, the bound."""
    seen: list[Metered] = []
    with pytest.raises(ModelError) as failed:
        ask(Network(fails=fails), abandoned=seen.append)
    assert type(failed.value) is kind
    assert [metered.cost_microusd for metered in seen] == ([18] if billed else [])


def test_an_answer_that_breaks_off() -> None:
    """Cut in the body, or longer than is read."""
    for broken, kind in ((Disconnected("gone"), ModelCut), (BodyTooLong("long"), ModelMalformed)):
        network = Network(broken)
        with pytest.raises(kind):
            ask(network)
        assert network.answer.closed


def test_the_callers_deadline_and_the_providers_limit_are_told_apart() -> None:
    """Whichever comes first; both count the bound."""
    seen: list[Metered] = []
    with pytest.raises(ModelTimeout) as late:
        ask(Network(after_s=1_000), abandoned=seen.append)
    assert late.value.fields["limit"] == "providers.p.call_s"
    with pytest.raises(DeadlineExceeded) as over:
        ask(Network(after_s=1_000), deadline_s=7.0, abandoned=seen.append)
    assert over.value.fields["limit"] == "limits.deadline_s"
    assert [(metered.cost_microusd, metered.latency_ms) for metered in seen] == [(18, 60_000.0), (18, 7_000.0)]
    late_network = Network()
    with pytest.raises(DeadlineExceeded):
        ask(late_network, deadline_s=0.0)
    assert late_network.sent == []


def test_a_call_given_up_is_counted() -> None:
    """The vendor bills all the same."""
    seen: list[Metered] = []

    async def main(clock: VirtualClock) -> None:
        plane = ModelPlane(CONFIG, lambda reference: "k", Network(after_s=50), clock)
        ctx = CallContext(Deadline.after(clock, 300, "x"), on_abandoned=seen.append)
        async with asyncio.timeout(2):
            await answered(plane.embeddings("p/m")(TWO, ctx))

    with pytest.raises(TimeoutError):
        simulate(main)
    assert [metered.cost_microusd for metered in seen] == [18]
