"""Writing the audit log: in groups, durable where asked for, bounded, signed; and what becomes of it without store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golive.audit import log as module
from golive.audit.log import GROUP_S, MOST, Audit
from golive.audit.signing import Trusted
from golive.audit.verifying import verify
from golive.core.clock import SystemClock
from golive.core.errors import AuditUnavailable, StoreUnavailable
from golive.guards.redact import Redactor
from golive.store.audit import INSTALLATION, AuditEntry, AuditHead
from golive.store.sqlite.audit import SqliteAudit
from golive.store.sqlite.store import SqliteStore
from tests.unit.audit_kit import KEY, entry


class Flaky(SqliteAudit):
    """A log whose store can be away; `groups`: how many entries each write had."""

    away = False

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store)
        self.groups: list[int] = []

    async def append(self, entries: Sequence[AuditEntry]) -> list[AuditHead]:
        if self.away:
            raise StoreUnavailable("The disk is full.", remedy="Free some.")
        self.groups.append(len(entries))
        return await super().append(entries)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Flaky]:
    opened = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
    yield Flaky(opened)
    await opened.close()


def log(store: Flaky, **options: Any) -> Audit:
    return Audit(store, KEY, SystemClock(), **options)


async def names(store: Flaky, tenant: str = "acme") -> list[str]:
    return [row.name for row in await store.tenant(tenant).rows()]


async def test_uses_are_written_together_within_a_quarter_of_a_second(store: Flaky) -> None:
    """One transaction for all that came meanwhile."""
    audit = log(store)
    await audit.start()
    for number in range(20):
        audit.note(entry(number))
    assert await names(store) == []
    async with asyncio.timeout(GROUP_S + 5):
        while not await names(store):
            await asyncio.sleep(0.01)
    assert (store.groups, audit.waiting) == ([20], 0)
    await audit.close()


async def test_an_act_is_durable_when_it_is_recorded_and_all_noted_before_it(store: Flaky) -> None:
    """In their order; many at once share a group."""
    audit = log(store)
    await audit.start()
    audit.note(entry(1))
    await audit.record(entry(2))
    assert await names(store) == ["k1", "k2"]
    await asyncio.gather(*(audit.record(entry(number)) for number in range(3, 30)))
    assert sorted(await names(store)) == sorted(f"k{number}" for number in range(1, 30))
    assert len(store.groups) < 6
    await audit.close()


async def test_an_act_that_cannot_be_recorded_is_refused_and_written_once_the_store_is_back(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked is told at once, each time; the entry waits; the log tells of both moments once."""
    monkeypatch.setattr(module, "_AGAIN_S", 0.02)
    told: list[str] = []
    audit = log(store, error=lambda event, **_: told.append(event), info=lambda event, **_: told.append(event))
    await audit.start()
    store.away = True
    for number in (1, 2):
        with pytest.raises(AuditUnavailable, match="cannot be recorded"):
            await audit.record(entry(number))
    assert audit.waiting == 2
    store.away = False
    await audit.record(entry(3))
    assert await names(store) == ["k1", "k2", "k3"]
    assert [event for event in told if event != "audit.checkpoint"] == ["audit.unavailable", "audit.writes_again"]
    await audit.close()


async def test_what_could_not_be_recorded_is_refused_once_the_buffer_is_full(store: Flaky) -> None:
    """`refuse`: nobody is let in any more, until there is room again."""
    audit = log(store)
    store.away = True
    for number in range(MOST):
        audit.admit()
        audit.note(entry(number))
    with pytest.raises(AuditUnavailable):
        audit.admit()
    store.away = False
    await audit.start()
    await audit.flush()
    audit.admit()
    assert (len(await store.tenant("acme").rows(0, MOST + 1)), audit.dropped) == (MOST, 0)
    await audit.close()


