"""The contract of a store: decisions, messages, schedules, tails, pruning, and waiting for a change."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.clock import SystemClock
from golive.core.errors import Conflict
from golive.core.tasks import Tasks
from golive.store.ports import Delivery, RunFilter, ScheduleRow, Store
from tests.contract.store_kit import decision, entry, events, held, lease, message, view

FAR = 4e9
"""A time that none of these tests lives to see."""


async def begin(store: Store, run: str = "run_1", tenant: str = "acme", **rows: Any) -> None:
    of = held(run, "a", tenant)
    await store.append(of, 0, events(range(1, 2), of), **rows)


# ---- decisions -------------------------------------------------------------------------------------------------------


async def test_a_decision_is_read_back_exactly_and_decided_in_place(store: Store) -> None:
    """What was asked stays as it was; choice, person and time are added."""
    asked = decision(lease(), asked_at=5.5, expires_at=FAR)
    await begin(store, decisions=[asked])
    mine = store.tenant("acme")
    [stands] = await mine.decisions()
    assert stands == replace(asked, expires_at=stands.expires_at)
    made = replace(stands, choice="done", decided_by="key_7", decided_at=6.25)
    await store.append(lease(), 1, events(range(2, 3), lease()), decisions=[made])
    assert await mine.decisions() == [made]
    assert await mine.decisions(pending=True) == []


async def test_decisions_are_listed_newest_first_by_run_and_in_pages(store: Store) -> None:
    """Ids sort by time; another tenant sees none of them."""
    one, two = lease("run_1"), lease("run_2")
    await begin(store, "run_1", decisions=[decision(one, "dec_1", choice="skip"), decision(one, "dec_3")])
    await begin(store, "run_2", decisions=[decision(two, "dec_2")])
    mine = store.tenant("acme")

    async def listed(**where: Any) -> list[str]:
        return [row.id for row in await mine.decisions(**where)]

    assert await listed() == ["dec_3", "dec_2", "dec_1"]
    assert await listed(run="run_1") == ["dec_3", "dec_1"]
    assert await listed(run="run_1", pending=True) == ["dec_3"]
    assert await listed(before="dec_3", limit=1) == ["dec_2"]
    assert await store.tenant("other").decisions() == []


async def test_decisions_whose_time_is_over_are_found_for_all_tenants(store: Store) -> None:
    """Pending ones alone, the longest overdue first."""
    mine, other = lease("run_1"), lease("run_1", tenant="other")
    later, soon = decision(mine, "dec_1", expires_at=-20.0), decision(other, "dec_1", expires_at=-40.0)
    rest = [decision(mine, "dec_2", expires_at=FAR), decision(mine, "dec_3", choice="skip")]
    await begin(store, decisions=[later, *rest])
    await begin(store, tenant="other", decisions=[soon])
    assert [(row.tenant, row.id) for row in await store.due_decisions(10)] == [("other", "dec_1"), ("acme", "dec_1")]
    assert [(row.tenant, row.id) for row in await store.due_decisions(1)] == [("other", "dec_1")]


async def test_a_decision_expires_by_the_clock_of_the_store(store: Store) -> None:
    """Whatever the clock of the server says that asked: an hour after it was asked is an hour after the append."""
    behind, ahead = 1_000.0, FAR
    asked = [
        decision(lease(), f"dec_{number}", asked_at=at, expires_at=at + for_s)
        for number, (at, for_s) in enumerate([(behind, 3_600), (ahead, 3_600), (behind, 0), (ahead, -1)])
    ]
    before = SystemClock().now()
    await begin(store, decisions=asked)
    assert {row.id for row in await store.due_decisions(10)} == {"dec_2", "dec_3"}
    for row in await store.tenant("acme").decisions(run="run_1"):
        wanted = before + {"dec_0": 3_600, "dec_1": 3_600, "dec_2": 0, "dec_3": -1}[row.id]
        assert row.expires_at == pytest.approx(wanted, abs=60)


async def test_a_decision_of_an_append_that_does_not_stand_is_not_there(store: Store) -> None:
    """Nor is one of another run taken."""
    with pytest.raises(Conflict):
        await store.append(lease(), 3, events(range(4, 5), lease()), decisions=[decision(lease())])
    with pytest.raises(ValueError):
        await begin(store, decisions=[decision(lease("run_2"))])
    assert await store.tenant("acme").decisions() == []


# ---- messages --------------------------------------------------------------------------------------------------------


async def test_a_message_is_given_out_whole_and_to_one_alone(store: Store) -> None:
    """Until its time is over nobody else gets it; each time counts as an attempt."""
    await begin(store, outbox=[replace(message(lease(), "m1"), body=b"\x00{}\xff", at=2.5)])
    [taken] = await store.claim_messages(-1.0, 10)
    expected = Delivery(
        tenant="acme", id="m1", run="run_1", topic="run.finished", target="crm", at=2.5, state="due", attempts=1,
        due_at=taken.due_at, body=b"\x00{}\xff",
    )  # fmt: skip
    assert taken == expected
    [again] = await store.claim_messages(3_600, 10)
    assert again == replace(expected, attempts=2, due_at=again.due_at)
    assert again.due_at - taken.due_at >= 3_600
    assert await store.claim_messages(3_600, 10) == []


async def test_a_message_is_due_by_the_clock_of_the_store(store: Store) -> None:
    """At once, or as long after the append as it says; what the announcing server's clock says is not looked at."""
    at_once = replace(message(lease(), "m1"), at=FAR)
    await begin(store, outbox=[at_once, replace(message(lease(), "m2"), after_s=3_600)])
    assert [taken.id for taken in await store.claim_messages(60, 10)] == ["m1"]
    sooner, later = sorted(row.due_at for row in await store.tenant("acme").deliveries())
    assert later - sooner == pytest.approx(3_600 - 60, abs=30)


