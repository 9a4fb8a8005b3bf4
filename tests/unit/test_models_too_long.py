"""The sentences that stand for a code where a vendor has none, and that nothing else is told by its words."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import ContextTooLong, ModelBadRequest, ModelError, ModelRateLimited, ModelUnavailable
from golive.models.anthropic import Anthropic
from golive.models.dialect import Dialect
from golive.models.gemini import Gemini
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_responses import OpenAIResponses
from golive.models.vendor_errors import Origin
from tests.contract.test_dialect import decode

ANTHROPIC = "prompt is too long: 208310 tokens > 200000 maximum"
ANTHROPIC_BOTH = (
    "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or "
    "`max_tokens` and try again"
)
GEMINI = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
GEMINI_BARE = "The input token count exceeds the maximum number of tokens allowed (1048576)."
VERTEX = (
    "Unable to submit request because the input token count is 1251952 but model only supports up to 1048576. Reduce "
    "the input token count and try again."
)
VLLM = (
    "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the "
    "messages, 10000 in the completion). Please reduce the length of the messages or completion."
)
VLLM_16 = (
    "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 "
    "tokens, resulting in a maximum input length of 1014 tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=1015)"
)
SGLANG = "The input (516368 tokens) is longer than the model's context length (262144 tokens)."
SGLANG_BOTH = "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested 9000."


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def google(message: str, word: str = "INVALID_ARGUMENT", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": 400, "message": message, "status": word, "details": list(details)}}


def openai(message: str, kind: str | None = "BadRequestError", code: Any = 400) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def flat(message: str, kind: str = "BadRequestError") -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": 400}


def refused(dialect: Dialect, body: Any, status: int = 400) -> ModelError:
    return dialect.refusal(Origin("p", "m"), status, {}.get, msgspec.json.encode(body), 0.0)


CHAT, RESPONSES = OpenAIChat(), OpenAIResponses()


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Anthropic(), anthropic(ANTHROPIC)), (Anthropic(), anthropic(ANTHROPIC_BOTH)),
        (Gemini(), google(GEMINI)), (Gemini(), google(GEMINI_BARE)), (Gemini(), [google(GEMINI)]),
        (Gemini(), google(VERTEX)),
        (CHAT, [google(GEMINI_BARE)]), (CHAT, anthropic(ANTHROPIC)),
        (CHAT, openai(VLLM)), (CHAT, flat(VLLM)), (CHAT, openai(VLLM_16)), (RESPONSES, openai(VLLM_16)),
        (CHAT, openai(VLLM, "invalid_request_error", "invalid_request_error")),
        (CHAT, openai(VLLM, "invalid_request_error", None)),
        (CHAT, flat(SGLANG)), (CHAT, flat(SGLANG_BOTH)), (CHAT, openai(SGLANG, "invalid_request_error", None)),
        (CHAT, openai("request (13392 tokens) exceeds the available context size", "exceed_context_size_error")),
    ],
)  # fmt: skip
def test_what_vendors_say_of_a_context_that_is_too_long(dialect: Dialect, body: Any) -> None:
    """Each sentence as it was answered, in its vendor's own body; the words are kept."""
    found = refused(dialect, body)
    assert type(found) is ContextTooLong
    assert "token" in found.fields["vendor_message"]
    assert "larger context window" in found.remedy


@pytest.mark.parametrize(
    ("dialect", "body", "status", "kind"),
    [
        (Anthropic(), anthropic("max_tokens: 999999 > 64000, which is the maximum"), 400, ModelBadRequest),
        (Anthropic(), anthropic("The prompt is rather long."), 400, ModelBadRequest),
        (Anthropic(), anthropic(f"It says: {ANTHROPIC}"), 400, ModelBadRequest),
        (Anthropic(), anthropic(ANTHROPIC, "api_error"), 400, ModelBadRequest),
        (Anthropic(), anthropic(ANTHROPIC), 429, ModelRateLimited),
        (Anthropic(), anthropic(ANTHROPIC), 500, ModelUnavailable),
        (Anthropic(), anthropic(ANTHROPIC), 422, ModelBadRequest),
        (Anthropic(), anthropic(GEMINI), 400, ModelBadRequest),
        (Gemini(), google(GEMINI, "OUT_OF_RANGE"), 400, ModelBadRequest),
        (Gemini(), google(GEMINI, "INVALID_ARGUMENT", {"reason": "A_REASON_OF_ITS_OWN"}), 400, ModelBadRequest),
        (Gemini(), google("Invalid value at 'contents'"), 400, ModelBadRequest),
        (Gemini(), google(GEMINI), 503, ModelBadRequest),
        (CHAT, openai(VLLM, "BadRequestError", "unsupported_value"), 400, ModelBadRequest),
        (CHAT, openai(VLLM, None), 400, ModelBadRequest),
        (CHAT, openai(VLLM_16, "invalid_request_error"), 400, ModelBadRequest),
        (CHAT, {"error": VLLM}, 400, ModelBadRequest),
        (CHAT, openai("max_tokens is too large: 9. This model's maximum context length is 8 tokens"), 400,
         ModelBadRequest),
    ],
)  # fmt: skip
def test_words_decide_nothing_else(dialect: Dialect, body: Any, status: int, kind: type[ModelError]) -> None:
    """Another status, another type, a code of its own, other words or the same ones elsewhere: what the status says."""
    assert type(refused(dialect, body, status)) is kind


def test_an_error_inside_an_answer_counts_by_the_status_it_names() -> None:
    """vLLM and Gemini put the refusal into the stream that they had begun."""
    for dialect, told in ((CHAT, openai(VLLM)), (Gemini(), google(GEMINI))):
        body = b"data: " + msgspec.json.encode(told) + b"\n\n"
        assert type(decode(dialect, body, streamed=True)[1]) is ContextTooLong
    nameless = b"data: " + msgspec.json.encode(openai(VLLM, code=None)) + b"\n\n"
    assert type(decode(CHAT, nameless, streamed=True)[1]) is ModelBadRequest


def test_no_message_is_too_long_to_be_looked_at() -> None:
    """A megabyte of what nearly fits costs nothing; a sentence is looked for at the beginning alone."""
    for long in ("prompt is too long: " + "9" * 1_000_000, "You passed 1 input tokens" + " and" * 250_000):
        assert type(refused(CHAT, openai(long))) is ModelBadRequest
