"""What is special to answers of Google Gemini: calls without ids, thoughts, signatures, usage, reasons, errors."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import (
    ContentRefused,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelMalformed,
    ModelRateLimited,
)
from golive.core.messages import Usage
from golive.models.call import Finished, Opened, StateReported, TextDelta, UsageReported
from golive.models.gemini import Gemini
from golive.models.gemini_wire import usage_of
from tests.contract.speakers.gemini import TOO_FAST, USAGE, answer, body, call, sse, text, thought
from tests.contract.test_dialect import Outcome, calls, decode, of_kind
from tests.contract.test_dialect import text as text_of

DIALECT = Gemini()


def stream(*answers: dict[str, Any]) -> Outcome:
    return decode(DIALECT, sse(*answers), streamed=True)


def whole(item: Any) -> Outcome:
    return decode(DIALECT, body(item), streamed=False)


def states(events: list[Any]) -> list[tuple[int | None, int, dict[str, Any]]]:
    """Each state's call, what it stood behind, and its data; all are of the provider that answered."""
    reported = of_kind(events, StateReported)
    assert {event.state.provider for event in reported} <= {"p"}
    return [(event.call, event.state.before, msgspec.json.decode(event.state.data)) for event in reported]


# ---- calls


def test_calls_without_ids_are_given_some_that_differ() -> None:
    """Gemini mostly sends no id; each call gets one of its own, and arguments that are none are {}."""
    events, failure = stream(answer(call("f", {"x": 1}), call("f")), answer(call("g", {}), finish="STOP"))
    assert failure is None
    assert calls(events) == {
        0: ("call_Zx9k0x0", "f", '{"x":1}'),
        1: ("call_Zx9k0x1", "f", "{}"),
        2: ("call_Zx9k0x2", "g", "{}"),
    }
    assert of_kind(events, Finished) == [Finished("tool_calls")]


def test_an_id_that_comes_twice_is_made_two() -> None:
    """Results are matched by id, so a repeated one is changed, also when the change is an id that came before."""
    events, _ = stream(
        answer(call("f", id="ax2"), call("g", id="a"), call("h", id="a"), call("i", id="a"), finish="STOP")
    )
    assert [made[0] for made in calls(events).values()] == ["ax2", "a", "ax2x2", "ax3"]


def test_calls_of_several_candidates_are_counted_apart() -> None:
    """candidateCount above 1: each candidate has its own text, calls and end."""
    events, failure = whole(
        {
            "candidates": [
                {"content": {"parts": [call("f")]}, "finishReason": "STOP"},
                {"content": {"parts": [text("b"), call("g")]}, "finishReason": "MAX_TOKENS", "index": 1},
            ]
        }
    )
    assert failure is None
    assert [(e.choice, e.index, e.id, e.name) for e in events if hasattr(e, "arguments")] == [
        (0, 0, "call_0x0", "f"), (1, 0, "call_1x0", "g"),
    ]  # fmt: skip
    assert of_kind(events, TextDelta) == [TextDelta("b", 1)]
    assert of_kind(events, Finished) == [Finished("tool_calls", 0), Finished("length", 1)]


def test_large_numbers_in_arguments_stay_exact() -> None:
    """Arguments are text for us, so an order's number of 20 digits arrives as it was written."""
    events, _ = stream(answer(call("f", {"order": 12345678901234567890}), finish="STOP"))
    assert calls(events)[0][2] == '{"order":12345678901234567890}'


def test_arguments_in_pieces_are_refused_and_not_lost() -> None:
    """Vertex AI's partialArgs, which only an own `toolConfig` asks for, are told and not read as an empty call."""
    events, failure = stream(
        answer(call("f", partialArgs=[{"jsonPath": "$.q", "stringValue": "x"}], willContinue=True))
    )
    assert type(failure) is ModelMalformed
    assert "streamFunctionCallArguments" in failure.remedy
    assert calls(events) == {}


