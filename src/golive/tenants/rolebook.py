"""All roles of an installation, built-in and its own, and what is left of one once scopes have narrowed it.

A key's role is one text: the role's name, with its scopes behind it (`user runs.create agent:support`). So a server
that knows nothing of scopes finds no such role, and lets the key do nothing rather than everything. That of a session
which a person began with an issuer says who that is, and may hold several roles (`user+desk as:alice agent:shop-*`);
no key that is asked for can.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote

from msgspec import Struct

from golive.config.access import RoleConfig
from golive.config.suggest import did_you_mean
from golive.core.errors import InvalidRequest
from golive.core.verbs import AGENT_PATTERN, PATTERN, VERBS, WHOLE, Verb
from golive.tenants.roles import BUILT_IN, Grant, Limits, Role, meet, narrowed

MOST_SCOPES = 64
"""Most scopes of one key."""
MOST_AGENTS = 200
"""Most agents that a person's session is narrowed to; further ones it may not use."""
_AS = "as:"
_KINDS = {"agent": AGENT_PATTERN, "model": PATTERN, "tool": PATTERN}


class Held(Struct, frozen=True):
    """What a key of a role and scopes may. `user`: the person whose session it is; `own_runs`: see `Role`."""

    role: str
    grants: tuple[Grant, ...]
    across: bool
    user: str | None = None
    own_runs: bool = False


class Rolebook:
    """Knows every role by its name."""

    def __init__(self, own: Mapping[str, RoleConfig] | None = None) -> None:
        """`own`: [roles.NAME] of a configuration that was checked (`config/access_faults.py`)."""
        self._roles: dict[str, Role] = {}
        self.adopt(own or {})

    def adopt(self, own: Mapping[str, RoleConfig]) -> None:
        """Takes over roles as they are configured now."""
        roles = dict(BUILT_IN)
        while len(roles) < len(BUILT_IN) + len(own):
            ready = [name for name in own if name not in roles and (own[name].like or "user") in roles]
            if not ready:
                break  # a circle, which the configuration refuses
            for name in ready:
                roles[name] = Role(name, _grants(own[name], roles), own_runs=_own_runs(own[name], roles))
        self._roles = roles

    @property
    def roles(self) -> Mapping[str, Role]:
        """All of them, the built-in ones first."""
        return self._roles

    def get(self, name: str) -> Role | None:
        """The role of that name; None where there is none."""
        return self._roles.get(name)

    def held(self, text: str) -> Held:
        """What a key may whose role and scopes are these; nothing where the role is gone or a scope is unknown."""
        name, *scopes = text.split(" ")
        if scopes and scopes[0].startswith(_AS):
            return self._of_person(name, unquote(scopes[0][len(_AS) :]), scopes[1:])
        role = self._roles.get(name)
        limits = _limits(scopes)
        if role is None or limits is None:
            return Held(name, (), False)
        return Held(name, narrowed(role.grants, limits) if scopes else role.grants, role.across)

    def _of_person(self, names: str, user: str, scopes: Sequence[str]) -> Held:
        roles = [self._roles.get(name) for name in names.split("+")]
        limits = _limits(scopes)
        if limits is None or None in roles:
            return Held(names, (), False, user)
        known = [role for role in roles if role is not None]
        grants = tuple(grant for role in known for grant in role.grants)
        return Held(
            names, narrowed(grants, limits) if scopes else grants, any(role.across for role in known), user,
            all(role.own_runs for role in known),
        )  # fmt: skip

    def person(self, roles: Sequence[str], user: str, agents: Sequence[str] | None) -> str:
        """What the key of a person's session holds: all these roles, and of agents no more than these.

        Raises:
            InvalidRequest: nothing would be left.
        """
        scopes = [f"agent:{agent}" for agent in agents or () if re.fullmatch(AGENT_PATTERN, agent)][:MOST_AGENTS]
        text = " ".join(["+".join(roles), f"{_AS}{quote(user, safe='')}", *dict.fromkeys(scopes)])
        if not roles or (agents is not None and not scopes) or not self.held(text).grants:
            raise _refused(f"Nothing is left of the roles {', '.join(roles) or '(none)'}.", "Give a role.", "")
        return text

    def text(self, name: str, scopes: Sequence[str]) -> str:
        """Role and scopes as a key holds them.

        Raises:
            InvalidRequest: there is no such role, or a scope that it cannot be narrowed to; `field` says which.
        """
        role = self._roles.get(name)
        if role is None:
            raise InvalidRequest(
                f"role {name[:40]!r} does not exist.", remedy=f"Use one of {', '.join(self._roles)}.", field="role",
                value=name[:40],
            )  # fmt: skip
        if len(scopes) > MOST_SCOPES:
            raise _refused(f"There are {len(scopes)} scopes.", f"Give {MOST_SCOPES} at most.", "")
        verbs = [scope for scope in scopes if _known(scope)]
        limited = len(verbs) < len(scopes)
        for scope in scopes:
            self._check(role, scope, limited)
        held = self.held(" ".join([name, *dict.fromkeys(scopes)]))
        if not held.grants:
            raise _refused(f"Nothing is left of role {name!r} within these scopes.", "Leave some out.", scopes[0])
        return " ".join([name, *dict.fromkeys(scopes)])

    def _check(self, role: Role, scope: str, limited: bool) -> None:
        """Raises InvalidRequest where a scope would narrow the role to nothing, or could be meant otherwise."""
        if not _known(scope):
            kind, _, pattern = scope.partition(":")
            if not any(meeting for grant in role.grants for meeting in _met(grant, kind, pattern)):
                raise _refused(
                    f"scope {scope[:200]!r} covers nothing that role {role.name!r} may.", "Name what it may.", scope
                )
            return
        if scope not in role.verbs:
            raise _refused(
                f"scope {scope!r} is not in role {role.name!r}, and scopes only narrow.",
                f"Leave it out, or use a role that has it: {', '.join(_having(scope, self._roles.values()))}.", scope,
            )  # fmt: skip
        if not any(scope in grant.verbs and _counts(scope, grant) for grant in role.grants):
            raise _refused(
                f"scope {scope!r} counts on a whole tenant, and role {role.name!r} is limited to some agents, models "
                "or tools, so that it can never use it.",
                "Leave it out, or use a role without limits.", scope,
            )  # fmt: skip
        if limited and scope in WHOLE:
            raise _refused(
                f"scope {scope!r} counts on a whole tenant, so it cannot be limited to agents, models or tools.",
                "Leave out one or the other.", scope,
            )  # fmt: skip


