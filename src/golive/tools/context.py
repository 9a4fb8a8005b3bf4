"""What a tool may know about the call it serves. Imported by users' `tools.py`, so it imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

from golive.core.clock import Clock


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Context of one call. A tool receives it by annotating any one parameter: `ctx: ToolContext`.

    `idempotency_key` is the same on every retry, resume and replay of this call: hand it on to whatever moves money or
    sends mail. `state` is what `lifespan` yielded, None without one.
    """

    tenant: str
    run: str
    idempotency_key: str
    tool: str
    state: Any
    deadline_at: float
    """On `clock.monotonic()`."""
    clock: Clock

    def remaining(self) -> float:
        """Seconds until this call counts as failed, never below 0."""
        return max(0.0, self.deadline_at - self.clock.monotonic())
