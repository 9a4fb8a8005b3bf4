"""Keys of people: whose each is, that none outlives its maker, and that nobody sees more by making one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from golive.config.access import RoleConfig
from golive.config.auth import OidcConfig
from golive.core.chance import SeededChance
from golive.core.errors import Forbidden, InvalidRequest, NotFound, Suspended, Unauthenticated
from golive.store.ports import KeyRow
from golive.store.revocation import EVERY_TENANT
from golive.tenants.administration import Settings, TenantAdmin, UserAdmin
from golive.tenants.authorize import Principal
from golive.tenants.directory import Directory
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin, NewKey
from golive.tenants.makers import end_keys_of, makers, signature
from golive.tenants.revoking import TokenAdmin
from golive.tenants.rolebook import Rolebook
from tests.unit.test_keys import PEPPER, World

DAY = 86_400.0
ISSUER = {"audience": ("golive",), "role": "admin"}


class People(World):
    """Keys that people make; a key of theirs works for 10 days at most. Another server has `there`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.book = Rolebook({"lead": RoleConfig(verbs=("runs.read", "keys.read", "keys.manage"))})
        self.ring = Keyring(self.store, PEPPER, self.clock, self.book)
        self.admin = KeyAdmin(
            self.store, PEPPER, self.clock, SeededChance(5), self.ring.learn, self.book, lambda: 10 * DAY
        )
        self.there = Keyring(self.store, PEPPER, self.clock, self.book)
        self.directory = Directory(self.store, self.clock)
        self.users = UserAdmin(self.store, self.clock, self.directory.refresh)
        self.tokens = TokenAdmin(
            self.store.revocations,
            {
                "corp": OidcConfig(issuer="https://corp.example", user_prefix="corp:", **ISSUER),
                "acme": OidcConfig(issuer="https://acme.example", user_prefix="acme:", tenant="acme", **ISSUER),
                "beta": OidcConfig(issuer="https://beta.example", user_prefix="acme:", tenant="beta", **ISSUER),
            },
            self.clock, SeededChance(6),
            end_keys=lambda theirs, before: end_keys_of(self.store, self.clock, theirs, before),
        )  # fmt: skip

    def person(self, name: str, *, tenant: str = "default", role: str = "admin", home: str = "") -> Principal:
        role_of = self.book.roles[role]
        return Principal(
            tenant, f"user:{name}", role, role_of.grants, role_of.across, home=home, own_runs=role_of.own_runs
        )

    async def made(self, by: Principal, role: str = "viewer", **options: Any) -> NewKey:
        return await self.admin.create(by.tenant, "x", role, created_by=signature(by), by=by, **options)

    async def why(self, made: NewKey) -> str:
        """Why the key's holder is not let in at the other server; "" where they are."""
        await self.there.refresh()
        try:
            await self.directory.admit(await self.there.authenticate(made.secret))
        except Suspended as error:
            return str(error.fields["reason"])
        except Unauthenticated:
            return "unknown"
        return ""


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    found = People(tmp_path)
    tenants = TenantAdmin(found.store, found.clock)
    for name in ("acme", "beta"):
        await tenants.create(name, Settings(), by="tests")
    await found.directory.refresh()
    yield found
    await found.store.close()


def test_whose_a_key_is_stands_in_who_made_it() -> None:
    """Through any number of keys, whatever order they come in; of another tenant's people with their tenant's name."""

    def row(id_: str, created_by: str, role: str = "viewer") -> KeyRow:
        return KeyRow("acme", id_, "x", role, b"", 1.0, created_by)

    rows = [
        row("c", "key:b"), row("b", "key:a"), row("a", "user:corp:né/b"), row("d", "default/user:root"),
        row("e", "default/key:d"), row("f", "cli"), row("g", "key:f"), row("h", "key:gone"),
        row("i", "oidc:corp", "user as:corp%3Aann"), row("j", "key:i"), row("k", "key:l"), row("l", "key:k"),
        row("m", "user:x/user:y"), row("n", "user:key:a"),
    ]  # fmt: skip
    assert makers(rows) == {
        "a": ("acme", "corp:né/b"), "b": ("acme", "corp:né/b"), "c": ("acme", "corp:né/b"),
        "d": ("default", "root"), "e": ("default", "root"), "f": None, "g": None, "h": None,
        "i": ("acme", "corp:ann"), "j": ("acme", "corp:ann"), "k": None, "l": None,
        "m": ("acme", "x/user:y"), "n": ("acme", "key:a"),
    }  # fmt: skip


