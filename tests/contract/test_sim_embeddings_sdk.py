"""Vectors of the simulator, asked for by the official openai and google-genai SDKs."""

import base64
import math
from array import array
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import openai
import pytest
from google import genai
from google.genai import errors, types
from openai import AsyncOpenAI

from golive.core.clock import SystemClock
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.contract.sim_kit import Client

TEXTS = ["the parcel is late", "the parcel is very late", "bake a cake"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=1, clock=SystemClock())
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="k", base_url=sim.base_url, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def google(sim: Simulator) -> AsyncIterator[genai.Client]:
    options = types.HttpOptions(
        base_url=sim.base_url.removesuffix("/v1"), retry_options=types.HttpRetryOptions(attempts=1)
    )
    sdk = genai.Client(api_key="k", http_options=options)
    yield sdk
    await sdk.aio.aclose()


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


async def test_vectors_are_seeded_of_unit_length_and_near_where_words_are_shared(client: AsyncOpenAI) -> None:
    """The same text gives the same vector; a text that shares words is nearer than one that does not."""
    answer = await client.embeddings.create(model="sim-embed", input=TEXTS)
    again = await client.embeddings.create(model="sim-embed", input=TEXTS[2])
    found = [one.embedding for one in answer.data]
    assert [(one.index, len(one.embedding)) for one in answer.data] == [(0, 1_536), (1, 1_536), (2, 1_536)]
    assert again.data[0].embedding == pytest.approx(found[2])
    assert [math.hypot(*vector) for vector in found] == pytest.approx([1.0] * 3, abs=1e-5)
    assert cosine(found[0], found[1]) > 0.7 > 0.4 > abs(cosine(found[0], found[2]))
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (12, 12)


async def test_numbers_and_base64_say_the_same(sim: Simulator, client: AsyncOpenAI) -> None:
    """The two encodings, shortened to the dimensions asked for and of unit length again; billed for the input."""
    floats = await client.embeddings.create(model="sim-embed", input="hi", encoding_format="float", dimensions=64)
    packed: Any = await client.embeddings.create(model="sim-embed", input="hi", encoding_format="base64", dimensions=64)
    unpacked = array("f", base64.b64decode(packed.data[0].embedding)).tolist()
    assert unpacked == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert math.hypot(*unpacked) == pytest.approx(1.0, abs=1e-5)
    line = sim.bill.lines[0]
    assert (line.input_tokens, line.output_tokens, line.cost_microusd, line.state) == (1, 0, 1, "completed")


async def test_token_numbers_are_accepted(client: AsyncOpenAI) -> None:
    """One text, or several, as numbers of tokens."""
    one = await client.embeddings.create(model="sim-embed", input=[1, 2, 3])
    two = await client.embeddings.create(model="sim-embed", input=[[1, 2, 3], [4]])
    assert (len(one.data), len(two.data), two.usage.prompt_tokens) == (1, 2, 4)
    assert one.data[0].embedding == two.data[0].embedding


@pytest.mark.parametrize(
    "fields", [{"input": ""}, {"input": []}, {"input": [""]}, {"input": ["a"] * 2_049}, {"input": {"a": 1}},
               {"dimensions": 0}, {"dimensions": 5_000}, {"encoding_format": "hex"}],
)  # fmt: skip
async def test_invalid_requests_are_refused(client: AsyncOpenAI, fields: dict[str, Any]) -> None:
    """400 in the vendor's shape."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="sim-embed", input="hi", extra_body=fields)
    assert caught.value.param in ("input", "dimensions", "encoding_format")


async def test_faults_hold_for_vectors_too(sim: Simulator, client: AsyncOpenAI) -> None:
    """A status, a limit of a key, an input that is too long."""
    headers = {"x-sim-script": msgspec.json.encode(Script(status=503)).decode()}
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="sim-embed", input="hi", extra_headers=headers)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2 tokens"):
        await client.embeddings.create(model="sim-embed?max_context=2", input="one two three")
    sim.scripts.install("sim-embed", Script(limit_per_key=1))
    await client.embeddings.create(model="sim-embed", input="hi")
    with pytest.raises(openai.RateLimitError):
        await client.embeddings.create(model="sim-embed", input="hi")
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="text-unknown", input="hi")


async def test_geminis_batch(google: genai.Client) -> None:
    """Several texts at once, at full length or cut."""
    contents: Any = TEXTS
    full = await google.aio.models.embed_content(model="sim-embed", contents=contents)
    short = await google.aio.models.embed_content(
        model="sim-embed", contents=contents, config=types.EmbedContentConfig(output_dimensionality=768)
    )
    vectors = [one.values or [] for one in full.embeddings or ()]
    assert [len(vector) for vector in vectors] == [3_072] * 3
    assert math.hypot(*vectors[0]) == pytest.approx(1.0, abs=1e-5)
    assert [one.values for one in short.embeddings or ()] == [vector[:768] for vector in vectors]
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    with pytest.raises(errors.ClientError):
        await google.aio.models.embed_content(
            model="sim-embed", contents="hi", config=types.EmbedContentConfig(output_dimensionality=4_000)
        )


async def test_geminis_single_text(sim: Simulator) -> None:
    """embedContent answers one vector, and refuses a text that is none."""
    for content, status in (({"parts": [{"text": "hi"}]}, 200), ({"parts": []}, 400), ({"parts": [{"text": ""}]}, 400)):
        client = await Client.to(sim)
        client.send("POST", "/v1beta/models/sim-embed:embedContent", msgspec.json.encode({"content": content}))
        got, _, body = await client.answer()
        client.writer.close()
        assert got == status
        assert (len(msgspec.json.decode(body).get("embedding", {}).get("values", ())) == 3_072) == (status == 200)
