"""Whatever a client sends, the simulator reads it or refuses it in the vendor's shape; it never breaks."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golive.sim.anthropic.request import read_messages
from golive.sim.gemini.embeddings import EmbedContent
from golive.sim.gemini.request import read_generate
from golive.sim.openai.chat_request import read_chat
from golive.sim.openai.embeddings import read_embedding
from golive.sim.openai.responses_request import read_responses
from golive.sim.openai.stored import StoredResponses
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.seals import Seals
from golive.sim.vendor import Embedding

SEALS = Seals("property")
STORED = StoredResponses()
_NAMES = (
    "model messages role content type text input tools tool_calls function name arguments tool_call_id id call_id "
    "output max_tokens system tool_choice thinking signature tool_use_id source data url media_type image_url stop "
    "stream stream_options response_format json_schema schema cache_control ttl contents parts functionCall "
    "functionResponse args response thoughtSignature generationConfig responseSchema toolConfig functionCallingConfig "
    "mode inlineData fileData fileUri functionDeclarations parameters systemInstruction encrypted_content summary "
    "instructions reasoning include requests dimensions encoding_format outputDimensionality input_schema "
    "output_config format previous_response_id store"
)
_WORDS = (
    "user assistant tool model system text tool_use tool_result thinking image image_url function function_call "
    "function_call_output reasoning message input_text input_image output_text json_schema object base64 url "
    "ephemeral auto any none required ANY sim-text toolu_1 https://e/x.png data:image/png;base64,eA=="
)
NAME = st.sampled_from(_NAMES.split())
LEAF = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(_WORDS.split()) | st.text(max_size=6)
)  # fmt: skip
ANYTHING = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME | st.text(max_size=3), inner, max_size=4),
    max_leaves=14,
)
ITEMS = st.lists(st.dictionaries(NAME, ANYTHING, max_size=5), min_size=1, max_size=3)


def embed_content(body: bytes) -> Embedding:
    return EmbedContent(batch=b"requests" in body).read(Request("POST", "/", "", {}, body), "sim-embed")


READERS: dict[str, tuple[Callable[[bytes], ChatRequest | Embedding], dict[str, Any]]] = {
    "chat": (read_chat, {"model": "sim-text", "messages": ITEMS}),
    "messages": (lambda body: read_messages(body, SEALS), {"model": "sim-text", "max_tokens": 9, "messages": ITEMS}),
    "responses": (lambda body: read_responses(body, SEALS, STORED, "me"), {"model": "sim-text", "input": ITEMS}),
    "gemini": (lambda body: read_generate(body, "sim-text", SEALS, streamed=False), {"contents": ITEMS}),
    "embeddings": (read_embedding, {"model": "sim-embed", "input": ANYTHING}),
    "embedContent": (embed_content, {"content": ANYTHING, "requests": ITEMS}),
}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
WHOLE: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "sim-text", "stop": ["x"], "max_tokens": 9, "stream": True, "stream_options": {"include_usage": True},
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e"}}]},
            {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}], "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}},
    },
    "messages": {
        "model": "sim-text", "max_tokens": 5_000, "system": [{"type": "text", "text": "s"}], "stop_sequences": ["x"],
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://e"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "t", "signature": SEALS.sign("t")},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {}, "cache_control": {"type": "ephemeral"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1",
                                          "content": [{"type": "text", "text": "ok"}]}]},
        ],
        "tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 2_000}, "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
    "responses": {
        "model": "sim-text", "instructions": "be kind", "max_output_tokens": 20, "include": ["x"],
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://e"}]},
            {"type": "reasoning", "id": "r", "summary": [{"text": "t"}], "encrypted_content": SEALS.sign("r")},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}},
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "ok"}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "responseMimeType": "application/json", "responseSchema": SCHEMA, "stopSequences": ["x"],
            "thinkingConfig": {"includeThoughts": True}, "temperature": 1, "topP": 0.5, "maxOutputTokens": 9,
        },
    },
    "embeddings": {"model": "sim-embed", "input": ["a", "b"], "dimensions": 8, "encoding_format": "float"},
    "embedContent": {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8},
}  # fmt: skip


def spoiled(whole: Any, data: st.DataObject) -> Any:
    """A copy with one thing in it, at any depth, left out or replaced by anything."""
    if not isinstance(whole, dict | list) or not whole or data.draw(st.integers(0, 5)) == 0:
        return data.draw(ANYTHING)
    at = data.draw(st.sampled_from(sorted(whole) if isinstance(whole, dict) else range(len(whole))))
    copy = whole.copy()
    if data.draw(st.integers(0, 5)) == 0:
        del copy[at]
    else:
        copy[at] = spoiled(whole[at], data)
    return copy


def read_or_refused(name: str, body: Any) -> None:
    """A request with a count of tokens, or a 4xx with a message; anything else escapes and fails the test."""
    try:
        found: ChatRequest | Embedding | Rejected = READERS[name][0](msgspec.json.encode(body))
    except Rejected as error:
        found = error
    if isinstance(found, Rejected):
        assert 400 <= found.status < 500
        assert found.message
    else:
        assert found.input_tokens >= 0


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_requests_that_are_spoiled_are_accepted_before(name: str) -> None:
    """What the next test starts from is in order."""
    assert READERS[name][0](msgspec.json.encode(WHOLE[name])).input_tokens > 0


@pytest.mark.parametrize("name", sorted(READERS))
@settings(max_examples=200)
@given(data=st.data())
def test_a_spoiled_request_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """One or two things in a valid request, at any depth, missing or of any type."""
    body = spoiled(WHOLE[name], data)
    read_or_refused(name, spoiled(body, data) if data.draw(st.booleans()) else body)


@pytest.mark.parametrize("name", sorted(READERS))
@given(data=st.data())
def test_a_request_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Fields of any type and depth in any place."""
    frame = READERS[name][1]
    more = data.draw(st.dictionaries(NAME, ANYTHING, max_size=3))
    kept = data.draw(st.sets(st.sampled_from(sorted(frame))))
    body = more | {key: data.draw(value) if isinstance(value, st.SearchStrategy) else value
                   for key, value in frame.items() if key in kept}  # fmt: skip
    read_or_refused(name, body)


@pytest.mark.parametrize("name", sorted(READERS))
@given(body=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_are_read_or_refused(name: str, body: bytes) -> None:
    """What is no JSON object is refused."""
    with pytest.raises(Rejected):
        READERS[name][0](body)
