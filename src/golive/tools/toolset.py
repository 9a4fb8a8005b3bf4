"""The contract between the run loop and whatever carries tools out."""

from typing import Protocol

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


class ToolOutcome(Struct, frozen=True):
    """What the model is told. A failure is a value: `ok` False, `error_code` from the error tree (tool.*)."""

    ok: bool
    content: str
    error_code: str | None = None


class Toolset(Protocol):
    """Tools of one agent version. Implementations (worker processes, inline) pass `tests/contract/test_toolset.py`."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools, as models are told of them, sorted by name; known once `start` has returned."""
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

    async def close(self) -> None: ...
