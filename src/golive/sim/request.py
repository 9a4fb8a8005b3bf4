"""What every dialect reads a request into, and the refusal that any of them may answer instead."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Struct

from golive.sim.prompt_cache import Segment

TOKENS_A_MESSAGE = 4
TOKENS_AN_IMAGE = 85


class Rejected(Exception):
    """An answer of the error kind: the vendor's status and error object. `headers` are header lines of its own."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", param: str | None = None,
        code: str | None = None, retry_after_s: float | None = None, headers: bytes = b"",
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.headers = headers


class Offered(Struct, frozen=True):
    """A tool the client offers."""

    name: str
    description: str
    parameters: dict[str, Any]


class Turn(Struct, frozen=True):
    """One message. `call_ids` are those of an assistant's tool calls, `answers` the call a tool message answers."""

    role: str
    text: str
    call_ids: tuple[str, ...] = ()
    answers: str | None = None


class ChatRequest(Struct, frozen=True):
    """A valid request. `input_tokens` as the simulator counts them."""

    model: str
    turns: tuple[Turn, ...]
    stream: bool
    include_usage: bool
    tools: tuple[Offered, ...]
    choice: Literal["auto", "none", "required"] | Offered
    parallel: bool
    output: Literal["text", "json_object"] | dict[str, Any]
    """What the answer must be: text, any JSON object, or a value of this schema."""
    max_tokens: int | None
    input_tokens: int
    prompt: tuple[Segment, ...] = ()
    """The input in the order the vendor caches it; empty when it is too short to be cached."""
    stop: tuple[str, ...] = ()
    """Texts at which the answer ends, without them."""
    sealed: bool = False
    """Tool calls after reasoning must be handed back with the sealed state that came with them."""
    thinks: bool = True
    """False: the client wants to see no reasoning."""
    previous: str | None = None
    """The stored answer that the request goes on with."""
    keep: Callable[[str, Sequence[Any]], None] | None = None
    """Stores what was asked together with an answer's items, under the answer's id; None: nothing is to be stored."""

    def rounds(self) -> int:
        """How many rounds of tool results came since the last user message."""
        done, inside = 0, False
        for turn in reversed(self.turns):
            if turn.role == "user":
                break
            if turn.role == "tool" and not inside:
                done += 1
            inside = turn.role == "tool"
        return done

    def said(self) -> str:
        """The last user message."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")
