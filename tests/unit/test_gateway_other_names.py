"""Refusals of translated requests: whose names they use, and what the caller calls the same fields."""

import pytest

from golive.core.errors import GoliveError, InvalidRequest, ModelBadRequest, ModelRateLimited
from golive.gateway.openai_errors import words_of
from golive.gateway.other_names import MOST_NAMES, explain
from golive.models.vendor_errors import Origin

CHAT, RESPONSES, ANTHROPIC, GEMINI = "openai-chat", "openai-responses", "anthropic", "gemini"
ORIGIN = Origin("claude", "big")


def refused(words: str | None) -> ModelBadRequest:
    """A vendor's refusal in these words."""
    error = ORIGIN.error(ModelBadRequest, "answered 400.", status=400, vendor_message=words)
    assert isinstance(error, ModelBadRequest)
    return error


def told(words: str, here: str, there: str) -> str:
    """What the caller reads."""
    error = refused(words)
    explain(error, here, there)
    return words_of(error)


NAMED = [
    (CHAT, ANTHROPIC, "max_tokens: 9 > 8", "`max_tokens` there is `max_completion_tokens` or `max_tokens` here"),
    (RESPONSES, ANTHROPIC, "max_tokens: 9 > 8", "`max_tokens` there is `max_output_tokens` here"),
    (RESPONSES, ANTHROPIC, "messages.0.content: empty", "`messages` there is `input` here"),
    (RESPONSES, ANTHROPIC, "system: too long", "`system` there is `instructions` here"),
    (ANTHROPIC, RESPONSES, "Invalid 'input[0].content'.", "`input` there is `messages` here"),
    (ANTHROPIC, RESPONSES, "Invalid schema: 'tools[0].parameters'.", "`parameters` there is `input_schema` here"),
    (ANTHROPIC, RESPONSES, "Unsupported: text.format", "`text.format` there is `output_config.format` here"),
    (CHAT, GEMINI, "Invalid value at 'generation_config.top_p'", ""),
    (CHAT, GEMINI, "generationConfig.topP is 3", "`topP` there is `top_p` here"),
    (CHAT, GEMINI, "* contents[0].parts: empty", "`contents` there is `messages` here"),
    (CHAT, GEMINI, "thinkingBudget of 9", "`thinkingBudget` there is `reasoning_effort` here"),
    (ANTHROPIC, CHAT, "'reasoning_effort' is", "`reasoning_effort` there is `output_config.effort` or `thinking` here"),
    (CHAT, RESPONSES, "The instructions and parameters of the input: stop messages.", ""),
    (CHAT, ANTHROPIC, "your max_tokens_limit and xmax_tokens", ""),
    (ANTHROPIC, CHAT, "max_tokens is too large", ""),
]


@pytest.mark.parametrize(("here", "there", "words", "names"), NAMED)
def test_the_vendors_words_stand_and_the_names_follow(here: str, there: str, words: str, names: str) -> None:
    """Only where a field's name is surely meant, and where the two have different names."""
    aside = f"claude/big speaks {there}: field names and places in this message are that API's"
    assert told(words, here, there) == f"{words} ({aside}{'; ' + names if names else ''}.)"


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, ANTHROPIC, GEMINI])
def test_what_was_not_translated_is_left_alone(dialect: str) -> None:
    """The same dialect, a provider that nobody knows, an error that no field caused, and one without a vendor."""
    for there in (dialect, None):
        error = refused("max_tokens: no")
        explain(error, dialect, there)
        assert words_of(error) == "max_tokens: no"
    other = "gemini" if dialect != GEMINI else CHAT
    busy = ORIGIN.error(ModelRateLimited, "answered 429.", status=429, vendor_message="max_tokens per minute")
    ours: list[GoliveError] = [busy, refused(None), InvalidRequest("max_tokens", field="max_tokens")]
    for each in ours:
        explain(each, dialect, other)
        assert "aside" not in each.fields


def test_a_message_of_many_names_is_explained_in_part() -> None:
    """A vendor's text cannot make the answer long."""
    words = "max_tokens messages.0 output_config.format output_config.effort 'thinking' stop_sequences input_schema"
    assert told(words, CHAT, ANTHROPIC).count(" there is ") == MOST_NAMES == 5
