"""Roles: sets of verbs, and on which agents, tools and models they count.

Owns the built-in roles, and the arithmetic of grants: what a pattern covers, what is left of a role once a
key's scopes have narrowed it, and whether one set of grants holds nothing that another does not. Deciding is
`authorize.py`'s.

A pattern is a name, or the beginning of one with `*` behind it (`shop-*`, `openai/*`, `*`). No more than that, so that
of two patterns it can always be said exactly which names both cover, and whether one covers all of the other.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from golive.core.verbs import VERBS, WHOLE, Verb

__all__ = [
    "ALL", "BUILT_IN", "VERBS", "WHOLE", "Grant", "Limits", "Role", "Verb", "covers", "exceeding", "meet",
    "narrowed", "within",
]  # fmt: skip

ALL: tuple[str, ...] = ("*",)
"""The patterns that cover everything."""


class Grant(Struct, frozen=True):
    """Verbs, and on what they count. A verb on something that is no agent, tool or model heeds no patterns."""

    verbs: frozenset[Verb]
    agents: tuple[str, ...] = ALL
    tools: tuple[str, ...] = ALL
    models: tuple[str, ...] = ALL

    @property
    def whole(self) -> bool:
        """Whether it is limited to no agents, tools or models."""
        return self.agents == ALL and self.models == ALL and self.tools == ALL


class Role(Struct, frozen=True):
    """A name for grants. `across`: whoever has it may act in other tenants than their own, and is audited in both.

    `own_runs`: a person who has it (a token's user) sees and steers the runs of that person only; a key never has a
    person of its own, and sees all.
    """

    name: str
    grants: tuple[Grant, ...]
    across: bool = False
    own_runs: bool = False

    @property
    def verbs(self) -> frozenset[Verb]:
        """All verbs of its grants, whatever they count on."""
        return frozenset(verb for grant in self.grants for verb in grant.verbs)


_READ: frozenset[Verb] = frozenset({
    "agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read",
})  # fmt: skip
_OUTWARD: frozenset[Verb] = frozenset({"schedules.run", "webhooks.read", "webhooks.send"})
_USE: frozenset[Verb] = _READ | {"models.call", "runs.create", "runs.cancel"}
_WATCH: frozenset[Verb] = frozenset({"metrics.read", "config.read", "keys.read"})
_OPERATE: frozenset[Verb] = frozenset({
    "runs.cancel", "runs.resume", "runs.decide", "breakers.reset",
    "tenants.read", "users.read", "credentials.read", "secrets.read", "audit.read",
})  # fmt: skip

BUILT_IN: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role("viewer", (Grant(_READ),)),
        Role("user", (Grant(_USE),), own_runs=True),
        Role("operator", (Grant(_READ | _OUTWARD | _WATCH | _OPERATE),)),
        Role("developer", (Grant(_USE | _OUTWARD | _WATCH),)),
        Role("admin", (Grant(frozenset(VERBS)),)),
        Role("platform", (Grant(frozenset(VERBS)),), across=True),
    )
}
"""The roles that every installation has. `platform` is the admin of all tenants."""


def covers(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns covers the name."""
    for pattern in patterns:  # noqa: SIM110 - half the cost of any(), on every request
        if pattern == name or (pattern[-1:] == "*" and name.startswith(pattern[:-1])):
            return True
    return False


def within(pattern: str, patterns: Iterable[str]) -> bool:
    """Whether every name that `pattern` covers is covered by one of `patterns`."""
    stem = pattern.removesuffix("*")
    return any(
        pattern == other or (other[-1:] == "*" and stem.startswith(other[:-1])) for other in patterns
    )  # of two patterns that overlap one lies within the other, so no union of several can cover a further one


def meet(ones: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """The patterns for what both sets of patterns cover; () for nothing."""
    ones, others = tuple(ones), tuple(others)
    both = [one for one in ones if within(one, others)] + [other for other in others if within(other, ones)]
    return tuple(dict.fromkeys(both))


def exceeding(wanted: Iterable[Grant], held: Iterable[Grant]) -> Verb | None:
    """A verb that `wanted` gives and `held` does not, on all that it counts on; None when `held` gives everything."""
    held = tuple(held)
    for grant in wanted:
        for verb in sorted(grant.verbs):
            mine = [other for other in held if verb in other.verbs]
            if verb in WHOLE:
                if grant.whole and not any(other.whole for other in mine):
                    return verb
                continue
            for kind in ("agents", "tools", "models"):
                has = [pattern for other in mine for pattern in getattr(other, kind)]
                if not mine or not all(within(pattern, has) for pattern in getattr(grant, kind)):
                    return verb
    return None


class Limits(Struct, frozen=True):
    """What grants are narrowed to. None: nothing is said of it.

    Where agents are named and no models, no models are left, and the other way round: what is limited to an agent is
    not to call models beside it.
    """

    verbs: frozenset[Verb] | None = None
    agents: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None


def narrowed(grants: Iterable[Grant], limits: Limits) -> tuple[Grant, ...]:
    """What is left of the grants within the limits; never more than they were."""
    agents, models = limits.agents, limits.models
    if agents is not None or models is not None:
        agents, models = agents or (), models or ()
    left = []
    for grant in grants:
        verbs = grant.verbs if limits.verbs is None else grant.verbs & limits.verbs
        if verbs:
            left.append(
                Grant(
                    verbs,
                    grant.agents if agents is None else meet(grant.agents, agents),
                    grant.tools if limits.tools is None else meet(grant.tools, limits.tools),
                    grant.models if models is None else meet(grant.models, models),
                )
            )
    return tuple(left)
