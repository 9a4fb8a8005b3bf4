"""Content of before it was sealed: refused at the start, named by verify, sealed in batches, and nothing is lost."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import SecretsConfig
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ContentSealed
from golive.runtime.folding import views
from golive.store.opening import open_store
from golive.store.ports import Store
from golive.store.sealed.opening import data_keys, seal
from golive.store.upkeep import sealing_up
from golive.store.upkeep.sealing_up import SealedUp, seal_up
from golive.store.upkeep.verify import verify
from golive.telemetry.logs import configure
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import at, done, fill, rows, silent

PLAIN = SecretsConfig(plain_rows="read")


@pytest.fixture(params=["sqlite", "app"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store from before, of two tenants: three runs each, nothing of it sealed."""
    url = f"sqlite:{tmp_path / 'golive.db'}" if request.param == "sqlite" else postgres_kit.fresh("app")

    async def go() -> None:
        store = await open_store(url, tmp_path, SystemClock())
        await fill(store, 3)
        await store.close()

    asyncio.run(go())
    rows(url, "DELETE FROM data_keys WHERE id LIKE 'dk_%'")
    return url


def opened(place: str, folder: Path, how: SecretsConfig, then: Any) -> Any:
    """What `then` returns, of the sealed store."""

    async def go() -> Any:
        plain = await open_store(place, folder, SystemClock())
        try:
            return await then(await seal(plain, *around(folder, how)))
        finally:
            await plain.close()

    return asyncio.run(go())


def around(folder: Path, how: SecretsConfig) -> tuple[Any, ...]:
    log = configure("error", "json", None, io.StringIO())
    return Secrets(folder, {}), folder, how, SystemClock(), SystemChance(), log


def sealed_up(place: str, folder: Path, *, dry: bool = False) -> SealedUp:
    async def go() -> SealedUp:
        plain = await open_store(place, folder, SystemClock())
        try:
            keys = await data_keys(plain, *around(folder, SecretsConfig()))
            return await seal_up(at(place), keys, SystemChance(), dry=dry)
        finally:
            await plain.close()

    return asyncio.run(go())


async def journals(store: Store) -> list[bytes]:
    return [
        event.body
        for tenant in ("acme", "beta")
        for run in ("run_1", "run_2", "run_3")
        for event in await store.tenant(tenant).events(run)
    ]


def test_what_is_of_before_is_refused_at_the_start_and_sealed_without_loss(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun before; `read` reads it; sealed, in batches of two, it is what it was, and the start goes on."""
    monkeypatch.setattr(sealing_up, "AT_ONCE", 2)
    with pytest.raises(ContentSealed, match="holds content of acme in plain words") as refused:
        opened(place, tmp_path, SecretsConfig(), journals)
    assert "golive secrets seal" in refused.value.remedy
    before = opened(place, tmp_path, PLAIN, journals)
    told = done(lambda: verify(at(place), views, silent, plain=False)).discrepancies
    assert {(one.check, one.tenant, one.run) for one in told} == {
        ("sealed", tenant, f"run_{number}") for tenant in ("acme", "beta") for number in (1, 2, 3)
    }
    [(messages,)] = rows(place, "SELECT count(*) FROM outbox")
    count = SealedUp(events=len(before), messages=messages)
    assert messages > 0
    assert sealed_up(place, tmp_path, dry=True) == count
    assert rows(place, "SELECT count(*) FROM events WHERE key_id IS NOT NULL") == [(0,)]
    assert sealed_up(place, tmp_path) == count
    assert sealed_up(place, tmp_path) == SealedUp()
    assert opened(place, tmp_path, SecretsConfig(), journals) == before
    assert rows(place, "SELECT count(*) FROM events WHERE key_id IS NULL") == [(0,)]
    assert done(lambda: verify(at(place), views, silent, plain=False)).discrepancies == []


def test_what_somebody_else_put_there_is_not_made_genuine(place: str, tmp_path: Path) -> None:
    """A row that is younger than its tenant's first key: it is counted, left, and named by verify."""
    sealed_up(place, tmp_path)
    rows(place, "UPDATE events SET key_id = NULL, at = 9e9 WHERE tenant = 'acme' AND run = 'run_2' AND seq = 1")
    assert sealed_up(place, tmp_path) == SealedUp(younger=1)
    told = done(lambda: verify(at(place), views, silent, plain=False)).discrepancies
    assert [(one.check, one.run) for one in told] == [("sealed", "run_2")]
    assert "Event 1 (run.accepted) of the run run_2 of acme stands there in plain words" in told[0].message
