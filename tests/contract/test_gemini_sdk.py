"""The official google-genai SDK beside our dialect: it must read what our Speaker writes, and send what we send."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from google import genai
from google.genai import errors, types
from msgspec import Raw

from golive.core.messages import ImagePart, Message, Opaque, TextPart, ToolCall, ToolSpec, Usage
from golive.models.call import ModelRequest, ReasoningDelta, UsageReported
from golive.models.dialect import Target
from golive.models.gemini_wire import usage_of
from tests.contract.speakers.gemini import GEMINI, TOO_FAST
from tests.contract.test_dialect import calls, decode, of_kind, text

DIALECT = GEMINI.dialect
URL = "https://gemini.test/v1beta"
PIXEL = b"\x89PNG"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def client(answer: Callable[[httpx.Request], httpx.Response]) -> genai.Client:
    """The SDK, its requests answered by a function."""
    options = types.HttpOptions(
        base_url="https://gemini.test",
        httpx_client=httpx.Client(transport=httpx.MockTransport(answer)),
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key="k", http_options=options)


def serving(body: bytes, *, streamed: bool = False, status: int = 200) -> genai.Client:
    kind = "text/event-stream" if streamed else "application/json"
    return client(lambda request: httpx.Response(status, content=body, headers={"content-type": kind}))


class Heard:
    """What the SDK says in an answer, over all its events."""

    def __init__(self, answers: list[types.GenerateContentResponse]) -> None:
        self.text = self.thoughts = ""
        self.calls: list[tuple[str | None, str | None, Any]] = []
        for answer in answers:
            for candidate in answer.candidates or []:
                for part in (candidate.content and candidate.content.parts) or []:
                    if part.thought:
                        self.thoughts += part.text or ""
                    else:
                        self.text += part.text or ""
                    if part.function_call is not None:
                        call = part.function_call
                        self.calls.append((call.id, call.name, call.args or {}))
                self.finish = candidate.finish_reason
        self.usage = answers[-1].usage_metadata
        self.ids = (answers[-1].response_id, answers[-1].model_version)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("situation", ["text", "reasoning", "tools", "length"])
def test_the_sdk_hears_what_we_hear(situation: str, streamed: bool) -> None:
    """What the Speaker writes is Gemini's dialect: both sides find the same text, thoughts, calls, usage and ids."""
    body = (GEMINI.streamed if streamed else GEMINI.whole)[situation]
    sdk = serving(body, streamed=streamed)
    if streamed:
        heard = Heard(list(sdk.models.generate_content_stream(model="m", contents="x")))
    else:
        heard = Heard([sdk.models.generate_content(model="m", contents="x")])
    events, failure = decode(DIALECT, body, streamed=streamed)
    assert failure is None
    assert heard.text == text(events)
    assert heard.thoughts == text(events, ReasoningDelta)
    assert heard.calls == [(made, name, msgspec.json.decode(args)) for made, name, args in calls(events).values()]
    assert heard.finish is not None
    assert heard.finish.value == ("MAX_TOKENS" if situation == "length" else "STOP")
    assert heard.ids == (GEMINI.opened.response_id, GEMINI.opened.response_model)
    assert heard.usage is not None
    said = heard.usage.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert of_kind(events, UsageReported)[-1].usage == usage_of(said) == Usage(11, 4, 7, 2)


@pytest.mark.parametrize("sent", [TOO_FAST, [TOO_FAST]])
def test_the_sdk_reads_the_error_we_read(sent: Any) -> None:
    """Code, status word and message stand where both sides look, also in a list."""
    body = msgspec.json.encode(sent)
    with pytest.raises(errors.ClientError) as caught:
        serving(body, status=429).models.generate_content(model="m", contents="x")
    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "too fast")


def camel(wire: Any) -> Any:
    """The SDK writes some fields by their names in the API's protobuf, which its JSON allows: `mime_type`."""
    if isinstance(wire, dict):
        return {re.sub("_([a-z])", lambda found: found[1].upper(), key): camel(value) for key, value in wire.items()}
    return [camel(item) for item in wire] if isinstance(wire, list) else wire


