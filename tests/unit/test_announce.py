"""What is told of a run's events, and to whom: together with the event, and not without it."""

import asyncio
import json
from pathlib import Path

import pytest

from golive.config.outward import WebhookConfig
from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import StoreError, StoreUnavailable
from golive.core.events import Body, DecisionRequested, RunAccepted, RunFinished, TextBlock
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.runtime.announce import Announcer, message
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from tests.unit.runtime_kit import ScriptedModel, World, answer
from tests.unit.test_runtime_ending import make_ill
from tests.unit.webhook_kit import webhook

ASKED = DecisionRequested(
    id="dec_1", about="unknown_effect", choices=("done", "again"), default="again", asked_at=1.0, expires_at=2.0,
    question="Was 12.50 paid to Ada?", subject="pay", key="run_1//1",
)  # fmt: skip


def announcer(**webhooks: WebhookConfig) -> Announcer:
    clock = SystemClock()
    return Announcer(lambda: webhooks, result_of, clock, Ids(clock, SeededChance(1)))


def told(
    announce: Announcer,
    *bodies: Body,
    agent: str = "helper",
    source: str = "agent",
    tenant: str = "default",
) -> list[tuple[str, dict[str, object]]]:
    """Webhook and body of what is told of the last event."""
    state = RunState(tenant, "run_1", "sha256:v")
    first = RunAccepted(agent, "1.0.0", source, (Message("user", "Hi"),), metadata={"order": "7"})  # type: ignore[arg-type]
    for seq, body in enumerate((first, *bodies), 1):
        state.apply(seq, 1, float(seq), body)
        found = announce(state, body)
        if seq <= len(bodies):
            assert found == (), "nothing is told of anything else"
    assert all((one.tenant, one.run, one.version, one.epoch) == (tenant, "run_1", "sha256:v", 1) for one in found)
    assert all(one.after_s == 0 for one in found)
    return [(one.target, json.loads(one.body)) for one in found]


DONE = RunFinished("completed", "done")


def test_an_end_is_told_to_who_asks_for_it() -> None:
    """By topic, agent, outcome; with what was said, or without."""
    announce = announcer(
        all=webhook("all"), bare=webhook("bare", content=False), waits=webhook("waits", topics=("run.waiting",)),
        mine=webhook("mine", agents=("helper",)), others=webhook("others", agents=("other",)),
        fails=webhook("fails", outcomes=("failed", "partial")),
    )  # fmt: skip
    text = TextBlock("msg_1", "answer", "Good day.", 1)
    found = dict(told(announce, text, DONE))
    assert list(found) == ["all", "bare", "mine"]
    data = found["all"]["data"]
    assert isinstance(data, dict)
    assert (data["run"], data["text"], data["outcome"], data["metadata"]) == (
        "run_1", "Good day.", "completed", {"order": "7"},
    )  # fmt: skip
    bare = found["bare"]["data"]
    assert isinstance(bare, dict)
    assert data.keys() - bare.keys() == {"text", "output", "message", "decisions"}
    assert [name for name, _ in told(announce, RunFinished("partial", "deadline"))] == ["all", "bare", "mine", "fails"]


def test_a_webhook_is_told_of_its_own_tenants_alone() -> None:
    """Of the installation's where it names none; what is told says whose it is."""
    announce = announcer(
        home=webhook("home"), acme=webhook("acme", tenants=("acme",)), shops=webhook("shops", tenants=("shop-*",)),
        both=webhook("both", tenants=("acme", "default")), all=webhook("all", tenants=("*",)),
    )  # fmt: skip
    by = {tenant: told(announce, DONE, tenant=tenant) for tenant in ("default", "acme", "shop-1", "umbrella")}
    assert {tenant: [name for name, _ in found] for tenant, found in by.items()} == {
        "default": ["home", "both", "all"], "acme": ["acme", "both", "all"], "shop-1": ["shops", "all"],
        "umbrella": ["all"],
    }  # fmt: skip
    assert {body["data"]["tenant"] for _, body in by["acme"]} == {"acme"}  # type: ignore[index]


def test_plain_calls_are_told_of_where_that_is_asked_for() -> None:
    """Whatever agents a webhook is for."""
    announce = announcer(all=webhook("all"), plain=webhook("plain", relayed=True, agents=("helper",)))
    assert [name for name, _ in told(announce, DONE, agent="sim/sim-text", source="relay")] == ["plain"]


def test_a_decision_that_is_waited_for_is_told() -> None:
    """With its question, unless what was said is to stay here."""
    announce = announcer(
        ends=webhook("ends"), waits=webhook("waits", topics=("run.waiting",)),
        bare=webhook("bare", topics=("run.finished", "run.waiting"), content=False, outcomes=("failed",)),
    )  # fmt: skip
    found = dict(told(announce, ASKED))
    assert list(found) == ["waits", "bare"]
    assert found["waits"]["type"] == "run.waiting"
    data, bare = found["waits"]["data"], found["bare"]["data"]
    assert isinstance(data, dict)
    assert isinstance(bare, dict)
    assert (data["state"], data["decision"]["id"], data["decision"]["question"]) == ("waiting", "dec_1", ASKED.question)
    assert "question" not in bare["decision"]
    assert ASKED.question not in json.dumps(bare)


def test_a_message_has_the_shape_of_the_standard() -> None:
    """Type, time in UTC to the millisecond, data."""
    body = message("run.finished", 1_795_298_647.5125, {"run": "run_1"})
    assert body == b'{"type":"run.finished","timestamp":"2026-11-21T22:04:07.512Z","data":{"run":"run_1"}}'


@pytest.mark.parametrize("fails", [False, True])
async def test_a_message_becomes_durable_with_the_end_it_tells_of(
    tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, also where the store took the end only at the second attempt."""
    monkeypatch.setattr("golive.runtime.journal._RETRY_S", (0.0,))
    gate = asyncio.Event()
    model = ScriptedModel([gate.wait, *answer("one")])
    world = World(tmp_path, model, announce=announcer(crm=webhook("crm")))
    ill = make_ill(world)
    run = await world.start()
    await asyncio.sleep(0.05)
    if fails:
        ill.appends = [StoreUnavailable("locked")] * 2
    gate.set()
    async with asyncio.timeout(5):
        while world.runtime.open_runs():
            await asyncio.sleep(0.01)
    assert ill.appends == []
    (found,) = await world.store.tenant("default").deliveries()
    assert (found.run, found.topic, found.target, found.state) == (run, "run.finished", "crm", "due")
    told = json.loads(found.body)["data"]
    assert (told["outcome"], told["text"]) == ("completed", "one")


async def test_an_end_that_another_server_writes_is_told(tmp_path: Path) -> None:
    """The run's own journal takes nothing more: whoever ends it from outside tells of it."""
    gate = asyncio.Event()
    world = World(tmp_path, ScriptedModel([gate.wait, *answer("one")]), announce=announcer(crm=webhook("crm")))
    ill = make_ill(world)
    run = await world.start()
    await asyncio.sleep(0.05)
    ill.appends = [StoreError("refused")]
    gate.set()
    async with asyncio.timeout(5):
        while world.runtime.open_runs():
            await asyncio.sleep(0.01)
    (found,) = await world.store.tenant("default").deliveries()
    assert (found.run, json.loads(found.body)["data"]["reason"]) == (run, "store.failed")
