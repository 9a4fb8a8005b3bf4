"""Telling webhooks: signed, at least once, in time with the receiver, and none at the cost of another."""

import asyncio
from itertools import pairwise

import pytest

from golive.core.errors import ConfigError, SecretMissing, StoreUnavailable
from golive.core.signing import key_of, signature
from golive.models.transport import Disconnected
from golive.runtime.post import signing_key
from golive.runtime.webhooks import AT_ONCE, CLOSE_S, FORGET_S, MARGIN_S
from golive.store.ports import Delivery
from tests.sim.loop import VirtualClock, simulate
from tests.unit.webhook_kit import OTHER_SECRET, REFUSED, SECRET, Answer, World, webhook


def settled(found: Delivery) -> bool:
    return found.state != "due"


def test_a_signature_is_the_published_one() -> None:
    """The vector of the Standard Webhooks libraries: their `sign` makes the same of it."""
    made = signature(key_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "it does not begin with whsec_"),
        ("whsec_not base64!", "what follows whsec_ is not base64"),
        ("whsec_QUFB", "it stands for 3 bytes, and 24 to 64 are needed"),
    ],
)
def test_a_secret_that_is_no_key_is_refused_without_quoting_it(secret: str, why: str) -> None:
    """The setting is named, the reason and the command that makes a right one; never the value."""
    with pytest.raises(ConfigError) as caught:
        signing_key("webhooks.crm.secret", "env:CRM", lambda ref: secret)
    assert why in caught.value.message
    assert "openssl rand -base64 32" in caught.value.remedy
    assert secret.removeprefix("whsec_") not in str(caught.value)
    assert caught.value.fields["key"] == "webhooks.crm.secret"


def test_a_message_is_sent_signed_and_counted() -> None:
    """At once, with id, time and a signature by each key; the row says when, and the receiver's 2xx ends it."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", old_secret="env:OTHER")}, crm=[204])
        world.sender.start()
        await asyncio.sleep(10.5)
        (id_,) = await world.put("crm")
        found = await world.until(settled, id_)
        assert (found.state, found.attempts, found.last_error) == ("sent", 1, None)
        ((_, at, headers, body),) = world.receivers.got
        assert at == 10.5, "woken, not found by looking"
        now = int(clock.now() - 0.25)
        assert headers["webhook-id"] == id_
        assert headers["webhook-timestamp"] == str(now)
        keys = (key_of(SECRET), key_of(OTHER_SECRET))
        assert headers["webhook-signature"].split() == [signature(key, id_, now, body) for key in keys]
        assert (
            b'golive_webhook_deliveries_total{result="sent",tenant="default",webhook="crm"} 1.0'
            in world.metrics.render()
        )
        await world.sender.close()

    simulate(main)


def test_failed_attempts_are_repeated_ever_later_and_then_given_up() -> None:
    """Under the same id, each wait times 0.8 to 1.2; the row keeps the receiver's words, the log says so."""

    async def main(clock: VirtualClock) -> None:
        crm = webhook("crm", waits_s=(5, 300, 1_800))
        no = [REFUSED, Answer(500, b"try \xff later"), Disconnected("reset"), Answer(302, headers={"location": "/x"})]
        world = World(clock, {"crm": crm}, crm=no)
        world.sender.start()
        (id_,) = await world.put("crm")
        found = await world.until(settled, id_)
        assert (found.state, found.attempts) == ("dead", 4)
        assert found.last_error == "answered 302, to /x; no redirect is followed"
        times = world.receivers.times("crm")
        waits = [after - before for before, after in pairwise(times)]
        for wait, wanted in zip(waits, (5, 300, 1_800), strict=True):
            assert 0.8 * wanted <= wait <= 1.2 * wanted + 1.1
        assert {headers["webhook-id"] for _, _, headers, _ in world.receivers.got} == {id_}
        errors = [line["error"] for line in world.logged("webhook.failed")]
        assert errors == ["connection refused", "answered 500", "reset"], "a receiver's words may be a user's"
        assert [line["level"] for line in world.logged("webhook.dead")] == ["error"]
        await world.sender.close()

    simulate(main)


