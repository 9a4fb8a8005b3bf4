"""The circuit breaker of an agent's supervisor, where operators look for breakers: listed, counted, closed by hand."""

from golive.config.schema import GoliveConfig, ProviderConfig, TierConfig
from golive.core.errors import ModelTimeout
from golive.models.bounded import Bounded
from golive.models.gate import Gate, GateState
from golive.models.plane import ModelPlane
from tests.unit.chain_kit import Time

TIER = TierConfig(chain=("p/small", "p/other"))


def planned(time: Time) -> tuple[ModelPlane, list[tuple[str, str]]]:
    """A plane, and the changes of breakers that it tells of: whose, and the state entered."""
    moves: list[tuple[str, str]] = []

    def moved(gate: Gate, before: str) -> None:
        moves.append((gate.supervises, gate.state.state))

    config = GoliveConfig(providers={"p": ProviderConfig(base_url="http://p/v1")})
    return ModelPlane(config, lambda reference: "k", None, time, moved=moved), moves  # type: ignore[arg-type]


def open_up(call: Bounded) -> None:
    for _ in range(5):
        ticket = call.gate.admit()
        assert ticket is not None
        call.gate.failed(ticket, ModelTimeout("late"))


def test_it_is_listed_counted_and_told_of(time: Time) -> None:
    """Under the agent's name; the target's own breaker stays as it was."""
    plane, moves = planned(time)
    call = plane.bounded(TIER, "support")
    assert plane.breakers()[-1] == GateState("p/small", "", "closed", 0, 0.0, "support")
    open_up(call)
    assert plane.breakers()[-1] == GateState("p/small", "", "open", 1, 30.0, "support")
    assert [gate.state for gate in plane.breakers()] == ["closed", "closed", "open"]
    assert (plane.open_breakers(), moves) == (1, [("support", "open")])


def test_it_is_closed_by_hand(time: Time) -> None:
    """With all, or with the first target of its tier; not with another."""
    plane, _ = planned(time)
    call = plane.bounded(TIER, "support")
    for target, closed in (("p/other", 0), ("p/small", 1), (None, 1)):
        call.gate.reset()
        open_up(call)
        assert (plane.reset_breakers(target), call.gate.state.state) == (closed, "closed" if closed else "open")


def test_the_newest_version_of_an_agent_counts(time: Time) -> None:
    """What is no longer served goes with its last run."""
    plane, _ = planned(time)
    old = plane.bounded(TIER, "support")
    new = plane.bounded(TierConfig(chain=("p/other",)), "support")
    assert [gate.target for gate in plane.breakers() if gate.supervises] == ["p/other"]
    del old, new
    assert [gate.target for gate in plane.breakers() if gate.supervises] == []
