"""The promises that every schedule is held to: one checker each. A new one is added here and nowhere else."""

from tests.sim.checker import Checker
from tests.sim.checkers import (
    Breakers,
    Effects,
    Ends,
    Fence,
    Journal,
    Leaks,
    Money,
    OwnFaults,
    Schedules,
    Tail,
    Undone,
    Views,
    Webhooks,
    Whole,
)
from tests.sim.crossing import Crossing
from tests.sim.stream_checkers import Streams, Text, Told

ALL: tuple[type[Checker], ...] = (
    Ends, Journal, Fence, Effects, Whole, Money, Views, Tail, OwnFaults, Breakers, Streams, Text, Told, Webhooks,
    Undone, Schedules, Leaks, Crossing,
)  # fmt: skip


def all_checkers() -> list[Checker]:
    """One of each."""
    return [checker() for checker in ALL]
