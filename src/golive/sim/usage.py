"""What an answer reports of its tokens, which a script may make wrong in every way; the bill never is."""

import re
from typing import Any

import msgspec

from golive.sim.compose import Answer
from golive.sim.script import Script, UsageFigures

_NUMBER = re.compile(rb":-?\d+")


def reported(answer: Answer, script: Script) -> UsageFigures:
    """The figures a script wants reported. `prompt_tokens` counts cached and newly cached ones too."""
    if isinstance(script.usage, UsageFigures):
        return script.usage
    right = UsageFigures(
        answer.input_tokens,
        answer.output_tokens(),
        answer.cached_tokens,
        answer.reasoning_tokens(),
        answer.cache_write_tokens,
    )
    if script.usage == "wrong":
        return UsageFigures(right.prompt_tokens * 3 + 7, right.completion_tokens // 2, 0, 0)
    if script.usage == "negative":
        return UsageFigures(-right.prompt_tokens, -right.completion_tokens, -right.cached_tokens, -1)
    return right


def encoded(usage: dict[str, Any], script: Script) -> bytes:
    """A vendor's usage object as JSON, or as what is no JSON (NaN) if the script says so."""
    data = msgspec.json.encode(usage)
    return _NUMBER.sub(b":NaN", data) if script.usage == "nan" else data


def times_reported(script: Script) -> int:
    """How often an answer reports its usage."""
    return {"missing": 0, "twice": 2}.get(script.usage, 1) if isinstance(script.usage, str) else 1


def with_usage(body: bytes, key: bytes, usage: bytes, script: Script) -> bytes:
    """A whole answer's JSON object with its usage at the end, as often as the script wants."""
    return body[:-1] + b',"%s":%s' % (key, usage) * times_reported(script) + b"}"
