"""What is asked of Google Gemini generateContent, written as it wants it.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thinking and
https://ai.google.dev/gemini-api/docs/thought-signatures (November 2026).

What Gemini has no word for is not sent: `parallel_tool_calls`, and the `detail` of a picture.
"""

import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from itertools import count, groupby
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import ModelBadRequest, ModelError
from golive.core.messages import ImagePart, Message, Opaque, Part, TextPart, ToolCall, ToolSpec
from golive.models.call import ModelRequest
from golive.models.dialect import Target
from golive.models.vendor_errors import Origin

SKIP_SIGNATURE = "skip_thought_signature_validator"
"""What the vendor's page on thought signatures says to send with a call that no Gemini model made."""

_encode = msgspec.json.Encoder().encode
_RAW = msgspec.json.Decoder(dict[str, Raw])
_NO_OBJECT = (msgspec.DecodeError, UnicodeError, RecursionError)
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),(.*)", re.DOTALL)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^?#]+")
_PICTURES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "heic": "image/heic", "heif": "image/heif",
}  # fmt: skip
_OLD = re.compile(r"gemini-[12](?!\d)|gemini-pro\b|gem(?!ini)")
"""Models before Gemini 3, and Gemma: they check no signatures and know no levels of thinking."""
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
"""Tokens of thought of Gemini 2.5, as Google's own OpenAI-compatible face counts them."""
_LEAST_PRO_BUDGET = 128
"""Gemini 2.5 Pro cannot be kept from thinking either."""
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
"""Gemini 3 and later cannot be kept from thinking: "none" is the least."""
_NOT_FOR_TEXT = re.compile(r"image|tts|audio|live|embedding|banana")


class _JsonSchema(Struct):
    schema: Raw = Raw()


class _ResponseFormat(Struct):
    type: str
    json_schema: _JsonSchema | None = None


class _Function(Struct):
    name: str


class _Choice(Struct):
    """OpenAI's `tool_choice` where it is an object; a list of tools where it is of type `allowed_tools`."""

    type: str
    function: _Function | None = None
    name: str | None = None
    allowed_tools: "_Allowed | None" = None

    def named(self) -> str:
        """The name in either of OpenAI's two shapes."""
        return self.function.name if self.function is not None else self.name or ""


class _Allowed(Struct):
    tools: list[_Choice]
    mode: str = "auto"


