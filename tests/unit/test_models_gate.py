"""One gate: what opens and pauses it, what it is waited for, and that no outcome of a probe leaves it shut for good."""

from typing import Any

import pytest

from golive.core.breaker import BreakerPolicy, Ticket
from golive.core.errors import (
    ContextTooLong,
    GoliveError,
    ModelBadRequest,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.models.gate import Gate
from tests.unit.chain_kit import Time, World

DOWN = ModelUnavailable("down")


def admitted(gate: Gate) -> Ticket:
    ticket = gate.admit()
    assert ticket is not None
    return ticket


def opened(world: World) -> Gate:
    gate = world.gate("a/m")
    for _ in range(5):
        gate.failed(admitted(gate), DOWN)
    assert gate.state.state == "open"
    return gate


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ModelBadRequest("no"), False), (ContextTooLong("too long"), False),
        (ModelRateLimited("slow down", retry_after_s=1.0), False), (ModelRateLimited("slow down"), True),
        (ModelUnavailable("down", retry_after_s=1.0), True),
    ],
    ids=["bad request", "too long", "429 with its time", "429 without", "503 with a time"],
)  # fmt: skip
def test_what_speaks_against_the_provider_opens_it_and_nothing_else_does(error: GoliveError, counts: bool) -> None:
    """Neither closed nor half-open; and after what does not, a probe's place is free for the next."""
    world = World(Time())
    gate = world.gate("a/m")
    for _ in range(5):
        gate.failed(admitted(gate), error)
        world.time.at += 1.0
    assert gate.state.state == ("open" if counts else "closed")
    world = World(Time())
    gate = opened(world)
    world.time.at += 30.0
    gate.failed(admitted(gate), error)
    world.time.at += 1.0
    assert gate.state.state == ("open" if counts else "half_open")
    assert (gate.admit() is None) is counts


def test_the_failure_that_opened_it_says_so() -> None:
    """Of those before, and of those that came later from before the outage, none does."""
    world = World(Time())
    gate = world.gate("a/m")
    late = admitted(gate)
    errors: list[GoliveError] = [ModelUnavailable("down") for _ in range(7)]
    for error in errors[:5]:
        gate.failed(admitted(gate), error)
    gate.failed(late, errors[5])
    world.time.at += 30.0
    gate.failed(admitted(gate), errors[6])
    assert [error.fields.get("breaker") for error in errors] == [*[None] * 4, "opened", None, "opened"]


@pytest.mark.parametrize("error", [ModelUnavailable, ModelRateLimited])
def test_a_time_to_come_back_is_kept_whatever_was_wrong(error: type[GoliveError]) -> None:
    """Also by a provider that is overloaded, and whose breaker counts that."""
    gate = World(Time()).gate("a/m")
    gate.failed(admitted(gate), error("not now", retry_after_s=7.0))
    assert (gate.pause_s(), gate.state.state, gate.admit()) == (7.0, "closed", None)


def test_it_says_how_long_it_is_to_be_waited_for() -> None:
    """The longer of pause and breaker; a second while a probe is under way, nothing before the probe."""
    world = World(Time())
    gate = opened(world)
    waits: list[Any] = [gate.wait_s(), gate.pause_s()]
    gate.pause(40.0)
    waits += [gate.wait_s(), gate.admit()]
    gate.pause(5.0)
    world.time.at += 30.0
    waits += [gate.wait_s(), gate.closed_s(), gate.admit()]
    world.time.at += 10.0
    waits += [gate.wait_s()]
    admitted(gate)
    assert [*waits, gate.wait_s()] == [30.0, 0.0, 40.0, None, 10.0, 0.0, None, 0.0, 1.0]


def test_a_providers_word_is_taken_for_an_hour_at_most() -> None:
    gate = World(Time()).gate("a/m")
    gate.pause(86_400.0)
    assert gate.wait_s() == 3_600.0


def test_closed_by_hand_it_is_open_to_everybody_at_once() -> None:
    """Failures and pauses are forgotten, it is told, and the answer says whether there was something to do."""
    world = World(Time())
    gate = opened(world)
    assert (gate.reset(), gate.state, gate.reset()) == (True, ("a/m", "0", "closed", 1, 0.0, ""), False)
    assert world.moves == [("a/m", "closed", "open"), ("a/m", "open", "closed")]
    for _ in range(4):
        gate.failed(admitted(gate), DOWN)
    assert gate.reset() is False
    gate.failed(admitted(gate), DOWN)
    assert gate.state.state == "closed"
    gate.pause(20.0)
    assert (gate.reset(), gate.wait_s()) == (True, 0.0)
    gate = Gate("b/m", "", BreakerPolicy(failures=1), world.time, lambda *_: None)
    gate.failed(admitted(gate), DOWN)
    world.time.at += 30.0
    gate.given_up(admitted(gate))
    assert (gate.state.state, gate.wait_s(), gate.reset(), gate.state.state) == ("half_open", 0.0, True, "closed")
