"""Which store a URL means, what is imported for it, and that its password is shown nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, StoreUnavailable
from golive.store.opening import open_store, take_for_server
from golive.store.postgres import PostgresStore
from golive.store.sqlite import SqliteStore
from tests.postgres_kit import Database


async def test_the_url_says_which_store_it_is(tmp_path: Path) -> None:
    """SQLite's path is relative to golive.toml; PostgreSQL has two names."""
    store = await open_store("sqlite:sub/golive.db", tmp_path, SystemClock())
    assert isinstance(store, SqliteStore)
    await store.close()
    assert (tmp_path / "sub/golive.db").is_file()
    database = Database()
    for url in (database.url, database.url.replace("postgresql:", "postgres:")):
        store = await open_store(url, tmp_path, SystemClock())
        assert isinstance(store, PostgresStore)
        assert store.shared
        await store.close()
    database.drop()


def test_one_server_has_a_sqlite_file_and_any_number_a_database(tmp_path: Path) -> None:
    """Until it is given up."""
    release = take_for_server("sqlite:golive.db", tmp_path)
    with pytest.raises(StoreUnavailable, match="another golive server"):
        take_for_server("sqlite:golive.db", tmp_path)
    release()
    take_for_server("sqlite:golive.db", tmp_path)()
    url = "postgresql://golive@/golive"
    both = [take_for_server(url, tmp_path), take_for_server(url, tmp_path)]
    for release in both:
        release()


def test_a_server_on_sqlite_loads_no_driver_for_postgresql(tmp_path: Path) -> None:
    """Neither time nor memory for what is not used."""
    script = (
        "import asyncio, sys; from pathlib import Path; import golive.app\n"
        "from golive.core.clock import SystemClock; from golive.store.opening import open_store\n"
        "asyncio.run(open_store('sqlite::golive.db', Path(sys.argv[1]), SystemClock()))\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('asyncpg', 'sqlalchemy', 'alembic')])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://golive:s3cret@db:5432/golive", "postgresql://golive:***@db:5432/golive"),
        ("postgresql://golive@db/golive?password=s3cret&sslmode=require",
         "postgresql://golive@db/golive?password=***&sslmode=require"),
        ("postgresql://golive@db:5432/golive", "postgresql://golive@db:5432/golive"),
        ("sqlite:golive.db", "sqlite:golive.db"),
    ],
)  # fmt: skip
def test_a_password_in_the_url_is_not_explained(tmp_path: Path, url: str, shown: str) -> None:
    """What `golive config explain` and GET /v1/config show of it; golive itself has the whole."""
    (tmp_path / "golive.toml").write_text(f'[store]\nurl = "{url}"\n')
    loaded = load(tmp_path, {})
    assert loaded.config.store.url == url
    assert next(value.value for value in loaded.values if value.key == "store.url") == shown


@pytest.mark.parametrize("url", ["mysql://db/golive", "postgresql:db", "sqlite:", "golive.db", "postgresql://a b/c"])
def test_what_is_no_address_of_a_store_is_refused(tmp_path: Path, url: str) -> None:
    """With the two forms that there are."""
    (tmp_path / "golive.toml").write_text(f'[store]\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="postgresql://USER@HOST/DATABASE"):
        load(tmp_path, {})
