"""The lanes of targets: one for each credential, each behind its own gate, which all who ask the same share."""

from typing import Any

import pytest

from golive.config.schema import BreakerConfig, CapabilityConfig, ProviderConfig
from golive.core.errors import ModelUnavailable
from golive.models import lanes
from golive.models.capabilities import Capabilities
from golive.models.course import ChainTarget
from golive.models.gate import Gate
from golive.models.lanes import Lanes
from tests.unit.chain_kit import GOOD, Provider, Time

PROVIDERS = {
    "a": ProviderConfig(base_url="http://a/v1", api_key="env:A_ONE", more_api_keys=("env:A_TWO",)),
    "ab": ProviderConfig(base_url="http://ab/v1"),
}


class World:
    """Lanes over the two providers; `made` is what was made, `moved` which breakers did."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str | None, Any]] = []
        self.moved: list[tuple[str, str, str]] = []
        self.time = Time()
        self.lanes = Lanes(
            PROVIDERS, BreakerConfig(failures=2, open_s=7.0), Capabilities({"a/m": CapabilityConfig(images=False)}),
            self._make, self.time, lambda gate, before: self.moved.append((gate.target, gate.credential, before)),
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


def test_past_the_maximum_a_gate_is_its_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers name models freely: what is kept of them is bounded, and what was kept before stays shared."""
    monkeypatch.setattr(lanes, "MAX_GATES", 1)
    world = World()
    for ref in ("ab/m", "ab/n"):
        world.open(world.lanes.target(ref))
    assert world.lanes.target("ab/m").lanes[0].gate.wait_s() == 7.0
    assert world.lanes.target("ab/n").lanes[0].gate.wait_s() == 0.0
    assert world.states("ab") == [("ab/m", "", "open", 7.0)]
