"""The lanes of targets: one for each credential, each behind its own gate, which all who ask the same share."""

from typing import Any

import pytest

from golive.config.failing import BreakerConfig
from golive.config.schema import CapabilityConfig, ProviderConfig
from golive.core.errors import ModelUnavailable
from golive.models import lanes
from golive.models.capabilities import Capabilities
from golive.models.course import ChainTarget
from golive.models.gate import Gate
from golive.models.lanes import Lanes
from tests.unit.chain_kit import GOOD, Provider, Time

PROVIDERS = {
    "a": ProviderConfig(base_url="http://a/v1", api_key="env:A_ONE", more_api_keys=("env:A_TWO",)),
    "ab": ProviderConfig(base_url="http://ab/v1", models=("listed",)),
}


class World:
    """Lanes over the two providers; `made` is what was made, `moved` which breakers did."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str | None, Any]] = []
        self.moved: list[tuple[str, str, str]] = []
        self.gone: list[str] = []
        self.time = Time()
        self.lanes = Lanes(
            PROVIDERS, BreakerConfig(failures=2, open_s=7.0), Capabilities({"a/m": CapabilityConfig(images=False)}),
            self._make, self.time, lambda gate, before: self.moved.append((gate.target, gate.credential, before)),
            self.gone.append,
        )  # fmt: skip

    def _make(self, ref: str, reference: str | None, limits: Any, gate: Gate) -> Provider:
        self.made.append((ref, reference, limits))
        return Provider(GOOD)

    def open(self, target: ChainTarget, lane: int = 0) -> None:
        for _ in range(2):
            gate = target.lanes[lane].gate
            ticket = gate.admit()
            assert ticket is not None
            gate.failed(ticket, ModelUnavailable("down"))

    def states(self, provider: str) -> list[tuple[str, str, str, float]]:
        return [(gate.target, gate.credential, gate.state, gate.wait_s) for gate in self.lanes.states(provider)]


def test_a_target_has_a_lane_for_each_credential_in_order() -> None:
    """With what its section says it can do; a provider that needs none has one lane."""
    world = World()
    limits: Any = object()
    target = world.lanes.target("a/m", limits)
    assert world.made == [("a/m", "env:A_ONE", limits), ("a/m", "env:A_TWO", limits)]
    assert [(lane.gate.target, lane.gate.credential) for lane in target.lanes] == [
        ("a/m", "env:A_ONE"), ("a/m", "env:A_TWO"),
    ]  # fmt: skip
    assert (target.can.images, world.lanes.target("a/n").can.images) == (False, True)
    assert [lane.gate.credential for lane in world.lanes.target("ab/m").lanes] == [""]
    assert world.made[-1] == ("ab/m", None, None)


def test_a_gate_belongs_to_model_and_credential_whoever_asks() -> None:
    """An outage that one chain saw stops the others too, but no other model and no other credential."""
    world = World()
    world.open(world.lanes.target("a/m"))
    world.lanes.target("a/n"), world.lanes.target("ab/m")
    assert [lane.gate.wait_s() for lane in world.lanes.target("a/m", None).lanes] == [7.0, 0.0]
    assert world.moved == [("a/m", "env:A_ONE", "closed")]
    assert world.states("a") == [
        ("a/m", "env:A_ONE", "open", 7.0), ("a/m", "env:A_TWO", "closed", 0.0),
        ("a/n", "env:A_ONE", "closed", 0.0), ("a/n", "env:A_TWO", "closed", 0.0),
    ]  # fmt: skip
    assert world.states("ab") == [("ab/m", "", "closed", 0.0)]


def test_gates_are_closed_by_hand_of_one_target_or_of_all() -> None:
    """It says how many were not open to everybody; a target that nobody asked is no target."""
    world = World()
    assert world.lanes.reset(None) == 0
    for ref in ("a/m", "a/n", "ab/m"):
        world.open(world.lanes.target(ref))
    assert world.lanes.reset("a/m") == 1
    assert [(gate[0], gate[2]) for gate in world.states("a")] == [
        ("a/m", "closed"), ("a/m", "closed"), ("a/n", "open"), ("a/n", "closed"),
    ]  # fmt: skip
    with pytest.raises(KeyError, match="a/other"):
        world.lanes.reset("a/other")
    assert (world.lanes.reset(None), world.lanes.reset(None)) == (2, 0)


def test_the_longest_unused_gate_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers name models freely: what is kept of them is bounded, a model asked after a flood of invented names has a
    lasting breaker, and one that was asked again is not the longest unused."""
    monkeypatch.setattr(lanes, "MAX_NAMED", 3)
    world = World()
    for number in range(20):
        world.lanes.target(f"ab/nup-{number}")
    world.open(world.lanes.target("ab/real"))
    assert world.lanes.target("ab/real").lanes[0].gate.wait_s() == 7.0
    world.lanes.used("ab/nup-18")
    world.lanes.gates("ab/more")
    assert world.states("ab") == [
        ("ab/more", "", "closed", 0.0), ("ab/nup-18", "", "closed", 0.0), ("ab/real", "", "open", 7.0),
    ]  # fmt: skip
    assert world.gone == [f"ab/nup-{number}" for number in (*range(18), 19)]


def test_a_gate_that_is_shut_stays_before_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open breaker, one that is due for its probe and a pause are not lost to invented names; only where all are
    shut does the longest unused of them go."""
    monkeypatch.setattr(lanes, "MAX_NAMED", 3)
    world = World()
    world.open(world.lanes.target("ab/open"))
    world.open(world.lanes.target("a/second"), lane=1)
    world.time.at += 8.0
    world.lanes.target("ab/paused").lanes[0].gate.pause(30.0)
    for number in range(5):
        world.lanes.target(f"ab/nup-{number}")
    assert world.gone == ["ab/open", "ab/nup-0", "ab/nup-1", "ab/nup-2", "ab/nup-3"]
    assert world.states("a")[1] == ("a/second", "env:A_TWO", "open", 0.0)
    assert world.states("ab") == [("ab/nup-4", "", "closed", 0.0), ("ab/paused", "", "closed", 30.0)]


def test_gates_of_configured_targets_never_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a provider lists, and those of agents' chains, also one that a client asked first; they take no room
    from the others. A provider that does not exist has no gates."""
    monkeypatch.setattr(lanes, "MAX_NAMED", 2)
    world = World()
    early = world.lanes.target("ab/chained").lanes[0].gate
    world.lanes.keep("ab/chained")
    listed = world.lanes.target("ab/listed").lanes[0].gate
    for number in range(9):
        world.lanes.target(f"ab/nup-{number}"), world.lanes.gates(f"nobody/{number}")
    assert world.lanes.target("ab/chained").lanes[0].gate is early
    assert world.lanes.target("ab/listed").lanes[0].gate is listed
    assert [state[0] for state in world.states("ab")] == ["ab/chained", "ab/listed", "ab/nup-7", "ab/nup-8"]
    assert world.states("nobody") == []
    assert [world.lanes.configured(ref) for ref in ("ab/chained", "ab/listed", "ab/nup-8")] == [True, True, False]
