"""What the model plane keeps of models that clients name freely, and what it never lets go."""

from collections.abc import AsyncIterator

import pytest

from golive.config.schema import GoliveConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import GoliveError
from golive.core.messages import Message
from golive.models import lanes as lanes_module
from golive.models import plane as plane_module
from golive.models.call import CallContext, ModelRequest
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.server import Simulator

CLOCK = SystemClock()


@pytest.fixture
async def plane() -> AsyncIterator[ModelPlane]:
    """Of a provider that answers, and of one that is not there."""
    simulator = Simulator(clock=CLOCK)
    await simulator.start()
    config = GoliveConfig(
        providers={
            "sim": ProviderConfig(base_url=simulator.base_url, models=("sim-text",)),
            "dead": ProviderConfig(base_url="http://127.0.0.1:9/v1"),
        }
    )
    built = ModelPlane(config, str, HttpTransport(), CLOCK)
    yield built
    await built.close()
    await simulator.stop()


async def test_invented_names_take_no_breaker_from_a_model(plane: ModelPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model first asked after a flood of names, each a 404, opens a breaker that stays through a further one."""
    monkeypatch.setattr(lanes_module, "MAX_NAMED", 5)
    monkeypatch.setattr(plane_module, "MAX_TARGETS_KEPT", 4)
    plane.chain(TierConfig(chain=("sim/chained",)))
    request = ModelRequest(messages=(Message("user", "Hello"),), headers=(("x-sim-script", '{"status":404}'),))

    async def once(ref: str) -> GoliveError:
        with pytest.raises(GoliveError) as failed:
            async for _ in plane.target(ref, 0)(request, CallContext(Deadline.after(CLOCK, 30.0, "test"))):
                pass
        return failed.value

    assert {(await once(f"sim/nup-{number}")).code for number in range(12)} == {"model.not_found"}
    assert [(await once("dead/real")).code for _ in range(6)] == ["model.unreachable"] * 5 + ["model.circuit_open"]
    for number in range(4):
        plane.target(f"sim/nup-{number}")
    assert (await once("dead/real")).code == "model.circuit_open"
    assert [(gate.target, gate.state) for gate in plane.gates("dead")] == [("dead/real", "open")]
    assert [plane.configured(f"sim/{name}") for name in ("chained", "sim-text", "nup-1")] == [True, True, False]


async def test_of_targets_kept_ready_the_oldest_makes_way(plane: ModelPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is used again; and where a target's gates are no longer kept, it is made anew, with new ones."""
    monkeypatch.setattr(plane_module, "MAX_TARGETS_KEPT", 2)
    first, second = plane.target("sim/a", 0), plane.target("sim/b", 0)
    assert plane.target("sim/a", 0) is first
    third = plane.target("sim/c", 0)
    assert (plane.target("sim/b", 0) is second, plane.target("sim/c", 0) is third) == (True, True)
    assert plane.target("sim/a", 0) is not first
    monkeypatch.setattr(lanes_module, "MAX_NAMED", 3)
    plane.target("sim/a", 0)
    plane.target("sim/c", 0)
    plane.embeddings("sim/other")
    assert plane.target("sim/c", 0) is third
    for name in ("x", "y", "z"):
        plane.embeddings(f"sim/{name}")
    assert plane.target("sim/c", 0) is not third
