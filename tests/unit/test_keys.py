"""API keys and the ring that answers for them, over a real store and a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from golive.core.chance import SeededChance, SystemChance
from golive.core.errors import ConfigError, InvalidRequest, NotFound, Unauthenticated
from golive.store.sqlite.store import SqliteStore
from golive.tenants import keyring as keyring_module
from golive.tenants.authentication import Credentials
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin, key_id_of, mac_of, matches, new_key, usable
from tests.untouched import contents

PEPPER = b"0123456789abcdef0123456789abcdef"


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class World:
    """A store, its key administration and a ring, as two processes on one file would have them."""

    def __init__(self, path: Path) -> None:
        self.clock = SetClock()
        self.store = SqliteStore.open(path / "keys.db", clock=self.clock, inline=True)
        self.admin = KeyAdmin(self.store, PEPPER, self.clock, SeededChance(1))
        self.ring = Keyring(self.store, PEPPER, self.clock)

    async def key(self, role: str = "user", **options: float) -> tuple[str, str]:
        made = await self.admin.create("default", "test", role, created_by="tests", **options)  # type: ignore[arg-type]
        return made.row.id, made.secret

    async def refused(self, header: str) -> str:
        with pytest.raises(Unauthenticated) as error:
            await Credentials(self.ring).authenticate(header)
        return str(error.value)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.ring.start()
    yield made
    await made.ring.close()
    await made.store.close()


def test_a_key_has_the_documented_form() -> None:
    """`gl_`, 8 characters of id, `_`, 43 of secret: recognisable, and 256 bits strong."""
    key_id, key = new_key(SystemChance())
    assert (len(key), key[:3], key[3:11], key[11]) == (55, "gl_", key_id, "_")
    assert key_id_of(key) == key_id
    assert new_key(SystemChance())[1] != key


@given(st.text())
def test_no_text_is_mistaken_for_a_key(text: str) -> None:
    """Anything that has not the exact form has no id."""
    assert key_id_of(text) is None or len(text) == 55


@given(st.integers(0, 54), st.characters(codec="utf-8"))
def test_one_changed_character_proves_nothing(place: int, other: str) -> None:
    """A key in which one character differs does not match, wherever that is."""
    _, key = new_key(SeededChance(7))
    changed = key[:place] + other + key[place + 1 :]
    row = _row(mac_of(key, PEPPER))
    assert matches(changed, row, PEPPER) is (changed == key)


def _row(mac: bytes) -> "keyring_module.KeyRow":
    return keyring_module.KeyRow("default", "id", "n", "user", mac, 0.0, "tests")


def test_a_key_proves_nothing_under_another_pepper() -> None:
    """A stolen table of HMACs is worthless without the pepper."""
    _, key = new_key(SeededChance(7))
    assert matches(key, _row(mac_of(key, PEPPER)), PEPPER)
    assert not matches(key, _row(mac_of(key, PEPPER)), b"x" * 32)


def test_expiry_and_revocation_end_a_key() -> None:
    """Usable until the second it expires, and not once revoked."""
    row = structs.replace(_row(b""), expires_at=100.0)
    assert usable(row, 99.9)
    assert not usable(row, 100.0)
    assert not usable(structs.replace(row, revoked_at=1.0), 50.0)


async def test_the_store_never_sees_a_secret(world: World, tmp_path: Path) -> None:
    """Only the HMAC is written; no part of the secret is in the file."""
    key_id, key = await world.key()
    content = b"".join(contents(path) for path in tmp_path.iterdir() if path.is_file())
    assert key_id.encode() in content
    assert key[12:].encode() not in content


async def test_a_new_key_works_at_once_and_says_who_asks(world: World) -> None:
    """The ring finds a key made after it was loaded without waiting for the poll."""
    key_id, key = await world.key("operator")
    principal = await Credentials(world.ring).authenticate(f"Bearer {key}")
    assert (principal.tenant, principal.id, principal.role) == ("default", f"key:{key_id}", "operator")
    assert await Credentials(world.ring).authenticate(f"bearer {key}") == principal


async def test_every_refusal_has_the_same_words(world: World) -> None:
    """Missing, malformed, unknown, wrong, expired and revoked keys cannot be told apart."""
    _, key = await world.key()
    _, expiring = await world.key(expires_in_s=10)
    revoked_id, revoked = await world.key()
    await world.admin.revoke("default", revoked_id)
    world.clock.at += 20
    await world.ring.refresh()
    unknown = new_key(SeededChance(99))[1]
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    headers = [
        "",
        "Bearer",
        "Bearer x",
        f"Basic {key}",
        key,
        *(f"Bearer {k}" for k in (unknown, wrong, expiring, revoked)),
    ]
    assert len({await world.refused(header) for header in headers}) == 1
    assert (await Credentials(world.ring).authenticate(f"Bearer {key}")).role == "user"


async def test_a_revocation_reaches_a_ring_that_follows(world: World) -> None:
    """After a refresh, which the poll makes four times a second, a key revoked elsewhere is refused."""
    key_id, key = await world.key()
    await Credentials(world.ring).authenticate(f"Bearer {key}")
    row = await world.admin.revoke("default", key_id)
    assert row.revoked_at == world.clock.at
    await world.ring.refresh()
    await world.refused(f"Bearer {key}")
    assert (await world.admin.revoke("default", key_id)) == row


async def test_what_is_made_or_revoked_here_counts_at_once(world: World) -> None:
    """The server's own administration tells its ring: the next request with a revoked key is refused, not polled."""
    own = KeyAdmin(world.store, PEPPER, world.clock, SeededChance(2), world.ring.learn)
    made = await own.create("default", "test", "viewer", created_by="tests")
    assert made.row.id in world.ring._known
    assert (await Credentials(world.ring).authenticate(f"Bearer {made.secret}")).role == "viewer"
    await own.revoke("default", made.row.id)
    await world.refused(f"Bearer {made.secret}")


