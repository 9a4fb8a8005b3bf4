"""The official google-genai SDK against the simulator: what the vendor's own client understands is its dialect."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from google import genai
from google.genai import errors, types

from golive.core.clock import SystemClock
from golive.sim.script import Script, ToolUse
from golive.sim.server import Simulator
from tests.contract.sim_kit import Client

KEY = "AIza-sim-test"
ORDER_TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_order",
            description="Look up an order.",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"order_id": types.Schema(type=types.Type.STRING)},
                required=["order_id"],
            ),
        )
    ]
)  # fmt: skip
LONG = "word " * 1_100


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=1, clock=SystemClock(), api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[genai.Client]:
    sdk = made(sim, KEY)
    yield sdk
    await sdk.aio.aclose()


def made(sim: Simulator, key: str) -> genai.Client:
    """A client that does not retry."""
    options = types.HttpOptions(
        base_url=sim.base_url.removesuffix("/v1"), retry_options=types.HttpRetryOptions(attempts=1)
    )
    return genai.Client(api_key=key, http_options=options)


async def ask(
    client: genai.Client, script: Script | None = None, contents: Any = "Hello there", *, stream: bool = False,
    model: str = "sim-text", **config: Any,
) -> Any:  # fmt: skip
    """The answer, or the list of a stream's chunks."""
    if script is not None:
        config["http_options"] = types.HttpOptions(headers={"x-sim-script": msgspec.json.encode(script).decode()})
    settings = types.GenerateContentConfig(
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **config
    )
    if not stream:
        return await client.aio.models.generate_content(model=model, contents=contents, config=settings)
    chunks = await client.aio.models.generate_content_stream(model=model, contents=contents, config=settings)
    return [chunk async for chunk in chunks]


def parts(answer: Any) -> list[types.Part]:
    """All parts, of a whole answer or of a stream."""
    chunks = answer if isinstance(answer, list) else [answer]
    found = []
    for chunk in chunks:
        for candidate in chunk.candidates or ():
            found += (candidate.content and candidate.content.parts) or []
    return found


def last(answer: Any) -> Any:
    return answer[-1] if isinstance(answer, list) else answer


async def test_a_whole_answer(client: genai.Client) -> None:
    """Text, finish reason, usage and ids arrive in the SDK's objects."""
    answer = await ask(client, Script(mode="echo", cached_tokens=3, reasoning_tokens=9))
    assert (answer.text, answer.model_version, answer.response_id) == ("Hello there", "sim-text", "sim1")
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (6, 2, 17)
    assert (usage.cached_content_token_count, usage.thoughts_token_count) == (3, 9)


async def test_a_streamed_answer_with_thoughts(client: genai.Client) -> None:
    """Thoughts are parts of their own, usage grows with every chunk, the last one has the reason and a signature."""
    chunks = await ask(client, Script(text="It is 42.", reasoning="Let me think."), stream=True)
    found = parts(chunks)
    assert "".join(part.text or "" for part in found if part.thought) == "Let me think."
    assert "".join(part.text or "" for part in found if not part.thought) == "It is 42."
    assert [chunk.usage_metadata.total_token_count for chunk in chunks] == [7, 8, 9, 10, 11, 12, 13, 14, 14]
    assert chunks[-1].usage_metadata.thoughts_token_count == 4
    assert [chunk.candidates[0].finish_reason for chunk in chunks[-2:]] == [None, types.FinishReason.STOP]
    assert found[-1].thought_signature is not None


