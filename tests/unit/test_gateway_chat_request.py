"""A chat completion for a provider's model: every dialect is told what it can be told, and refuses the rest by name."""

from typing import Any

import msgspec
import pytest

from golive.gateway.openai_request import model_request, read_chat
from golive.models.anthropic import Anthropic
from golive.models.call import ModelRequest
from golive.models.dialect import Dialect, Target
from golive.models.gemini import Gemini
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_responses import OpenAIResponses

TOOL = {
    "type": "function",
    "function": {"name": "get", "description": "Gets.", "parameters": {"type": "object", "properties": {"q": {}}}},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
OTHERS = [Anthropic(), Gemini(), OpenAIResponses()]


def asked(**fields: Any) -> ModelRequest:
    body = msgspec.json.encode({"model": "p/m", "messages": [{"role": "user", "content": "Hi"}], **fields})
    return model_request(read_chat(body), body, ())


def wire(dialect: Dialect, request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(dialect.encode(request, Target("p", "m", "https://p.example/v1")))
    return body


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: dialect.name)
def test_tools_and_their_choice_reach_every_dialect(dialect: Dialect) -> None:
    request = asked(tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    assert [tool.name for tool in request.tools] == ["get"]
    assert request.only_there == ()
    assert b'"get"' in dialect.encode(request, Target("p", "m", "https://p.example/v1"))
    assert wire(dialect, request) != wire(dialect, asked())


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: dialect.name)
def test_a_schema_reaches_every_dialect(dialect: Dialect) -> None:
    assert b"schema" in dialect.encode(asked(response_format=SCHEMA), Target("p", "m", "https://p.example/v1")).lower()


def test_sampling_is_understood() -> None:
    request = asked(temperature=0.5, top_p=1, stop="END", seed=7, reasoning_effort="low", max_tokens=9)
    assert (request.temperature, request.top_p, request.stop, request.seed) == (0.5, 1.0, ("END",), 7)
    assert (request.reasoning_effort, request.max_output_tokens, request.only_there) == ("low", 9, ())


def test_its_own_dialect_is_sent_every_word_as_it_stands() -> None:
    fields = {
        "tools": [TOOL, {"type": "custom", "custom": {"name": "x"}}], "temperature": "warm", "n": 2, "foo": {"a": 1},
        "stop": ["END"], "response_format": SCHEMA, "tool_choice": {"type": "allowed_tools"}, "seed": 2**70,
    }  # fmt: skip
    sent = wire(OpenAIChat(), asked(**fields))
    assert {name: sent[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n": 2}, "n"), ({"logprobs": True}, "logprobs"), ({"foo": 1}, "foo"),
        ({"temperature": "warm"}, "temperature"),
        ({"tools": [TOOL, {"type": "custom"}]}, "tools[1] (custom)"), ({"tools": "all"}, "tools"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
    ],
    ids=str,
)  # fmt: skip
def test_what_has_no_place_elsewhere_is_named(fields: dict[str, Any], named: str) -> None:
    assert asked(**fields).only_there == (named,)


@pytest.mark.parametrize(
    "fields", [{"n": 1}, {"logprobs": False}, {"user": "u"}, {"metadata": {}}, {"foo": None}, {"stream_options": {}}]
)
def test_what_asks_for_nothing_is_not(fields: dict[str, Any]) -> None:
    assert asked(**fields).only_there == ()