def asked(contents: list[types.Content], config: types.GenerateContentConfig, *, model: str, streamed: bool) -> Any:
    """Path with query, credential and body of the request that the SDK sends."""
    seen: list[tuple[str, str | None, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        seen.append((path, request.headers.get("x-goog-api-key"), camel(msgspec.json.decode(request.content))))
        return httpx.Response(200, content=GEMINI.streamed["text"], headers={"content-type": "text/event-stream"})

    sdk = client(answer)
    if streamed:
        list(sdk.models.generate_content_stream(model=model, contents=contents, config=config))
    else:
        with pytest.raises(ValueError):  # the stream that answers is no JSON
            sdk.models.generate_content(model=model, contents=contents, config=config)
    return seen[0]


def ours(request: ModelRequest, *, model: str) -> Any:
    target = Target("google", model, URL)
    return (
        "/v1beta" + DIALECT.path(model, streamed=request.stream),
        DIALECT.headers(URL, "k")["x-goog-api-key"],
        msgspec.json.decode(DIALECT.encode(request, target)),
    )


def part(**fields: Any) -> types.Part:
    return types.Part(**fields)


def content(role: str, *parts: types.Part) -> types.Content:
    return types.Content(role=role, parts=list(parts))


@pytest.mark.parametrize("streamed", [True, False])
def test_a_conversation_with_tools_is_sent_as_the_sdk_sends_it(streamed: bool) -> None:
    """The same conversation, said to the SDK and to us, is the same request: path, credential and body."""
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    declared = types.FunctionDeclaration(name="weather", description="Tells it.", parameters_json_schema=WEATHER)
    config = types.GenerateContentConfig(
        system_instruction=types.Content(parts=[part(text="Be brief.")]),
        tools=[types.Tool(function_declarations=[declared])],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
            )
        ),
        max_output_tokens=99, temperature=0.5, top_p=0.9, stop_sequences=["END"], seed=7,
        response_mime_type="application/json", response_json_schema=schema,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
    )  # fmt: skip
    contents = [
        content(
            "user", part(text="What is this?"),
            part(inline_data=types.Blob(mime_type="image/png", data=PIXEL)),
            part(file_data=types.FileData(mime_type="image/jpeg", file_uri="https://x.test/a.jpg")),
        ),
        content(
            "model", part(text="Let me look.", thought_signature=b"t"),
            part(thought_signature=b"s", function_call=types.FunctionCall(id="c1", name="weather", args={"city": "B"})),
            part(function_call=types.FunctionCall(id="c2", name="weather", args={})),
        ),
        content(
            "user",
            part(function_response=types.FunctionResponse(id="c1", name="weather", response={"output": "12"})),
            part(function_response=types.FunctionResponse(id="c2", name="weather", response={"output": "cold"})),
            part(text="And now?"),
        ),
    ]  # fmt: skip
    request = ModelRequest(
        messages=(
            Message("system", "Be brief."),
            Message(
                "user",
                (
                    TextPart("What is this?"), ImagePart("data:image/png;base64,iVBORw=="),
                    ImagePart("https://x.test/a.jpg"),
                ),
            ),
            Message(
                "assistant", "Let me look.",
                tool_calls=(
                    ToolCall("c1", "weather", '{"city": "B"}', Opaque("google", Raw(b'{"thoughtSignature":"cw=="}'))),
                    ToolCall("c2", "weather", ""),
                ),
                state=(Opaque("google", Raw(b'{"thoughtSignature":"dA=="}')),),
            ),
            Message("tool", "12", tool_call_id="c1"),
            Message("tool", "cold", tool_call_id="c2"),
            Message("user", "And now?"),
        ),
        tools=(ToolSpec("weather", "Tells it.", Raw(msgspec.json.encode(WEATHER))),),
        tool_choice=Raw(b'{"type":"function","function":{"name":"weather"}}'),
        output_schema=Raw(msgspec.json.encode({"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})),
        max_output_tokens=99, temperature=0.5, top_p=0.9, stop=("END",), seed=7, reasoning_effort="low",
        stream=streamed,
    )  # fmt: skip
    model = "gemini-3-pro-preview"
    assert ours(request, model=model) == asked(contents, config, model=model, streamed=streamed)


def test_what_we_decode_goes_back_as_the_sdk_sends_it_back() -> None:
    """An answer with signed thoughts, text and calls, fed back: the SDK's own parts and ours are equal."""
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "aA=="},
        {"text": "Let me look.", "thoughtSignature": "dA=="},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "cw=="},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"functionCall": {"id": "c2", "name": "g", "args": {"x": 1}}},
    ]  # fmt: skip
    answer = types.GenerateContentResponse.model_validate(
        {"candidates": [{"content": {"parts": parts, "role": "model"}}]}
    )
    assert answer.candidates is not None
    said = answer.candidates[0].content
    assert said is not None
    _, _, body = asked([content("user", part(text="x")), said], types.GenerateContentConfig(), model="m", streamed=True)
    signed = [Opaque("google", Raw(msgspec.json.encode(kept)), before) for kept, before in
              ((parts[0], 0), ({"thoughtSignature": "dA=="}, 0), (parts[3], 1))]  # fmt: skip
    first = ToolCall("c1", "f", "{}", Opaque("google", Raw(b'{"thoughtSignature":"cw=="}')))
    message = Message(
        "assistant", "Let me look.", tool_calls=(first, ToolCall("c2", "g", '{"x":1}')), state=tuple(signed)
    )
    request = ModelRequest(messages=(Message("user", "x"), message))
    wire = msgspec.json.decode(DIALECT.encode(request, Target("google", "m", URL)))
    assert (
        wire["contents"]
        == body["contents"]
        == [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": parts}]
    )