async def test_without_alt_sse_a_stream_is_one_json_array(sim: Simulator) -> None:
    """The same chunks, as the elements of an array, and the key in the address."""
    said = []
    for query, kind in (("alt=sse&", "text/event-stream"), ("", "application/json")):
        client = await Client.to(sim)
        body = msgspec.json.encode({"contents": [{"parts": [{"text": "hi"}]}]})
        client.send("POST", f"/v1beta/models/sim-text%3Ftokens=9:streamGenerateContent?{query}key={KEY}", body)
        status, headers, data = await client.answer()
        client.writer.close()
        assert (status, headers["content-type"].split(";")[0]) == (200, kind)
        chunks: list[Any] = (
            [msgspec.json.decode(event.removeprefix(b"data: ")) for event in data.split(b"\r\n\r\n") if event]
            if query else msgspec.json.decode(data)
        )  # fmt: skip
        assert len(chunks) == 10
        said.append(
            "".join(chunk["candidates"][0]["content"].get("parts", [{"text": ""}])[0]["text"] for chunk in chunks)
        )
    assert said[0] == said[1] != ""
    assert KEY not in msgspec.json.encode(sim.requests.entries()).decode()


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_calls_a_tool_and_answers_from_its_result(client: genai.Client, stream: bool) -> None:
    """The whole loop: the user's words, a call with arguments from them, a result, an answer that quotes it."""
    model = "sim-agent"
    said = types.Content(role="user", parts=[types.Part(text="Where is my order A-1042?")])
    first = await ask(client, Script(mode="agent"), said, tools=[ORDER_TOOL], stream=stream, model=model)
    (part,) = [part for part in parts(first) if part.function_call]
    call = part.function_call
    assert call is not None
    assert (call.name, call.args) == ("get_order", {"order_id": "A-1042"})
    response = types.FunctionResponse(name="get_order", id=call.id, response={"status": "shipped"})
    contents = [
        said, types.Content(role="model", parts=[part]),
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]  # fmt: skip
    done = await ask(client, Script(mode="agent"), contents, tools=[ORDER_TOOL], stream=stream, model=model)
    text = "".join(part.text or "" for part in parts(done))
    assert text == "I looked that up: status shipped. Is there anything else I can do for you?"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_signature_on_calls_is_demanded_back(client: genai.Client, stream: bool) -> None:
    """Several calls, the first one signed: as it came it is accepted; without, altered or another's, it is 400."""
    uses = (ToolUse("f", {"a": 1, "b": "x"}), ToolUse("g", {}))
    answer = await ask(client, Script(reasoning="Hm.", tool_calls=uses), stream=stream)
    calls = [part for part in parts(answer) if part.function_call]
    assert [part.thought_signature is None for part in calls] == [False, True]
    results = [
        types.Part(function_response=types.FunctionResponse(name=p.function_call.name, response={"output": "ok"}))
        for p in calls if p.function_call
    ]  # fmt: skip

    async def go_on(first: types.Part) -> str:
        contents = [
            types.Content(role="user", parts=[types.Part(text="hi")]),
            types.Content(role="model", parts=[first, calls[1]]),
            types.Content(role="user", parts=results),
        ]
        return str((await ask(client, Script(text="done"), contents)).text)

    assert await go_on(calls[0]) == "done"
    call = calls[0].function_call
    assert call is not None
    bare = types.Part(function_call=call)
    foreign = types.Part(function_call=call, thought_signature=b"other")
    other = types.FunctionCall(name="f", args={"a": 2}, id=call.id)
    altered = types.Part(function_call=other, thought_signature=calls[0].thought_signature)
    for part in (bare, foreign, altered):
        with pytest.raises(errors.ClientError) as caught:
            await go_on(part)
        assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    elsewhere = types.Part(function_call=types.FunctionCall(name="f", args={}))
    assert await go_on(elsewhere) == "done"


@pytest.mark.parametrize("stream", [False, True])
async def test_each_way_to_end(client: genai.Client, stream: bool) -> None:
    """Safety, length, a stop text, calls that cannot be written, a prompt that is blocked."""
    refused = await ask(client, Script(refusal="I will not."), stream=stream)
    assert (last(refused).candidates[0].finish_reason, parts(refused)) == (types.FinishReason.SAFETY, [])
    short = await ask(client, Script(tokens=50), max_output_tokens=7, stream=stream)
    assert last(short).candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert last(short).usage_metadata.candidates_token_count == 7
    stopped = await ask(client, Script(text="one STOP two"), stop_sequences=["STOP"], stream=stream)
    assert "".join(part.text or "" for part in parts(stopped)) == "one "
    broken = await ask(client, Script(tool_calls=(ToolUse("f", "{broken"),)), stream=stream)
    assert last(broken).candidates[0].finish_reason == types.FinishReason.MALFORMED_FUNCTION_CALL
    blocked = await ask(client, Script(text="", finish_reason="prompt_blocked"), stream=stream)
    assert last(blocked).prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert not last(blocked).candidates


async def test_structured_output(client: genai.Client) -> None:
    """A schema, in the vendor's notation or in JSON Schema, is kept to."""
    plain = types.Schema(
        type=types.Type.OBJECT, properties={"n": types.Schema(type=types.Type.INTEGER)}, required=["n"]
    )
    answer = await ask(client, response_mime_type="application/json", response_schema=plain)
    assert msgspec.json.decode(answer.text) == {"n": 0}
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 4}}, "required": ["n"]}
    answer = await ask(client, response_mime_type="application/json", response_json_schema=schema)
    assert msgspec.json.decode(answer.text) == {"n": 4}


async def test_images_are_counted(client: genai.Client) -> None:
    """By address and as data."""
    for image in (
        types.Part.from_bytes(data=b"png", mime_type="image/png"),
        types.Part.from_uri(file_uri="https://e/x.png", mime_type="image/png"),
    ):
        answer = await ask(client, contents=[types.Content(role="user", parts=[image, types.Part(text="hi")])])
        assert answer.usage_metadata.prompt_token_count == 85 + 5