async def test_two_that_take_messages_at_once_get_different_ones(store: Store) -> None:
    """Each message once."""
    await begin(store, outbox=[message(lease(), f"m{number:02d}") for number in range(40)])
    async with Tasks("claims") as tasks:
        claims = [tasks.start(store.claim_messages(3_600, 10), "claim") for _ in range(6)]
    found = [row.id for claim in claims for row in claim.result()]
    found += [row.id for row in await store.claim_messages(3_600, 100)]
    assert sorted(found) == [f"m{number:02d}" for number in range(40)]


async def test_what_came_of_a_message_is_kept(store: Store) -> None:
    """Sent, given up, or due again at another time; then it is given out no sooner."""
    await begin(store, outbox=[message(lease(), id_) for id_ in ("m1", "m2", "m3")])
    assert len(await store.claim_messages(0, 10)) == 3
    await store.settle_message("acme", "m1", "sent", None)
    await store.settle_message("acme", "m2", "dead", "answered 410")
    await store.settle_message("acme", "m3", "due", "no answer", 3_600)
    await store.settle_message("other", "m3", "sent", None)
    assert await store.claim_messages(0, 10) == []
    mine = store.tenant("acme")
    rows = {row.id: row for row in await mine.deliveries()}
    assert {id_: (row.state, row.done_at is None, row.last_error) for id_, row in rows.items()} == {
        "m1": ("sent", False, None), "m2": ("dead", False, "answered 410"), "m3": ("due", True, "no answer"),
    }  # fmt: skip
    done_at = rows["m1"].done_at
    assert done_at is not None
    assert rows["m3"].due_at - done_at == pytest.approx(3_600, abs=30)
    await store.settle_message("acme", "m2", "sent", None)  # it was settled before: a late answer changes nothing
    assert [row.id for row in await mine.deliveries(state="dead")] == ["m2"]