def encode_request(request: ModelRequest, target: Target) -> bytes:
    """The body of POST /models/{model}:generateContent and :streamGenerateContent, which are the same.

    `extra` stands above what is encoded, key by key; the two `generationConfig` are put together.

    Raises:
        ModelBadRequest: the request holds what cannot be said to Gemini (a picture that is no data: URL and no
            address, an unknown `tool_choice` or `response_format`).
    """
    extra = request.extra if request.dialect == "gemini" else {}
    system, contents = _Conversation(request.messages, target).encoded()
    wire: dict[str, Any] = {"contents": contents}
    if system:
        wire["systemInstruction"] = {"parts": system}
    if request.tools:
        wire["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
    if request.tool_choice is not None:
        wire["toolConfig"] = {"functionCallingConfig": _tool_choice(request.tool_choice, target)}
    config = _generation_config(request, target)
    if config:
        wire["generationConfig"] = config
    wire.update(extra)
    given = _object(extra.get("generationConfig"))
    if given is not None:
        wire["generationConfig"] = config | given
    return _encode(wire)


class _Conversation:
    """Messages become contents: two roles that take turns, everything else being parts."""

    def __init__(self, messages: tuple[Message, ...], target: Target) -> None:
        self._messages = list(_by_call(messages))
        self._target = target
        self._new = is_new(target.model)
        self._names: dict[str, str] = {}
        self._contents: list[dict[str, Any]] = []

    def encoded(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The parts of systemInstruction, and the contents."""
        system: list[dict[str, Any]] = []
        # Only calls of the current turn, behind the last words of the user, must be signed.
        turn = max((place for place, message in enumerate(self._messages) if message.role == "user"), default=-1)
        for place, message in enumerate(self._messages):
            if message.role == "system":
                system += self._parts(message)
            elif message.role == "assistant":
                self._add("model", self._model_parts(message, sign=self._new and place > turn))
            elif message.role == "tool":
                self._add("user", self._result(message))
            else:
                self._add("user", self._parts(message) or [{"text": ""}])
        if not self._contents and system:
            return [], [{"role": "user", "parts": system}]  # a request without contents is refused
        return system, self._contents

    def _add(self, role: str, parts: list[dict[str, Any]]) -> None:
        if not parts:
            return
        if self._contents and self._contents[-1]["role"] == role:
            self._contents[-1]["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})

    def _parts(self, message: Message) -> list[dict[str, Any]]:
        content = message.content
        if isinstance(content, str):
            return [{"text": content}] if content else []
        return [self._part(part) for part in content]

    def _part(self, part: Part) -> dict[str, Any]:
        return {"text": part.text} if isinstance(part, TextPart) else _picture(part, self._target)

    def _model_parts(self, message: Message, *, sign: bool) -> list[dict[str, Any]]:
        """Text and calls, with the state that this model gave along at its place among them.

        Args:
            sign: whether a first call without a signature must be given the one that is not checked.
        """
        states = [(state.before, data) for state in message.state if (data := self._state(state)) is not None]
        parts = self._parts(message)
        _place([data for before, data in states if before <= 0], parts)
        for place, call in enumerate(message.tool_calls):
            part = self._call(call)
            if sign and place == 0:
                part.setdefault("thoughtSignature", SKIP_SIGNATURE)
            parts.append(part)
            last = place == len(message.tool_calls) - 1
            for before, data in states:
                if before == place + 1 or (last and before > place + 1):
                    parts.append(_whole(data))
        return parts

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._names[call.id] = call.name
        part: dict[str, Any] = {
            "functionCall": self._known(call.id) | {"name": call.name, "args": _args(call.arguments)}
        }
        data = self._state(call.state) if call.state is not None else None
        if data is not None and "thoughtSignature" in data:
            part["thoughtSignature"] = data["thoughtSignature"]
        return part

    def _result(self, message: Message) -> list[dict[str, Any]]:
        """The result as text, as the tool gave it: inside a Struct every number would become a double."""
        call_id = message.tool_call_id or ""
        name = self._names.get(call_id) or message.name or call_id
        answer = self._known(call_id) | {"name": name, "response": {"output": message.text()}}
        content = message.content if not isinstance(message.content, str) else ()
        return [{"functionResponse": answer}] + [self._part(part) for part in content if isinstance(part, ImagePart)]

    def _known(self, call_id: str) -> dict[str, Any]:
        """The id of a call, where the API takes one: before Gemini 3 it may be refused, and order alone tells.

        Source: https://github.com/googleapis/java-genai/issues/694
        """
        return {"id": call_id} if call_id and self._new else {}

    def _state(self, state: Opaque) -> dict[str, Raw] | None:
        """The part that stood on the wire; None for another model's."""
        return _object(state.data) if state.is_for(self._target.provider, self._target.model) else None


def _by_call(messages: tuple[Message, ...]) -> Iterator[Message]:
    """The messages, results that stand together in the order of their calls."""
    numbers = count()
    places: dict[str, int] = {}
    for are_results, group in groupby(messages, key=lambda message: message.role == "tool"):
        if are_results:
            yield from sorted(group, key=lambda message: places.get(message.tool_call_id or "", sys.maxsize))
            continue
        for message in group:
            places.update((call.id, next(numbers)) for call in message.tool_calls)
            yield message


def _place(states: list[dict[str, Raw]], parts: list[dict[str, Any]]) -> None:
    """Puts state that came before any call among the parts of the text.

    The first signature of the text goes onto its last part, for of a streamed answer nothing else is left of where it
    stood. Thoughts, and what is no text at all, stand before it.
    """
    signatures = [data for data in states if data.keys() == {"thoughtSignature"}]
    parts[:0] = [data for data in states if data.keys() != {"thoughtSignature"}]
    for data in signatures:
        if parts and "text" in parts[-1] and "thoughtSignature" not in parts[-1]:
            parts[-1] = parts[-1] | data
        else:
            parts.append(_whole(data))


def _whole(data: dict[str, Raw]) -> dict[str, Any]:
    """A signature alone is no part; it stands on an empty text, as the API itself sends it."""
    return {"text": "", **data} if data.keys() == {"thoughtSignature"} else dict(data)


def _args(arguments: str) -> Any:
    """The arguments as an object. Text that is none is sent as {"arguments": text}, so that the model sees its own."""
    if not arguments.strip():
        return {}
    text = arguments.encode("utf-8", "replace")
    return Raw(text) if _object(text) is not None else {"arguments": arguments}


def _object(data: Raw | bytes | None) -> dict[str, Raw] | None:
    """The members of a JSON object; None for anything else."""
    if data is None:
        return None
    try:
        return _RAW.decode(data)
    except _NO_OBJECT:
        return None


def _picture(image: ImagePart, target: Target) -> dict[str, Any]:
    data = _DATA_URL.fullmatch(image.url)
    if data is not None:
        kind, options, body = data.groups()
        if ";base64" not in options.lower():
            body = b64encode(unquote_to_bytes(body)).decode()
        return {"inlineData": {"mimeType": kind or "image/png", "data": body}}
    address = _ADDRESS.match(image.url)
    if address is None:
        raise _refused(target, "a picture's url", image.url, "Send a data: URL or an https address.")
    file = {"fileUri": image.url}
    mime = _PICTURES.get(address[0].rpartition(".")[2].lower())
    return {"fileData": file if mime is None else file | {"mimeType": mime}}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parametersJsonSchema": tool.parameters}


def _tool_choice(raw: Raw, target: Target) -> dict[str, Any]:
    try:
        choice = msgspec.json.decode(raw, type=str | _Choice)
    except _NO_OBJECT:
        choice = ""
    if isinstance(choice, str):
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}.get(choice)
        if mode is not None:
            return {"mode": mode}
    elif choice.allowed_tools is not None:
        names = [tool.named() for tool in choice.allowed_tools.tools]
        # Gemini's AUTO takes no list; VALIDATED is its word for "text, or one of these".
        return {
            "mode": "ANY" if choice.allowed_tools.mode == "required" else "VALIDATED",
            "allowedFunctionNames": names,
        }
    elif choice.named():
        return {"mode": "ANY", "allowedFunctionNames": [choice.named()]}
    raise _refused(
        target, "tool_choice", bytes(raw).decode("utf-8", "replace"),
        'Send "auto", "none", "required", a function or allowed_tools.',
    )  # fmt: skip


def _generation_config(request: ModelRequest, target: Target) -> dict[str, Any]:
    options = (
        ("maxOutputTokens", request.max_output_tokens), ("temperature", request.temperature), ("topP", request.top_p),
        ("stopSequences", request.stop or None), ("seed", request.seed),
        ("thinkingConfig", _thinking(target.model, request.reasoning_effort) or None),
    )  # fmt: skip
    config = {key: value for key, value in options if value is not None}
    if request.output_schema is not None:
        config.update(_output(request.output_schema, target))
    return config


def _output(raw: Raw, target: Target) -> dict[str, Any]:
    try:
        wanted = msgspec.json.decode(raw, type=_ResponseFormat)
    except _NO_OBJECT:
        wanted = _ResponseFormat("")
    if wanted.type == "text":
        return {}
    if wanted.type == "json_object":
        return {"responseMimeType": "application/json"}
    if wanted.type == "json_schema" and wanted.json_schema is not None:
        schema = wanted.json_schema.schema
        return {"responseMimeType": "application/json"} | ({"responseJsonSchema": schema} if bytes(schema) else {})
    raise _refused(
        target, "response_format", bytes(raw).decode("utf-8", "replace"),
        'Its type must be "text", "json_object" or "json_schema".',
    )  # fmt: skip


def is_new(model: str) -> bool:
    """Whether the model is of Gemini 3 or later; names that say nothing (aliases, tuned models) are taken for new."""
    return _OLD.match(model.lower().rpartition("/")[2]) is None


def _thinking(model: str, effort: str | None) -> dict[str, Any]:
    """`thinkingConfig`. Thoughts are asked for wherever the model has them: they show that it is at work.

    A model that does not think refuses the field, so nothing is sent to one unless `effort` is set.
    """
    name = model.lower().rpartition("/")[2]
    if is_new(model):
        thinks = name.startswith("gemini-") and _NOT_FOR_TEXT.search(name) is None
        shown = {"includeThoughts": True} if thinks or effort is not None else {}
        if effort is None:
            return shown
        level = _LEVELS.get(effort, "HIGH")
        # As Google's compatible face does it: the Pro models have no level below "low".
        return shown | {"thinkingLevel": "LOW" if level == "MINIMAL" and "-pro" in name else level}
    if effort is not None:
        budget = _BUDGETS.get(effort, _BUDGETS["high"]) or (_LEAST_PRO_BUDGET if "-pro" in name else 0)
        return {"includeThoughts": True, "thinkingBudget": budget} if budget else {"thinkingBudget": 0}
    thinks = name.startswith("gemini-2.5") and "lite" not in name and _NOT_FOR_TEXT.search(name) is None
    return {"includeThoughts": True} if thinks else {}


def _refused(target: Target, field: str, value: str, remedy: str) -> ModelError:
    origin = Origin(target.provider, target.model)
    shown = origin.redact(value, 100)
    return origin.error(
        ModelBadRequest, f"cannot be asked: {field} is {shown!r}.", remedy=remedy, field=field, value=shown, sent=False
    )
