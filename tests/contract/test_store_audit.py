"""The contract of a store: the audit log. Chains have no gap and never fork; a prefix goes with its mark."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from golive.core.errors import StoreError
from golive.core.tasks import Tasks
from golive.store.audit import (
    GENESIS,
    INSTALLATION,
    AuditCheckpoint,
    AuditEntry,
    AuditFilter,
    AuditHead,
    AuditRow,
    link,
)
from golive.store.ports import Store
from tests.contract.store_kit import Opener


def entry(name: str = "run_1", **fields: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "tenant": "acme", "at": 1000.25, "actor": "key:ab12", "home": "acme", "verb": "runs.create", "kind": "agent",
        "name": name, "outcome": "allowed", "source": "192.0.2.7", "route": "POST /v1/agents/{agent}/runs",
    }  # fmt: skip
    return AuditEntry(**(given | fields))


def mark(head: AuditHead, kind: str = "checkpoint") -> AuditCheckpoint:
    return AuditCheckpoint(head.tenant, head.seq, kind, head.hash, 5_000_000, "k1", b"\x00s\xff")  # type: ignore[arg-type]


def follows(rows: list[AuditRow], before: bytes = GENESIS) -> bool:
    """Whether each row's hash is over the one before it."""
    for row in rows:
        if row.hash != link(before, row):
            return False
        before = row.hash
    return True


async def test_an_entry_is_read_back_exactly_in_its_place(store: Store) -> None:
    """Time to the microsecond, details as sorted JSON, any text; the head stands where the chain ends."""
    detail = {"role": "admin", "key": "é\u2028☃"}
    [head] = await store.audit.append([entry("ключ", at=1234.000001, detail=detail)])
    mine = store.audit.tenant("acme")
    [row] = await mine.rows()
    assert row == AuditRow(
        "acme", 1, 1_234_000_001, "key:ab12", "acme", "runs.create", "agent", "ключ", "allowed", "192.0.2.7",
        "POST /v1/agents/{agent}/runs", '{"key":"é\u2028☃","role":"admin"}', row.hash,
    )  # fmt: skip
    assert row.hash == link(GENESIS, row)
    assert head == await mine.head() == AuditHead("acme", 1, row.hash)


async def test_each_tenant_has_a_chain_of_its_own(store: Store) -> None:
    """In one append, too; another tenant's handle shows none of it."""
    names = [("acme", "a"), ("beta", "b"), ("acme", "c"), (INSTALLATION, "d")]
    heads = await store.audit.append([entry(name, tenant=tenant) for tenant, name in names])
    assert [(head.tenant, head.seq) for head in sorted(heads, key=lambda head: head.tenant)] == [
        ("acme", 2), ("beta", 1), (INSTALLATION, 1),
    ]  # fmt: skip
    rows = await store.audit.tenant("acme").rows()
    assert [(row.seq, row.name) for row in rows] == [(1, "a"), (2, "c")]
    assert follows(rows)
    assert [row.name for row in await store.audit.tenant("beta").rows()] == ["b"]
    assert await store.audit.tenant("nobody").rows() == []
    assert await store.audit.tenant("nobody").head() == AuditHead("nobody", 0, GENESIS)
    assert await store.audit.heads() == sorted(heads, key=lambda head: head.tenant)


async def test_many_servers_add_to_one_chain_and_it_never_forks(open_store: Opener) -> None:
    """Three stores of one place, each with several appends at once: every entry once, no gap, each hash follows."""
    stores = [await open_store() for _ in range(3)]

    async def add(number: int) -> None:
        for turn in range(5):
            name = f"{number}/{turn}"
            await stores[number % 3].audit.append([entry(name), entry(name, tenant="beta"), entry(f"{name}+")])

    async with Tasks("audit") as tasks:
        for number in range(9):
            tasks.start(add(number), str(number))
    rows = await stores[0].audit.tenant("acme").rows()
    assert [row.seq for row in rows] == list(range(1, 91))
    assert sorted(row.name for row in rows) == sorted(
        f"{number}/{turn}{end}" for number in range(9) for turn in range(5) for end in ("", "+")
    )
    assert follows(rows)
    others = await stores[1].audit.tenant("beta").rows()
    assert ([row.seq for row in others], follows(others)) == (list(range(1, 46)), True)
    assert await stores[2].audit.tenant("acme").head() == AuditHead("acme", 90, rows[-1].hash)


