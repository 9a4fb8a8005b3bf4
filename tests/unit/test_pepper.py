"""The pepper against the store: made where nothing hangs on it, and never another one than that of the keys."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from golive.app import Server
from golive.audit.signing import audit_key
from golive.config.load import load
from golive.config.master_keys import master_keys
from golive.config.schema import SecretsConfig
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, SecretMissing
from golive.store.fingerprints import FingerprintRow
from golive.store.sqlite import SqliteStore
from golive.tenants.authorize import INSTALLATION
from golive.tenants.keys import KeyAdmin
from golive.tenants.opening import create_key, open_key_admin
from golive.tenants.pepper import MARK, marking, pepper_of

FILE = "file:.golive/pepper"


class Place:
    """A store, and a folder with a pepper."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".golive" / "pepper"
        self.clock = SystemClock()
        self.store = SqliteStore.open(root / "golive.db", clock=self.clock)

    async def pepper(self, reference: str = FILE, **environ: str) -> bytes:
        secrets = Secrets(self.root, environ)
        return await pepper_of(self.store, secrets, self.root, reference, SystemChance(), self.clock)

    async def admin(self, reference: str = FILE, **environ: str) -> KeyAdmin:
        pepper = await self.pepper(reference, **environ)
        told = marking(self.store, pepper, reference, self.clock)
        return KeyAdmin(self.store, pepper, self.clock, SystemChance(), told)

    async def key(self, admin: KeyAdmin) -> str:
        made = await admin.create(INSTALLATION, "website", "user", created_by="tests")
        return made.row.id

    async def marks(self) -> int:
        return sum(row.reference == MARK for row in await self.store.fingerprints.rows())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    await made.store.close()


async def test_without_keys_a_pepper_is_made(place: Place) -> None:
    """Also once more: nothing hangs on the one that is gone."""
    one = await place.pepper()
    place.path.unlink()
    other = await place.pepper()
    assert (len(one), len(other), one == other) == (64, 64, False)


async def test_where_there_are_keys_a_missing_pepper_is_told_and_none_is_made(place: Place) -> None:
    """It says what hangs on it; put back, it is taken."""
    await place.key(await place.admin())
    kept = place.path.read_bytes()
    place.path.unlink()
    with pytest.raises(SecretMissing) as caught:
        await place.pepper()
    assert caught.value.message == (
        f"the pepper `{FILE}` is missing: there is no file {place.path}, and what the database holds hangs on it "
        "(API keys: 1, revoked secrets: 0)."
    )
    assert "Put it back from where you keep a copy" in caught.value.remedy
    assert not place.path.exists()
    place.path.write_bytes(kept)
    place.path.chmod(0o600)
    assert await place.pepper() == kept.strip()


@pytest.mark.parametrize("reference", [FILE, "file:.golive"])
async def test_a_folder_in_the_place_of_a_key_is_called_one(place: Place, reference: str) -> None:
    """The pepper, the master key and the audit key."""
    place.path.mkdir(parents=True)
    secrets, said = Secrets(place.root, {}), f"`{reference}` is a folder, not a file"
    with pytest.raises(ConfigError, match=f"the pepper {said}"):
        await place.pepper(reference)
    with pytest.raises(ConfigError, match=f"the master key {said}"):
        master_keys(secrets, place.root, SecretsConfig(master_key=reference), SystemChance(), sealed=0)
    with pytest.raises(ConfigError, match=f"the audit key {said}"):
        audit_key(reference, place.root, secrets.resolve, SystemChance())


async def test_a_missing_pepper_is_not_made_over_revoked_secrets(place: Place) -> None:
    """What was revoked is known by fingerprints under the pepper."""
    await place.store.fingerprints.put(FingerprintRow("ab" * 32, "env:KEY", 1.0, 2.0, "cli", "leaked"))
    with pytest.raises(SecretMissing, match="API keys: 0, revoked secrets: 1"):
        await place.pepper()