async def test_keys_of_whoever_is_suspended_rest(people: People) -> None:
    """Also those that their keys made, and those in other tenants; others' keys go on, and so do theirs afterwards."""
    ann = people.person("corp:ann", role="platform")
    first = await people.made(ann, "admin")
    second = await people.made(await people.ring.authenticate(first.secret))
    abroad = await people.made(structs.replace(ann, tenant="acme"))
    other = await people.made(people.person("corp:bob"))
    keys = (first, second, abroad, other)
    assert [each.row.created_by for each in keys] == [
        "user:corp:ann", f"key:{first.row.id}", "default/user:corp:ann", "user:corp:bob",
    ]  # fmt: skip
    assert [await people.why(each) for each in keys] == ["", "", "", ""]
    await people.users.suspend("default", "corp:ann", by="tests")
    assert [await people.why(each) for each in keys] == ["maker.suspended"] * 3 + [""]
    await people.users.resume("default", "corp:ann")
    assert [await people.why(each) for each in keys] == ["", "", "", ""]
    await people.store.tenant("default").put_user(
        structs.replace(await people.users.get("default", "corp:ann"), state="erased")
    )
    await people.directory.refresh()
    assert [await people.why(each) for each in keys] == ["maker.suspended"] * 3 + [""]


@pytest.mark.parametrize("named", ["corp:ann", "ann"])
async def test_keys_of_whoever_is_revoked_are_revoked(people: People, named: str) -> None:
    """With their sessions; not those of others, nor what is made later. The name is as golive or the issuer has it."""
    ann = people.person("corp:ann")
    first = await people.made(ann, "admin")
    second = await people.made(await people.ring.authenticate(first.secret))
    session = await people.admin.begin_session(
        "default", ["user"], "corp:ann", None, created_by="oidc:corp", expires_in_s=60
    )
    namesake, other = await people.made(people.person("acme:ann")), await people.made(people.person("corp:bob"))
    row, ended = await people.tokens.revoke("default", by="cli", issuer="corp", user=named)
    assert (row.kind, row.value, row.issuer) == ("user", "ann", "https://corp.example")
    assert {each.id for each in ended} == {each.row.id for each in (first, second, session)}
    people.clock.at += 1
    later = await people.made(ann)
    keys = (first, second, session, namesake, other, later)
    assert [await people.why(each) for each in keys] == ["unknown"] * 3 + [""] * 3


async def test_keys_of_all_people_of_an_issuer_end_with_its_tokens(people: People) -> None:
    """Those of its tenants, by its prefix; one token's revocation ends none."""
    ann, of_acme = await people.made(people.person("corp:ann")), people.person("acme:eve", tenant="acme")
    eve = await people.made(of_acme)
    namesake = await people.made(people.person("acme:eve", tenant="beta"))
    _, ended = await people.tokens.revoke("acme", by="cli", issuer="acme", jti="7")
    assert list(ended) == []
    _, ended = await people.tokens.revoke(EVERY_TENANT, by="cli", issuer="acme")
    assert [each.id for each in ended] == [eve.row.id]
    assert [await people.why(each) for each in (ann, eve, namesake)] == ["", "unknown", ""]


async def test_the_issuer_is_known_by_the_name_that_golive_shows(people: People) -> None:
    """Where that fits one; a name that fits none is told, and nothing is revoked."""
    row, _ = await people.tokens.revoke("default", by="cli", user="corp:bob")
    assert (row.issuer, row.value) == ("https://corp.example", "bob")
    row, _ = await people.tokens.revoke("beta", by="cli", user="acme:bob")
    assert (row.issuer, row.value) == ("https://beta.example", "bob")
    for tenant, name in (("default", "bob"), (EVERY_TENANT, "acme:bob"), ("default", "acme:bob")):
        with pytest.raises(NotFound, match="It does not say of which issuer"):
            await people.tokens.revoke(tenant, by="cli", user=name)
    assert len(await people.store.revocations.all()) == 2


async def test_a_key_of_a_person_has_an_end(people: People) -> None:
    """As late as is configured where they name none; none later; so has one that they make in the place of another."""
    ann, now = people.person("corp:ann"), people.clock.at
    assert (await people.made(ann)).row.expires_at == now + 10 * DAY
    assert (await people.made(ann, expires_in_s=60.0)).row.expires_at == now + 60
    with pytest.raises(InvalidRequest, match="works for 10 days at most"):
        await people.made(ann, expires_in_s=10 * DAY + 1)
    key_id, secret = await people.key("admin")
    rotated = await people.admin.rotate("default", key_id, 60.0, created_by=signature(ann), by=ann)
    assert rotated.new.row.expires_at == now + 10 * DAY
    assert (await people.ring.authenticate(secret)).maker is None
    assert (await people.ring.authenticate(rotated.new.secret)).maker == ("default", "corp:ann")


async def test_whoever_sees_their_own_runs_alone_makes_no_key(people: People) -> None:
    """A key would see everybody's: neither made nor taken over; who sees them all may."""
    bob = people.person("corp:bob", role="lead")
    with pytest.raises(Forbidden, match='The new key would have more than you: "everybody\'s runs"'):
        await people.made(bob, "lead")
    key_id, _ = await people.key("viewer")
    for act in (
        people.admin.rotate("default", key_id, 60.0, created_by=bob.id, by=bob),
        people.admin.revoke("default", key_id, bob),
    ):
        with pytest.raises(Forbidden, match="everybody's runs"):
            await act
    assert len(await people.admin.list("default")) == 1
    await people.made(structs.replace(bob, own_runs=False), "lead")
