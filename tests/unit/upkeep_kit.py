"""Stores with runs in them, as servers leave them, and what `golive store` does to them."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from golive.core.clock import SystemClock
from golive.core.events import (
    Body,
    DecisionRequested,
    Event,
    ModelFinished,
    ModelStarted,
    RunAccepted,
    RunFinished,
    RunStarted,
    StepStarted,
    TextBlock,
    encode_body,
)
from golive.core.messages import Message, Usage
from golive.runtime.shown import decision_of, view_of
from golive.runtime.state import RunState
from golive.store.audit import AuditCheckpoint, AuditEntry
from golive.store.data_keys import DataKeyRow
from golive.store.fingerprints import FingerprintRow
from golive.store.ports import KeyRow, Lease, LedgerEntry, OutboxMessage, ScheduleRow, Store, VersionRow
from golive.store.revocation import TokenRevocation
from golive.store.sqlite import SqliteStore
from golive.store.tenancy import CredentialRow, TenantRow, UserRow
from golive.store.upkeep.database import Database, work
from tests.unit import postgres_kit

T = TypeVar("T")
COST = 90


def at(place: str) -> Database:
    """The database of a URL."""
    return Database.of(place, Path("/"))


def done(doing: Callable[[], T]) -> T:
    """What `golive store` would do, from outside of any event loop."""
    return asyncio.run(work(doing))


def silent(_name: str, _done: int, _all: int) -> None:
    """Progress that nobody looks at."""


def rows(place: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query finds, or a statement does, in either database."""
    if not place.startswith("sqlite:"):
        return postgres_kit.run(place, sql)
    with closing(sqlite3.connect(place.removeprefix("sqlite:"), isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def filled(path: Path, runs: int = 3, state: str = "finished") -> str:
    """The URL of a new SQLite store with runs of two tenants; the last run of each is in `state`."""

    async def go() -> None:
        store = SqliteStore.open(path, clock=SystemClock())
        await fill(store, runs, state)
        await store.close()

    asyncio.run(go())
    return f"sqlite:{path}"


async def fill(store: Store, runs: int, state: str = "finished") -> None:
    """Something of everything."""
    for tenant in ("acme", "beta"):
        for number in range(1, runs + 1):
            await add_run(store, tenant, f"run_{number}", state if number == runs else "finished")
        own = store.tenant(tenant)
        await own.register_version(VersionRow(tenant, "support", "1.0.0", "digest", 1.5))
        await own.put_key(KeyRow(tenant, "key_1", "ci", "admin", b"\x00\xff" * 16, 7.25, "cli", expires_at=2e9))
        await own.put_schedule(ScheduleRow(tenant, "daily", "d", 99.5), None)
        await own.put_tenant(TenantRow(tenant=tenant, state="active", created_at=1.5, created_by="cli", keep_days=30.5))
        await own.put_user(
            UserRow(tenant=tenant, id="né", state="suspended", created_at=1.5, created_by="cli", last_seen_at=2.5)
        )
        await own.put_credential(CredentialRow(tenant, "openai", "env:KEY", 1.5, "cli"))
        await store.data_keys.add(
            DataKeyRow(tenant, f"dk_{tenant}", "tenant", "", b"\x01\x00wrapped", "master", 65_536, 1.5), None
        )
    await record(store)
    await store.revocations.add(TokenRevocation("acme", "rev_1", "https://i", "user", "né", 1.5, 9e9, 1.5, "cli"))
    await store.fingerprints.put(FingerprintRow("ab" * 32, "env:KEY", 5.5, 7.0, "cli", "né", True))
    await store.beat("srv_1", 0.0)


async def record(store: Store) -> None:
    """An audit log of two tenants, with a checkpoint."""
    for tenant in ("acme", "beta"):
        entry = AuditEntry(
            tenant=tenant, at=1.5, actor="key:1", home=tenant, verb="keys.manage", kind="key", name="né \N{SNOWMAN}",
            outcome="done", detail={"a": "b"},
        )  # fmt: skip
        [head] = await store.audit.append([entry, entry])
        await store.audit.put_checkpoint(
            AuditCheckpoint(tenant, head.seq, "checkpoint", head.hash, 7, "k", b"\x00\xff")
        )


async def add_run(store: Store, tenant: str, run: str, state: str) -> None:
    """One run: `finished`, `running`, or `waiting` for a decision."""
    folded = RunState(tenant, run, "digest")
    user = "né" if run == "run_1" else None
    lease = Lease(tenant, run, 1, "srv_1", user)
    said = (Message("user", "hé \N{SNOWMAN}"),)
    accepted = RunAccepted("support", "1.0.0", input=said, principal="key_1", user=user or "")
    await write(store, lease, folded, [accepted, RunStarted("srv_1"), StepStarted(1, "main")])
    usage = Usage(100, 40, 7)
    bodies: list[Body] = [
        ModelStarted(1, 1, "sim/a"), TextBlock("item_1", "answer", "Hello.", 3),
        ModelFinished(1, 1, "sim/a", "item_1", "stop", usage, COST, True, saved_microusd=5),
    ]  # fmt: skip
    if state == "running":
        await write(store, lease, folded, bodies[:2], view=False)
        return
    entry = LedgerEntry(tenant, run, "", "digest", 1, 6, 9.5, "settled", "sim/a", COST, 100, 40, 7, 0, 0)
    await write(store, lease, folded, bodies, ledger=[entry], view=False)
    if state == "waiting":
        asked = DecisionRequested(
            id=f"dec_{run}", about="unknown_effect", choices=("done", "skip"), default="skip", asked_at=10.0,
            expires_at=3e9, question="Was it paid?", subject="pay", key=f"{run}//1",
        )  # fmt: skip
        await write(store, lease, folded, [asked])
        return
    message = OutboxMessage(tenant, run, "", "digest", 1, f"msg_{run}", 1.5, "run.finished", "crm", 0.0, b"\x00{}")
    await write(store, lease, folded, [RunFinished("completed", "done", cost_microusd=COST)], outbox=[message])


async def write(
    store: Store, lease: Lease, folded: RunState, bodies: Sequence[Body], *, ledger: Sequence[LedgerEntry] = (),
    outbox: Sequence[OutboxMessage] = (), view: bool = True,
) -> None:  # fmt: skip
    """An append as the runtime makes it."""
    before, events, decisions = folded.seq, [], []
    for body in bodies:
        event = Event(
            lease.tenant, lease.run, folded.seq + 1, lease.epoch, "", "digest", 1000.25 + folded.seq, body.kind,
            encode_body(body),
        )  # fmt: skip
        folded.apply(event.seq, event.epoch, event.at, body)
        events.append(event)
        if isinstance(body, DecisionRequested):
            decisions.append(decision_of(folded, body))
    views = [view_of(folded)] if view else []
    await store.append(
        lease, before, events, ledger=ledger, outbox=outbox, views=views, decisions=decisions, at_rest=folded.at_rest
    )
