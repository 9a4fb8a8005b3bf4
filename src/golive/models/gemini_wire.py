"""Google Gemini generateContent as its answers stand on the wire.

Types are loose where a field does not decide what the answer says; a wrong one costs the field, not the answer.
Source: https://ai.google.dev/api/generate-content (November 2026), the types of google-genai 2.34.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from golive.core.messages import Usage
from golive.models.openai_wire import token_count


class WireFunctionCall(Struct, gc=False, rename="camel"):
    id: str | None = None
    name: str | None = None
    args: Any = None
    partial_args: Any = None  # Vertex AI alone, and only when asked for
    will_continue: bool | None = None


class WireContent(Struct, gc=False):
    parts: list[dict[str, Any]] | None = None


class WireCandidate(Struct, gc=False, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None
    finish_message: Any = None
    index: int | None = None


NO_USAGE = Raw()


class WireAnswer(Struct, gc=False, rename="camel"):
    """A GenerateContentResponse, whole or one event of a stream, or an error."""

    candidates: list[WireCandidate] | None = None
    usage_metadata: Raw = NO_USAGE  # every event has one; it is read when it is reported
    model_version: Any = None
    response_id: Any = None
    prompt_feedback: Any = None
    error: Any = None


decode_answer = msgspec.json.Decoder(WireAnswer).decode
decode_answers = msgspec.json.Decoder(list[WireAnswer]).decode


def read_usage(wire: Raw) -> Usage | None:
    """`usageMetadata` as it stood on the wire; None when it says nothing, or nothing that can be read."""
    try:
        return usage_of(msgspec.json.decode(wire))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def usage_of(wire: Any) -> Usage | None:
    """Usage as we count it; None when it says nothing.

    Thoughts are output and what tools of Google's own read is input. What `totalTokenCount` has beyond the named parts
    counts as output.
    """
    if type(wire) is not dict:
        return None
    thoughts = token_count(wire.get("thoughtsTokenCount"))
    read = token_count(wire.get("promptTokenCount")) + token_count(wire.get("toolUsePromptTokenCount"))
    written = max(
        token_count(wire.get("candidatesTokenCount")) + thoughts, token_count(wire.get("totalTokenCount")) - read
    )
    if read == 0 and written == 0:
        return None
    prompt, candidates = _modalities(wire.get("promptTokensDetails")), _modalities(wire.get("candidatesTokensDetails"))
    return Usage(
        input_tokens=read,
        cached_input_tokens=min(token_count(wire.get("cachedContentTokenCount")), read),
        output_tokens=written,
        reasoning_tokens=min(thoughts, written),
        input_audio_tokens=min(prompt.get("AUDIO", 0), read),
        input_image_tokens=min(prompt.get("IMAGE", 0), read),
        output_audio_tokens=min(candidates.get("AUDIO", 0), written),
        output_image_tokens=min(candidates.get("IMAGE", 0), written),
    )


def _modalities(details: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(name := detail.get("modality"), str):
            found[name] = token_count(detail.get("tokenCount"))
    return found
