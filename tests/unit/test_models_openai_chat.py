"""What is special to OpenAI Chat Completions and to the servers that are almost compatible."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from golive.core.errors import ContextTooLong, ModelCut, ModelMalformed, ModelUnavailable
from golive.core.messages import ImagePart, Message, TextPart, ToolCall, ToolSpec, Usage
from golive.models.call import Finished, ModelRequest, Opened, TextDelta, UsageReported
from golive.models.dialect import Target
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_wire import usage_of
from golive.models.vendor_errors import Origin
from tests.contract.speakers.openai_chat import USAGE, call, chunk, sse, whole
from tests.contract.test_dialect import calls, decode, of_kind, text

DIALECT = OpenAIChat()
OPENAI_URL = "https://api.openai.com/v1"
OTHER_URL = "http://localhost:8000/v1"


def stream(*chunks: dict[str, Any], done: bool = True) -> Any:
    return decode(DIALECT, sse(*chunks, done=done), streamed=True)


def encode(request: ModelRequest, url: str = OTHER_URL) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.json.decode(DIALECT.encode(request, Target("acme", "m-1", url)))
    return wire


HELLO = (Message("user", "Hello"),)


# ---- tool calls as servers really send them


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    """A server that leaves `index` out and sends whole calls (Gemini's face) gives two calls."""
    events, failure = stream(
        chunk(call(id="a", name="f", arguments="{}")), chunk(call(id="b", name="g", arguments="[]")), chunk({}, "stop")
    )
    assert failure is None
    assert calls(events) == {0: ("a", "f", "{}"), 1: ("b", "g", "[]")}


def test_calls_that_all_have_index_0_are_told_apart_by_their_ids() -> None:
    """A server that numbers every whole call 0 gives two calls."""
    events, _ = stream(
        chunk(call(index=0, id="a", name="f", arguments="{}")), chunk(call(index=0, id="b", name="f", arguments="{}")),
        chunk({}, "tool_calls"),
    )  # fmt: skip
    assert calls(events) == {0: ("a", "f", "{}"), 1: ("b", "f", "{}")}


def test_a_repeated_id_and_name_begin_no_new_call() -> None:
    """A server that repeats id and name in every fragment gives one call, its name said once."""
    events, _ = stream(
        chunk(call(index=0, id="a", name="f", arguments='{"x"')),
        chunk(call(index=0, id="a", name="f", arguments=":1}")),
        chunk({}, "tool_calls"),
    )
    assert calls(events) == {0: ("a", "f", '{"x":1}')}


def test_fragments_with_nothing_but_arguments_go_on_with_the_last_call() -> None:
    """Neither index nor id: the fragment belongs to the call before it."""
    events, _ = stream(
        chunk(call(id="a", name="f", arguments="")), chunk(call(arguments="{")), chunk(call(arguments="}")),
        chunk({}, "tool_calls"),
    )  # fmt: skip
    assert calls(events) == {0: ("a", "f", "{}")}


def test_calls_without_ids_get_different_ones() -> None:
    """Tool results are matched by id, so two calls without one must not share it."""
    events, _ = stream(chunk(call(name="f", arguments="{}")), chunk(call(name="f", arguments="{}")), chunk({}, "stop"))
    made = calls(events)
    assert len(made) == 2
    assert made[0][0] != made[1][0]
    assert all(made[index][0] for index in made)


def test_arguments_before_the_name_are_held_back_until_it_comes() -> None:
    """`id` and `name` come with the first fragment downstream, whatever the order upstream."""
    events, _ = stream(
        chunk(call(index=0, id="a", arguments='{"x"')), chunk(call(index=0, name="f", arguments=":1}")),
        chunk({}, "tool_calls"),
    )  # fmt: skip
    assert calls(events) == {0: ("a", "f", '{"x":1}')}


def test_arguments_that_are_an_object_become_text() -> None:
    """A server that sends parsed arguments is understood."""
    events, _ = decode(
        DIALECT, msgspec.json.encode(whole(call(id="a", name="f", arguments={"x": 1}), "tool_calls")), streamed=False
    )
    assert calls(events) == {0: ("a", "f", '{"x":1}')}


def test_the_legacy_function_call_is_a_tool_call() -> None:
    """`function_call` in fragments and its finish reason."""
    events, _ = stream(
        chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}),
        chunk({}, "function_call"),
    )  # fmt: skip
    assert [(name, arguments) for _, name, arguments in calls(events).values()] == [("f", "{}")]
    assert of_kind(events, Finished) == [Finished("tool_calls")]


