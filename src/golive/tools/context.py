"""What a tool may know about the call it serves. Imported by users' `tools.py`, so it imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

from golive.core.clock import Clock


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Context of one call. A tool receives it by annotating any one parameter: `ctx: ToolContext`.

    `idempotency_key` is the same on every retry, resume and replay of this call, and when its `status` function is
    asked: hand it on to whatever moves money or sends mail. An `undo` function has a key of its own (the call's, and
    "/undo"). `state` is what `lifespan` yielded, None without one.
    """

    tenant: str
    run: str
    idempotency_key: str
    tool: str
    state: Any
    deadline_at: float
    """On `clock.monotonic()`."""
    clock: Clock
    undoes: str | None = None
    """In an `undo` function, the key of the call that it takes back."""

    def remaining(self) -> float:
        """Seconds until this call counts as failed, never below 0."""
        return max(0.0, self.deadline_at - self.clock.monotonic())
