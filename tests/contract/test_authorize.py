"""The contract of `authorize`: one decision on every face of the server, by grants and owner alone."""

from collections.abc import Mapping

import pytest
from msgspec import structs

from golive.tenants.authorize import Decision, Principal, Resource, authorize, reach
from golive.tenants.roles import BUILT_IN, VERBS, WHOLE, Grant, Verb

_READ = frozenset({"agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read"})
_OUTWARD = frozenset({"schedules.run", "webhooks.read", "webhooks.send"})
MAY: Mapping[str, frozenset[str]] = {
    "viewer": _READ,
    "user": _READ | {"models.call", "runs.create", "runs.cancel"},
    "operator": _READ | _OUTWARD | {
        "runs.cancel", "metrics.read", "config.read", "keys.read", "breakers.reset", "runs.resume", "runs.decide",
        "tenants.read", "users.read", "credentials.read", "secrets.read", "audit.read",
    },
    "developer": _READ | _OUTWARD | {
        "models.call", "runs.create", "runs.cancel", "metrics.read", "config.read", "keys.read",
    },
    "admin": frozenset(VERBS),
    "platform": frozenset(VERBS),
}  # fmt: skip
"""Written out once more on purpose: a change of the roles has to be made in two places to pass."""


def who(role: str, tenant: str = "t1", *grants: Grant) -> Principal:
    """A principal of a built-in role, or with these grants."""
    known = BUILT_IN.get(role)
    given = grants or (known.grants if known else ())
    return Principal(tenant, "key:1", role, given, known.across if known else False)


@pytest.mark.parametrize("role", [*MAY, "nobody", ""])
@pytest.mark.parametrize("verb", VERBS)
def test_every_role_may_exactly_its_verbs(role: str, verb: Verb) -> None:
    """Role by verb: what is not granted is denied; an unknown role may nothing."""
    found = authorize(who(role), verb, Resource("t1", "run", "run_1", agent="support"))
    assert found.allowed is (verb in MAY.get(role, frozenset()))
    assert verb in found.reason
    may = tuple(name for name, verbs in MAY.items() if verb in verbs and name != "platform")
    assert found.roles == (() if found.allowed else may)


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_reaches_another_tenant_but_who_acts_across_all(verb: Verb) -> None:
    """Not even an admin's key opens what belongs to another tenant; only `platform` does."""
    for role in MAY:
        found = authorize(who(role), verb, Resource("t2", "run", "run_1"))
        assert found.allowed is (role == "platform"), role
        if not found.allowed:
            assert found == Decision(False, "run belongs to another tenant")


def test_the_roles_are_the_ones_written_down() -> None:
    """No role exists beside these six, and one alone acts across tenants."""
    assert {name: role.verbs for name, role in BUILT_IN.items()} == MAY
    assert [name for name, role in BUILT_IN.items() if role.across] == ["platform"]


def test_a_principal_without_grants_may_nothing_whatever_its_role_is_called() -> None:
    """The name of a role gives nothing by itself."""
    assert not any(authorize(Principal("t1", "key:1", "admin"), verb, Resource("t1", "run")).allowed for verb in VERBS)


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        (Resource("t1", "agent", "support", agent="support"), True),
        (Resource("t1", "agent", "shop-eu", agent="shop-eu"), True),
        (Resource("t1", "agent", "shop", agent="shop"), False),
        (Resource("t1", "agent", "Support", agent="Support"), False),
        (Resource("t1", "agent", "support2", agent="support2"), False),
        (Resource("t1", "model", "openai/x", model="openai/x"), True),
        (Resource("t1", "model", "openaix/x", model="openaix/x"), False),
        (Resource("t1", "tool", "refund", agent="support", tool="refund"), True),
        (Resource("t1", "tool", "delete", agent="support", tool="delete"), False),
        (Resource("t1", "tool", "refund", agent="shop", tool="refund"), False),
        (Resource("t1", "run"), True),
    ],
)
def test_a_grant_counts_on_its_agents_models_and_tools_only(resource: Resource, allowed: bool) -> None:
    """All that a resource is of must be covered; a list is open, and shows a part."""
    grant = Grant(frozenset({"runs.read"}), ("support", "shop-*"), ("refund",), ("openai/*",))
    assert authorize(who("own", "t1", grant), "runs.read", resource).allowed is allowed


def test_of_several_grants_any_will_do_but_none_lends_to_another() -> None:
    """Verbs of one grant do not count on the agents of another."""
    one = Grant(frozenset({"runs.read"}), ("support",))
    other = Grant(frozenset({"runs.cancel"}), ("shop",))
    principal = who("own", "t1", one, other)
    seen = {
        (verb, agent)
        for verb in ("runs.read", "runs.cancel")
        for agent in ("support", "shop")
        if authorize(principal, verb, Resource("t1", "run", "r", agent=agent)).allowed
    }
    assert seen == {("runs.read", "support"), ("runs.cancel", "shop")}


@pytest.mark.parametrize("verb", sorted(WHOLE))
def test_what_counts_on_a_whole_tenant_is_not_given_by_a_limited_grant(verb: Verb) -> None:
    """Metrics, configuration, audit and the like tell of all agents."""
    limited = Grant(frozenset(VERBS), ("support",))
    assert not authorize(who("own", "t1", limited), verb, Resource("t1", "config")).allowed
    assert authorize(who("own", "t1", limited, Grant(frozenset({verb}))), verb, Resource("t1", "config")).allowed


def test_a_list_shows_what_the_verb_reaches() -> None:
    """`reach` takes agents and models by the name that runs have."""
    seen = reach(who("own", "t1", Grant(frozenset({"runs.read"}), ("support",), models=("openai/*",))), "runs.read")
    names = ["support", "shop", "openai/gpt", "sim/x", ""]
    assert [name for name in names if seen(name)] == ["support", "openai/gpt"]
    assert not any(map(reach(who("viewer"), "runs.cancel"), names))
    assert all(map(reach(who("viewer"), "runs.read"), names))


def test_acting_in_another_tenant_keeps_the_tenant_of_the_credential() -> None:
    """Both are told, so that both can be audited."""
    acting = who("platform").acting_in("t2")
    assert (acting.tenant, acting.home) == ("t2", "t1")
    assert structs.replace(acting, tenant="t1") == who("platform")
