"""A model's own state goes back to that model and to no other."""

from collections.abc import Iterable

import msgspec
import pytest
from msgspec import Raw

from golive.core.messages import Message, Opaque, ToolCall
from golive.gateway.sealed import SEAL, seal, unseal
from golive.models.anthropic import Anthropic
from golive.models.call import ModelRequest, StateReported
from golive.models.dialect import Dialect, Target
from golive.models.gemini import Gemini
from golive.models.openai_responses import OpenAIResponses
from golive.models.vendor_errors import Origin

MARK = "c2lnbmVk"
ANTHROPIC, GEMINI, RESPONSES = Anthropic(), Gemini(), OpenAIResponses()
STATES: dict[Dialect, dict[str, object]] = {
    ANTHROPIC: {"type": "thinking", "thinking": "hm", "signature": MARK},
    GEMINI: {"text": "hm", "thought": True, "thoughtSignature": MARK},
    RESPONSES: {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": MARK},
}
ANSWERS: dict[Dialect, object] = {
    ANTHROPIC: {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "served", "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm", "signature": MARK}, {"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    GEMINI: {
        "candidates": [
            {"content": {"parts": [{"text": "Hi", "thoughtSignature": MARK}]}, "finishReason": "STOP"},
        ],
        "modelVersion": "served",
    },
    RESPONSES: {
        "id": "resp_1", "object": "response", "status": "completed", "model": "served",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": MARK},
            {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi"}]},
        ],
    },
}  # fmt: skip


def name_of(dialect: Dialect) -> str:
    return dialect.name


def sent(dialect: Dialect, state: Opaque, model: str, *, on_call: bool = False) -> str:
    """The body of a request whose assistant's turn, or its tool call, has this state."""
    if on_call:
        call = ToolCall("toolu_1", "f", "{}", state)
        said = Message("assistant", tool_calls=(call,)), Message("tool", "ok", tool_call_id="toolu_1")
    else:
        said = Message("assistant", "Hi", state=(state,)), Message("user", "And?")
    request = ModelRequest(messages=(Message("user", "Hello"), *said))
    return dialect.encode(request, Target("p", model, "https://x/v1")).decode()


@pytest.mark.parametrize("dialect", STATES, ids=name_of)
@pytest.mark.parametrize(
    ("provider", "model", "goes_back"),
    [("p", "one", True), ("p", "", True), ("p", "two", False), ("q", "one", False), ("q", "", False)],
)
def test_state_goes_back_to_the_model_that_gave_it(
    dialect: Dialect, provider: str, model: str, goes_back: bool
) -> None:
    """Provider and model are the same; where the model is not known, the provider is enough."""
    state = Opaque(provider, Raw(msgspec.json.encode(STATES[dialect])), model=model)
    assert (MARK in sent(dialect, state, "one")) is goes_back


@pytest.mark.parametrize(("model", "goes_back"), [("gemini-3-pro", True), ("gemini-3-flash", False)])
def test_a_tool_calls_signature_is_of_its_model(model: str, goes_back: bool) -> None:
    """Gemini's signatures, which stand on the call."""
    state = Opaque("p", Raw(msgspec.json.encode({"thoughtSignature": MARK})), model="gemini-3-pro")
    assert (MARK in sent(GEMINI, state, model, on_call=True)) is goes_back


@pytest.mark.parametrize("dialect", ANSWERS, ids=name_of)
def test_state_bears_the_model_that_was_asked(dialect: Dialect) -> None:
    """The name in the configuration, under which it will be asked again, and not the one the server answers with."""
    decoder = dialect.decoder(Origin("p", "asked"), streamed=False, header=lambda name: "application/json")
    events: Iterable[object] = [*decoder.feed(msgspec.json.encode(ANSWERS[dialect])), *decoder.end()]
    states = [event.state for event in events if isinstance(event, StateReported)]
    assert [(state.provider, state.model) for state in states] == [("p", "asked")]


def test_state_keeps_its_model_on_its_way_through_a_client() -> None:
    """Sealed and opened again; what was sealed or journalled before models were kept is read, its model unknown."""
    state = Opaque("p", Raw(b'{"a":1}'), 2, "one")
    assert unseal(seal(state), "field").state == state
    assert unseal(seal(state, "call_1"), "field").call == "call_1"
    old = unseal(SEAL + "eyJwcm92aWRlciI6InAiLCJkYXRhIjp7ImEiOjF9fQ==", "field")
    assert old.state == Opaque("p", Raw(b'{"a":1}'))
    assert msgspec.json.decode(b'{"provider":"p","data":{"a":1},"before":2}', type=Opaque) == Opaque(
        "p", Raw(b'{"a":1}'), 2
    )
