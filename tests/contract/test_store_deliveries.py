"""The contract of a store: messages to the outside are taken by webhook, and counted."""

from msgspec.structs import replace

from golive.store.ports import DeliveryCount, OutboxMessage, Store
from tests.contract.store_kit import events, lease, message


def to(target: str, id_: str, at: float = 1.5) -> OutboxMessage:
    """Due since long ago, and the longer, the smaller `at` is."""
    return replace(message(lease(), id_), target=target, after_s=at - 1_000, at=at)


async def put(store: Store, *messages: OutboxMessage) -> None:
    await store.append(lease(), 0, events(range(1, 2), lease()), outbox=messages)


async def test_messages_are_taken_for_one_webhook(store: Store) -> None:
    """A long queue to another webhook is neither given out nor counts against the limit."""
    await put(store, *(to("hangs", f"m{number}", 1.0) for number in range(5)), to("crm", "m8", 3.0), to("crm", "m9", 2))
    assert [taken.id for taken in await store.claim_messages(60, 5, only="crm")] == ["m9", "m8"]
    assert await store.claim_messages(60, 5, only="crm") == []
    rest = await store.claim_messages(60, 9, only="hangs")
    assert [(taken.id, taken.attempts) for taken in rest] == [(f"m{number}", 1) for number in range(5)]


async def test_messages_to_webhooks_that_nobody_knows_are_found(store: Store) -> None:
    """What is due to none of these names is given out, and no other."""
    await put(store, to("crm", "m1"), to("gone", "m2"), to("o'dd", "m3"))
    assert [taken.id for taken in await store.claim_messages(60, 5, but=("crm", "o'dd"))] == ["m2"]
    assert [taken.id for taken in await store.claim_messages(60, 5)] == ["m1", "m3"]


async def test_a_message_that_was_only_looked_at_has_no_attempt_more(store: Store) -> None:
    """Settled as not attempted it is due again, with the attempts it had; they never fall below none."""
    await put(store, to("crm", "m1"))
    await store.claim_messages(60, 1)
    await store.settle_message("acme", "m1", "due", "answered 500")
    assert [taken.attempts for taken in await store.claim_messages(60, 1)] == [2]
    await store.settle_message("acme", "m1", "due", "its tenant is suspended", attempted=False)
    [kept] = await store.tenant("acme").deliveries()
    assert (kept.state, kept.attempts, kept.last_error) == ("due", 1, "its tenant is suspended")
    for _ in range(2):
        await store.settle_message("acme", "m1", "due", None, attempted=False)
    assert [taken.attempts for taken in await store.claim_messages(60, 1)] == [1]


async def test_deliveries_are_listed_and_counted_by_webhook(store: Store) -> None:
    """Counts say how many are in each state, and since when; a list can be that of one webhook."""
    await put(store, to("crm", "m1", 2.0), to("crm", "m2", 1.0), to("crm", "m3", 3.0), to("erp", "m4", 5.0))
    await store.settle_message("acme", "m3", "sent", None)
    await store.settle_message("acme", "m4", "dead", "answered 410")
    mine = store.tenant("acme")
    assert await mine.delivery_counts() == [
        DeliveryCount("crm", "due", 2, 1.0), DeliveryCount("crm", "sent", 1, 3.0), DeliveryCount("erp", "dead", 1, 5.0),
    ]  # fmt: skip
    assert await mine.delivery_counts("due") == [DeliveryCount("crm", "due", 2, 1.0)]
    assert await store.tenant("other").delivery_counts() == []
    assert [found.id for found in await mine.deliveries(target="crm")] == ["m3", "m2", "m1"]
    assert [found.id for found in await mine.deliveries(target="crm", state="due", before="m2")] == ["m1"]