async def test_a_message_is_sent_again_on_request(store: Store) -> None:
    """Whatever became of it, and only the tenant's own."""
    await begin(store, outbox=[message(lease(), "m1")])
    await store.settle_message("acme", "m1", "dead", "answered 410")
    assert await store.tenant("other").send_again("m1") is False
    assert await store.tenant("acme").send_again("m2") is False
    assert await store.claim_messages(0, 10) == []
    assert await store.tenant("acme").send_again("m1") is True
    [row] = await store.tenant("acme").deliveries(state="due")
    assert row.done_at is None
    assert [taken.id for taken in await store.claim_messages(0, 10)] == ["m1"]


async def test_deliveries_are_listed_by_run_newest_first(store: Store) -> None:
    """And in pages."""
    await begin(store, "run_1", outbox=[message(lease("run_1"), id_) for id_ in ("m1", "m3")])
    await begin(store, "run_2", outbox=[message(lease("run_2"), "m2")])
    mine = store.tenant("acme")
    assert [row.id for row in await mine.deliveries()] == ["m3", "m2", "m1"]
    assert [row.id for row in await mine.deliveries(run="run_1")] == ["m3", "m1"]
    assert [row.id for row in await mine.deliveries(before="m3", limit=1)] == ["m2"]
    assert await store.tenant("other").deliveries() == []


# ---- schedules -------------------------------------------------------------------------------------------------------


async def test_a_schedule_is_moved_only_from_where_one_knows_it_to_be(store: Store) -> None:
    """Adding what is there, or moving from an older state, changes nothing and says so."""
    mine = store.tenant("acme")
    first = ScheduleRow("acme", "nightly", "d1", 100.5)
    second = ScheduleRow("acme", "nightly", "d1", 200.5, 100.5, "run_1")
    assert await mine.put_schedule(second, first) is False
    assert await mine.put_schedule(first, None) is True
    assert await mine.put_schedule(second, None) is False
    assert await mine.put_schedule(second, replace(first, digest="d2")) is False
    assert await mine.schedules() == [first]
    assert await mine.put_schedule(second, first) is True
    assert await mine.put_schedule(second, first) is False
    assert await mine.schedules() == [second]
    assert await mine.put_schedule(replace(second, last_run=None), second) is True
    assert await mine.put_schedule(first, replace(second, last_run=None)) is True


async def test_of_many_that_move_a_schedule_at_once_one_does(store: Store) -> None:
    """So each time begins one run."""
    mine = store.tenant("acme")
    row = ScheduleRow("acme", "nightly", "d1", 100.0)
    assert await mine.put_schedule(row, None)
    async with Tasks("schedules") as tasks:
        moves = [
            tasks.start(mine.put_schedule(replace(row, next_at=200.0, last_run=f"run_{number}"), row), "move")
            for number in range(8)
        ]
    assert sorted(move.result() for move in moves) == [False] * 7 + [True]


async def test_schedules_are_listed_by_name_and_dropped(store: Store) -> None:
    """Each tenant's own."""
    mine = store.tenant("acme")
    rows = [ScheduleRow("acme", name, "d", 1.0) for name in ("a", "b")]
    for row in reversed(rows):
        await mine.put_schedule(row, None)
    await store.tenant("other").drop_schedule("a")
    assert await mine.schedules() == rows
    assert await store.tenant("other").schedules() == []
    with pytest.raises(ValueError):
        await mine.put_schedule(ScheduleRow("other", "c", "d", 1.0), None)
    await mine.drop_schedule("a")
    await mine.drop_schedule("a")
    assert await mine.schedules() == rows[1:]


# ---- tails, pruning --------------------------------------------------------------------------------------------------


