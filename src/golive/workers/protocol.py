"""What the server and a worker say to each other: length-prefixed msgpack frames over a socket pair.

A frame is four bytes of length, big-endian, and one of the structs below. The server sends `Setup` first; the worker
answers `Hello` or `Refused`. Then calls go one way and outcomes the other, in any order, matched by `id`.
"""

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from golive.tools.effects import Named, Role

MAX_FRAME_BYTES = 33_554_432
"""Above the largest arguments (8 MiB) and the largest `max_tool_result_bytes` (10 MiB) together, with room for the
rest."""

_HEAD = 4


class Setup(Struct, array_like=True, tag=0, frozen=True):
    """`server_pid`: the worker ends when this process does."""

    folder: str
    concurrency: int
    max_result_bytes: int
    server_pid: int
    named: tuple[Named, ...] = ()


class Call(Struct, array_like=True, tag=1, frozen=True, gc=False):
    """One call, or what is wanted about it; `remaining_s` until the server stops waiting. `begin_by` is a time of the
    clock that all processes of the machine share; after it the worker begins nothing."""

    id: int
    name: str
    arguments: bytes
    tenant: str
    run: str
    key: str
    remaining_s: float
    begin_by: float
    role: Role = "call"
    result: str = ""


class Cancel(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """Nobody waits for this call any more. `Heard` comes at once, and `Done` once it has really ended."""

    id: int


class Stop(Struct, array_like=True, tag=3, frozen=True):
    """Leave lifespan and end."""


class Spec(Struct, array_like=True, frozen=True):
    """A ToolSpec on the wire: its schema is JSON, which a msgpack frame can only hold as bytes."""

    name: str
    description: str
    parameters: bytes


class Hello(Struct, array_like=True, tag=0, frozen=True):
    """Ready for calls."""

    specs: tuple[Spec, ...]


class Refused(Struct, array_like=True, tag=1, frozen=True):
    """tools.py cannot be served: an AgentError, in parts."""

    message: str
    remedy: str
    origin: str
    traceback: str


class Done(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """The call has ended, its outcome."""

    id: int
    ok: bool
    content: str
    error_code: str | None
    begun: bool


class Logged(Struct, array_like=True, tag=3, frozen=True):
    """An event for the server's log."""

    event: str
    fields: dict[str, str]


class Heard(Struct, array_like=True, tag=4, frozen=True, gc=False):
    """The `Cancel` of a call that has not ended has reached the worker's event loop, which so is alive."""

    id: int


class Unbegun(Struct, array_like=True, tag=5, frozen=True, gc=False):
    """The call came to be begun after it was taken back (`progress.py`), and so never was."""

    id: int


class NeverDone(Struct, array_like=True, tag=6, frozen=True, gc=False):
    """The status function has ended, and says that the call was not carried out."""

    id: int


ToWorker = Setup | Call | Cancel | Stop
FromWorker = Hello | Refused | Done | Logged | Heard | Unbegun | NeverDone

_encoder = msgspec.msgpack.Encoder()
to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)

M = TypeVar("M")


class ProtocolBroken(Exception):
    """The bytes are not our protocol: the other side is not to be trusted with another call."""


def encode(message: ToWorker | FromWorker) -> bytes:
    """One frame."""
    data = _encoder.encode(message)
    return len(data).to_bytes(_HEAD, "big") + data


class Frames(Generic[M]):
    """Cuts a stream of bytes into messages."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M]) -> None:
        self._decode = decoder.decode
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """The messages that `data` completes.

        Raises:
            ProtocolBroken: a frame is longer than MAX_FRAME_BYTES or does not decode.
        """
        rest = self._rest
        rest += data
        messages: list[M] = []
        start, end = 0, len(rest)
        while end - start >= _HEAD:
            size = int.from_bytes(rest[start : start + _HEAD], "big")
            if size > MAX_FRAME_BYTES:
                raise ProtocolBroken(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are allowed")
            stop = start + _HEAD + size
            if stop > end:
                break
            try:
                messages.append(self._decode(memoryview(rest)[start + _HEAD : stop]))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ProtocolBroken(f"a frame that does not decode: {error}") from error
            start = stop
        if start == end:
            self._rest = bytearray()
        elif start:
            self._rest = rest[start:]
        return messages
