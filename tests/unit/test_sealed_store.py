"""The sealed store: nothing said stands in the file, nothing opens elsewhere, keys change under load and end."""

import io
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from golive.config.master_keys import master_keys
from golive.config.schema import SecretsConfig
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, ContentErased, ContentSealed, NotAsItStands, SecretMissing
from golive.core.sealing import MOST_VALUES
from golive.runtime.folding import views
from golive.store.sealed import keys as keys_module
from golive.store.sealed.keys import DataKeys
from golive.store.sealed.master import Masters
from golive.store.sealed.rotation import rewrap
from golive.store.sealed.store import sealed
from golive.store.sqlite import SqliteStore
from golive.store.upkeep.backup import backup
from golive.store.upkeep.verify import verify
from golive.telemetry.logs import configure
from tests.contract.store_kit import MASTER, events, lease, message
from tests.unit.upkeep_kit import add_run, at, done, rows, silent
from tests.untouched import contents

WORD = "xylophone"
OTHER = bytes(range(1, 33))


class Place:
    """A file, and servers that use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[Any] = []

    async def server(self, master: bytes = MASTER, *old: bytes, reads_plain: bool = False) -> tuple[Any, DataKeys]:
        plain = SqliteStore.open(self.path, clock=SystemClock())
        self.opened.append(plain)
        log, chance = configure("error", "json", None, io.StringIO()), SystemChance()
        masters = Masters(await plain.data_keys.installation(), master, old)
        keys = DataKeys(plain.data_keys, masters, SystemClock(), chance, log)
        await keys.start()
        return sealed(plain, keys, chance, log, plain=reads_plain), keys


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "golive.db")
    yield made
    for store in made.opened:
        await store.close()


async def said(store: Any, run: str = "run_1", body: bytes = WORD.encode()) -> None:
    of = lease(run)
    told = replace(message(of, f"msg_{run}"), body=body)
    await store.append(of, 0, events(range(1, 3), of, body), outbox=[told])


async def bodies(store: Any, run: str = "run_1") -> list[bytes]:
    return [event.body for event in await store.tenant("acme").events(run)]


def sql(place: Place, statement: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(place.path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


async def test_nothing_that_was_said_stands_in_the_files(place: Place) -> None:
    """Database, write-ahead log and a backup; and the words of a receiver that quotes what it was sent."""
    store, _ = await place.server()
    await said(store)
    [found] = await store.claim_messages(10.0, 5)
    await store.settle_message("acme", found.id, "due", f"it answered 400: cannot read {WORD}")
    connection = sqlite3.connect(place.path)
    with closing(sqlite3.connect(place.path.with_name("backup.db"))) as copy:
        connection.backup(copy)
    connection.close()
    files = [file for file in place.path.parent.iterdir() if file.is_file()]
    assert {"golive.db", "golive.db-wal", "backup.db"} <= {file.name for file in files}
    assert [file.name for file in files if WORD.encode() in contents(file)] == []
    assert await bodies(store) == [WORD.encode()] * 2
    assert found.body == WORD.encode()
    [kept] = await store.tenant("acme").deliveries()
    assert (kept.body, kept.last_error) == (WORD.encode(), f"it answered 400: cannot read {WORD}")


async def test_what_is_not_sealed_is_not_read_unless_it_may_be(place: Place) -> None:
    """Whoever can write to the database could have put it there; the error names the row and what to do."""
    plain = SqliteStore.open(place.path, clock=SystemClock())
    of = lease()
    await plain.append(of, 0, events(range(1, 2), of, b"old"))
    await plain.close()
    store, keys = await place.server()
    await store.append(of, 1, events(range(2, 3), of, b"new"))
    with pytest.raises(ContentSealed, match=r"Event 1 .* run_1 of acme stands there in plain words") as refused:
        await bodies(store)
    assert "golive secrets seal" in refused.value.remedy
    assert keys.not_opened["acme"] == 1
    reading, _ = await place.server(reads_plain=True)
    assert await bodies(reading) == [b"old", b"new"]


async def test_a_message_in_plain_words_is_not_sent(place: Place) -> None:
    """It would bear a valid signature. It stays due, is shown to nobody, and is told."""
    store, keys = await place.server()
    await said(store)
    sql(place, "UPDATE outbox SET body = x'7b7d'")
    assert await store.claim_messages(10.0, 5) == []
    assert sql(place, "SELECT state FROM outbox") == [("due",)]
    with pytest.raises(ContentSealed, match="stands there in plain words"):
        await store.tenant("acme").deliveries()
    assert keys.not_opened["acme"] == 2


@pytest.mark.parametrize(
    "moved", ["SET run = 'run_9', seq = seq + 10", "SET seq = 3 - seq + 10", "SET kind = 'run.finished'"]
)
async def test_a_value_opens_in_its_own_row_alone(place: Place, moved: str) -> None:
    """Another run, another place in it, another kind: the row is named, and no half journal comes back."""
    store, _ = await place.server()
    await said(store)
    sql(place, f"UPDATE events {moved}")
    run = "run_9" if "run_9" in moved else "run_1"
    with pytest.raises(ContentSealed, match=f"the run {run} of acme cannot be opened"):
        await store.tenant("acme").events(run)


async def test_a_message_opens_in_its_own_row_alone(place: Place) -> None:
    """It is not sent; it stays due."""
    store, _ = await place.server()
    await said(store)
    sql(place, "UPDATE outbox SET topic = 'run.cancelled'")
    assert await store.claim_messages(10.0, 5) == []
    assert sql(place, "SELECT state FROM outbox") == [("due",)]


async def test_another_master_key_is_refused_at_the_start(place: Place) -> None:
    """With its name, and the name of the one that it takes; nothing is changed, and no new data key is made."""
    store, keys = await place.server()
    await said(store)
    before = sql(place, "SELECT * FROM data_keys")
    with pytest.raises(ContentSealed, match=f"under the master key {keys.masters.present}") as caught:
        await place.server(OTHER)
    assert "secrets.old_master_keys" in caught.value.remedy
    assert sql(place, "SELECT * FROM data_keys") == before


def test_a_missing_master_key_is_made_once_and_never_over_what_is_sealed(tmp_path: Path) -> None:
    """Mode 0600; afterwards a lost file is told, and not replaced."""
    secrets, config = Secrets(tmp_path, {}), SecretsConfig()
    made, old = master_keys(secrets, tmp_path, config, SystemChance(), sealed=0)
    path = tmp_path / ".golive" / "master.key"
    assert isinstance(made, bytes)
    assert (len(made), old, path.stat().st_mode & 0o777) == (32, [], 0o600)
    assert master_keys(secrets, tmp_path, config, SystemChance(), sealed=3)[0] == made
    path.unlink()
    with pytest.raises(SecretMissing, match="sealed under it"):
        master_keys(secrets, tmp_path, config, SystemChance(), sealed=3)
    assert not path.exists()


@pytest.mark.parametrize("text", ["short", "z" * 64, "AAAA"])
def test_a_master_key_that_is_none_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    """32 bytes in hexadecimal or base64."""
    with pytest.raises(ConfigError, match="is not 32 bytes") as caught:
        master_keys(
            Secrets(tmp_path, {"KEY": text}), tmp_path, SecretsConfig(master_key="env:KEY"), SystemChance(), sealed=0
        )
    assert text not in str(caught.value)


async def test_the_master_key_changes_while_servers_run(place: Place) -> None:
    """Wrapped anew under the new one; the old server goes on, a new one needs only the new; again changes nothing."""
    store, keys = await place.server()
    await said(store)
    masters = Masters(keys.masters.installation, OTHER, [MASTER])
    done_ = await rewrap(store.data_keys, masters, SystemChance())
    assert (done_.wrapped, done_.already) == (1, 0)
    await store.control_version()
    await said(store, "run_2")
    assert await bodies(store) == await bodies(store, "run_2") == [WORD.encode()] * 2
    new, _ = await place.server(OTHER)
    assert await bodies(new, "run_2") == [WORD.encode()] * 2
    with pytest.raises(ContentSealed):
        await place.server(MASTER)
    again = await rewrap(store.data_keys, masters, SystemChance())
    assert (again.wrapped, again.already) == (0, 1)


async def test_a_data_key_is_replaced_and_old_values_stay_readable(place: Place) -> None:
    """Other servers use the new one as soon as they see the control version."""
    one, keys = await place.server()
    other, _ = await place.server()
    await said(one)
    await other.control_version()
    new = await keys.rotate("acme")
    await other.control_version()
    await said(other, "run_2")
    used = sql(place, "SELECT run, key_id FROM events GROUP BY run, key_id ORDER BY run")
    assert used[0][1] != new
    assert used[1] == ("run_2", new)
    for store in (one, other):
        assert await bodies(store) == await bodies(store, "run_2") == [WORD.encode()] * 2


async def test_two_servers_seal_under_one_key(place: Place) -> None:
    """Each reads what the other wrote a moment ago, also a key it has not heard of."""
    one, _ = await place.server()
    other, _ = await place.server()
    await said(one)
    assert await bodies(other) == [WORD.encode()] * 2
    await said(other, "run_2")
    assert await bodies(one, "run_2") == [WORD.encode()] * 2
    assert len(await one.data_keys.all()) == 1


async def test_what_is_erased_is_told_so_on_every_server(place: Place) -> None:
    """Events say erased; lists go on; a message is given up; nothing of the wrapped key is left in the file."""
    one, _ = await place.server()
    other, _ = await place.server()
    await said(one)
    assert await bodies(other) == [WORD.encode()] * 2
    [wrapped] = [row.wrapped for row in await one.data_keys.all()]
    assert await one.data_keys.erase("acme", None, "", 5.0) == 1
    for store in (one, other):
        await store.control_version()
        with pytest.raises(ContentErased, match="was erased"):
            await store.tenant("acme").events("run_1")
        assert [event.body for event in (await store.tenant("acme").tail(""))[0]] == [b"", b""]
        assert [found.body for found in await store.tenant("acme").deliveries()] == [b""]
    assert await one.claim_messages(10.0, 5) == []
    assert sql(place, "SELECT state FROM outbox") == [("dead",)]
    sql(place, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert wrapped not in contents(place.path)


async def test_no_key_seals_more_than_it_may(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound a new one takes its place; what a server reserved and did not use is not used by another."""
    monkeypatch.setattr(keys_module, "BLOCK", 6)
    store, _ = await place.server()
    await said(store)
    sql(place, "UPDATE data_keys SET reserved = ?", MOST_VALUES - 1)
    for number in range(2, 6):
        await said(store, f"run_{number}")
    counted = sql(place, "SELECT key_id, count(*) FROM events GROUP BY key_id ORDER BY key_id")
    assert [count for _, count in counted] == [4, 6]
    kept = {row.id: row for row in await store.data_keys.all()}
    assert kept[counted[0][0]].retired_at is not None
    assert kept[counted[1][0]].reserved == 12