# ---- state


def test_signatures_become_state_at_their_place() -> None:
    """A call's signature is the call's; one on text is the message's, with the number of calls before it."""
    events, failure = stream(
        answer(text("Let me see.", thoughtSignature="dA==")),
        answer(call("f", signature="Zg=="), call("g")),
        answer(text("", thoughtSignature="ZQ=="), finish="STOP"),
    )
    assert failure is None
    assert text_of(events) == "Let me see."
    assert states(events) == [
        (None, 0, {"thoughtSignature": "dA=="}),
        (0, 0, {"thoughtSignature": "Zg=="}),
        (None, 2, {"thoughtSignature": "ZQ=="}),
    ]


def test_a_signed_thought_is_kept_with_its_signature() -> None:
    """It is shown as reasoning and kept as it stood; an unsigned one is shown alone."""
    signed = thought("hm") | {"thoughtSignature": "cw=="}
    events, _ = stream(answer(thought("first"), signed), answer(text("Yes"), finish="STOP"))
    assert [type(event).__name__ for event in events] == [
        "Opened", "UsageReported", "ReasoningDelta", "ReasoningDelta", "StateReported", "TextDelta", "Finished",
        "UsageReported",
    ]  # fmt: skip
    assert states(events) == [(None, 0, signed)]


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "aQ=="},
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "1"}},
        {"somethingNew": [1, {"deep": None}]},
    ],
)
def test_a_part_of_another_kind_is_kept_unread(part: dict[str, Any]) -> None:
    """What is no text and no call of ours goes back as it came, whatever it is."""
    events, failure = stream(answer(call("f"), part, text("ok")), answer(finish="STOP"))
    assert failure is None
    assert text_of(events) == "ok"
    assert states(events) == [(None, 1, part)]


def test_empty_parts_say_nothing() -> None:
    """Parts without content, and contents without parts, are met at the end of streams."""
    events, failure = stream(
        answer({}, {"thought": True}, text("")), {"candidates": [{"content": {"role": "model"}}]},
        {"candidates": [{"finishReason": "STOP"}]},
    )  # fmt: skip
    assert failure is None
    assert of_kind(events, TextDelta) == []
    assert states(events) == []
    assert of_kind(events, Finished) == [Finished("stop")]


# ---- usage


def test_usage_counts_thoughts_tools_and_modalities() -> None:
    """Thoughts are output, what Google's tools read is input; sound and pictures are told apart."""
    wire = {
        "promptTokenCount": 100, "cachedContentTokenCount": 40, "toolUsePromptTokenCount": 10,
        "candidatesTokenCount": 7, "thoughtsTokenCount": 5, "totalTokenCount": 122,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 60}, {"modality": "IMAGE", "tokenCount": 30},
            {"modality": "AUDIO", "tokenCount": 10},
        ],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}],
    }  # fmt: skip
    assert usage_of(wire) == Usage(110, 40, 12, 5, 0, 10, 30, 0, 6)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({"promptTokenCount": 3, "totalTokenCount": 10}, Usage(3, 0, 7)),
        ({"promptTokenCount": 3, "cachedContentTokenCount": 9, "thoughtsTokenCount": 4}, Usage(3, 3, 4, 4)),
        ({"promptTokenCount": -3, "candidatesTokenCount": 10**15, "totalTokenCount": "7"}, None),
        ({"promptTokenCount": 3.0, "promptTokensDetails": [None, {"modality": 1}, {"modality": "IMAGE"}]}, Usage(3)),
        ({"promptTokenCount": True}, None),
        ({}, None),
        ([], None),
    ],
)
def test_usage_that_makes_no_sense_is_bounded(wire: Any, usage: Usage | None) -> None:
    """The total is never undercounted, parts never exceed their whole, and what is no count is 0."""
    assert usage_of(wire) == usage


