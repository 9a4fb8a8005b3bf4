"""What a simulated model is told to do: the script, its faults, and the places a script may come from.

Owns the vocabulary and its parsing. What an answer then says is `compose.py`'s, how it travels `playback.py`'s.
"""

from collections import deque
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

FOREVER = -1.0
MAX_TOKENS = 1_000_000
MAX_INSTALLED = 10_000
MAX_TOKEN_BYTES = 64 * 1024 * 1024

Mode = Literal["text", "echo", "agent", "tools"]
Cut = Literal["close", "reset", "end", "error"]
Garbage = Literal["html", "gzip", "headers"]
Prefill = Literal["continue", "refuse", "overlap", "restart", "diverge"]


class ToolUse(Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call. `arguments` is an object, or the text to send as it is (which need not be valid JSON)."""

    name: str
    arguments: dict[str, Any] | str = {}


class UsageFigures(Struct, frozen=True, forbid_unknown_fields=True):
    """Usage to report whatever was really used."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0


class Script(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The behaviour of one answer. Times in milliseconds; -1 means for ever. Counts in tokens of the simulator."""

    # what it says
    mode: Mode = "text"
    """text: `text` or generated words; echo: the last user message; agent: a support agent that calls tools and reads
    their results; tools: calls the first tool offered, then answers."""
    text: str | None = None
    tokens: int = 24
    """Length of a generated answer."""
    reasoning: str | None = None
    reasoning_tokens: int = 0
    """Reasoning that is billed and not shown; comes on top of `reasoning`."""
    refusal: str | None = None
    tool_calls: tuple[ToolUse, ...] = ()
    always_tools: bool = False
    """Call a tool on every turn, whatever the results."""
    fragment: int = 12
    """Characters of arguments in one delta."""
    interleave: bool = False
    """Send the fragments of parallel calls in turn instead of one call after the other."""
    finish_reason: str | None = None
    turns: tuple["Script", ...] = ()
    """One script for each turn after a user message; the last one stays. Faults belong to the turn."""

    # how it goes on where an answer broke off
    prefill: Prefill | None = None
    """What becomes of a last assistant message: continue: the text goes on where that message ends; refuse: 400;
    overlap: the same after repeating the last `overlap` words; restart: the text from its beginning; diverge: the text
    of `diverge` instead. None: as the vendor does: Anthropic and Gemini continue, OpenAI restarts."""
    continue_on: str = ""
    """A last user message that contains this text asks to go on with the assistant message before it; `prefill` then
    says how (None: continue). Not per turn."""
    overlap: int = 3
    """Words that are repeated."""
    overlap_as: Literal["same", "upper", "spaced"] = "same"
    """The repeated words: as they were, in upper case, or with twice the spaces."""
    diverge: str | None = None
    """The other text; None: generated words."""

    # how fast
    first_token_ms: float = 0.0
    pace_ms: float = 0.0
    """Between tokens, or between writes when `burst` is above 1."""
    burst: int = 1
    """Chunks in one write; 0: all in one."""

    # what it reports
    usage: Literal["right", "missing", "wrong", "twice", "negative", "nan"] | UsageFigures = "right"
    """twice: reported two times over; negative: every count below zero; nan: NaN for every count, which is no JSON."""
    cached_tokens: int = 0
    """Above 0: so many input tokens count as cached, whatever was sent before."""
    prompt_cache: bool = True
    """Keep long prompts, and count what is sent again as cached."""

    # faults
    status: int | None = None
    retry_after: float | str | None = None
    error_message: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    refuse: bool = False
    """Reset the connection without an answer."""
    hang_ms: float = 0.0
    """Silence before the first byte of the answer."""
    stall_after: int | None = None
    stall_ms: float = FOREVER
    """Silence after `stall_after` tokens."""
    cut_after: int | None = None
    cut: Cut = "close"
    """How the answer breaks off after `cut_after` tokens: close: the connection ends before the body does; reset: the
    same with a TCP reset; end: a clean end of the HTTP body, but no finish_reason and no [DONE]; error: the
    vendor's error event, worded by `status` and the `error_` fields, and a clean end (a stream only; else as close)."""
    malformed: Literal["json", "utf8"] | None = None
    malformed_after: int = 1
    """After this many tokens comes one chunk that is broken JSON, or invalid UTF-8."""
    bytes_per_write: int = 0
    """Cut the body at every so many bytes, also inside a character; each piece is an HTTP chunk and a write."""
    max_context: int | None = None
    """More input tokens than this are refused as the vendor does (context_length_exceeded)."""
    limit_per_key: int | None = None
    """Requests that one credential may make to the model in `limit_window_s`; more are 429 with the time to wait."""
    limit_window_s: float = 60.0
    limit_remaining: int | None = None
    """The limit headers say so, whatever is true; of `limit_per_key`, or 100."""
    garbage: Garbage | None = None
    """Instead of an answer: html: a proxy's page, with `status` or 200; gzip: bytes that are not the gzip they claim to
    be; headers: a header that never ends."""
    token_bytes: int = 0
    """The text is one token of so many bytes."""
    duplicate_ids: bool = False
    """All tool calls bear the same id."""
    unknown_event: bool = False
    """An event of a type that nobody knows comes before the first token of a stream."""

    def __post_init__(self) -> None:
        for name in (
            "tokens",
            "reasoning_tokens",
            "burst",
            "cached_tokens",
            "bytes_per_write",
            "malformed_after",
            "overlap",
        ):
            if not 0 <= getattr(self, name) <= MAX_TOKENS:
                raise ValueError(f"{name} {getattr(self, name)} is not between 0 and {MAX_TOKENS}")
        if not 0 <= self.token_bytes <= MAX_TOKEN_BYTES:
            raise ValueError(f"token_bytes {self.token_bytes} is not between 0 and {MAX_TOKEN_BYTES}")
        if self.limit_window_s <= 0:
            raise ValueError(f"limit_window_s {self.limit_window_s:g} is not above 0")
        for name in ("hang_ms", "stall_ms"):
            if getattr(self, name) < 0 and getattr(self, name) != FOREVER:
                raise ValueError(f"{name} {getattr(self, name):g} is negative; -1 means for ever")
        for name in ("stall_after", "cut_after", "first_token_ms", "pace_ms", "limit_per_key", "limit_remaining"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} {getattr(self, name):g} is negative")
        if self.fragment < 1:
            raise ValueError(f"fragment {self.fragment} is below 1")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"status {self.status} is not an HTTP status between 200 and 599")

    def turn(self, number: int) -> "Script":
        """The script of turn `number` (0 is the first after a user message)."""
        return self.turns[min(number, len(self.turns) - 1)] if self.turns else self


AGENT = Script(mode="agent", pace_ms=5.0)
BUILT_IN: dict[str, Script] = {
    "sim-agent": AGENT,
    "sim-text": Script(tokens=60),
    "sim-echo": Script(mode="echo"),
    "sim-tools": Script(mode="tools"),
    "sim-slow": Script(tokens=60, first_token_ms=400.0, pace_ms=80.0),
    "sim-reasoning": Script(reasoning="Let me weigh what is asked, step by step, before I answer.", tokens=30),
    "sim-loop": Script(mode="tools", always_tools=True),
}
"""Models that are always there. Any other name that begins with `sim-` follows the default script."""

_decoder = msgspec.json.Decoder(Script)


class ScriptInvalid(ValueError):
    """A script that cannot be followed; the text says which field."""


def parse_script(data: bytes | str) -> Script:
    """Reads a script's JSON.

    Raises:
        ScriptInvalid: not JSON, an unknown field, or a value out of range.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ScriptInvalid(f"the script cannot be read: {error}") from error


def with_query(script: Script, query: str) -> Script:
    """The script with fields set by a query such as `tokens=50&pace_ms=10`; values that begin with { or [ are JSON.

    Raises:
        ScriptInvalid: an unknown field, or a value that does not fit.
    """
    fields: dict[str, Any] = msgspec.to_builtins(script)
    try:
        for name, value in parse_qsl(query, keep_blank_values=True):
            fields[name] = msgspec.json.decode(value) if value[:1] in ("{", "[") else value
        return msgspec.convert(fields, Script, strict=False)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScriptInvalid(f"the model name's ?{query} cannot be followed: {error}") from error


class Installed(Struct):
    """What was installed for one model: scripts to be used up, in order, and then the standing one."""

    limited: deque[list[Any]]
    standing: Script | None = None


class Scripts:
    """Decides which script a request follows: header, installed for the model, the model's name, the default."""

    def __init__(self, default: Script = AGENT) -> None:
        self.default = default
        self._installed: dict[str, Installed] = {}

    def install(self, model: str, script: Script, times: int | None = None) -> None:
        """From now on `model` ("*": every one) follows `script`: for `times` requests, or until told otherwise (None).

        Scripts with `times` queue up and are used first. A query on the model name does not matter here.
        """
        if len(self._installed) >= MAX_INSTALLED and model not in self._installed:
            raise ScriptInvalid(f"more than {MAX_INSTALLED} models have scripts installed; DELETE /sim/scripts")
        entry = self._installed.setdefault(model, Installed(deque(maxlen=MAX_INSTALLED)))
        if times is None:
            entry.standing = script
        elif times > 0:
            entry.limited.append([script, times])

    def clear(self, model: str | None = None) -> None:
        """Forgets what was installed for one model, or for all."""
        if model is None:
            self._installed.clear()
        else:
            self._installed.pop(model, None)

    def models(self) -> list[str]:
        """Names with a script installed, without "*"."""
        return [name for name in self._installed if name != "*"]

    def listing(self) -> dict[str, Any]:
        """What is installed, for people and tests."""
        return {
            model: {"limited": [{"script": s, "times": n} for s, n in entry.limited], "standing": entry.standing}
            for model, entry in self._installed.items()
        }

    def known(self, model: str) -> bool:
        """Whether the provider has this model at all."""
        base = model.partition("?")[0]
        return base.startswith("sim-") or base in self._installed or model in self._installed

    def choose(self, model: str, header: bytes | str | None, place: str = "") -> Script:
        """The script for a request to `model`; uses up one of the limited ones.

        Args:
            place: scripts for `place/model` come before those for the model.

        Raises:
            ScriptInvalid: the header or the model name's query cannot be followed.
        """
        if header is not None:
            return parse_script(header)
        base, _, query = model.partition("?")
        for name in (f"{place}/{model}", f"{place}/{base}", model, base, "*"):
            entry = self._installed.get(name)
            if entry is None:
                continue
            if entry.limited:
                use = entry.limited[0]
                use[1] -= 1
                if use[1] <= 0:
                    entry.limited.popleft()
                return with_query(use[0], query) if query else use[0]
            if entry.standing is not None:
                return with_query(entry.standing, query) if query else entry.standing
        script = BUILT_IN.get(base, self.default)
        return with_query(script, query) if query else script
