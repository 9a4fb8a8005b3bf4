"""The contract of `authorize`: one decision on every face of the server, by role and owner alone."""

from collections.abc import Mapping

import pytest

from golive.tenants.authorize import ROLES, VERBS, Principal, Resource, Verb, authorize

MAY: Mapping[str, frozenset[str]] = {
    "viewer": frozenset({"agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read"}),
    "user": frozenset({
        "agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read", "models.call",
        "runs.create", "runs.cancel",
    }),
    "operator": frozenset({
        "agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read", "runs.cancel",
        "metrics.read", "config.read", "keys.read", "breakers.reset", "runs.resume", "runs.decide",
        "schedules.run", "webhooks.read", "webhooks.send",
    }),
    "admin": frozenset(VERBS),
}  # fmt: skip
"""Written out once more on purpose: a change of the roles has to be made in two places to pass."""


@pytest.mark.parametrize("role", [*MAY, "nobody", ""])
@pytest.mark.parametrize("verb", VERBS)
def test_every_role_may_exactly_its_verbs(role: str, verb: Verb) -> None:
    """Role by verb: what is not granted is denied; an unknown role may nothing."""
    found = authorize(Principal("t1", "key_1", role), verb, Resource("t1", "run", "run_1"))
    assert found.allowed is (verb in MAY.get(role, frozenset()))
    assert verb in found.reason
    assert found.roles == (() if found.allowed else tuple(name for name, verbs in MAY.items() if verb in verbs))


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_reaches_another_tenant(verb: Verb) -> None:
    """Not even an admin's key opens what belongs to another tenant."""
    found = authorize(Principal("t1", "key_1", "admin"), verb, Resource("t2", "run", "run_1"))
    assert found.allowed is False
    assert "another tenant" in found.reason
    assert found.roles == ()


def test_the_roles_are_the_ones_written_down() -> None:
    """No role exists beside these four."""
    assert set(ROLES) == set(MAY)
