"""What every checker is: somebody who looks on from outside of golive, and says where a promise was broken.

A checker is told of everything that can be seen: what became durable, what was really done, what clients saw. It
raises `Violation` at once where a promise is broken, or when all has come to rest. To add one: a subclass of `Checker`
with the hooks it needs, and its class in `promises.py`.
"""

from typing import TYPE_CHECKING, ClassVar

from golive.core.events import Event
from golive.models.gate import Gate
from golive.runtime.api import RunResult
from golive.store.ports import TenantStore
from tests.sim.database import Appended, Claimed
from tests.sim.effects import Effect
from tests.sim.plan import Case
from tests.sim.providers import CASE

if TYPE_CHECKING:
    from tests.sim.clients import Client, Seen
    from tests.sim.world import World


class Violation(Exception):
    """A promise was broken."""

    checker = ""


class Checker:
    """Looks on. All hooks may be left out."""

    name: ClassVar[str]
    world: "World"

    def on_append(self, done: Appended) -> None:
        """Something became durable."""

    def on_claim(self, done: Claimed) -> None:
        """A replica took over what nobody carries."""

    def on_effect(self, effect: Effect) -> None:
        """Something was really done."""

    def on_frame(self, client: "Client", seen: "Seen") -> None:
        """A client was shown an event."""

    def on_told_accepted(self, client: "Client", run: str) -> None:
        """A client was told that there is a run."""

    def on_result(self, client: "Client", result: RunResult) -> None:
        """A client was told how the run stands."""

    def on_fault(self, process: str, run: str, error: BaseException) -> None:
        """golive found a fault of its own."""

    def on_gate(self, process: str, gate: Gate, before: str) -> None:
        """A breaker has moved."""

    def at_rest(self) -> None:
        """All is well again, and whoever waited has waited long enough."""

    def at_end(self) -> None:
        """Every replica was shut down."""

    # ---- what they look with

    def events(self, run: str) -> list[Event]:
        """The run's journal."""
        return self.world.journal(run)

    def store_of(self, run: str) -> TenantStore:
        """The handle of the tenant whose run it is."""
        return self.world.database.opened.tenant(self.world.tenant_of(run))

    def runs(self) -> list[str]:
        """Every run that was accepted, oldest first."""
        return self.world.database.rows("SELECT run FROM leases ORDER BY run")


def case_of(world: "World", events: list[Event]) -> tuple[Case, int] | None:
    """Which case, and which attempt at it, a run is about."""
    found = CASE.findall(events[0].body) if events else []
    if not found:
        return None
    number, attempt = found[-1].decode().removeprefix("case-").split("/")
    case = next((case for case in world.plan.cases if case.number == int(number)), None)
    return (case, int(attempt)) if case is not None else None
