"""The arithmetic of grants, scopes and own roles: nothing ever widens."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.config.access import RoleConfig
from golive.core.errors import InvalidRequest
from golive.core.verbs import BUILT_IN_ROLES
from golive.tenants.rolebook import MOST_SCOPES, Rolebook, split
from golive.tenants.roles import ALL, BUILT_IN, VERBS, Grant, Limits, covers, exceeding, meet, narrowed, within

NAMES = ["".join(letters) for count in range(4) for letters in product("ab", repeat=count)]
patterns = st.text("ab", max_size=3).flatmap(lambda stem: st.sampled_from([f"{stem}*", stem or "*"]))
several = st.lists(patterns, max_size=3).map(tuple)
grants = st.lists(
    st.builds(Grant, st.frozensets(st.sampled_from(["runs.read", "audit.read"])), several, several, several), max_size=3
).map(tuple)


def covered(of: tuple[str, ...]) -> set[str]:
    return {name for name in NAMES if covers(of, name)}


@given(several, several)
def test_what_two_sets_of_patterns_have_in_common_is_exactly_that(
    ones: tuple[str, ...], others: tuple[str, ...]
) -> None:
    """`meet` loses nothing and adds nothing."""
    assert covered(meet(ones, others)) == covered(ones) & covered(others)


@given(patterns, several)
def test_a_pattern_within_others_covers_nothing_that_they_do_not(pattern: str, others: tuple[str, ...]) -> None:
    """`within` never says yes where a name would be gained."""
    assert within(pattern, (*others, pattern))
    if within(pattern, others):
        assert covered((pattern,)) <= covered(others)


@given(grants, st.none() | several, st.none() | several, st.none() | several)
def test_what_is_narrowed_never_exceeds_what_it_was(
    held: tuple[Grant, ...],
    agents: tuple[str, ...] | None,
    tools: tuple[str, ...] | None,
    models: tuple[str, ...] | None,
) -> None:
    """Whatever the limits, nothing is gained; and without any, nothing is lost."""
    assert exceeding(narrowed(held, Limits(None, agents, tools, models)), held) is None
    assert exceeding(held, held) is None
    assert exceeding(held, narrowed(held, Limits())) is None


@pytest.mark.parametrize(
    ("wanted", "held", "verb"),
    [
        ("user", "viewer", "models.call"),
        ("viewer", "user", None),
        ("developer", "operator", "models.call"),
        ("operator", "admin", None),
        ("admin", "operator", "credentials.manage"),
        ("user agent:support", "user", None),
        ("user", "user agent:support", "agents.read"),
        ("user agent:shop", "user agent:support", "agents.read"),
        ("user agent:shop-eu", "user agent:shop-*", None),
        ("user agent:shop-*", "user agent:shop-eu", "agents.read"),
        ("user agent:support", "user agent:support model:openai/*", None),
        ("user agent:support model:openai/x", "user agent:support", "agents.read"),
        ("user runs.read", "viewer", None),
        ("operator audit.read", "operator agent:support", "audit.read"),
        ("operator agent:support", "operator agent:support", None),
        ("gone", "viewer", None),
    ],
)
def test_what_exceeds_is_named(wanted: str, held: str, verb: str | None) -> None:
    """What a key would have more than its maker; a key of no role exceeds nobody."""
    book = Rolebook()
    assert exceeding(book.held(wanted).grants, book.held(held).grants) == verb


def test_scopes_are_all_that_is_left_of_a_role() -> None:
    """Verbs, and patterns; an agent named leaves no models."""
    held = Rolebook().held("user runs.create runs.read agent:support")
    assert held.grants == (Grant(frozenset({"runs.create", "runs.read"}), ("support",), ALL, ()),)
    both = Rolebook().held("user agent:support model:openai/*").grants[0]
    assert (both.agents, both.models, both.verbs) == (("support",), ("openai/*",), BUILT_IN["user"].verbs)
    assert Rolebook().held("user tool:refund").grants[0].tools == ("refund",)
    assert Rolebook().held("user tool:refund").grants[0].agents == ALL


@pytest.mark.parametrize(
    "text", ["gone", "", "user nonsense", "user agent:", "user agent:a/b", "user agent:*x", "user  "]
)
def test_a_role_or_scope_that_is_not_known_lets_nothing_be_done(text: str) -> None:
    """As after a downgrade, or when a role has left golive.toml: nothing rather than everything."""
    assert Rolebook().held(text).grants == ()


@pytest.mark.parametrize(
    ("role", "scopes", "said"),
    [
        ("boss", [], "role 'boss' does not exist"),
        ("user", ["keys.manage"], "is not in role 'user', and scopes only narrow"),
        ("user", ["runs.creat"], "neither a verb nor agent:NAME"),
        ("user", ["agents:support"], "neither a verb"),
        ("user", ["agent:"], "does not name agents"),
        ("user", ["agent:a*b"], "does not name agents"),
        ("user", ["agent:a b"], "does not name agents"),
        ("operator", ["audit.read", "agent:support"], "counts on a whole tenant"),
        ("watch", ["audit.read"], "role 'watch' is limited to some agents, models or tools, so that it can never use"),
        ("watch", ["runs.read", "metrics.read"], "scope 'metrics.read' counts on a whole tenant"),
        ("desk", ["agent:shop"], "covers nothing that role 'desk' may"),
        ("desk", ["model:openai/*"], "covers nothing that role 'desk' may"),
        ("user", ["runs.read"] * (MOST_SCOPES + 1), f"{MOST_SCOPES + 1} scopes"),
    ],
)
def test_a_scope_that_would_not_narrow_is_refused(role: str, scopes: list[str], said: str) -> None:
    """With the field that is wrong."""
    watch = RoleConfig(like="operator", agents=("support",))
    book = Rolebook({"desk": RoleConfig(like="user", agents=("support",)), "watch": watch})
    assert book.text("watch", ["runs.read"]) == "watch runs.read"
    with pytest.raises(InvalidRequest) as error:
        book.text(role, scopes)
    assert said in str(error.value)
    assert error.value.fields["field"] == ("role" if role == "boss" else "scopes")


def test_role_and_scopes_are_one_text() -> None:
    """Each once, in the order given."""
    text = Rolebook().text("user", ["runs.read", "agent:support", "runs.read"])
    assert text == "user runs.read agent:support"
    assert split(text) == ("user", ("runs.read", "agent:support"))
    assert split("user") == ("user", ())


def test_own_roles_build_on_others_and_stay_within_them() -> None:
    """`like` gives verbs; the limits of both count; order in the file does not matter."""
    book = Rolebook({
        "eu": RoleConfig(like="shop", agents=("shop-eu-*", "support"), verbs=("runs.decide",)),
        "shop": RoleConfig(like="user", agents=("shop-*",)),
        "caller": RoleConfig(verbs=("models.call",), models=("openai/*",)),
    })  # fmt: skip
    assert set(book.roles) == {*BUILT_IN_ROLES, "eu", "shop", "caller"}
    eu = book.held("eu")
    assert eu.grants == (Grant(BUILT_IN["user"].verbs | {"runs.decide"}, ("shop-eu-*",), ALL, ()),)
    assert book.held("caller").grants == (Grant(frozenset({"models.call"}), (), ALL, ("openai/*",)),)
    assert not any(role.across for name, role in book.roles.items() if name != "platform")


def test_a_rolebook_takes_over_another_configuration() -> None:
    """What a role means changes; one that is gone gives nothing any more."""
    book = Rolebook({"own": RoleConfig(verbs=("runs.read",))})
    assert book.held("own").grants == (Grant(frozenset({"runs.read"})),)
    book.adopt({"own": RoleConfig(verbs=("models.read",))})
    assert book.held("own").grants == (Grant(frozenset({"models.read"})),)
    book.adopt({})
    assert book.held("own").grants == ()
    assert book.get("own") is None


def test_the_names_of_the_roles_are_those_that_the_configuration_knows() -> None:
    """Both lists are the same, and every verb is in some role."""
    assert tuple(BUILT_IN) == BUILT_IN_ROLES
    assert {verb for role in BUILT_IN.values() for verb in role.verbs} == set(VERBS)