def _counts(verb: str, grant: Grant) -> bool:
    """Whether a grant that has the verb gives it on anything."""
    return grant.whole or verb not in WHOLE


def split(text: str) -> tuple[str, tuple[str, ...]]:
    """A key's role and its scopes."""
    name, *scopes = text.split(" ")
    return name, tuple(scopes)


def person_of(text: str) -> str | None:
    """The person whose session's key holds this; None where it is no session's of a person."""
    _, *scopes = text.split(" ")
    return unquote(scopes[0][len(_AS) :]) if scopes and scopes[0].startswith(_AS) else None


def _known(scope: str) -> bool:
    """Whether a scope is a verb; raises InvalidRequest where it is neither that nor `agent:`, `model:`, `tool:`."""
    if scope in VERBS:
        return True
    kind, colon, pattern = scope.partition(":")
    if not colon or kind not in _KINDS:
        raise _refused(
            f"scope {scope[:200]!r} is neither a verb nor agent:NAME, model:NAME or tool:NAME.",
            did_you_mean(scope[:200], VERBS), scope,
        )  # fmt: skip
    if not re.fullmatch(_KINDS[kind], pattern):
        raise _refused(
            f"scope {scope[:200]!r} does not name {kind}s.",
            "Write a name, or the beginning of one with `*` behind it, such as `agent:shop-*`.", scope,
        )  # fmt: skip
    return False


def _limits(scopes: Iterable[str]) -> Limits | None:
    """What scopes narrow to; None where one of them is unknown here: then nothing may be done rather than too much."""
    verbs: set[Verb] = set()
    named: dict[str, list[str]] = {}
    for scope in scopes:
        kind, colon, pattern = scope.partition(":")
        if scope in VERBS:
            verbs.add(scope)
        elif colon and kind in _KINDS and re.fullmatch(_KINDS[kind], pattern):
            named.setdefault(kind, []).append(pattern)
        else:
            return None
    patterns = [tuple(named[kind]) if kind in named else None for kind in _KINDS]
    return Limits(frozenset(verbs) or None, agents=patterns[0], models=patterns[1], tools=patterns[2])


def _met(grant: Grant, kind: str, pattern: str) -> tuple[str, ...]:
    patterns: tuple[str, ...] = getattr(grant, f"{kind}s")
    return meet(patterns, (pattern,))


def _having(verb: str, roles: Iterable[Role]) -> list[str]:
    return [role.name for role in roles if verb in role.verbs]


def _grants(config: RoleConfig, roles: Mapping[str, Role]) -> tuple[Grant, ...]:
    """The grants of an own role: its verbs count where those of `like` do, and all within its own limits."""
    verbs = frozenset(config.verbs)
    base = roles[config.like].grants if config.like is not None else ()
    joined = tuple(Grant(grant.verbs | verbs, grant.agents, grant.tools, grant.models) for grant in base)
    return narrowed(joined or (Grant(verbs),), Limits(None, config.agents, config.tools, config.models))


def _own_runs(config: RoleConfig, roles: Mapping[str, Role]) -> bool:
    """Whether people of an own role see their own runs only: as it says, else as `like` does, else they do."""
    if config.own_runs is not None:
        return config.own_runs
    return roles[config.like].own_runs if config.like is not None else True


def _refused(message: str, remedy: str, scope: str) -> InvalidRequest:
    return InvalidRequest(message, remedy=remedy, field="scopes", value=scope[:200])