async def test_a_key_revoked_elsewhere_is_refused_here_once_it_is_revoked_here(world: World) -> None:
    """Revoking a second time changes nothing in the store, and still ends what this ring would have let in."""
    own = KeyAdmin(world.store, PEPPER, world.clock, SeededChance(2), world.ring.learn)
    key_id, key = await world.key()
    await Credentials(world.ring).authenticate(f"Bearer {key}")
    row = await world.admin.revoke("default", key_id)
    assert await own.revoke("default", key_id) == row
    await world.refused(f"Bearer {key}")


async def test_a_refresh_under_way_does_not_undo_a_revocation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that has read the keys just before one was revoked ends up without it all the same."""
    own = KeyAdmin(world.store, PEPPER, world.clock, SeededChance(2), world.ring.learn)
    made = await own.create("default", "test", "user", created_by="tests")
    has_read, go_on = asyncio.Event(), asyncio.Event()
    read = world.store.all_keys

    async def slowly() -> list[keyring_module.KeyRow]:
        rows = await read()
        has_read.set()
        await go_on.wait()
        return rows

    monkeypatch.setattr(world.store, "all_keys", slowly)
    refreshing = asyncio.ensure_future(world.ring.refresh())
    await has_read.wait()
    revoking = asyncio.ensure_future(own.revoke("default", made.row.id))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(refreshing, revoking)
    await world.refused(f"Bearer {made.secret}")


async def test_guesses_do_not_become_load(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown ids asked for together share one read of the store, and a good key among them is still found."""
    reads = []
    counted = world.store.control_version

    async def control_version() -> int:
        reads.append(1)
        return await counted()

    monkeypatch.setattr(world.store, "control_version", control_version)
    _, good = await world.key()
    guesses = [new_key(SeededChance(seed))[1] for seed in range(100, 120)]

    async def guess(key: str) -> bool:
        try:
            await Credentials(world.ring).authenticate(f"Bearer {key}")
        except Unauthenticated:
            return False
        return True

    answers = await asyncio.gather(*(guess(key) for key in [*guesses, good]))
    assert answers == [False] * 20 + [True]
    assert len(reads) <= 2


async def test_a_lent_key_stands_in_no_store(world: World) -> None:
    """A key for a command's own server works in its ring, through refreshes, and in no other; no row, no time of use
    and no change of the keys is written for it."""
    key = world.ring.lend("default", "own", "admin", SeededChance(5))
    before = await world.store.control_version()
    principal = await Credentials(world.ring).authenticate(f"Bearer {key}")
    assert (principal.tenant, principal.role) == ("default", "admin")
    await world.key()
    await world.ring.refresh()
    assert (await Credentials(world.ring).authenticate(f"Bearer {key}")) == principal
    await world.ring.close()
    assert [row.name for row in await world.store.all_keys()] == ["test"]
    assert await world.store.control_version() == before + 1
    other = Keyring(world.store, PEPPER, world.clock)
    with pytest.raises(Unauthenticated):
        await Credentials(other).authenticate(f"Bearer {key}")


async def test_last_use_is_written_lazily_and_never_undoes_a_revocation(world: World) -> None:
    """Times of use reach the store when the ring closes; a key revoked in between stays revoked."""
    key_id, key = await world.key()
    await Credentials(world.ring).authenticate(f"Bearer {key}")
    assert (await world.admin.list("default"))[0].last_used_at is None
    used_at = world.clock.at
    world.clock.at += 5
    await world.admin.revoke("default", key_id)
    await world.ring.close()
    row = (await world.admin.list("default"))[0]
    assert (row.last_used_at, row.revoked_at) == (used_at, world.clock.at)


@pytest.mark.parametrize(
    ("name", "role", "expires_in_s", "field"),
    [
        ("", "user", None, "name"),
        ("  ", "user", None, "name"),
        ("x" * 101, "user", None, "name"),
        ("a\nb", "user", None, "name"),
        ("x", "root", None, "role"),
        ("x", "user", 0.0, "expires_in_s"),
        ("x", "user", -1.0, "expires_in_s"),
        ("x", "user", float("nan"), "expires_in_s"),
        ("x", "user", 1e12, "expires_in_s"),
    ],
)
async def test_unusable_keys_are_not_made(
    world: World, name: str, role: str, expires_in_s: float | None, field: str
) -> None:
    """A bad name, role or expiry is refused by field, and nothing is stored."""
    with pytest.raises(InvalidRequest) as refused:
        await world.admin.create("default", name, role, created_by="tests", expires_in_s=expires_in_s)
    assert refused.value.fields["field"] == field
    assert await world.admin.list("default") == []


async def test_a_tenants_keys_are_its_own(world: World) -> None:
    """Another tenant neither lists nor revokes the key."""
    key_id, _ = await world.key()
    assert await world.admin.list("other") == []
    with pytest.raises(NotFound):
        await world.admin.revoke("other", key_id)


def test_a_short_pepper_is_refused(tmp_path: Path) -> None:
    """A pepper below 32 bytes does not start."""
    clock = SetClock()
    store = SqliteStore.open(tmp_path / "keys.db", clock=clock, inline=True)
    with pytest.raises(ConfigError):
        KeyAdmin(store, b"short", clock, SeededChance(1))
