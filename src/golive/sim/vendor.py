"""The interface between the simulator and the wire formats it speaks.

A `Vendor` is an address space with its keys, headers and errors; a `Dialect` one way of asking it for an answer. Both
only read and write: scripts, faults, the bill and time are the server's.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from golive.sim.compose import Answer
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import Script
from golive.sim.seals import Seals

Why = Literal["model", "key_missing", "key_wrong", "context", "prefill", "limited", "script", "method", "path"]
Operation = Literal["answer", "count", "embed", "models", "model"]


class Wording(NamedTuple):
    """An error in a vendor's words. `text` may name the facts of `refusal` in braces."""

    status: int
    text: str
    kind: str
    param: str | None = None
    code: str | None = None


class Limit(NamedTuple):
    """A rate limit as it stands after a request."""

    limit: int
    remaining: int
    reset_s: float
    reset_at: float
    """Wall time, seconds."""


class Reply(Struct, frozen=True):
    """What an answer's bytes need beside the answer itself."""

    number: int
    created: int
    request: ChatRequest
    seals: Seals


class Events:
    """The events of one stream, in order, and how many tokens have been produced after each.

    An entry of `events` may hold several events on the wire: those that are no delta travel with the delta after them.

    Attributes:
        events: the bytes of each, without the end mark.
        produced: for each entry, the tokens billed up to and including it.
        steps: for each entry, the deltas up to and including it that carry content (what scripts count as tokens).
        end: the end mark.
        unknown: an event of a type that nobody knows.
    """

    end = b""
    content_type = b"text/event-stream; charset=utf-8"
    unknown = b'event: golive.sim.unknown\ndata: {"type":"golive.sim.unknown","choices":[]}\n\n'

    def __init__(self, first: bytes, billed: int) -> None:
        self.events: list[bytes] = [first]
        self.produced: list[int] = [billed]
        self.steps: list[int] = [0]

    def add(self, event: bytes, billed: int, step: int) -> None:
        """One more entry, `billed` tokens and `step` deltas (0 or 1) beyond the one before."""
        self.events.append(event)
        self.produced.append(self.produced[-1] + billed)
        self.steps.append(self.steps[-1] + step)

    def failure(self, at: int, error: Rejected, body: bytes) -> bytes:
        """The event that tells of an error after the entries before `at`; nothing follows it."""
        return b"data: %b\n\n" % body

    def extend(self, events: list[bytes]) -> None:
        """Entries of one token and one delta each."""
        self.events += events
        self.produced += range(self.produced[-1] + 1, self.produced[-1] + 1 + len(events))
        self.steps += range(self.steps[-1] + 1, self.steps[-1] + 1 + len(events))


class Dialect(Protocol):
    """One way of asking for an answer.

    Attributes:
        call_prefix: what the ids of its tool calls begin with.
        reply_prefix: what the ids of its answers begin with.
        marks: whether only what the client marks is cached.
        continues: whether an answer goes on where a last assistant message ends, if the script does not say.
    """

    call_prefix: str
    reply_prefix: str
    marks: bool
    continues: bool

    def read(self, request: Request, model: str, seals: Seals) -> ChatRequest:
        """The request in a body.

        Args:
            model: where the address names it.
            seals: judge the sealed state that comes back.

        Raises:
            Rejected: with the status and the error the vendor answers.
        """
        ...

    def stream(self, answer: Answer, script: Script, reply: Reply) -> Events:
        """The answer as a stream."""
        ...

    def whole(self, answer: Answer, script: Script, reply: Reply) -> bytes:
        """The answer in one piece."""
        ...


class Embedding(Struct, frozen=True):
    """A request for vectors. `encoding` where the vendor has several."""

    model: str
    texts: tuple[str, ...]
    dimensions: int
    input_tokens: int
    encoding: str = "float"


class Embedder(Protocol):
    """One way of asking for vectors."""

    def read(self, request: Request, model: str) -> Embedding:
        """The request in a body; `model` where the address names it.

        Raises:
            Rejected: as the vendor refuses it.
        """
        ...

    def write(self, asked: Embedding, vectors: Sequence[Sequence[float]], script: Script) -> bytes:
        """The vectors, each of unit length and at least as long as asked for, in the vendor's shape."""
        ...


class Route(NamedTuple):
    """What a request asks for, in which dialect. `model` where the address names it; `embedder` if vectors are."""

    operation: Operation
    dialect: Dialect
    model: str = ""
    embedder: Embedder | None = None


class Vendor(Protocol):
    """An address space: which requests are its own, who may ask, and how it refuses.

    Attributes:
        reasons: the refusals that the simulator itself decides on.
        statuses: what a scripted status says.
        otherwise: the same for every other status.
        retry_header: whether seconds to wait stand in a header.
    """

    name: str
    reasons: Mapping[Why, Wording]
    statuses: Mapping[int, Wording]
    otherwise: Wording
    retry_header: bool

    def owns(self, request: Request) -> bool:
        """Whether the address is this vendor's."""
        ...

    def route(self, request: Request) -> Route:
        """What is asked for.

        Raises:
            Rejected: there is no such address, or not with this method.
        """
        ...

    def credential(self, request: Request) -> str:
        """The key a request came with; empty if none."""
        ...

    def headers(self, number: int) -> bytes:
        """Header lines of every answer."""
        ...

    def limit_headers(self, limit: Limit) -> bytes:
        """Header lines that tell of a rate limit."""
        ...

    def error_body(self, error: Rejected, number: int) -> bytes:
        """The vendor's error object."""
        ...

    def models(self, names: Sequence[str]) -> bytes:
        """The list of models."""
        ...

    def model(self, name: str) -> bytes:
        """One model."""
        ...

    def counted(self, request: ChatRequest) -> bytes:
        """The answer to a question for the number of tokens."""
        ...


def refusal(vendor: Vendor, why: Why, **facts: str | int) -> Rejected:
    """A refusal in the vendor's words."""
    wording = vendor.reasons[why]
    return Rejected(
        wording.status, wording.text.format(**facts), kind=wording.kind, param=wording.param, code=wording.code
    )


def scripted_error(vendor: Vendor, script: Script) -> Rejected:
    """The error a script's `status` stands for, in the vendor's words unless the script has its own."""
    status = script.status or vendor.otherwise.status
    wording = vendor.statuses.get(status, vendor.otherwise)
    return Rejected(
        status,
        script.error_message or wording.text,
        kind=script.error_type or wording.kind,
        code=script.error_code or wording.code,
        retry_after_s=script.retry_after if isinstance(script.retry_after, float) else None,
    )