async def test_the_store_is_verified_with_its_key_and_without(place: Place, tmp_path: Path) -> None:
    """With the key all is folded; without it frames are still held against each other; a moved value is told."""
    store, keys = await place.server()
    for number in (1, 2):
        await add_run(store, "acme", f"run_{number}", "finished")
    masters, url = keys.masters, f"sqlite:{place.path}"

    def verified(with_key: bool) -> Any:
        return verify(at(url), views, silent, (lambda installation, rows: masters) if with_key else None)

    import asyncio

    found = await asyncio.to_thread(lambda: (done(lambda: verified(True)), done(lambda: verified(False))))
    assert [(one.discrepancies, one.unopened, one.runs) for one in found] == [([], 0, 2), ([], 2, 2)]
    rows(url, "UPDATE events SET kind = 'text.block' WHERE run = 'run_1' AND seq = 2")
    moved = await asyncio.to_thread(lambda: done(lambda: verified(True)))
    assert [(one.run, one.check) for one in moved.discrepancies] == [("run_1", "sealed")]
    made = await asyncio.to_thread(
        lambda: done(lambda: backup(at(url), tmp_path / "b.db", silent, fold=views, master=None))
    )
    assert made.rows["runs"] == 2


async def test_nothing_is_wrapped_under_a_master_key_that_a_server_lacks(place: Place) -> None:
    """A server fetches keys of users when it needs them: it would have found one that it cannot open."""
    store, keys = await place.server()
    await said(store)
    await store.beat("srv_old", 60.0)
    masters = Masters(keys.masters.installation, OTHER, [MASTER])
    with pytest.raises(NotAsItStands) as caught:
        await rewrap(store.data_keys, masters, SystemChance())
    assert "srv_old" in caught.value.message
    assert "secrets.old_master_keys" in caught.value.remedy
    assert {row.master for row in await store.data_keys.all()} == {keys.masters.present}
    told, _ = await place.server(MASTER, OTHER)
    await told.leave("srv_old")
    await told.beat("srv_new", 60.0)
    assert (await rewrap(store.data_keys, masters, SystemChance())).wrapped == 1
    await store.beat("srv_late", 60.0)
    assert (await rewrap(store.data_keys, masters, SystemChance(), force=True)).already == 1