def test_a_receiver_that_is_gone_for_good_is_left_alone_at_once() -> None:
    """410 is the last word; sending it again is a person's decision."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm")}, crm=[410, 200])
        world.sender.start()
        (id_,) = await world.put("crm")
        found = await world.until(settled, id_)
        assert (found.state, found.attempts, found.last_error) == ("dead", 1, "answered 410: it wants no more")
        assert await world.store.tenant("default").send_again(id_)
        assert (await world.until(settled, id_)).state == "sent"
        await world.sender.close()

    simulate(main)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_by_the_whole_line(status: int) -> None:
    """The message waits as long as it says, and so does what comes meanwhile; other webhooks do not."""

    async def main(clock: VirtualClock) -> None:
        busy = Answer(status, headers={"retry-after": "120"})
        world = World(clock, {"crm": webhook("crm"), "erp": webhook("erp")}, crm=[busy, 200], erp=[200])
        world.sender.start()
        (first,) = await world.put("crm")
        await asyncio.sleep(10)
        second, other = await world.put("crm", "erp")
        assert (await world.until(settled, other)).state == "sent"
        assert clock.monotonic() < 12
        for id_ in (first, second):
            assert (await world.until(settled, id_)).state == "sent"
        assert [at // 1 for at in world.receivers.times("crm")] in ([0, 120, 120], [0, 120, 121])
        await world.sender.close()

    simulate(main)


def test_a_long_retry_after_is_the_message_s_own() -> None:
    """A quarter of an hour for the one that met it; the line looks again after five minutes."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm")}, crm=[Answer(503, headers={"retry-after": "900"}), 200])
        world.sender.start()
        (first,) = await world.put("crm")
        await asyncio.sleep(10)
        (second,) = await world.put("crm")
        for id_ in (first, second):
            assert (await world.until(settled, id_)).state == "sent"
        ids = [(headers["webhook-id"], at // 10) for _, at, headers, _ in world.receivers.got]
        assert ids == [(first, 0), (second, 30), (first, 90)]
        await world.sender.close()

    simulate(main)


def test_a_receiver_that_hangs_delays_nobody_else() -> None:
    """Its own messages go eight at a time and time out; the other webhook's, behind a hundred of them, go at once."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"slow": webhook("slow"), "crm": webhook("crm")}, slow=[1e9], crm=[200])
        world.sender.start()
        for _ in range(100):
            await world.put("slow")
        begun = clock.monotonic()
        (id_,) = await world.put("crm")
        assert (await world.until(settled, id_)).state == "sent"
        assert clock.monotonic() - begun <= 0.5
        await asyncio.sleep(60)
        assert world.receivers.most["slow"] == AT_ONCE
        (waited, *_) = await world.store.tenant("default").deliveries(state="due", target="slow", limit=500)
        assert waited.last_error in (None, "no answer within 15 s (webhooks.slow.timeout_s)")
        assert len(world.logged("webhook.failed")) >= 3 * AT_ONCE
        await world.sender.close()

    simulate(main)


def test_a_server_that_dies_between_sending_and_saying_so_sends_again() -> None:
    """Under the same id, once the lease is over: nothing is lost, and the receiver can tell."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", timeout_s=2)}, crm=[200])
        (id_,) = await world.put("crm")
        (taken,) = await world.store.claim_messages(2 + MARGIN_S, 8, only="crm")  # and then it was killed
        assert taken.id == id_
        world.sender.start()
        found = await world.until(settled, id_)
        assert (found.state, found.attempts) == ("sent", 2)
        (at,) = world.receivers.times("crm")
        assert 7 <= at <= 8.1
        await world.sender.close()

    simulate(main)


def test_two_servers_send_no_message_at_once() -> None:
    """Each is taken by one of them; every message arrives once."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", timeout_s=30)}, crm=[3.0])
        other = world.another_sender()
        world.sender.start()
        other.start()
        for _ in range(20):
            last = (await world.put("crm"))[0]
            other.wake()
        await world.until(settled, last)
        await asyncio.sleep(60)
        ids = [headers["webhook-id"] for _, _, headers, _ in world.receivers.got]
        assert len(ids) == len(set(ids)) == 20
        assert AT_ONCE < world.receivers.most["crm"] <= 2 * AT_ONCE
        await world.sender.close()
        await other.close()

    simulate(main)


def test_what_is_under_way_when_the_server_ends_is_sent_at_the_next_start() -> None:
    """It is given a moment; what has no answer by then is due at once, and not only when its lease is over."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", timeout_s=60)}, crm=[1.0, 1e9, 200])
        world.sender.start()
        (quick,) = await world.put("crm")
        (slow,) = await world.put("crm")
        await asyncio.sleep(0.1)
        begun = clock.monotonic()
        await world.sender.close()
        assert clock.monotonic() - begun <= CLOSE_S + 0.1
        assert (await world.delivery(quick)).state == "sent"
        left = await world.delivery(slow)
        assert (left.state, left.last_error) == ("due", "the server stopped meanwhile")
        assert left.due_at <= clock.now()
        world.sender = world.another_sender()
        world.sender.start()
        assert (await world.until(settled, slow)).state == "sent"
        await world.sender.close()

    simulate(main)