def test_stop_after_tool_calls_means_tool_calls() -> None:
    """Servers that finish with `stop` although the model called a tool do not end the loop early."""
    events, _ = stream(chunk(call(index=0, id="a", name="f", arguments="{}")), chunk({}, "stop"))
    assert of_kind(events, Finished) == [Finished("tool_calls")]


# ---- ends of streams


def test_a_finish_reason_without_done_is_a_whole_answer() -> None:
    """Servers that never send [DONE] are understood."""
    events, failure = stream(chunk({"content": "x"}), chunk({}, "stop"), done=False)
    assert failure is None
    assert of_kind(events, Finished) == [Finished("stop")]


def test_done_without_a_finish_reason_is_a_whole_answer() -> None:
    """[DONE] is the server's word that this was all."""
    events, failure = stream(chunk({"content": "x"}))
    assert failure is None
    assert of_kind(events, Finished) == [Finished("stop")]


def test_done_without_any_answer_is_malformed() -> None:
    """An empty stream is no empty answer."""
    assert type(stream()[1]) is ModelMalformed
    assert type(stream(chunk(usage=USAGE))[1]) is ModelMalformed


def test_one_of_two_choices_unfinished_is_cut() -> None:
    """With several choices, each must finish."""
    events, failure = stream(
        chunk({"content": "a"}, index=0), chunk({"content": "b"}, index=1), chunk({}, "stop", index=0), done=False
    )
    assert type(failure) is ModelCut
    assert [(event.choice, event.text) for event in of_kind(events, TextDelta)] == [(0, "a"), (1, "b")]
    assert of_kind(events, Finished) == [Finished("stop", 0)]


@pytest.mark.parametrize(
    ("vendor", "ours"),
    [("stop", "stop"), ("eos_token", "stop"), ("model_length", "length"), ("MAX_TOKENS", "length"),
     ("content_filter", "content_filter"), ("SAFETY", "content_filter"), ("tool_use", "tool_calls")],
)  # fmt: skip
def test_vendor_specific_finish_reasons(vendor: str, ours: Any) -> None:
    """Reasons of compatible servers are mapped, in any case."""
    assert of_kind(stream(chunk({"content": "x"}), chunk({}, vendor))[0], Finished) == [Finished(ours)]


@pytest.mark.parametrize(("vendor", "kind"), [("abort", ModelCut), ("error", ModelCut), ("network_error", ModelCut)])
def test_a_reason_that_says_itself_that_the_answer_broke_off(vendor: str, kind: type) -> None:
    """A truncated answer must not pass for a whole one."""
    events, failure = stream(chunk({"content": "x"}), chunk({}, vendor))
    assert type(failure) is kind
    assert vendor in str(failure)
    assert of_kind(events, Finished) == []


# ---- fields


