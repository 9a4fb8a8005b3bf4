"""A small audit log, in memory and in a file, for tests that tamper with it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from golive.audit.chain import Verdict
from golive.audit.signing import AuditKey, Trusted
from golive.audit.verifying import verify
from golive.core.clock import SystemClock
from golive.store.audit import AuditCheckpoint, AuditEntry, AuditStore
from golive.store.sqlite.store import SqliteStore

T = TypeVar("T")
KEY = AuditKey(b"k" * 32)
TRUSTED = Trusted([KEY.public])
GUARDS = (
    "audit_stays", "audit_is_not_replaced", "audit_goes_with_a_mark", "audit_heads_rise", "audit_heads_stay",
    "audit_checkpoints_stay", "audit_checkpoints_go_with_a_mark",
)  # fmt: skip


def entry(number: int, tenant: str = "acme", **fields: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "tenant": tenant, "at": 1000.0 + number, "actor": f"key:{number:04}", "home": tenant, "verb": "keys.manage",
        "kind": "key", "name": f"k{number}", "outcome": "done", "source": "192.0.2.7", "route": "POST /v1/keys",
        "detail": {"role": "admin"},
    }  # fmt: skip
    return AuditEntry(**(given | fields))


def doing(path: Path, work: Callable[[AuditStore], Awaitable[T]]) -> T:
    """What `work` does with the log in the file."""

    async def go() -> T:
        store = SqliteStore.open(path, clock=SystemClock(), inline=True)
        try:
            return await work(store.audit)
        finally:
            await store.close()

    return asyncio.run(go())


def filled(path: Path, entries: int = 6, tenants: tuple[str, ...] = ("acme", "beta"), every: int = 3) -> None:
    """A log, signed after each `every` entries; its guards are off, as whoever has the file can turn them off."""

    async def go(store: AuditStore) -> None:
        for number in range(1, entries + 1):
            for tenant in tenants:
                [head] = await store.append([entry(number, tenant)])
                if number % every == 0:
                    await store.put_checkpoint(KEY.sign(head, 2000.0 + number))

    doing(path, go)
    change(path, *(f"DROP TRIGGER {name}" for name in GUARDS))


def change(path: Path, *statements: str, values: tuple[Any, ...] = ()) -> None:
    """Somebody writes to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for sql in statements:
            connection.execute(sql, values)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def verdicts(path: Path, pinned: tuple[AuditCheckpoint, ...] = (), trusted: Trusted = TRUSTED) -> list[Verdict]:
    """What verifying all that is in the file says."""

    async def go(store: AuditStore) -> list[Verdict]:
        return [await verify(store, tenant, trusted, pinned) for tenant in await store.tenants()]

    return doing(path, go)


def faults(path: Path, **how: Any) -> list[tuple[str, int, str]]:
    """Tenant, seq and kind of all that is wrong."""
    return [(one.tenant, one.seq, one.what) for verdict in verdicts(path, **how) for one in verdict.faults]
