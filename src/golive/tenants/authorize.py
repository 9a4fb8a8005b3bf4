"""May this principal do that? One pure function, the same on every face of the server."""

from collections.abc import Callable

from msgspec import Struct, structs

from golive.tenants.roles import BUILT_IN, VERBS, WHOLE, Grant, Role, Verb, covers

__all__ = [
    "INSTALLATION", "VERBS", "Decision", "Grant", "Principal", "Resource", "Role", "Verb", "authorize", "reach",
]  # fmt: skip

INSTALLATION = "default"
"""The tenant whom the installation itself belongs to: its configuration, metrics, breakers, secrets. It is the one that
there always is, so where there are no others, its administrators administer everything."""


_USER = "user:"
"""Begins the id of a person."""


class Principal(Struct, frozen=True):
    """Who asks, and for whom. `id` is what journals, logs and the audit name: `key:ab12…`, `user:SUB`, `cli`.

    `grants` is what is left of the role after the credential's scopes; without any it may nothing. `across`: may act in
    other tenants. `home` is the tenant of the credential, `tenant` the one that is acted in. `role` is only shown.
    `own_runs`: of the tenant's runs, those of its own `user` are all there are. `maker`: the person whose work the key
    is, as tenant and name; who is not let in any more has no key that is.
    """

    tenant: str
    id: str
    role: str = ""
    grants: tuple[Grant, ...] = ()
    across: bool = False
    home: str = ""
    expires_at: float | None = None
    own_runs: bool = False
    maker: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.home:
            structs.force_setattr(self, "home", self.tenant)

    @property
    def limited(self) -> bool:
        """Whether anything it may counts on some agents, tools or models only."""
        return not all(grant.whole for grant in self.grants)

    @property
    def user(self) -> str | None:
        """The person it is, of the tenant it acts in; None: a key, or somebody of another tenant."""
        return self.id[len(_USER) :] if self.id.startswith(_USER) and self.home == self.tenant else None

    def acting_in(self, tenant: str) -> "Principal":
        """The same, acting in another tenant; whoever calls this has looked at `across`."""
        return structs.replace(self, tenant=tenant)


class Resource(Struct, frozen=True):
    """What is asked for. `tenant` is the owner; `kind` and `name` say which (agent support, run run_01…).

    `agent`, `tool`, `model`: whose it is, as far as it is one's: grants are held against these. None of them: a list,
    of which a grant with patterns gives a part (see `reach`), or something that belongs to no agent.
    """

    tenant: str
    kind: str
    name: str = ""
    agent: str = ""
    version: str = ""
    tool: str = ""
    model: str = ""


class Decision(Struct, frozen=True):
    """`roles`: where it is the role that is missing, the built-in ones that would do."""

    allowed: bool
    reason: str
    roles: tuple[str, ...] = ()


def authorize(principal: Principal, verb: Verb, resource: Resource, context: dict[str, str] | None = None) -> Decision:
    """Decides from the grants and the resource's owner; `context` carries attributes later rules may read."""
    if principal.tenant != resource.tenant and not principal.across:
        return Decision(False, f"{resource.kind} belongs to another tenant")
    held = False
    for grant in principal.grants:
        if verb in grant.verbs:
            held = True
            if _counts(grant, verb, resource):
                return Decision(True, f"role {principal.role!r} includes {verb!r}")
    if held:
        return Decision(False, f"{verb!r} is limited to other agents and models than this")
    may = tuple(role.name for role in BUILT_IN.values() if verb in role.verbs and not role.across)
    if principal.role in may:
        return Decision(False, f"the scopes of this key leave {verb!r} out of its role {principal.role!r}")
    return Decision(False, f"role {principal.role!r} does not include {verb!r}", may)


def _counts(grant: Grant, verb: Verb, resource: Resource) -> bool:
    """Whether a grant that has the verb gives it on this resource."""
    if verb in WHOLE and not grant.whole:
        return False
    if resource.agent and not covers(grant.agents, resource.agent):
        return False
    if resource.model and not covers(grant.models, resource.model):
        return False
    return not resource.tool or covers(grant.tools, resource.tool)


def reach(principal: Principal, verb: Verb) -> Callable[[str], bool]:
    """Which of a list may be seen: takes an agent's name, or `provider/model`, as runs name what they are of."""
    grants = [grant for grant in principal.grants if verb in grant.verbs]
    agents = [pattern for grant in grants for pattern in grant.agents]
    models = [pattern for grant in grants for pattern in grant.models]
    return lambda name: covers(models if "/" in name else agents, name)
