"""Rows to store, and the implementations of a store that the contract is tried on (`IMPLEMENTATIONS`)."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.events import Event
from golive.store.ports import DecisionRow, KeyRow, Lease, LedgerEntry, OutboxMessage, RunView, Store
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.store import sealed
from golive.store.sqlite import SqliteStore
from golive.telemetry.logs import configure
from tests.postgres_kit import Database

Opener = Callable[[], Awaitable[Store]]
"""Opens the same place again each time: two stores of one opener see the same rows."""


class Place(Protocol):
    """Where stores keep what they store."""

    async def open(self) -> Store: ...

    def remove(self) -> None: ...


class File:
    """A SQLite file."""

    def __init__(self, folder: Path, inline: bool) -> None:
        self.path = folder / "golive.db"
        self._inline = inline

    async def open(self) -> Store:
        return SqliteStore.open(self.path, clock=SystemClock(), inline=self._inline)

    def remove(self) -> None:
        """The folder is pytest's."""


class InPostgres:
    """A PostgreSQL database."""

    def __init__(self) -> None:
        self.database = Database()

    async def open(self) -> Store:
        return await self.database.open()

    def remove(self) -> None:
        self.database.drop()


MASTER = bytes(range(32))


class Sealed:
    """Either of them, with content sealed: a wrapper keeps the contract too."""

    def __init__(self, under: Place) -> None:
        self.under = under

    async def open(self) -> Store:
        return await sealed_over(await self.under.open())

    def remove(self) -> None:
        self.under.remove()


async def sealed_over(store: Store, master: bytes = MASTER, *old: bytes) -> Store:
    """The store, sealed under a master key of the tests."""
    masters = Masters(await store.data_keys.installation(), master, old)
    log, chance = configure("error", "json", None, io.StringIO()), SystemChance()
    keys = DataKeys(store.data_keys, masters, SystemClock(), chance, log)
    await keys.start()
    await keys.renewed("acme", 1)  # now, and not with the first append: that would move the control version
    return sealed(store, keys, chance, log)


IMPLEMENTATIONS: dict[str, Callable[[Path], Place]] = {
    "sqlite": lambda folder: File(folder, inline=False),
    "sqlite-inline": lambda folder: File(folder, inline=True),
    "postgres": lambda _: InPostgres(),
    "sqlite-sealed": lambda folder: Sealed(File(folder, inline=False)),
    "postgres-sealed": lambda _: Sealed(InPostgres()),
}


def lease(run: str = "run_1", epoch: int = 1, tenant: str = "acme") -> Lease:
    return Lease(tenant, run, epoch, "holder-1")


def held(run: str, holder: str, tenant: str = "acme") -> Lease:
    """The lease under which `holder` creates a run."""
    return Lease(tenant, run, 1, holder)


def events(seqs: range, of: Lease, body: bytes = b"{}") -> list[Event]:
    return [Event(of.tenant, of.run, seq, of.epoch, "", "digest", 1000.5 + seq, "text.block", body) for seq in seqs]


def view(of: Lease, **fields: Any) -> RunView:
    given: dict[str, Any] = {
        "tenant": of.tenant, "run": of.run, "branch": "", "version": "digest", "epoch": of.epoch, "agent": "support",
        "version_name": "1.0.0", "source": "agent", "conversation": None, "principal": "key_1", "state": "running",
        "created_at": 1000.0,
    }  # fmt: skip
    return RunView(**(given | fields))


def entry(of: Lease, seq: int, amount: int) -> LedgerEntry:
    return LedgerEntry(
        of.tenant, of.run, "", "digest", of.epoch, seq, 1.5, "settled", "openai/m", amount, 10, 5, 3, 1, 2
    )


def message(of: Lease, id_: str) -> OutboxMessage:
    return OutboxMessage(of.tenant, of.run, "", "digest", of.epoch, id_, 1.5, "run.finished", "crm", 0.0, b"{}")


def decision(of: Lease, id_: str = "dec_1", **fields: Any) -> DecisionRow:
    given: dict[str, Any] = {
        "tenant": of.tenant, "run": of.run, "branch": "", "version": "digest", "epoch": of.epoch, "id": id_,
        "about": "unknown_effect", "subject": "pay", "agent": "support", "asked_at": 5.5, "expires_at": 9.25,
        "default": "skip",
    }  # fmt: skip
    return DecisionRow(**(given | fields))


def key(id_: str = "key_1", tenant: str = "acme", **fields: Any) -> KeyRow:
    given: dict[str, Any] = {
        "tenant": tenant, "id": id_, "name": "ci", "role": "admin", "mac": b"\x00\xff\x01" * 10, "created_at": 7.25,
        "created_by": "cli",
    }  # fmt: skip
    return KeyRow(**(given | fields))
