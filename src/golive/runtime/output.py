"""An answer that was to follow a JSON Schema: its value, or why it is none."""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from golive.config.following import Follows, Mismatch, Undecided

SCHEMAS_KEPT = 256
"""Made ready once for each version of an agent; of more the longest unused is made ready again."""


def read_answer(text: str, output_schema: Raw) -> tuple[Any, str]:
    """The value, and "" where it follows the schema; else None, and what is wrong, without a word of the answer but
    the names of its parts.

    Args:
        output_schema: as `ModelRequest.output_schema`; without a schema in it any JSON does.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return None, f"The answer is no JSON: {error}."
    follows = _ready(bytes(output_schema))
    try:
        wrong = None if follows is None else follows.mismatch(value)
    except Undecided:
        return None, "Whether the answer follows output_schema could not be found out within bounds."
    return (value, "") if wrong is None else (None, _words(wrong))


@lru_cache(SCHEMAS_KEPT)
def _ready(output_schema: bytes) -> Follows | None:
    described = msgspec.json.decode(output_schema).get("json_schema")
    return None if described is None else Follows(described.get("schema", {}))


def _words(wrong: Mismatch) -> str:
    lacks = f", which asks for {', '.join(wrong.missing[:3])}" if wrong.missing else ""
    return f"The answer does not follow output_schema: {wrong.at or 'the whole'} breaks #{wrong.rule}{lacks}."