async def test_a_long_prompt_sent_again_is_cached(client: genai.Client) -> None:
    """Without being asked, from 1,024 tokens on."""
    counts = []
    for said in ("one", "two"):
        answer = await ask(client, Script(tokens=1), said, system_instruction=LONG)
        counts.append(answer.usage_metadata.cached_content_token_count)
    assert counts == [None, 1_024]


async def test_a_prefill_is_continued(client: genai.Client) -> None:
    """A last turn of the model is gone on with."""
    contents = [
        types.Content(role="user", parts=[types.Part(text="hi")]),
        types.Content(role="model", parts=[types.Part(text="one two")]),
    ]
    assert (await ask(client, Script(text="one two three"), contents)).text == " three"
    with pytest.raises(errors.ClientError):
        await ask(client, Script(prefill="refuse"), contents)


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (403, errors.ClientError, "PERMISSION_DENIED"),
        (404, errors.ClientError, "NOT_FOUND"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, errors.ServerError, "INTERNAL"),
        (503, errors.ServerError, "UNAVAILABLE"),
        (504, errors.ServerError, "DEADLINE_EXCEEDED"),
    ],
)
async def test_statuses_raise_the_sdks_errors(
    client: genai.Client, status: int, error: type[errors.APIError], word: str
) -> None:
    """Each status raises the SDK's class for it, with the vendor's word and, where scripted, how long to wait."""
    with pytest.raises(error) as caught:
        await ask(client, Script(status=status, retry_after=3, error_message="as scripted"))
    assert (caught.value.code, caught.value.status, caught.value.message) == (status, word, "as scripted")
    waits = [one["retryDelay"] for one in caught.value.details["error"]["details"] if "retryDelay" in one]
    assert waits == ["3s"]


async def test_keys_models_and_counting(sim: Simulator, client: genai.Client) -> None:
    """A wrong key is 400, none is 403, an unknown model 404; models are listed, tokens counted as they are billed."""
    with pytest.raises(errors.ClientError) as wrong:
        await ask(made(sim, "wrong"))
    assert (wrong.value.code, wrong.value.details["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    with pytest.raises(errors.ClientError) as unknown:
        await ask(client, model="gemini-unknown")
    assert unknown.value.code == 404
    assert "models/sim-agent" in [model.name async for model in await client.aio.models.list()]
    assert (await client.aio.models.get(model="sim-text")).name == "models/sim-text"
    counted = await client.aio.models.count_tokens(model="sim-text", contents="Hello there")
    assert counted.total_tokens == (await ask(client)).usage_metadata.prompt_token_count == 6


async def test_usage_may_be_missing_or_nonsense(client: genai.Client) -> None:
    """As the script says."""
    assert (await ask(client, Script(usage="missing"))).usage_metadata is None
    assert (await ask(client, Script(usage="negative"))).usage_metadata.prompt_token_count == -6
    twice = await ask(client, Script(tokens=3, usage="twice"), stream=True)
    assert [chunk.usage_metadata.candidates_token_count for chunk in twice] == [1, 2, 3, 3, 3]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contents": []},
        {"contents": "hi"},
        {"contents": [{"role": "robot", "parts": [{"text": "hi"}]}]},
        {"contents": [{"parts": [{"text": "hi", "inlineData": {"mimeType": "image/png", "data": "x"}}]}]},
        {"contents": [{"parts": [{}]}]},
        {"contents": [{"parts": [{"text": 3}]}]},
        {"contents": [{"parts": [{"text": "hi"}]}], "surprise": 1},
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"surprise": 1}},
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"temperature": 3}},
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": "x"}},
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"responseSchema": {"type": "OBJECT"}}},
        {"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{"name": "a b"}]}]},
        {"contents": [{"parts": [{"text": "hi"}]}], "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}},
        {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
    ],
)
async def test_invalid_requests_are_refused(sim: Simulator, body: Any) -> None:
    """400 and INVALID_ARGUMENT, and no line on the bill."""
    client = await Client.to(sim)
    client.send("POST", "/v1beta/models/sim-text:generateContent", msgspec.json.encode(body), x_goog_api_key=KEY)
    status, _, data = await client.answer()
    client.writer.close()
    error = msgspec.json.decode(data)["error"]
    assert (status, error["code"], error["status"], len(sim.bill)) == (400, 400, "INVALID_ARGUMENT", 0)


async def test_an_error_in_a_stream_raises_the_sdks_error(client: genai.Client) -> None:
    """The status was 200, the last chunk says what happened."""
    with pytest.raises(errors.ServerError) as caught:
        await ask(client, Script(tokens=9, cut_after=3, cut="error", status=503), stream=True)
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")