@pytest.mark.parametrize("reference", [FILE, "env:OTHER"])
async def test_another_pepper_than_that_of_the_keys_is_refused(place: Place, reference: str) -> None:
    """By whatever reference; the same one is taken by another reference, too."""
    await place.key(await place.admin())
    kept = place.path.read_text().strip()
    place.path.write_text("x" * 64)
    with pytest.raises(ConfigError, match="is not the one that the API keys in the database were made under") as caught:
        await place.pepper(reference, OTHER="y" * 64)
    assert "every one of 1 would be refused" in caught.value.message
    assert kept not in str(caught.value)
    assert (await place.pepper("env:KEPT", KEPT=kept)).decode() == kept
    assert await place.marks() == 1


async def test_a_new_pepper_is_taken_once_the_keys_are_revoked(place: Place) -> None:
    """And the one before is then the wrong one; gone back to in the same manner, it is the right one again."""
    first, second = {"P": "a" * 32}, {"P": "b" * 32}
    for now, before in ((first, second), (second, first), (first, second)):
        admin = await place.admin("env:P", **now)
        made = [await place.key(admin), await place.key(admin)]
        with pytest.raises(ConfigError, match="every one of 2 would be refused"):
            await place.pepper("env:P", **before)
        await place.pepper("env:P", **now)
        for each in made:
            await admin.revoke(INSTALLATION, each)
    assert await place.marks() == 3


async def test_sessions_of_browsers_do_not_hold_a_pepper(place: Place) -> None:
    """They end with it, and begin anew."""
    admin = await place.admin("env:P", P="a" * 32)
    await admin.begin_session(INSTALLATION, ["user"], "ann", None, created_by="login", expires_in_s=60.0)
    assert await place.pepper("env:P", P="b" * 32) == b"b" * 32


async def test_a_key_made_under_another_pepper_meanwhile_is_told(place: Place) -> None:
    """Two servers were begun with a pepper each, while there were no keys."""
    one, other = await place.admin("env:P", P="a" * 32), await place.admin("env:P", P="b" * 32)
    await place.key(one)
    with pytest.raises(ConfigError, match="every one of 1 would be refused"):
        await place.key(other)
    assert await place.pepper("env:P", P="a" * 32) == b"a" * 32


async def test_keys_from_before_there_were_marks(place: Place) -> None:
    """Servers wrote down the pepper's own fingerprint; where none did, the pepper is taken as it is."""
    secrets = Secrets(place.root, {"P": "a" * 32})
    admin = KeyAdmin(place.store, secrets.pepper("env:P", SystemChance()), place.clock, SystemChance())
    await place.key(admin)
    assert await place.pepper("env:P", P="b" * 32) == b"b" * 32
    await place.store.fingerprints.put(FingerprintRow(secrets.fingerprint("a" * 32, 64), "env:P", 1.0))
    assert await place.pepper("env:P", P="a" * 32) == b"a" * 32
    with pytest.raises(ConfigError, match="every one of 1 would be refused"):
        await place.pepper("env:P", P="b" * 32)


async def test_a_server_does_not_start_without_the_pepper_of_its_keys(tmp_path: Path) -> None:
    """A command that makes a key leaves the mark; commands that list and revoke need no pepper."""
    (tmp_path / "golive.toml").write_text("")
    loaded, path = load(tmp_path / "golive.toml", {}), tmp_path / ".golive" / "pepper"
    made = await create_key(loaded, "website", "user", {})
    path.unlink()
    with pytest.raises(SecretMissing, match=r"`file:\.golive/pepper` is missing"):
        await Server(loaded, {}).start()
    assert not path.exists()
    path.write_text("x" * 64)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is not the one that the API keys in the database were made under"):
        await Server(loaded, {}).start()
    with pytest.raises(ConfigError, match="is not the one that the API keys in the database were made under"):
        await create_key(loaded, "another", "user", {})
    async with AsyncExitStack() as stack:
        admin = await open_key_admin(loaded, {}, stack, makes=False)
        assert [row.id for row in await admin.list(INSTALLATION)] == [made.row.id]
        await admin.revoke(INSTALLATION, made.row.id)
    server = Server(loaded, {})
    await server.start()
    await server.close()
