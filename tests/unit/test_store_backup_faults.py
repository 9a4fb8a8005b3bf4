"""What `golive store` says, and leaves, when a disk is full, a backup is damaged or a store does not agree."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import GoliveError, InvalidRequest, SchemaMismatch, StoreError, StoreUnavailable
from golive.runtime.folding import views
from golive.store.sqlite.connection import connect
from golive.store.upkeep import backup as backups
from golive.store.upkeep.backup import backup, duplicate
from golive.store.upkeep.migrate import migrate
from golive.store.upkeep.restore import restore
from golive.store.upkeep.verify import verify
from tests.unit import postgres_kit
from tests.unit.upkeep_kit import at, done, filled, rows, silent

DAMAGE = "DELETE FROM events WHERE run = 'run_2' AND seq = 3"


def test_of_an_empty_database_verify_and_migrate_say_the_same() -> None:
    """There is nothing yet, and what makes it."""
    place = at(postgres_kit.fresh())
    for doing in (lambda: verify(place, views, silent), lambda: migrate(place, SystemClock())):
        with pytest.raises(SchemaMismatch) as caught:
            done(doing)
        assert "is empty: there is no store in it yet" in caught.value.message
        assert "`golive serve` makes its tables" in caught.value.remedy


def small(path: str, *, writable: bool = True) -> sqlite3.Connection:
    """A connection to a file that cannot grow."""
    connection = connect(path, writable=writable)
    if path.endswith("new.db"):
        connection.execute("PRAGMA max_page_count=2")
    return connection


def test_a_full_disk_names_the_file_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one that is read; and promises nothing that holds for servers alone."""
    filled(tmp_path / "from.db")
    (tmp_path / "new.db").touch()
    monkeypatch.setattr(backups, "connect", small)
    with pytest.raises(StoreUnavailable) as caught:
        duplicate(str(tmp_path / "from.db"), str(tmp_path / "new.db"), silent)
    assert caught.value.fields["path"] == str(tmp_path / "new.db")
    assert "the disk is full" in caught.value.message
    assert "by itself" not in caught.value.remedy


def test_a_restore_onto_a_full_disk_names_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is prepared beside it, in the same folder, is not told of: it is gone by then."""
    backup(at(filled(tmp_path / "from.db")), tmp_path / "b.db", silent)

    def small(path: str, *, writable: bool = True) -> sqlite3.Connection:
        connection = connect(path, writable=writable)
        if path.endswith("ready.db"):
            connection.execute("PRAGMA max_page_count=2")
        return connection

    monkeypatch.setattr(backups, "connect", small)
    target = tmp_path / "t" / "n.db"
    with pytest.raises(StoreUnavailable) as caught:
        restore(tmp_path / "b.db", at(f"sqlite:{target}"), SystemClock(), silent)
    assert caught.value.fields["path"] == str(target)
    assert f"{target} is unavailable: the disk is full" in caught.value.message
    assert not target.exists()


def test_a_truncated_backup_is_called_damaged_and_the_target_is_left_alone(tmp_path: Path) -> None:
    """The damaged thing is the backup, so its remedy is another one."""
    place = filled(tmp_path / "golive.db")
    backup(at(place), tmp_path / "b.db", silent)
    whole = (tmp_path / "b.db").read_bytes()
    before = rows(place, "SELECT generation FROM installation")
    for cut in (whole[:60_000], whole[:40_000] + bytes(8_000) + whole[48_000:]):
        (tmp_path / "b.db").write_bytes(cut)
        with pytest.raises(StoreError) as caught:
            restore(tmp_path / "b.db", at(place), SystemClock(), silent, force=True)
        assert caught.value.message.startswith(f"The backup {tmp_path / 'b.db'} is damaged")
        assert "was not touched" in caught.value.remedy
        assert "earlier backup" in caught.value.remedy
    assert rows(place, "SELECT generation FROM installation") == before


def test_the_store_itself_is_no_place_for_its_backup(tmp_path: Path) -> None:
    """It would be replaced under whoever has it open; by whatever path it is meant."""
    place = filled(tmp_path / "golive.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "golive.db")
    inode = (tmp_path / "golive.db").stat().st_ino
    for name in ("golive.db", "link.db"):
        with pytest.raises(InvalidRequest, match="is the store itself"):
            backup(at(place), tmp_path / name, silent, replace=True)
    assert (tmp_path / "golive.db").stat().st_ino == inode


def test_a_folder_is_no_backup(tmp_path: Path) -> None:
    """And is called what it is."""
    with pytest.raises(SchemaMismatch, match="is a directory"):
        restore(tmp_path, at(f"sqlite:{tmp_path / 'n.db'}"), SystemClock(), silent)


def test_a_backup_that_does_not_agree_leaves_the_earlier_one(tmp_path: Path) -> None:
    """It is kept beside, and its faults are told."""
    place, file = filled(tmp_path / "golive.db"), tmp_path / "nightly.db"
    backup(at(place), file, silent, fold=views)
    good = file.read_bytes()
    rows(place, DAMAGE)
    with pytest.raises(StoreError) as caught:
        backup(at(place), file, silent, replace=True, fold=views)
    assert "run_2" in caught.value.message
    assert "Events are missing: 3." in caught.value.message
    assert file.read_bytes() == good
    refused = tmp_path / "nightly.db.refused"
    assert str(refused) in caught.value.remedy
    assert verify(at(f"sqlite:{refused}"), views, silent).discrepancies != []
    assert not (tmp_path / "nightly.db.part").exists()


def test_a_backup_of_postgresql_that_does_not_agree_is_refused_too(tmp_path: Path) -> None:
    """It is what was written that is verified."""
    from golive.store.upkeep.copying import copy

    url = postgres_kit.fresh()
    made = filled(tmp_path / "golive.db")
    done(lambda: copy(at(made), at(url), silent))
    rows(url, DAMAGE)
    with pytest.raises(StoreError, match="run_2"):
        done(lambda: backup(at(url), tmp_path / "b.db", silent, fold=views))
    assert not (tmp_path / "b.db").exists()


def test_without_verifying_all_is_written(tmp_path: Path) -> None:
    """Whoever wants the present state, whatever it is, gets it."""
    place = filled(tmp_path / "golive.db")
    rows(place, DAMAGE)
    backup(at(place), tmp_path / "b.db", silent)
    assert verify(at(f"sqlite:{tmp_path / 'b.db'}"), views, silent).discrepancies != []
    shutil.copy(tmp_path / "b.db", tmp_path / "c.db")
    with pytest.raises(GoliveError):
        backup(at(place), tmp_path / "b.db", silent)