def test_usage_is_the_last_and_its_first_is_a_floor() -> None:
    """Each event repeats the usage so far: it is reported early, for a call that breaks off, and at the end."""
    events, _ = stream(answer(text("a")), answer(text("b")), answer(finish="STOP"))
    assert of_kind(events, UsageReported) == [UsageReported(Usage(11)), UsageReported(Usage(11, 4, 7, 2))]
    later = {"usageMetadata": USAGE | {"candidatesTokenCount": 6, "totalTokenCount": 19}}
    events, _ = stream(answer(text("a"), finish="STOP"), later)
    assert of_kind(events, UsageReported)[-1] == UsageReported(Usage(11, 4, 8, 2))


@pytest.mark.parametrize("last", [{}, TOO_FAST])
def test_a_broken_stream_keeps_its_last_usage(last: dict[str, Any]) -> None:
    """What was reported before a stream breaks is the floor of its bill."""
    events, failure = stream(answer(text("a")), answer(text("b"), usageMetadata=USAGE), last)
    assert failure is not None
    assert of_kind(events, UsageReported)[-1] == UsageReported(Usage(11, 4, 7, 2))


# ---- how an answer ends


@pytest.mark.parametrize(
    "reason",
    [
        "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION",
    ],
)  # fmt: skip
def test_a_filtered_answer_says_so(reason: str) -> None:
    """Filters of every kind end the answer as filtered; text that came stays."""
    events, failure = stream(answer(text("half")), {"candidates": [{"finishReason": reason}]})
    assert failure is None
    assert text_of(events) == "half"
    assert of_kind(events, Finished) == [Finished("content_filter")]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("MALFORMED_FUNCTION_CALL", ModelMalformed), ("UNEXPECTED_TOOL_CALL", ModelMalformed),
        ("TOO_MANY_TOOL_CALLS", ModelMalformed), ("MALFORMED_RESPONSE", ModelMalformed), ("OTHER", ModelCut),
        ("MISSING_THOUGHT_SIGNATURE", ModelBadRequest), ("NO_IMAGE", ModelCut),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ask", [stream, whole])
def test_a_reason_that_ends_no_answer_is_an_error(ask: Any, reason: str, error: type[ModelError]) -> None:
    """A failed generation does not pass for an answer, cut short or not."""
    events, failure = ask(
        {"candidates": [{"content": {"parts": [text("half")]}, "finishReason": reason, "finishMessage": "why"}]}
    )
    assert type(failure) is error
    assert (failure.fields["vendor_code"], failure.fields["vendor_message"]) == (reason, "why")
    assert text_of(events) == "half"
    assert of_kind(events, Finished) == []


@pytest.mark.parametrize("ask", [stream, whole])
def test_a_blocked_prompt_is_refused(ask: Any) -> None:
    """promptFeedback without candidates: the provider's filter, with what the prompt cost."""
    usage = {"promptTokenCount": 8, "totalTokenCount": 8}
    events, failure = ask(
        {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage, "responseId": "r"}
    )
    assert type(failure) is ContentRefused
    assert failure.fields["vendor_code"] == "PROHIBITED_CONTENT"
    assert of_kind(events, UsageReported) == [UsageReported(Usage(8))]


def test_a_prompt_that_is_blocked_late_is_refused_too() -> None:
    """Feedback after text: what came stays, and the answer is a refusal and no cut; after the end it says nothing."""
    blocked = {"promptFeedback": {"blockReason": "OTHER"}}
    events, failure = stream(answer(text("half")), blocked)
    assert type(failure) is ContentRefused
    assert text_of(events) == "half"
    assert stream(answer(text("all"), finish="STOP"), blocked)[1] is None


def test_feedback_beside_candidates_refuses_nothing() -> None:
    """Ratings of a prompt that was answered."""
    events, failure = whole(answer(text("ok"), finish="STOP", promptFeedback={"safetyRatings": []}))
    assert failure is None
    assert text_of(events) == "ok"


