"""Who may make, see, rotate and end which keys: never one that may more than they themselves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.config.access import RoleConfig
from golive.core.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from golive.tenants.administration import Settings, TenantAdmin
from golive.tenants.authentication import Credentials
from golive.tenants.authorize import Principal
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin, NewKey
from golive.tenants.rolebook import Rolebook
from tests.unit.test_keys import PEPPER, World

DAY = 86_400.0


class Access(World):
    """Keys with own roles: `desk` is a key manager of the agent `support`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        desk = RoleConfig(like="user", verbs=("keys.read", "keys.manage"), agents=("support",))
        self.book = Rolebook({"desk": desk})
        self.ring = Keyring(self.store, PEPPER, self.clock, self.book)
        self.admin = KeyAdmin(self.store, PEPPER, self.clock, self.admin._chance, self.ring.learn, self.book)

    async def made(self, role: str, *scopes: str, by: Principal | None = None, **options: float) -> NewKey:
        return await self.admin.create(
            "default", role, role, created_by="tests", scopes=scopes, by=by, **options
        )  # fmt: skip

    async def who(self, role: str, *scopes: str, **options: float) -> Principal:
        return await self.ring.authenticate((await self.made(role, *scopes, by=None, **options)).secret)


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    made = Access(tmp_path)
    await made.ring.start()
    yield made
    await made.ring.close()
    await made.store.close()


@pytest.mark.parametrize(
    ("maker", "wanted", "lacks"),
    [
        (("admin",), ("admin",), None),
        (("admin",), ("platform",), "acting in other tenants"),
        (("platform",), ("platform",), None),
        (("admin", "keys.manage"), ("viewer",), "agents.read"),
        (("admin", "keys.manage", "runs.read"), ("viewer", "runs.read"), None),
        (("admin", "agent:support"), ("admin",), "agents.read"),
        (("admin", "agent:support"), ("user", "agent:support"), None),
        (("admin", "agent:support"), ("user", "agent:shop"), "agents.read"),
        (("desk",), ("user", "agent:support"), None),
        (("desk",), ("desk",), None),
        (("desk",), ("user",), "agents.read"),
        (("desk",), ("operator", "agent:support"), "runs.decide"),
    ],
)
async def test_nobody_makes_a_key_that_may_more_than_they(
    access: Access, maker: tuple[str, ...], wanted: tuple[str, ...], lacks: str | None
) -> None:
    """A role, a scope or a pattern beyond one's own is refused, naming it; the rest is made."""
    by = await access.who(*maker)
    before = len(await access.admin.list("default"))
    if lacks is None:
        await access.made(*wanted, by=by)
        assert len(await access.admin.list("default")) == before + 1
        return
    with pytest.raises(Forbidden) as error:
        await access.made(*wanted, by=by)
    assert error.value.fields["verb"] == lacks
    assert len(await access.admin.list("default")) == before, "nothing was written"


async def test_nobody_makes_a_key_of_another_tenant_unless_across(access: Access) -> None:
    """The tenant is that of the principal; whoever acts across may name others."""
    admin, platform = await access.who("admin"), await access.who("platform")
    with pytest.raises(Forbidden, match="another tenant"):
        await access.admin.create("acme", "x", "viewer", created_by="tests", by=admin)
    with pytest.raises(NotFound, match="no tenant 'acme'"):
        await access.admin.create("acme", "x", "admin", created_by="tests", by=platform)
    tenants = TenantAdmin(access.store, access.clock)
    await tenants.create("acme", Settings(), by="tests")
    made = await access.admin.create("acme", "x", "admin", created_by="tests", by=platform)
    assert (await access.ring.authenticate(made.secret)).tenant == "acme"


async def test_a_key_that_ends_makes_none_that_ends_later(access: Access) -> None:
    """Else whoever found a key of an hour had one for ever."""
    by = await access.who("admin", expires_in_s=3_600)
    for options in ({}, {"expires_in_s": 3_601.0}):
        with pytest.raises(Forbidden, match="for longer than yours"):
            await access.made("viewer", by=by, **options)
    assert (await access.made("viewer", by=by, expires_in_s=3_600.0)).row.expires_at == access.clock.at + 3_600


async def test_who_is_limited_sees_and_ends_only_what_they_could_have_made(access: Access) -> None:
    """Keys beyond theirs are not there for them; who is not limited is told what they lack."""
    mine, theirs = await access.made("desk"), await access.made("admin")
    desk, keeper = await access.who("desk"), await access.who("admin", "keys.manage", "keys.read")
    assert {row.id for row in await access.admin.list("default", desk)} == {mine.row.id, desk.id[4:]}
    for by, error in ((desk, NotFound), (keeper, Forbidden)):
        with pytest.raises(error):
            await access.admin.revoke("default", theirs.row.id, by)
        with pytest.raises(error):
            await access.admin.rotate("default", theirs.row.id, 0, created_by="tests", by=by)
    assert (await access.admin.revoke("default", mine.row.id, desk)).revoked_at == access.clock.at
    assert (await access.ring.authenticate(theirs.secret)).role == "admin"