def test_logprobs_stay_with_their_text() -> None:
    """Logprobs are kept as the vendor's JSON on the piece of text."""
    item = chunk({"content": "x"})
    item["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -0.5}]}
    delta = of_kind(stream(item, chunk({}, "stop"))[0], TextDelta)[0]
    assert msgspec.json.decode(delta.extra) == {"logprobs": {"content": [{"token": "x", "logprob": -0.5}]}}


def test_fingerprint_and_service_tier_are_handed_on() -> None:
    """Top-level fields worth keeping travel in Opened."""
    events, _ = stream(chunk({"content": "x"}, system_fingerprint="fp", service_tier="flex"), chunk({}, "stop"))
    opened = of_kind(events, Opened)[0]
    assert msgspec.json.decode(opened.extra) == {"system_fingerprint": "fp", "service_tier": "flex"}


def test_thinking_parts_are_reasoning() -> None:
    """Mistral's content lists are taken apart."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Yes"}]
    events, _ = stream(chunk({"content": parts}), chunk({}, "stop"))
    assert [type(event).__name__ for event in events[1:3]] == ["ReasoningDelta", "TextDelta"]
    assert text(events) == "Yes"


def test_azures_empty_first_chunk_does_not_open() -> None:
    """Azure begins with a chunk of filter results, without id and model."""
    first = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    events, _ = stream(first, chunk({"content": "x"}), chunk({}, "stop"))
    assert [event.response_id for event in of_kind(events, Opened)] == ["chatcmpl-1"]


def test_the_token_null_is_text() -> None:
    """The words null, true and 1 are text like any other."""
    assert (
        text(stream(*(chunk({"content": word}) for word in ("null", "true", "1")), chunk({}, "stop"))[0]) == "nulltrue1"
    )


def test_usage_in_every_chunk_is_reported_each_time() -> None:
    """Servers that count as they go give the last figure last."""
    events, _ = stream(
        chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        chunk({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}),
    )
    assert of_kind(events, UsageReported)[-1] == UsageReported(Usage(3, 0, 2))


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(10, 4, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45}, Usage(10, 0, 35)),
        ({"prompt_tokens": 10.0, "completion_tokens": 5}, Usage(10, 0, 5)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}},
            Usage(10, 10, 5),
        ),
        ({"prompt_tokens": -3, "completion_tokens": "many"}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ({}, None),
    ],
)
def test_usage_of_almost_compatible_servers(wire: dict[str, Any], ours: Usage | None) -> None:
    """DeepSeek's cache, hidden reasoning in the total, and nonsense."""
    assert usage_of(wire) == ours


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'event: error\ndata: {"message":"down","type":"server_error"}\n\n', ModelUnavailable),
        (b'data: {"object":"error","message":"too long","type":"x","code":413}\n\n', ContextTooLong),
        (b'data: {"error":"out of order"}\n\n', ModelUnavailable),
        (b'data: {"error":{"message":"bad gateway","code":502}}\n\n', ModelUnavailable),
    ],
)
def test_errors_in_streams_of_other_servers(body: bytes, kind: type) -> None:
    """A named error event, vLLM's flat error, a bare text, and OpenRouter's status in `code`."""
    assert type(decode(DIALECT, body, streamed=True)[1]) is kind


def test_a_json_answer_to_a_streaming_request_is_read() -> None:
    """What the server sends is told by its Content-Type, not by what was asked."""
    body = msgspec.json.encode(whole({"content": "x"}))
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={"content-type": "application/json"}.get)
    assert decoder.feed(body) == []
    assert text(decoder.end()) == "x"
    assert decoder.failure is None


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbfdata: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n',
        b'data:{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n',
        b': ping\n\nid: 1\nretry: 5\ndata: {"choices":\ndata: [{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]',
        b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop","index":null}]}\r\rdata: [DONE]\r\r',
    ],
)
def test_framings(body: bytes) -> None:
    """A byte order mark, no space, comments and several data lines, no last blank line, lone CR."""
    events, failure = decode(DIALECT, body, streamed=True)
    assert failure is None
    assert text(events) == "x"
    assert decode(DIALECT, body, streamed=True, cuts=list(range(len(body))))[0] == events


# ---- requests


def test_a_streaming_request_always_asks_for_usage() -> None:
    """Without usage a streamed answer has no price, so that `extra` cannot turn it off; its other options stay."""
    extra = {"stream_options": Raw(b'{"include_usage":false,"include_obfuscation":false}'), "stream": Raw(b"false")}
    wire = encode(ModelRequest(messages=HELLO, extra=extra))
    assert wire["stream"] is True
    assert wire["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_a_request_that_is_not_streamed_says_nothing_of_streams() -> None:
    """No stream keys where none is asked for, whatever `extra` holds."""
    wire = encode(ModelRequest(messages=HELLO, stream=False, extra={"stream": Raw(b"true")}))
    assert wire == {"model": "m-1", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (OPENAI_URL, "max_completion_tokens"), ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"), (OTHER_URL, "max_tokens"),
        ("https://api.openai.com.evil.example/v1", "max_tokens"), ("https://api.mistral.ai/v1", "max_tokens"),
    ],
)  # fmt: skip
def test_the_output_limit_has_the_name_the_server_knows(url: str, key: str) -> None:
    """OpenAI refuses `max_tokens` for reasoning models; others may not know `max_completion_tokens`."""
    wire = encode(ModelRequest(messages=HELLO, max_output_tokens=9), url)
    assert wire[key] == 9
    assert not {"max_tokens", "max_completion_tokens"} - {key} & set(wire)


