"""Plain gateway calls: accepted before the provider is asked, settled before the client sees the end."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from golive.core.chance import SeededChance
from golive.core.clock import SystemClock
from golive.core.errors import (
    CircuitOpen,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
    ShuttingDown,
    StoreUnavailable,
    TenantLimited,
)
from golive.core.events import Body, ModelFailed, RunFinished
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.models.call import Metered, ModelRequest, TextDelta
from golive.runtime.relay import Relay
from golive.runtime.relay_call import RelayCall
from golive.runtime.shown import result_of
from golive.runtime.state import RunState
from golive.store.ports import RunFilter, RunView
from golive.store.sqlite.store import SqliteStore
from tests.unit.runtime_kit import PRINCIPAL, TARGET, ScriptedModel, answer, open_runs

REQUEST = ModelRequest(messages=(Message("user", "secret question"),))


class Place:
    """A relay over a real store."""

    def __init__(self, path: Path, model: ScriptedModel) -> None:
        clock = SystemClock()
        self.store = SqliteStore.open(path / "t.db", clock=clock, inline=True)
        self.bodies: list[Body] = []
        self.relay = Relay(
            store=self.store, target=lambda ref, ttl_s: model, clock=clock, ids=Ids(clock, SeededChance(1)),
            holder="test", observer=lambda state, bodies: self.bodies.extend(bodies),
        )  # fmt: skip

    async def rows(self) -> list[RunView]:
        return await self.store.tenant("default").runs(RunFilter())


async def test_a_call_is_durable_before_the_provider_is_asked(tmp_path: Path) -> None:
    """When the model call begins, the journal knows of it already."""
    seen: list[tuple[str, str]] = []
    place: Place

    async def look() -> None:
        seen.extend(await open_runs(place.store))

    place = Place(tmp_path, ScriptedModel([look, *answer("hi")]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    assert [batch async for batch in call]
    await call.aclose()
    assert seen == [("default", call.run)]


async def test_calls_that_come_together_are_counted_where_they_are_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five at once three begin where three may be open; one that the store does not take is counted no more."""
    place = Place(tmp_path, ScriptedModel(*([answer("hi")] * 6)))

    def admits(tenant: str, user: str | None) -> None:
        if place.relay.open_of(tenant) >= 3:
            raise TenantLimited("Three are open.")

    append = place.store.append

    async def slowly(*given: Any, **more: Any) -> None:
        await asyncio.sleep(0)
        await append(*given, **more)

    monkeypatch.setattr(place.store, "append", slowly)
    monkeypatch.setattr(place.relay, "_admits", admits)
    opening = [place.relay.open(PRINCIPAL, TARGET, REQUEST) for _ in range(5)]
    made = await asyncio.gather(*opening, return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["RelayCall"] * 3 + ["TenantLimited"] * 2
    for call in made:
        if isinstance(call, RelayCall):
            assert [batch async for batch in call]
            await call.aclose()
    assert place.relay.open_of("default") == 0

    async def away(*given: object, **more: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(place.store, "append", away)
    with pytest.raises(StoreUnavailable):
        await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    assert place.relay.open_of("default") == 0


async def test_a_call_that_takes_long_is_listed_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short call's row comes with its end; one that goes on is seen before."""
    monkeypatch.setattr("golive.runtime.relay.SEEN_AFTER_S", 0.0)
    gate = asyncio.Event()
    place = Place(tmp_path, ScriptedModel([gate.wait, *answer("hi")]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    assert await place.rows() == []
    async with asyncio.timeout(5):
        while not (rows := await place.rows()):
            await asyncio.sleep(0)
    assert [(row.run, row.state, row.agent) for row in rows] == [(call.run, "running", TARGET)]
    gate.set()
    assert [batch async for batch in call]
    await call.aclose()
    assert [row.outcome for row in await place.rows()] == ["completed"]


async def test_a_call_is_settled_before_its_end_is_seen(tmp_path: Path) -> None:
    """When the iteration ends, cost and outcome are durable; the content is not kept."""
    place = Place(tmp_path, ScriptedModel(answer("the answer")))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    async for _ in call:
        pass
    (row,) = await place.rows()
    assert (row.source, row.agent, row.outcome, row.cost_microusd) == ("relay", TARGET, "completed", 30)
    assert await place.store.tenant("default").spent(call.run) == 30
    events = await place.store.tenant("default").events(call.run)
    assert [event.kind for event in events] == ["run.accepted", "model.finished", "run.finished"]
    assert not any(b"question" in event.body or b"the answer" in event.body for event in events)
    await call.aclose()
    assert place.relay.open_calls == 0


@pytest.mark.parametrize("error", [ModelCut("cut", provider="sim"), ModelUnavailable("503", status=503)])
async def test_a_broken_call_is_journalled_with_its_cost_and_raised(tmp_path: Path, error: Exception) -> None:
    """The error reaches the face, and what the broken call cost reaches the ledger."""
    place = Place(tmp_path, ScriptedModel([TextDelta("par"), error]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    with pytest.raises(type(error)):
        async for _ in call:
            pass
    await call.aclose()
    (row,) = await place.rows()
    assert (row.outcome, row.reason, row.cost_microusd) == ("failed", error.code, 30)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "after_s"),
    [
        (ModelRateLimited("busy", retry_after_s=7.0), 7.0),
        (CircuitOpen("open", retry_after_s=0.4), 0.4),
        (ModelUnavailable("out"), None),
        (ModelBadRequest("no", retry_after_s=7.0), None),
        (None, None),
    ],
)
async def test_the_end_of_a_call_says_when_to_come_back(
    tmp_path: Path, error: Exception | None, after_s: float | None
) -> None:
    """As that of an agent's run does, and by the same rule."""
    place = Place(tmp_path, ScriptedModel([error] if error else answer("hi")))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    with suppress(ModelError):
        async for _ in call:
            pass
    await call.aclose()
    assert [body.retry_after_s for body in place.bodies if isinstance(body, RunFinished)] == [after_s]
    events = await place.store.tenant("default").events(call.run)
    assert result_of(RunState.of(events)).retry_after_s == after_s


async def test_a_client_that_goes_is_cancelled_and_paid_for(tmp_path: Path) -> None:
    """Closing in the middle settles what the meter says the abandoned call cost, once."""
    place = Place(tmp_path, ScriptedModel([TextDelta("par"), asyncio.Event().wait]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    stream = call.__aiter__()
    while not any(isinstance(event, TextDelta) for event in await anext(stream)):
        pass
    await stream.aclose()  # type: ignore[attr-defined]
    await call.aclose()
    (row,) = await place.rows()
    assert (row.outcome, row.reason, row.cost_microusd) == ("cancelled", "disconnected", 30)


async def test_a_store_that_fails_refuses_before_anything_is_spent(tmp_path: Path) -> None:
    """No acceptance, no call."""
    place = Place(tmp_path, model := ScriptedModel(answer("x")))

    async def fail(*args: object, **options: object) -> None:
        raise StoreUnavailable("disk full")

    place.store.append = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    assert model.requests == []
    assert place.relay.open_calls == 0


async def test_drain_waits_for_open_calls_and_refuses_new_ones(tmp_path: Path) -> None:
    """A relay that drains ends when its last call has ended, however long it might have waited."""
    gate = asyncio.Event()
    place = Place(tmp_path, ScriptedModel([gate.wait, *answer("x")]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    draining = asyncio.ensure_future(place.relay.drain(600.0))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    gate.set()
    async for _ in call:
        pass
    assert not draining.done()
    await call.aclose()
    await draining
    (row,) = await place.rows()
    assert (place.relay.open_calls, row.outcome) == (0, "completed")


async def interrupted(call: RelayCall) -> list[str]:
    """What a face has been given of the call when it is told that the server stops."""
    said: list[str] = []
    with pytest.raises(ShuttingDown):
        async for batch in call:
            said += [event.text for event in batch if isinstance(event, TextDelta)]
    await call.aclose()
    return said


@pytest.mark.parametrize("hurry", [False, True])
async def test_what_outlasts_the_drain_ends_as_interrupted(tmp_path: Path, hurry: bool) -> None:
    """A call that waits for its provider is ended, priced and told so: when the drain's time is over, or at once."""
    place = Place(tmp_path, ScriptedModel([TextDelta("par"), asyncio.Event().wait]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    following = asyncio.ensure_future(interrupted(call))
    await asyncio.sleep(0.01)
    if hurry:
        draining = asyncio.ensure_future(place.relay.drain(600.0))
        await asyncio.sleep(0)
        place.relay.hurry()
        await draining
    else:
        await place.relay.drain(0.01)
    assert await following == ["par"]
    (row,) = await place.rows()
    assert (row.outcome, row.reason, row.cost_microusd) == ("failed", "interrupted", 30)
    failed = next(body for body in place.bodies if isinstance(body, ModelFailed))
    assert (failed.code, failed.message) == (
        "interrupted", "The server stopped before the call was over. Send the request again.",
    )  # fmt: skip


async def test_a_call_is_interrupted_between_two_batches_too(tmp_path: Path) -> None:
    """While its client is being written to, nothing is cancelled: the call ends when the next batch is asked for."""
    place = Place(tmp_path, ScriptedModel([*answer("one", "two")]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    said: list[str] = []
    with pytest.raises(ShuttingDown):
        async for batch in call:
            said += [event.text for event in batch if isinstance(event, TextDelta)]
            if said:
                place.relay.hurry()
                await asyncio.sleep(0)  # the write
    await call.aclose()
    (row,) = await place.rows()
    assert (said, row.outcome, row.reason, row.cost_microusd) == (["one"], "failed", "interrupted", 30)


async def test_a_call_whose_answer_is_whole_is_not_interrupted(tmp_path: Path) -> None:
    """Once its figures are there, nothing is left to stop: it is settled as completed."""
    place = Place(tmp_path, ScriptedModel(answer("x")))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    async for batch in call:
        if any(isinstance(event, Metered) for event in batch):
            place.relay.hurry()
    await call.aclose()
    (row,) = await place.rows()
    assert (row.outcome, row.cost_microusd) == ("completed", 30)


async def test_a_cancellation_from_elsewhere_is_not_taken_for_an_interruption(tmp_path: Path) -> None:
    """A client that leaves while the server stops has left: its task stays cancelled, and the call is settled so."""
    place = Place(tmp_path, ScriptedModel([TextDelta("par"), asyncio.Event().wait]))
    call = await place.relay.open(PRINCIPAL, TARGET, REQUEST)
    following = asyncio.ensure_future(interrupted(call))
    await asyncio.sleep(0.01)
    following.cancel()
    place.relay.hurry()
    with pytest.raises(asyncio.CancelledError):
        await following
    await call.aclose()
    (row,) = await place.rows()
    assert (row.outcome, row.reason, row.cost_microusd) == ("cancelled", "disconnected", 30)
