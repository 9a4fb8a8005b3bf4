"""What a provider may send that no provider should: understood where it can be, told where it cannot, never a crash."""

import json
from typing import Any

import pytest

from golive.core.errors import ModelError, ModelMalformed
from golive.core.messages import Usage
from golive.models.call import ModelEvent
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_wire import usage_of
from golive.models.vendor_errors import Origin, from_status, request_id
from tests.contract.speakers.openai_chat import call, chunk
from tests.contract.test_dialect import calls, text

DIALECT = OpenAIChat()


def read(body: bytes, *, streamed: bool = True) -> tuple[list[ModelEvent], ModelError | None]:
    """The events of a body, and the failure at its end."""
    kind = "text/event-stream" if streamed else "application/json"
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=streamed, header=lambda name: kind)
    events = decoder.feed(body)
    if decoder.failure is None:
        events += decoder.end()
    return events, decoder.failure


def escaped(*chunks: dict[str, Any]) -> bytes:
    """A stream whose JSON is pure ASCII, as servers in JavaScript and Python often write it."""
    return b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("half", [r"\ud83d", r"\ud83dx", r"\ude00x"])
def test_half_a_character_is_malformed(half: str, streamed: bool) -> None:
    """JSON that UTF-8 cannot hold ends the answer with an error, and nothing of it reaches the journal."""
    whole = {"choices": [{"message": {"content": "HALF"}, "finish_reason": "stop"}]}
    body = escaped(chunk({"content": "a"}), chunk({"content": "HALF"})) if streamed else json.dumps(whole).encode()
    body = body.replace(b"HALF", half.encode())
    events, failure = read(body, streamed=streamed)
    assert isinstance(failure, ModelMalformed)
    assert text(events) == ("a" if streamed else "")
    str(failure).encode()


def test_an_errors_words_can_always_be_written_down() -> None:
    """Halves in a vendor's error, bytes that are no text in its headers: the error is told all the same."""
    for status in (302, 400, 500):
        body = b'{"detail":[{"msg":"\\ud83d"}],"error":{"code":"\\ud83d"}}'
        refused = from_status(Origin("p", "m"), status, lambda name: "\udcff", body, 0.0)
        str(refused).encode()
        json.dumps(refused.fields, ensure_ascii=False).encode()
    (request_id(lambda name: "\udcff") or "").encode()


@pytest.mark.parametrize("streamed", [True, False])
def test_json_nested_without_end_is_malformed(streamed: bool) -> None:
    """Nesting that would break the parser is the provider's fault and named as such."""
    deep = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    _, failure = read(b"data: " + deep + b"\n\n" if streamed else deep, streamed=streamed)
    assert isinstance(failure, ModelMalformed)
    refused = from_status(Origin("p", "m"), 500, lambda name: None, deep, 0.0)
    assert refused.status == 500


@pytest.mark.parametrize("figure", [2**63, 10**30, 1e300, 10**12, -1, True, "7", None, float("nan"), float("inf")])
def test_a_count_that_cannot_be_is_no_count(figure: Any) -> None:
    """More tokens than any ledger holds, less than none, or no number: the bound stands in, as for missing usage."""
    assert usage_of({"prompt_tokens": figure, "completion_tokens": figure}) is None
    assert usage_of({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": figure}) == Usage(3, 0, 4, 0)


@pytest.mark.parametrize("streamed", [True, False])
def test_two_calls_with_one_id_are_two_calls(streamed: bool) -> None:
    """Each keeps its arguments, and each gets an id of its own, by which its result is matched."""
    wire = [
        {"index": index, "id": "same", "type": "function", "function": {"name": "f", "arguments": f'{{"x":{index}}}'}}
        for index in range(3)
    ]
    if streamed:
        body = escaped(*(chunk({"tool_calls": [part]}) for part in wire), chunk({}, "tool_calls"))
    else:
        message = {"content": None, "tool_calls": [{**part, "index": 0} for part in wire]}
        body = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
    events, failure = read(body, streamed=streamed)
    assert failure is None
    made = calls(events)
    assert [made[index][1:] for index in sorted(made)] == [("f", f'{{"x":{index}}}') for index in range(3)]
    assert len({made[index][0] for index in made}) == 3


def test_two_calls_with_one_id_in_interleaved_fragments() -> None:
    """The index says which of the two goes on."""
    body = escaped(
        chunk(call(index=0, id="same", name="f", arguments='{"x"')),
        chunk(call(index=1, id="same", name="f", arguments='{"y"')),
        chunk(call(index=0, arguments=":0}")),
        chunk(call(index=1, id="same", arguments=":1}")),
        chunk({}, "tool_calls"),
    )
    made = calls(read(body)[0])
    assert [made[index][2] for index in sorted(made)] == ['{"x":0}', '{"y":1}']
