"""No process opens a database's files beside SQLite: the guard sees it, and none of the store's acts does it."""

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.audit.exporting import lines
from golive.audit.signing import AuditKey
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.runtime.folding import views
from golive.store.sqlite import SqliteStore, erasures
from golive.store.sqlite.connection import create_file
from golive.store.tenancy import TenantRow
from golive.store.upkeep.backup import backup
from golive.store.upkeep.migrate import migrate
from golive.store.upkeep.verify import verify
from golive.telemetry.logs import configure
from golive.tenants.erasure import Eraser
from golive.tenants.exporting import exported
from tests import untouched
from tests.contract.store_kit import key
from tests.unit.test_erasure import plant
from tests.unit.test_sealed_store import Place
from tests.unit.upkeep_kit import at, done, silent

CLOCK = SystemClock()
HOLDS = (1, 1)
"""Locks that an open store holds while it is idle: on the file, and on the shared memory of its write-ahead log."""


def held(path: Path) -> tuple[int, int]:
    return untouched.locks(path), untouched.locks(path.with_name(path.name + "-shm"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Any]:
    place = Place(tmp_path / "golive.db")
    opened, _ = await place.server()
    for tenant in ("acme", "beta"):
        row = TenantRow(tenant=tenant, state="active", created_at=1.0, created_by="cli")
        await opened.tenant(tenant).put_tenant(row)
        await opened.tenant(tenant).put_key(key(tenant=tenant))
        for user in ("ann", "ben"):
            await plant(opened, tenant, user, "xylophone")
    yield opened
    for each in place.opened:
        await each.close()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
async def test_the_guard_refuses_and_names_the_file(tmp_path: Path, ending: str) -> None:
    """While SQLite has it open in this process, however it is opened; not before, and not afterwards."""
    path = tmp_path / "golive.db"
    named = path.with_name(path.name + ending)
    path.touch()
    store, count = SqliteStore.open(path, clock=CLOCK), len(untouched.seen)
    ways: list[Any] = [named.read_bytes, lambda: named.open("ab"), lambda: os.open(os.fsencode(named), os.O_RDONLY)]
    for way in ways:
        with pytest.raises(untouched.OpenedBesideSqlite, match=named.name):
            way()
    assert untouched.seen[count:] == [str(named)] * 3
    assert held(path) == HOLDS
    await store.close()
    assert path.read_bytes().startswith(b"SQLite format 3")


async def test_opening_it_takes_the_locks_away_and_another_process_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why there is a guard at all."""
    path = tmp_path / "golive.db"
    store = SqliteStore.open(path, clock=CLOCK)
    assert untouched.contents(path).startswith(b"SQLite format 3")
    assert held(path) == HOLDS
    monkeypatch.setattr(untouched, "ENDINGS", ("no such ending",))
    path.read_bytes()
    assert held(path) == (0, 1)
    await store.close()


async def test_no_act_of_the_store_touches_its_files(store: Any, tmp_path: Path) -> None:
    """Erasing, looking, wiping, pruning, exporting; and what commands do, done in this very process."""
    path, count = tmp_path / "golive.db", len(untouched.seen)
    log = configure("error", "json", None, io.StringIO())

    async def recorded(entry: Any) -> None:
        await store.audit.append([entry])

    eraser = Eraser(store, CLOCK, recorded, log, settle_s=0.0)
    report = await eraser.erase("acme", "ann", "cli")
    assert (report.proved, report.sampled > 0, report.in_files) == (True, True, 0)
    assert (await eraser.erase("beta", None, "cli")).proved
    assert await store.erasures.in_files([b"SQLite format 3", b"no such bytes"]) == 1
    assert await store.wipe()
    assert await store.prune(0.0, 10) == 0
    await store.ping()
    assert len([line async for line in exported(store, "acme", None, CLOCK)]) > 4
    audit_key = AuditKey(SystemChance().token(32))
    assert len([line async for line in lines(store.audit, ["acme"], audit_key, CLOCK)]) > 2
    assert held(path) == HOLDS
    beside = SqliteStore.open(path, clock=CLOCK)
    assert held(path) == HOLDS
    await beside.close()
    assert held(path) == HOLDS
    url = f"sqlite:{path}"

    def commands() -> None:
        done(lambda: backup(at(url), tmp_path / "kept.db", silent, fold=views))
        done(lambda: verify(at(url), views, silent))
        done(lambda: migrate(at(url), CLOCK, None, dry=True, force=True, tell=lambda _: None))
        create_file(str(path))

    await asyncio.to_thread(commands)
    assert (held(path), untouched.seen[count:]) == (HOLDS, [])


async def test_what_cannot_be_looked_through_is_not_proved(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends without an answer, takes too long, or cannot begin: each is told, and none is a pass."""
    told: list[str] = []

    class Log:
        def info(self, event: str, /, **_: Any) -> None:
            told.append(event)

        error = info

    async def recorded(entry: Any) -> None:
        await store.audit.append([entry])

    for name, value, cause in (
        ("_GREP", Path("no/such/grep.py"), "ended with 2"),
        ("LOOK_S", 0.0, "took longer than 0 s"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(erasures, name, value)
            with pytest.raises(StoreUnavailable, match=f"could not be looked through: .*{cause}"):
                await store.erasures.in_files([b"x"])
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    report = await Eraser(store, CLOCK, recorded, Log(), settle_s=0.0).erase("acme", "ann", "cli")
    assert (report.proved, report.in_files, sum(report.standing.values())) == (False, None, 0)
    assert any("is not known" in said and "no process can be started" in said for said in report.remains)
    assert told == ["erasure.begun", "erasure.files_not_read", "erasure.not_proved"]
    assert (await store.tenant("acme").user("ann")).erased_at is None