async def test_rotation_gives_a_like_key_and_the_old_one_ends_after_the_overlap(access: Access) -> None:
    """Both work for the overlap; then the new one alone."""
    old = await access.made("user", "runs.create", "agent:support")
    rotated = await access.admin.rotate("default", old.row.id, DAY, created_by="cli")
    new = rotated.new
    assert (new.row.name, new.row.role, new.row.expires_at) == (old.row.name, "user runs.create agent:support", None)
    assert rotated.old.expires_at == access.clock.at + DAY
    first, second = [await access.ring.authenticate(key.secret) for key in (old, new)]
    assert first.grants == second.grants != ()
    access.clock.at += DAY
    await access.ring.authenticate(new.secret)
    with pytest.raises(Unauthenticated):
        await access.ring.authenticate(old.secret)


async def test_rotation_without_overlap_ends_the_old_key_at_once(access: Access) -> None:
    """On the very next request."""
    old = await access.made("user")
    new = (await access.admin.rotate("default", old.row.id, 0, created_by="cli")).new
    await access.ring.authenticate(new.secret)
    with pytest.raises(Unauthenticated):
        await access.ring.authenticate(old.secret)


async def test_rotation_keeps_a_life_and_never_lengthens_the_old_one(access: Access) -> None:
    """A key of ten days gives one of ten days; the old one ends no later than it would have."""
    old = await access.made("user", expires_in_s=10 * DAY)
    access.clock.at += 9.5 * DAY
    rotated = await access.admin.rotate("default", old.row.id, 2 * DAY, created_by="cli")
    assert rotated.new.row.expires_at == access.clock.at + 10 * DAY
    assert rotated.old.expires_at == old.row.expires_at


@pytest.mark.parametrize("overlap", [-1.0, 90 * DAY + 1, float("nan"), float("inf")])
async def test_an_overlap_out_of_range_is_refused(access: Access, overlap: float) -> None:
    """And nothing is made."""
    old = await access.made("user")
    with pytest.raises(InvalidRequest) as error:
        await access.admin.rotate("default", old.row.id, overlap, created_by="cli")
    assert error.value.fields["field"] == "overlap_s"
    assert len(await access.admin.list("default")) == 1


async def test_what_does_not_work_any_more_is_not_rotated(access: Access) -> None:
    """Revoked, expired, or of a role that is gone: rotation must not bring a key back."""
    revoked, expired, gone = (
        await access.made("user"),
        await access.made("user", expires_in_s=1),
        await access.made("desk"),
    )
    await access.admin.revoke("default", revoked.row.id)
    access.clock.at += 2
    access.book.adopt({})
    for made, field in ((revoked, "id"), (expired, "id"), (gone, "role")):
        with pytest.raises(InvalidRequest) as error:
            await access.admin.rotate("default", made.row.id, 0, created_by="cli")
        assert error.value.fields["field"] == field
    with pytest.raises(NotFound):
        await access.admin.rotate("acme", revoked.row.id, 0, created_by="cli")


async def test_a_role_that_changes_or_goes_changes_what_its_keys_may(access: Access) -> None:
    """After the configuration was taken over, without a restart; a key of no role is known, and may nothing."""
    made = await access.made("desk")
    access.book.adopt({"desk": RoleConfig(verbs=("runs.read",))})
    access.ring.reread()
    assert {verb for grant in (await access.ring.authenticate(made.secret)).grants for verb in grant.verbs} == {
        "runs.read"
    }
    access.book.adopt({})
    access.ring.reread()
    assert (await access.ring.authenticate(made.secret)).grants == ()


@pytest.mark.parametrize(
    "header", ["", "gl_", "Bearer", "Bearer eyJhbGciOiJub25lIn0.e30.", "Token gl_x", "Bearer  gl_x"]
)
async def test_what_is_no_key_is_refused_where_no_tokens_are_taken(access: Access, header: str) -> None:
    """In the same words as a wrong key."""
    words = set()
    for value in (header, f"Bearer gl_00000000_{'x' * 43}"):
        with pytest.raises(Unauthenticated) as error:
            await Credentials(access.ring).authenticate(value)
        words.add((error.value.message, error.value.remedy))
    assert len(words) == 1
