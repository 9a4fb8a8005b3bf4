"""The key of a person's session: it is known as them, holds all their roles, and nobody can ask for one like it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import InvalidRequest
from golive.store.sqlite.store import SqliteStore
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin
from golive.tenants.rolebook import Rolebook
from golive.tenants.sealed_slips import Link, Pending, Session, Slips

PEPPER = b"p" * 32


class Ring:
    """Keys in a store."""

    def __init__(self, store: SqliteStore) -> None:
        clock = SystemClock()
        self.keyring = Keyring(store, PEPPER, clock)
        self.admin = KeyAdmin(store, PEPPER, clock, SystemChance(), self.keyring.learn)


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Ring]:
    store = SqliteStore.open(tmp_path / "golive.db", clock=SystemClock())
    try:
        yield Ring(store)
    finally:
        await store.close()


@pytest.mark.parametrize("user", ["alice", "corp:alice", "A B", "a+b@c.example", "as:x agent:y", "Zoë/%2F", "u" * 200])
async def test_the_key_is_known_as_the_person(ring: Ring, user: str) -> None:
    """Whatever they are called; with the verbs of all their roles, and their own runs alone where each role says so."""
    made = await ring.admin.begin_session("default", ["user"], user, None, created_by="oidc:corp", expires_in_s=60)
    alone = await ring.keyring.authenticate(made.secret)
    assert (alone.id, alone.role, alone.user, alone.own_runs) == (f"user:{user}", "user", user, True)
    made = await ring.admin.begin_session(
        "default", ["user", "operator"], user, None, created_by="oidc:corp", expires_in_s=60
    )
    both = await ring.keyring.authenticate(made.secret)
    assert (both.role, both.own_runs, both.across) == ("user+operator", False, False)
    assert {"runs.create", "runs.resume"} <= {verb for grant in both.grants for verb in grant.verbs}


async def test_agents_only_narrow(ring: Ring) -> None:
    """Those that can be agents' names; with none of them nothing is left, and there is no session."""
    made = await ring.admin.begin_session(
        "default", ["user"], "alice", ("shop-*", "Not One", "", "desk"), created_by="oidc:corp", expires_in_s=60
    )
    assert made.row.role == "user as:alice agent:shop-* agent:desk"
    principal = await ring.keyring.authenticate(made.secret)
    assert {grant.agents for grant in principal.grants} == {("shop-*", "desk")}
    assert {grant.models for grant in principal.grants} == {()}
    for roles, agents in ((["user"], ()), (["user"], ("Not One",)), ([], None), (["king"], None)):
        with pytest.raises(InvalidRequest):
            await ring.admin.begin_session("default", roles, "a", agents, created_by="oidc:corp", expires_in_s=60)


async def test_nobody_asks_for_such_a_key(ring: Ring) -> None:
    """Neither for somebody else's name nor for two roles; nor is a session's key rotated into one that lasts."""
    for role, scopes in (("user", ["as:alice"]), ("user+admin", []), ("user as:alice", []), ("user", ["as:"])):
        with pytest.raises(InvalidRequest):
            await ring.admin.create("default", "x", role, created_by="tests", scopes=scopes)
    made = await ring.admin.begin_session("default", ["user"], "alice", None, created_by="oidc:corp", expires_in_s=60)
    with pytest.raises(InvalidRequest):
        await ring.admin.rotate("default", made.row.id, 0.0, created_by="tests")


def test_a_role_that_is_gone_leaves_nothing() -> None:
    held = Rolebook().held("user+gone as:alice")
    assert (held.grants, held.across, held.user) == ((), False, "alice")
    assert Rolebook().held("user as:alice king:x").grants == ()


def test_slips_are_what_they_are_and_cookies_of_before_are_read() -> None:
    """A login under way is no session and no link; what was sealed without an issuer is a link's session."""
    slips, chance = Slips(PEPPER), SystemChance()
    pending = Pending("corp", "s", "n", "v", "https://a.example/login/callback/corp", "/docs", 9e9)
    text = slips.seal_pending(pending, chance)
    assert (slips.pending(text), slips.session(text), slips.link(text)) == (pending, None, None)
    session = slips.seal_session(Session("default", "k", "gl_k", 1.0, 2.0), chance)
    assert slips.pending(session) is None
    assert slips.pending(slips.seal_link(Link("default", "l", "viewer", 9e9), chance)) is None
    before = slips._seal(Link("default", "k", "gl_k", 1.0), b"golive:session:1", chance)
    assert slips.session(before) is None, "too short to be one"
    longest = Session("t" * 63, "k" * 8, "gl_" + "k" * 52, 1e9 + 0.1, 1e9 + 0.1, "i" * 63, "m" * 16, "😀" * 200,
                      1e9 + 0.1, "😀" * 200)  # fmt: skip
    assert slips.session(slips.seal_session(longest, chance)) == longest
    assert len(slips.seal_session(longest, chance)) < 3_800
