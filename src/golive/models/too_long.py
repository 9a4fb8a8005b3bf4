"""The one place where the words of a refusal decide: which of them say that a request is longer than the context.

Everywhere else status and codes decide. These vendors give no code for it: the refusal is a 400 with the type that any
bad request has, and moving on to a target with a larger context would never happen. So the sentences that they are
known to answer stand here, each valid for status 400 and that vendor's own type alone. A vendor that changes its words
is understood as a bad request again, which is what the status says.

Vendors that do give a code (OpenAI, Azure, Groq: `context_length_exceeded`; llama.cpp: `exceed_context_size_error`;
Anthropic's 413 `request_too_large`) are not here but in `vendor_errors.py`. Not here either is who changes its words as
it goes, as xAI did in 2026.
"""

import re
from typing import NamedTuple

MAX_SEARCHED = 500
"""Characters of a message that are looked at; each sentence stands at its beginning."""


class Sentence(NamedTuple):
    """What one vendor says.

    types: the types or status words of its bad requests; nothing else may be given as a code.
    said: matched at the beginning of the message.
    """

    vendor: str
    types: frozenset[str]
    said: re.Pattern[str]


def _sentence(vendor: str, types: str, said: str) -> Sentence:
    return Sentence(vendor, frozenset(types.split()), re.compile(said, re.ASCII))


SENTENCES = (
    # https://platform.claude.com/docs/en/api/errors and .../build-with-claude/context-windows; as answered:
    # https://github.com/anthropics/claude-code/issues/12186, https://github.com/continuedev/continue/issues/6080
    _sentence("Anthropic", "invalid_request_error", r"prompt is too long: \d+ tokens > \d+ maximum"),
    _sentence("Anthropic", "invalid_request_error", r"input length and `max_tokens` exceed context limit: \d+ \+ \d+"),
    # https://github.com/google-gemini/gemini-cli/issues/4231 and 6678; without the number, as its endpoint for clients
    # of OpenAI says it
    _sentence(
        "Gemini", "INVALID_ARGUMENT",
        r"The input token count (?:\(\d+\) )?exceeds the maximum number of tokens allowed",
    ),
    # Vertex AI: https://github.com/google-gemini/gemini-cli/issues/19727
    _sentence(
        "Gemini", "INVALID_ARGUMENT",
        r"Unable to submit request because the input token count is \d+ but model only supports up to \d+",
    ),
    # vLLM, whose sentence OpenAI's was (and still is for embeddings), and DeepSeek, which serves with the same words:
    # https://github.com/vllm-project/vllm/issues/20409, https://github.com/evalstate/fast-agent/issues/621
    _sentence("vLLM", "BadRequestError invalid_request_error", r"This model's maximum context length is \d+ tokens"),
    # vLLM from 0.16 on: https://github.com/harbor-framework/harbor/pull/996
    _sentence(
        "vLLM", "BadRequestError",
        r"You passed \d+ input (?:tokens|characters)[^.]{0,60}\. However, the model's context length is only \d+ ",
    ),
    # SGLang (python/sglang/srt/managers/tokenizer_manager.py), and Together, which serves with it
    _sentence(
        "SGLang", "BadRequestError invalid_request_error",
        r"The input \(\d+ tokens\) is longer than the model's context length \(\d+ tokens\)",
    ),
    _sentence(
        "SGLang", "BadRequestError", r"Requested token count exceeds the model's maximum context length of \d+ tokens"
    ),
)  # fmt: skip


def says_too_long(status: int | None, codes: tuple[str, ...], message: str | None) -> bool:
    """Whether a refusal is one of the sentences above.

    Args:
        status: of the answer, or the one that an error inside an answer names.
        codes: every code, type and status word that the vendor gave.
    """
    if status != 400 or not codes or not message:
        return False
    start = message[:MAX_SEARCHED]
    return any(row.types.issuperset(codes) and row.said.match(start) for row in SENTENCES)
