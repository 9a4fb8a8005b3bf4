"""May this principal do that? One pure function, the same on every face of the server."""

from typing import Literal, get_args

from msgspec import Struct

Verb = Literal[
    "agents.read", "models.read", "models.call", "runs.create", "runs.read", "runs.cancel", "keys.read", "keys.manage",
    "config.read", "health.read", "metrics.read", "docs.read",
    "breakers.reset", "runs.resume", "runs.decide",
    "schedules.read", "schedules.run", "webhooks.read", "webhooks.send",
]  # fmt: skip
VERBS: tuple[Verb, ...] = get_args(Verb)

_READ: frozenset[Verb] = frozenset({
    "agents.read", "models.read", "runs.read", "health.read", "docs.read", "schedules.read",
})  # fmt: skip
_OUTWARD: frozenset[Verb] = frozenset({"schedules.run", "webhooks.read", "webhooks.send"})
ROLES: dict[str, frozenset[Verb]] = {
    "viewer": _READ,
    "user": _READ | {"models.call", "runs.create", "runs.cancel"},
    "operator": _READ
    | _OUTWARD
    | {"runs.cancel", "metrics.read", "config.read", "keys.read", "breakers.reset", "runs.resume", "runs.decide"},
    "admin": frozenset(VERBS),
}


class Principal(Struct, frozen=True):
    """Who asks: a key of a tenant, in a role. `id` is what journals and logs name."""

    tenant: str
    id: str
    role: str


class Resource(Struct, frozen=True):
    """What is asked for. `tenant` is the owner; `kind` and `name` say which (agent support, run run_01…)."""

    tenant: str
    kind: str
    name: str = ""


class Decision(Struct, frozen=True):
    """`roles`: where it is the role that is missing, those that would do, as `ROLES` lists them."""

    allowed: bool
    reason: str
    roles: tuple[str, ...] = ()


def authorize(principal: Principal, verb: Verb, resource: Resource, context: dict[str, str] | None = None) -> Decision:
    """Decides from the role's verbs and the resource's owner; `context` carries attributes later rules may read."""
    if principal.tenant != resource.tenant:
        return Decision(False, f"{resource.kind} belongs to another tenant")
    if verb not in ROLES.get(principal.role, frozenset()):
        may = tuple(role for role, verbs in ROLES.items() if verb in verbs)
        return Decision(False, f"role {principal.role!r} does not include {verb!r}", may)
    return Decision(True, f"role {principal.role!r} includes {verb!r}")