async def test_with_drop_whoever_comes_is_let_in_and_the_log_says_how_many_are_lost(store: Flaky) -> None:
    """As an entry of its own, once there is room."""
    audit = log(store, on_full="drop")
    store.away = True
    for number in range(MOST + 7):
        audit.admit()
        audit.note(entry(number))
    assert (audit.waiting, audit.dropped) == (MOST, 7)
    store.away = False
    await audit.start()
    await audit.flush()
    await audit.close()
    [row] = await store.tenant(INSTALLATION).rows()
    assert (row.verb, row.detail, row.actor) == ("audit.drop", '{"entries":"7"}', "server")


async def test_chains_are_signed_after_a_thousand_entries_and_at_the_end(store: Flaky) -> None:
    """Each signature goes to the log, too; all is proved with the public key alone."""
    told: list[dict[str, Any]] = []
    audit = log(store, info=lambda event, **fields: told.append({"event": event, **fields}))
    await audit.start()
    for number in range(1_003):
        audit.note(entry(number))
    await audit.flush()
    signed = [row.seq for row in await store.tenant("acme").checkpoints()]
    assert signed == [1_000] or signed == [1_003]
    audit.note(entry(1_003))
    await audit.close()
    marks = await store.tenant("acme").checkpoints()
    assert marks[-1].seq == 1_004
    assert [(one["seq"], one["signature"]) for one in told] == [(row.seq, row.signature.hex()) for row in marks]
    verdict = await verify(store, "acme", Trusted([KEY.public]))
    assert (verdict.signed, verdict.faults) == (1_004, [])


async def test_what_a_killed_server_left_unsigned_is_signed_at_the_next_start(store: Flaky) -> None:
    """Where the chain ends then."""
    await store.append([entry(1), entry(2, "beta")])
    audit = log(store)
    await audit.start()
    assert [row.seq for row in await store.tenant("acme").checkpoints()] == [1]
    assert [row.seq for row in await store.tenant("beta").checkpoints()] == [1]
    await audit.close()
    await log(store).start()
    assert len(await store.tenant("acme").checkpoints()) == 1


async def test_no_credential_and_no_control_character_stands_in_the_log(store: Flaky) -> None:
    """Whatever a stranger put into an address; what is long is cut off, and half a surrogate pair harms nobody."""
    redactor = Redactor(["correct horse battery"])
    audit = log(store, redact=redactor.text)
    await audit.start()
    secret = f"gl_0123abcd_{'A' * 43}"
    for name in (secret, "a\x00b\x1b[31m", "x" * 1_000, "\ud800", "say correct horse battery"):
        audit.note(entry(1, name=name, detail={"reason": name}))
    await audit.flush()
    rows = await store.tenant("acme").rows()
    assert rows[0].name == "[redacted]"
    assert rows[1].name == "a\ufffdb\ufffd[31m"
    assert rows[2].name == "x" * 299 + "…"
    assert rows[3].name == "\ufffd"
    assert rows[4].name == "say [redacted]"
    assert all(secret not in row.detail and "horse" not in row.detail for row in rows)
    await audit.close()


async def test_what_is_long_is_cut_with_a_mark_and_never_through_a_credential(store: Flaky) -> None:
    """Names, actors and details alike: one bound, whoever gave them; half a credential is a part of one."""
    redactor = Redactor(["correct horse battery"])
    audit = log(store, redact=redactor.text)
    await audit.start()
    across = "x" * 290 + " correct horse battery"
    audit.note(entry(1, name=across, actor="user:" + "a" * 1_000, detail={"d" * 400: across}))
    await audit.flush()
    (row,) = await store.tenant("acme").rows()
    assert row.name == ("x" * 290 + " [redacted]")[:299] + "…"
    assert row.actor == "user:" + "a" * 294 + "…"
    assert msgspec.json.decode(row.detail) == {"d" * 299 + "…": row.name}
    await audit.close()


async def test_closing_without_a_store_ends_and_says_what_is_lost(
    store: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded time."""
    monkeypatch.setattr(module, "CLOSE_S", 0.1)
    told: list[tuple[str, Any]] = []
    audit = log(store, error=lambda event, **fields: told.append((event, fields.get("entries"))))
    await audit.start()
    store.away = True
    audit.note(entry(1))
    await audit.close()
    assert ("audit.lost", 1) in told
