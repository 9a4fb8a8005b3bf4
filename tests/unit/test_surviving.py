"""Loops that follow the store: what a look raises is told once, and the next look comes all the same."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from golive.core.chance import SeededChance
from golive.core.errors import StoreUnavailable
from golive.core.following import Survived
from golive.store.sqlite.store import SqliteStore
from golive.tenants.administration import Settings, TenantAdmin
from golive.tenants.directory import Directory
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin
from tests.unit.test_keys import PEPPER, SetClock

PATIENCE_S = 10.0


class Failing:
    """A store whose control version cannot be told for so many looks."""

    def __init__(self, store: SqliteStore, raised: list[Exception]) -> None:
        self._store = store
        self.raised = raised

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def control_version(self) -> int:
        if self.raised:
            raise self.raised.pop()
        return await self._store.control_version()


@pytest.mark.parametrize("which", ["directory", "keyring"])
async def test_following_goes_on_whatever_a_look_raises(tmp_path: Path, which: str) -> None:
    """A tenant, or a key, that came meanwhile is known afterwards; the store's absence is no fault, all else is."""
    clock, faults = SetClock(), list[tuple[str, str]]()
    store = SqliteStore.open(tmp_path / "golive.db", clock=clock, inline=True)
    failing: Any = Failing(store, [])

    def told(what: str, error: Exception) -> None:
        faults.append((what, str(error)))

    async def changed() -> None:
        """This one is told nothing: it finds out."""

    odd = ValueError("no such form")
    raised = [KeyError("odd"), odd, odd, StoreUnavailable("away")]
    following: Any
    if which == "directory":
        following = Directory(failing, clock, fault=told)
        await following.start()
        await TenantAdmin(store, clock, changed).create("acme", Settings(), by="tests")
    else:
        following = Keyring(failing, PEPPER, clock, fault=told)
        await following.start()
        made = await KeyAdmin(store, PEPPER, clock, SeededChance(1)).create(
            "default", "test", "user", created_by="tests"
        )
    failing.raised += raised
    async with asyncio.timeout(PATIENCE_S):
        while not (following.row("acme") if which == "directory" else made.row.id in following._known):
            await asyncio.sleep(0.01)
    what = {"directory": "tenants", "keyring": "keys"}[which]
    assert faults == [(what, "no such form"), (what, "'odd'")]
    await following.close()
    await store.close()


async def test_open_runs_are_looked_at_again_after_a_look_that_raised(tmp_path: Path) -> None:
    """What is called after each look of the directory may raise, and is called again."""
    clock, faults = SetClock(), list[str]()
    store = SqliteStore.open(tmp_path / "golive.db", clock=clock, inline=True)
    directory = Directory(store, clock, fault=lambda what, _: faults.append(what))
    looks = asyncio.Queue[None]()

    def look() -> None:
        looks.put_nowait(None)
        raise RuntimeError("odd")

    directory.on_poll = look
    await directory.start()
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await looks.get()
    assert faults == ["tenants.open"]
    await directory.close()
    await store.close()


def test_the_same_fault_is_told_again_after_a_look_that_went_well() -> None:
    """And another one at once."""
    faults: list[str] = []
    survived = Survived("keys", lambda _, error: faults.append(str(error)))
    for raised in ("one", "one", "two", None, "two"):
        with survived.look():
            if raised:
                raise RuntimeError(raised)
    assert faults == ["one", "two", "two"]


async def test_being_cancelled_is_not_survived() -> None:
    """A loop that is to end ends."""
    with pytest.raises(asyncio.CancelledError), Survived("keys", lambda *_: None).look():
        raise asyncio.CancelledError