async def test_rows_come_in_pages_and_a_search_newest_first(store: Store) -> None:
    """By each filter, and by several."""
    await store.audit.append(
        [
            entry("run_1", at=10.0),
            entry("run_2", at=20.0, verb="runs.read", outcome="denied"),
            entry("run_1", at=30.0, actor="user:ada", kind="run"),
        ]
    )
    mine = store.audit.tenant("acme")
    assert [row.seq for row in await mine.rows(1, 1)] == [2]

    async def found(**where: Any) -> list[int]:
        return [row.seq for row in await mine.search(AuditFilter(**where))]

    assert await found() == [3, 2, 1]
    assert await found(limit=2) == [3, 2]
    assert await found(before=3) == [2, 1]
    assert await found(actor="user:ada") == [3]
    assert await found(verb="runs.read") == await found(outcome="denied") == [2]
    assert await found(kind="agent", name="run_1") == [1]
    assert await found(since=20.0) == [3, 2]
    assert await found(since=20.0, until=30.0) == [2]
    assert await store.audit.tenant("beta").search(AuditFilter()) == []


async def test_a_search_by_time_gives_every_entry_of_it_once_page_by_page(store: Store) -> None:
    """By time, then by place: entries of several servers may stand in another order than they were made."""
    at = [10.0, 40.0, 20.0, 20.0, 30.0, 50.0, 20.0, 35.0]
    await store.audit.append([entry("run_1", at=each, verb="runs.read" if each == 20.0 else "x") for each in at])
    mine = store.audit.tenant("acme")

    async def paged(**where: Any) -> list[int]:
        found: list[int] = []
        before = None
        while rows := await mine.search(AuditFilter(before=before, limit=2, **where)):
            found += [row.seq for row in rows]
            before = rows[-1].seq
        return found

    assert await paged(since=20.0) == [6, 2, 8, 5, 7, 4, 3]
    assert await paged(since=20.0, until=40.0) == [8, 5, 7, 4, 3]
    assert await paged(until=40.0, verb="runs.read") == [7, 4, 3]
    assert await paged(since=51.0) == []
    [last, *_] = await mine.search(AuditFilter(since=0.0, before=99, limit=1))
    assert last.seq == 6  # there is no entry 99: all of a lesser seq


async def test_checkpoints_are_kept_and_the_first_of_a_place_stays(store: Store) -> None:
    """Two servers may sign one place."""
    [head] = await store.audit.append([entry(), entry()])
    await store.audit.put_checkpoint(mark(head))
    await store.audit.put_checkpoint(replace(mark(head), at_us=7))
    mine = store.audit.tenant("acme")
    assert await mine.checkpoints() == [mark(head)]
    assert await mine.checkpoints(2) == []
    assert await store.audit.tenant("beta").checkpoints() == []


async def test_a_prefix_goes_with_its_mark_and_the_rest_goes_on(store: Store) -> None:
    """A few at once; the chain continues where it was."""
    heads = [(await store.audit.append([entry(str(number))]))[0] for number in range(1, 8)]
    await store.audit.put_checkpoint(mark(heads[1]))
    await store.audit.put_checkpoint(mark(heads[4]))
    assert await store.audit.prune(mark(heads[4], "pruned"), 3) == 3
    assert await store.audit.prune(mark(heads[4], "pruned"), 3) == 2
    assert await store.audit.prune(mark(heads[4], "pruned"), 3) == 0
    mine = store.audit.tenant("acme")
    assert [row.seq for row in await mine.rows()] == [6, 7]
    assert follows(await mine.rows(), heads[4].hash)
    assert [(row.seq, row.kind) for row in await mine.checkpoints()] == [(5, "pruned")]
    assert (await mine.head()).seq == 7
    assert (await store.audit.prune(mark(heads[5], "pruned"), 9), (await mine.rows())[0].seq) == (1, 7)
    assert [row.seq for row in await mine.checkpoints()] == [6]


async def test_what_cannot_be_stored_harms_nothing(store: Store) -> None:
    """Half a surrogate pair: refused, and the chain goes on without a gap."""
    with pytest.raises((StoreError, UnicodeEncodeError)):
        await store.audit.append([entry("\ud800")])
    await store.audit.append([entry()])
    assert [row.seq for row in await store.audit.tenant("acme").rows()] == [1]


async def test_appends_of_one_process_at_once_all_stand(store: Store) -> None:
    """Whichever comes first."""
    await asyncio.gather(*(store.audit.append([entry(str(number))]) for number in range(20)))
    rows = await store.audit.tenant("acme").rows()
    assert (len(rows), follows(rows)) == (20, True)
