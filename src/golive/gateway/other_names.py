"""What the caller of a translated request must know to read a refusal: whose field names it has, and its own for them.

The vendor's words stay as they are, for they are the only true account of what was wrong; this is said behind them.
"""

import re

from golive.core.errors import GoliveError, ModelBadRequest

MOST_NAMES = 5
"""Field names of one refusal that are explained."""

_CHAT, _RESPONSES, _ANTHROPIC, _GEMINI = "openai-chat", "openai-responses", "anthropic", "gemini"
_SAME: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        _CHAT: ("max_completion_tokens", "max_tokens"), _RESPONSES: ("max_output_tokens",), _ANTHROPIC: ("max_tokens",),
        _GEMINI: ("maxOutputTokens", "max_output_tokens"),
    },
    {_CHAT: ("messages",), _RESPONSES: ("input",), _ANTHROPIC: ("messages",), _GEMINI: ("contents",)},
    {_RESPONSES: ("instructions",), _ANTHROPIC: ("system",), _GEMINI: ("systemInstruction", "system_instruction")},
    {
        _CHAT: ("response_format",), _RESPONSES: ("text.format",), _ANTHROPIC: ("output_config.format",),
        _GEMINI: ("responseJsonSchema", "response_json_schema", "responseMimeType", "response_mime_type"),
    },
    {
        _CHAT: ("reasoning_effort",), _RESPONSES: ("reasoning.effort",),
        _ANTHROPIC: ("output_config.effort", "thinking"),
        _GEMINI: ("thinkingConfig", "thinking_config", "thinkingLevel", "thinking_level", "thinkingBudget",
                  "thinking_budget"),
    },
    {_CHAT: ("stop",), _ANTHROPIC: ("stop_sequences",), _GEMINI: ("stopSequences", "stop_sequences")},
    {_CHAT: ("top_p",), _RESPONSES: ("top_p",), _ANTHROPIC: ("top_p",), _GEMINI: ("topP",)},
    {
        _CHAT: ("function.parameters",), _RESPONSES: ("parameters",), _ANTHROPIC: ("input_schema",),
        _GEMINI: ("parametersJsonSchema", "parameters_json_schema"),
    },
    {
        _CHAT: ("tool_choice",), _RESPONSES: ("tool_choice",), _ANTHROPIC: ("tool_choice",),
        _GEMINI: ("toolConfig", "tool_config"),
    },
    {_CHAT: ("dimensions",), _GEMINI: ("outputDimensionality", "output_dimensionality")},
)  # fmt: skip
"""Fields that hold the same thing, by dialect, where the one is always made from the other."""


def _pattern(name: str) -> re.Pattern[str]:
    """Finds a field's name in prose. One that is an English word, too, must be quoted, in a path, or come first."""
    if re.fullmatch("[a-z]+", name):
        return re.compile(rf"(?<!\w){name}(?=\[|\.\w)|(?<=[\w\]]\.){name}\b|(?<=['\"`]){name}(?=['\"`])|^{name}(?=:)")
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


_PATTERNS = {name: _pattern(name) for row in _SAME for names in row.values() for name in names}


def explain(error: GoliveError, here: str, there: str | None) -> None:
    """Adds the field `aside` to a vendor's refusal of what was translated for it; to no other error.

    Args:
        here: the dialect in which the request came.
        there: that of the provider; None where there is none.
    """
    words = error.fields.get("vendor_message")
    if not isinstance(error, ModelBadRequest) or not words or there is None or there == here:
        return
    target = f"{error.fields['provider']}/{error.fields['model']}"
    told = "".join(f"; {one}" for one in _named(str(words), here, there)[:MOST_NAMES])
    error.fields["aside"] = f"({target} speaks {there}: field names and places in this message are that API's{told}.)"


def _named(words: str, here: str, there: str) -> list[str]:
    """What the field names in the vendor's words are called where the request came from."""
    return [
        f"`{name}` there is {' or '.join(f'`{mine}`' for mine in row[here])} here"
        for row in _SAME
        if here in row
        for name in row.get(there, ())
        if row[here] != (name,) and _PATTERNS[name].search(words)
    ]
