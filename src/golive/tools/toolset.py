"""The contract between the run loop and what carries tools out, tells whether it did, and takes back what it did."""

import math
from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

from golive.core.deadline import Deadline
from golive.core.messages import ToolSpec


class ToolInvocation(Struct, frozen=True):
    """One call. `key` is the idempotency key (run/branch/ordinal), the same on every retry, resume and replay."""

    tenant: str
    run: str
    key: str
    name: str
    arguments: str
    """JSON text as the model wrote it; may be invalid."""
    begin_by: float = math.inf
    """Nobody begins the call after this time, monotonic seconds of this machine (CLOCK_MONOTONIC, which is one clock
    for all of its processes): from then on another replica may be carrying the run on. The outcome then is
    `tool.not_begun`, and whoever still holds the run may ask again."""


class ToolOutcome(Struct, frozen=True):
    """What the model is told. A failure is a value: `ok` False, `error_code` from the error tree (tool.*)."""

    ok: bool
    content: str
    error_code: str | None = None
    begun: bool = True
    """False only where the tool's function was certainly not called, so that nothing can have taken effect."""


OnUnknown = Literal["ask", "tell"] | None


class EffectRules(Struct, frozen=True):
    """What [tools.NAME] declares of a tool's effects: what may be done about a call whose outcome nobody knows."""

    idempotent: bool = False
    """The same call, or its undoing, under the same key may be carried out again: it then changes nothing further."""
    status: bool = False
    """There is a function that tells whether a call was carried out."""
    undo: bool = False
    """There is a function that takes a call back."""
    on_unknown: OnUnknown = None
    """What becomes of a call that stays unknown: a person is asked, or the model is told; None: a person is asked after
    a server's end, and the model told in a server that lives."""
    timeout_s: float = 30.0
    """After so long a call that was begun takes effect no more: its worker is made to stop it."""


class CarriedOut(Struct, frozen=True):
    """The call was carried out. `outcome` is what the model is told of it, not `ok` if JSON cannot hold it."""

    outcome: ToolOutcome


class NotCarriedOut(Struct, frozen=True):
    """The call was not carried out."""


class NotKnown(Struct, frozen=True):
    """Whether the call was carried out could not be learned: the status function raised, timed out or never ran, or
    said no while the call itself was still running here (a function in a thread cannot be stopped)."""

    reason: str
    """For people, without secrets."""
    error_code: str
    """Of the error tree; `tool.not_begun` where asking again may help at once."""


StatusAnswer = CarriedOut | NotCarriedOut | NotKnown


def undo_key(key: str) -> str:
    """The idempotency key under which the call of `key` is taken back."""
    return f"{key}/undo"


class Toolset(Protocol):
    """Tools of one agent version. Implementations (worker processes, inline) pass `tests/contract/test_toolset*.py`."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, as models are told of them, sorted by name; known once `start` has returned."""
        ...

    @property
    def effects(self) -> Mapping[str, EffectRules]:
        """What each tool of `specs` declares of its effects, by its name; known once `start` has returned."""
        ...

    async def start(self) -> None:
        """Makes the tools callable.

        Raises:
            AgentError: tools.py cannot be imported or declares something unusable; names file, line and remedy.
        """
        ...

    async def call(self, invocation: ToolInvocation, deadline: Deadline) -> ToolOutcome:
        """Carries one call out within the deadline.

        Never raises for what the tool does (raise, hang, crash, bad result); a cancelled caller abandons the call.
        """
        ...

    async def status(self, invocation: ToolInvocation, deadline: Deadline) -> StatusAnswer:
        """Asks the tool's status function whether this call was carried out, within the deadline and the tool's time.

        Never raises for what the function does; a tool without one is `NotKnown`.

        Args:
            invocation: as it was when the call was made, but for `begin_by`, which is about the question.
        """
        ...

    async def undo(self, invocation: ToolInvocation, result: str, deadline: Deadline) -> ToolOutcome:
        """Takes a call back that was carried out, by the tool's undo function, within the deadline and the tool's time.

        Never raises for what the function does; a tool without one fails, not begun.

        Args:
            invocation: as it was when the call was made, with the call's own key: the function is given `undo_key` of
                it. `begin_by` is about the undoing.
            result: what the model was told of the call.
        """
        ...

    async def close(self) -> None: ...