def test_an_output_limit_in_extra_stands_alone() -> None:
    """A client's own key is sent verbatim, and no second one beside it."""
    wire = encode(ModelRequest(messages=HELLO, max_output_tokens=9, extra={"max_tokens": Raw(b"5")}), OPENAI_URL)
    assert wire["max_tokens"] == 5
    assert "max_completion_tokens" not in wire


def test_extra_is_merged_verbatim_but_for_what_golive_answers_for() -> None:
    """Vendor fields pass; the model cannot be swapped underneath its price."""
    wire = encode(ModelRequest(messages=HELLO, extra={"top_k": Raw(b"40"), "n": Raw(b"2"), "model": Raw(b'"dear"')}))
    assert (wire["top_k"], wire["n"], wire["model"]) == (40, 2, "m-1")


def test_a_whole_conversation_is_written() -> None:
    """System, parts with pictures, calls, results, tools, choices: as OpenAI documents them."""
    request = ModelRequest(
        messages=(
            Message("system", "Be brief."),
            Message("user", (TextPart("What is this?"), ImagePart("https://x/y.png", "low"), ImagePart("data:z"))),
            Message("assistant", "", tool_calls=(ToolCall("c1", "f", '{"a":1'),)),
            Message("tool", "42", tool_call_id="c1"),
        ),
        tools=(ToolSpec("f", "Finds.", Raw(b'{"type":"object"}')),), tool_choice=Raw(b'"auto"'),
        parallel_tool_calls=False, output_schema=Raw(b'{"type":"json_object"}'),
        temperature=0.0, top_p=0.5, stop=("END",), seed=0,
        reasoning_effort="low",
    )  # fmt: skip
    wire = encode(request)
    assert wire["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:z"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1'}},
        ]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]  # fmt: skip
    assert wire["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "Finds.", "parameters": {"type": "object"}}}
    ]
    kept = ("tool_choice", "parallel_tool_calls", "response_format", "temperature", "top_p", "stop", "seed",
            "reasoning_effort")  # fmt: skip
    assert [wire[key] for key in kept] == ["auto", False, {"type": "json_object"}, 0.0, 0.5, ["END"], 0, "low"]


def test_the_credential_goes_where_the_server_looks_for_it() -> None:
    """A bearer token; Azure's own header; nothing for servers without keys."""
    assert DIALECT.headers(OTHER_URL, "k") == {"Authorization": "Bearer k"}
    assert DIALECT.headers("https://me.openai.azure.com/openai/v1", "k") == {"api-key": "k"}
    assert DIALECT.headers(OTHER_URL, None) == {}


def test_usage_tells_writes_to_the_cache_sound_and_pictures() -> None:
    """Each part is what its own price is for; none is larger than what it is a part of, whatever a server claims."""
    told = {
        "prompt_tokens": 100, "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 5, "image_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 8, "image_tokens": 2},
    }  # fmt: skip
    assert usage_of(told) == Usage(100, 60, 20, 3, 30, 5, 7, 8, 2)
    huge = {"cached_tokens": 60, "cache_write_tokens": 10**9, "audio_tokens": 10**9, "image_tokens": -1}
    assert usage_of(told | {"prompt_tokens_details": huge}) == Usage(100, 60, 20, 3, 40, 100, 0, 8, 2)
    assert usage_of(told | {"prompt_tokens_details": {"audio_tokens": "many"}, "completion_tokens_details": [1]}) == (
        Usage(100, 0, 20)
    )