def test_an_answer_without_a_finish_reason_is_cut() -> None:
    """The vendor's page: an empty finishReason means that the model has not stopped."""
    for ask in (stream, whole):
        events, failure = ask(answer(text("half")))
        assert type(failure) is ModelCut
        assert text_of(events) == "half"


def test_every_candidate_must_finish() -> None:
    """One of two that never ends cuts the answer."""
    both = [
        {"content": {"parts": [text("a")]}, "finishReason": "STOP"}, {"content": {"parts": [text("b")]}, "index": 1},
    ]  # fmt: skip
    assert type(stream({"candidates": both})[1]) is ModelCut
    assert type(stream({"candidates": both[::-1]})[1]) is ModelCut


def test_a_stream_in_json_is_read() -> None:
    """Without alt=sse a stream is one JSON array; a proxy that drops the query loses nothing."""
    events, failure = decode(DIALECT, body([answer(text("a")), answer(text("b"), finish="STOP")]), streamed=False)
    assert failure is None
    assert text_of(events) == "ab"
    assert type(whole([answer(text("a")), TOO_FAST])[1]) is ModelRateLimited
    assert type(whole([])[1]) is ModelMalformed


def test_done_marks_of_compatible_servers_are_passed_over() -> None:
    """[DONE] belongs to another dialect: it neither breaks a whole answer nor completes half of one."""
    done = b"data: [DONE]\n\n"
    assert decode(DIALECT, sse(answer(text("a"), finish="STOP")) + done, streamed=True)[1] is None
    assert type(decode(DIALECT, sse(answer(text("a"))) + done, streamed=True)[1]) is ModelCut


@pytest.mark.parametrize(
    "broken",
    [
        {"candidates": [{"content": {"parts": [{"text": 5}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "a", "thoughtSignature": 5}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": "f"}]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": ["f"]}}]}}]},
        {"candidates": [{"content": {"parts": ["a"]}}]},
        {"candidates": [{"content": "a"}]},
        {"candidates": [{"finishReason": 1}]},
        {"candidates": [{"index": -1}]},
        {"candidates": [{"index": 10**30}]},
        {"candidates": "none"},
        [],
    ],
)
def test_wrong_types_are_malformed(broken: Any) -> None:
    """A field that decides what the answer says and is of another type ends it; what came before stays."""
    events, failure = decode(DIALECT, sse(answer(text("half")), broken), streamed=True)
    assert type(failure) is ModelMalformed
    assert text_of(events) == "half"


def test_fields_that_decide_nothing_may_be_anything() -> None:
    """A wrong type of an id, a version, a usage or a feedback costs that field alone."""
    odd = {"responseId": 5, "modelVersion": [], "usageMetadata": "many", "promptFeedback": 3}
    events, failure = stream(answer(text("ok"), finish="STOP") | odd)
    assert failure is None
    assert events == [Opened("", "", "req_1"), TextDelta("ok"), Finished("stop")]


# ---- where requests go


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine-1", "/tunedModels/mine-1:generateContent"),
        ("a/b c?x#y:z", "/models/a%2Fb%20c%3Fx%23y%3Az:generateContent"),
        ("models/../keys", "/models/..%2Fkeys:generateContent"),
        ("modèle", "/models/mod%C3%A8le:generateContent"),
    ],
)
def test_model_names_stay_inside_their_place_in_the_path(model: str, path: str) -> None:
    """A name can neither leave its segment nor begin a query."""
    assert DIALECT.path(model, streamed=False) == path
    assert DIALECT.path(model, streamed=True) == path.replace(":generateContent", ":streamGenerateContent?alt=sse")


def test_the_credential_goes_into_googles_header() -> None:
    """Never into the address, where logs would keep it."""
    assert DIALECT.headers("https://x", "k") == {"x-goog-api-key": "k"}
    assert DIALECT.headers("https://x", None) == {}
    assert DIALECT.models_path() == "/models"