async def test_a_tail_gives_every_event_of_a_tenant_once_in_order(store: Store) -> None:
    """In portions, from any cursor on, over all runs; and nothing of another tenant's."""
    for number in range(6):
        of = lease(f"run_{number % 2}")
        at = number // 2 * 2
        await store.append(of, at, events(range(at + 1, at + 3), of))
        await begin(store, f"run_{number}", "other")
    mine = store.tenant("acme")
    seen, cursor = [], ""
    while portion := (await mine.tail(cursor, 5))[0]:
        seen += [(event.run, event.seq) for event in portion]
        cursor = (await mine.tail(cursor, 5))[1]
    assert seen == [(f"run_{number % 2}", number // 2 * 2 + more) for number in range(6) for more in (1, 2)]
    assert await mine.tail(cursor) == ([], cursor)
    await store.append(lease("run_0"), 6, events(range(7, 8), lease("run_0")))
    found, end = await mine.tail(cursor)
    assert [(event.run, event.seq) for event in found] == [("run_0", 7)]
    assert end != cursor
    assert (await store.tenant("nobody").tail(""))[0] == []


async def finished(store: Store, run: str, at: float, **rows: Any) -> None:
    of = lease(run)
    await begin(store, run, views=[view(of, state="finished", outcome="completed", finished_at=at)], **rows)


async def test_old_runs_are_removed_with_all_that_belongs_to_them(store: Store) -> None:
    """The ledger stays, and so does what is younger, not finished, or still to be told."""
    old = lease("run_1")
    await finished(store, "run_1", 5.0, ledger=[entry(old, 1, 7)], decisions=[decision(old, choice="skip")],
                   outbox=[message(old, "m1")])  # fmt: skip
    await finished(store, "run_2", 5.0, outbox=[message(lease("run_2"), "m2")])
    await finished(store, "run_3", 50.0)
    await begin(store, "run_4", views=[view(lease("run_4"))])
    await store.settle_message("acme", "m1", "sent", None)
    assert await store.prune(10.0, 100) == 1
    mine = store.tenant("acme")
    assert [row.run for row in await mine.runs(RunFilter())] == ["run_4", "run_3", "run_2"]
    assert (await mine.events("run_1"), await mine.decisions(), await mine.spent("run_1")) == ([], [], 7)
    assert [row.id for row in await mine.deliveries()] == ["m2"]
    assert await store.acquire("acme", "run_1", "b") is None
    assert await store.prune(10.0, 100) == 0


async def test_pruning_goes_in_portions_and_a_tail_goes_on_behind_it(store: Store) -> None:
    """A cursor stays good when what it stood behind is gone."""
    for number in range(5):
        await finished(store, f"run_{number}", 5.0)
    mine = store.tenant("acme")
    _, cursor = await mine.tail("")
    await begin(store, "run_9")
    assert [await store.prune(10.0, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert [event.run for event in (await mine.tail(cursor))[0]] == ["run_9"]
    assert await store.prune(10.0, 0) == 0


# ---- waiting, generation ---------------------------------------------------------------------------------------------


async def test_a_change_that_was_there_already_is_not_waited_for(store: Store) -> None:
    """Nothing is missed between reading a run's events and waiting for more."""
    await store.append(lease(), 0, events(range(1, 4), lease()))
    async with asyncio.timeout(30):
        await store.changed("acme", "run_1", 2, 600)


async def test_who_waits_for_a_run_is_woken_by_its_next_append(store: Store) -> None:
    """And not by another run's, or by the same id of another tenant."""
    await begin(store)
    async with asyncio.timeout(30), Tasks("waiting") as tasks:
        waiting = tasks.start(store.changed("acme", "run_1", 1, 600), "wait")
        await asyncio.sleep(0.02)
        await begin(store, "run_2")
        await begin(store, "run_1", "other")
        await store.append(lease("run_1", tenant="other"), 1, events(range(2, 3), lease("run_1", tenant="other")))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await store.append(lease(), 1, events(range(2, 3), lease()))
        await waiting


async def test_waiting_for_a_change_ends_when_its_time_is_over(store: Store) -> None:
    """Also for a run that does not exist."""
    await begin(store)
    async with asyncio.timeout(30):
        await store.changed("acme", "run_1", 1, 0.01)
        await store.changed("acme", "run_2", 0, 0.01)


async def test_an_installation_begins_with_its_first_generation(store: Store) -> None:
    """It rises with restored backups alone."""
    await begin(store)
    assert await store.generation() == 1
