"""What users are told when a run does less than it was asked for: one sentence for each way of degrading, in English.

An agent may say it in words of its own and in other languages (`[messages]` of agent.toml); the keys are these.
"""

import re
from string import Formatter

from msgspec import Struct

LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$"
"""The form of a language tag, such as `de` or `pt-BR` (BCP 47, RFC 5646)."""


class Way(Struct, frozen=True):
    """One way of degrading: when it is told, its English words, and the placeholders that may stand in any words."""

    when: str
    words: str
    placeholders: tuple[str, ...] = ()


_SECONDS, _STEPS, _TOOLS = ("seconds",), ("steps",), ("tools",)

WAYS: dict[str, Way] = {
    "deadline": Way(
        "the time was over; there is text",
        "I ran out of time after {seconds} seconds; this is what I have so far.", _SECONDS,
    ),
    "deadline_empty": Way(
        "the time was over before any text",
        "I ran out of time after {seconds} seconds; I could not finish in time. Please try again.", _SECONDS,
    ),
    "max_steps": Way(
        "the step cap was reached",
        "I stopped at my limit of steps ({steps}); this is what I have so far.", _STEPS,
    ),
    "model_out": Way(
        "no model answered", "I cannot reach a model right now. Please try again in a moment."
    ),
    "model_cut": Way(
        "the answer broke off", "The connection to the model broke off; my answer is not complete."
    ),
    "model_empty": Way(
        "the model said nothing", "The model ended without an answer. Please try again."
    ),
    "max_output_tokens": Way(
        "the answer was cut short: at `max_output_tokens`, or for a reason that the provider calls by an unknown word",
        "My answer was cut short here and is not complete.",
    ),
    "output_invalid": Way(
        "the answer does not follow `output_schema`", "The model's answer was not the JSON that was asked for."
    ),
    "refused": Way("the model or its provider refused", "The model declined to answer this."),
    "too_long": Way(
        "the conversation is too long for every model",
        "This has become too long for the model. Please shorten it, or begin a new conversation.",
    ),
    "bad_request": Way(
        "no model can work with the request", "The model cannot work with this request as it stands."
    ),
    "no_images": Way(
        "the request has pictures, and no model of the agent takes them",
        "I cannot look at pictures. Please send this without them; if this conversation has some already, begin a new "
        "one.",
    ),
    "not_set_up": Way(
        "a credential or model is missing or wrong, or no model can do what the agent needs",
        "I am not set up correctly, so I cannot answer. Whoever runs this server finds the reason in its log.",
    ),
    "tool_out": Way(
        "a `critical` tool failed; the answer was given without it",
        "I got no result from {tools}, without which this is not a whole answer. Please try again later.", _TOOLS,
    ),
    "tool_skipped": Way(
        "other tools failed, or were not finished; also said after any of the sentences above",
        "I got no result from {tools}; what depends on it is missing or delayed.", _TOOLS,
    ),
    "tools_done": Way(
        "said after a sentence above when there is no text, but tools were carried out",
        "What I did do: {tools}.", _TOOLS,
    ),
    "cancelled": Way("somebody cancelled the run, and gave no reason", "The run was cancelled."),
    "disconnected": Way(
        "the last reader left", "Nobody was listening any more, so the run was cancelled."
    ),
    "interrupted": Way(
        "the server ended and no other one could go on: the run's version is gone, and nobody decided what then",
        "The server stopped before I could finish; what I had is kept."
    ),
    "internal": Way("a fault of the server", "Something went wrong on our side, and I could not finish."),
}  # fmt: skip
"""By key, in the order in which the documentation shows them."""

_IS_LANGUAGE = re.compile(LANGUAGE)


def is_language(tag: str) -> bool:
    """Whether the text has the form of a language tag."""
    return _IS_LANGUAGE.match(tag) is not None


def fault(key: str, words: str) -> str:
    """What is wrong with words for the way `key`, as the end of a sentence; "" when nothing is."""
    if not words.strip():
        return "is empty"
    try:
        parts = list(Formatter().parse(words))
    except ValueError as error:
        return f"has a brace that opens or closes nothing ({error})"
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in WAYS[key].placeholders:
            return f"has the placeholder {{{name}}}, which does not exist there"
        if form or conversion:
            return f"has more than a name between the braces of {{{name}}}"
    return ""
