"""What a dialect must do: write a request as bytes, and read an answer's bytes as events.

A dialect knows no sockets, clocks or money. Each passes `tests/contract/test_dialect.py`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from golive.core.errors import ModelError
from golive.models.call import ModelEvent, ModelRequest
from golive.models.vendor_errors import Origin


class Target(NamedTuple):
    """Who is asked: the provider's name in the configuration, its model, and where it is."""

    provider: str
    model: str
    base_url: str


class Decoder(Protocol):
    """Reads one answer. Whatever the reads were cut into, the events are the same.

    A fault is kept in `failure` and not raised, so that what came before it in the same read is not lost: the caller
    hands on the events and then raises.
    """

    began: bool
    """Something of the answer itself (text, reasoning, a refusal, a tool call) has come."""
    complete: bool
    """The answer is whole; what may still follow is usage."""
    closed: bool
    """The dialect's own end mark has come; nothing follows."""
    failure: ModelError | None

    def feed(self, data: bytes) -> list[ModelEvent]:
        """The events that one read brings."""
        ...

    def end(self) -> list[ModelEvent]:
        """The events left at the end of the body; sets `failure` when the answer is not whole."""
        ...


class Dialect(Protocol):
    """One vendor's way of speaking. Implementations: OpenAI's two, Anthropic's, Google Gemini's."""

    name: str
    beta_header: str | None
    """The header in which a request names features of the vendor (`ModelRequest.betas`); None: there is none."""

    def path(self, model: str, *, streamed: bool) -> str:
        """Where requests go, behind `base_url`."""
        ...

    def models_path(self) -> str:
        """Where a harmless probe goes, behind `base_url`."""
        ...

    def headers(self, base_url: str, credential: str | None) -> dict[str, str]:
        """Headers of every request, the credential included."""
        ...

    def encode(self, request: ModelRequest, target: Target) -> bytes:
        """The request's body. State of other providers and models is left out, and `extra` of another dialect."""
        ...

    def refusal(
        self, origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
    ) -> ModelError:
        """The error that an answer of status 300 and above stands for.

        Args:
            body: as much of it as was read; any format.
            now: wall time, seconds, for dates in Retry-After.
        """
        ...

    def decoder(self, origin: Origin, *, streamed: bool, header: Callable[[str], str | None]) -> Decoder:
        """A decoder for an answer of status 200.

        Args:
            streamed: whether a stream was asked for; what the server really sends is told by its Content-Type.
        """
        ...