def test_a_store_that_fails_for_a_while_costs_no_message() -> None:
    """Neither where messages are taken, nor where their end is written down: that is repeated within the lease."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm")}, crm=[200])
        refusals = [StoreUnavailable("locked")] * 3
        real_claim, real_settle = world.store.claim_messages, world.store.settle_message

        async def claim(*args: object, **fields: object) -> object:
            if refusals:
                raise refusals.pop()
            return await real_claim(*args, **fields)  # type: ignore[arg-type]

        async def settle(*args: object, **fields: object) -> None:
            if clock.monotonic() < 9:
                raise StoreUnavailable("locked")
            await real_settle(*args, **fields)  # type: ignore[arg-type]

        world.store.claim_messages, world.store.settle_message = claim, settle  # type: ignore[method-assign, assignment]
        (id_,) = await world.put("crm")
        world.sender.start()
        found = await world.until(settled, id_)
        assert (found.state, found.attempts, len(world.receivers.got)) == ("sent", 1, 1)
        assert len(world.logged("webhook.store_failed")) == 1  # once for an outage, however long it is
        await world.sender.close()

    simulate(main)


def test_a_secret_that_is_missing_fails_the_attempt_and_not_the_server() -> None:
    """The row says which; once it is there, the message goes."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm")}, crm=[200])

        def missing(reference: str) -> str:
            raise SecretMissing(f"the secret `{reference}` is missing.", key="", value=reference, origin=reference)

        world.sender._post._resolve = missing
        world.sender.start()
        (id_,) = await world.put("crm")
        found = await world.until(lambda row: row.last_error is not None, id_)
        assert found.last_error == (
            "it cannot be signed: This server is not set up for that. (secret.missing, webhooks.crm)"
        )
        world.sender._post._resolve = world.secrets.__getitem__
        assert (await world.until(settled, id_)).state == "sent"
        await world.sender.close()

    simulate(main)


def test_a_webhook_that_is_removed_is_forgotten_after_a_day_and_one_that_comes_is_served() -> None:
    """What was due to it stays for a day, in case that another server knows it; then it is dead, with the reason."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"old": webhook("old")}, old=[REFUSED], new=[200])
        world.sender.start()
        (gone,) = await world.put("old")
        await asyncio.sleep(2)
        world.webhooks = {"new": webhook("new")}
        world.sender.adopt()
        (id_,) = await world.put("new")
        assert (await world.until(settled, id_)).state == "sent"
        await asyncio.sleep(FORGET_S - 1_000)
        assert (await world.delivery(gone)).state == "due"
        found = await world.until(settled, gone)
        assert (found.state, found.last_error) == ("dead", "there is no webhook 'old' in the configuration")
        assert len(world.receivers.times("old")) == 1
        await world.sender.close()

    simulate(main)


def test_a_webhook_that_no_longer_names_the_tenant_is_sent_nothing_of_it() -> None:
    """Not even what was made while it did: whoever took the name away may have had a reason."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", tenants=("acme",))}, crm=[200])
        world.sender.start()
        (id_,) = await world.put("crm")
        found = await world.until(settled, id_)
        assert (found.state, found.last_error) == ("dead", "webhooks.crm.tenants does not name its tenant any more")
        assert world.receivers.got == []
        await world.sender.close()

    simulate(main)


def test_messages_of_a_suspended_tenant_wait() -> None:
    """Until it is not suspended any more; however long that is, no attempt is used up by it."""

    async def main(clock: VirtualClock) -> None:
        world = World(clock, {"crm": webhook("crm", waits_s=[5.0])}, crm=[REFUSED, 200])
        world.paused.add("default")
        world.sender.start()
        (id_,) = await world.put("crm")
        await asyncio.sleep(3_600)
        found = await world.delivery(id_)
        assert (found.state, found.last_error, world.receivers.got) == ("due", "its tenant is suspended", [])
        assert found.attempts == 0
        world.paused.clear()
        found = await world.until(settled, id_)
        assert (found.state, found.attempts, len(world.receivers.got)) == ("sent", 2, 2)
        await world.sender.close()

    simulate(main)
