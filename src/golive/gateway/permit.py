"""What handlers ask about permissions: may who asks do this with that agent, model, run; which of a list may they see.

The door decides on what stands in a route's path. What only a body, a query or the store names, the handler of a route
marked `narrows` decides on here; an answer to such a request cannot begin before it has (`Exchange.undecided`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from golive.core.errors import Forbidden
from golive.gateway.exchange import Exchange
from golive.tenants.authorize import Decision, Principal, Resource, Verb, authorize
from golive.tenants.authorize import reach as reach_of
from golive.tenants.judged import Judged

MOST_NAME = 200
"""Characters of a name that are recorded; no name of anything that there is has more."""


def demand(exchange: Exchange, verb: Verb, kind: str, name: str, of: str = "") -> None:
    """Raises Forbidden unless who asks may do `verb` with this; either way the decision is handed on.

    Args:
        kind: agent, model, or what else it is.
        name: which one.
        of: the agent, or `provider/model`, that a thing of another kind is of.
    """
    resource = resource_of(exchange.principal.tenant, kind, name, of)
    decision = authorize(exchange.principal, verb, resource)
    hand_on(exchange, verb, resource, decision)
    if not decision.allowed:
        raise forbidden(decision, verb, exchange.principal)
    exchange.undecided = False


def see(exchange: Exchange, verb: Verb, kind: str, name: str, of: str) -> bool:
    """As `demand`, for what who may not see it must not even learn of: False instead of Forbidden."""
    resource = resource_of(exchange.principal.tenant, kind, name, of)
    decision = authorize(exchange.principal, verb, resource)
    hand_on(exchange, verb, resource, decision)
    exchange.undecided = False
    return decision.allowed


def reach(exchange: Exchange, verb: Verb, kind: str) -> Callable[[str], bool]:
    """Which of a list who asks may see: takes the agent, or `provider/model`, that each is of."""
    if exchange.undecided:
        resource = Resource(exchange.principal.tenant, kind)
        hand_on(exchange, verb, resource, authorize(exchange.principal, verb, resource))
        exchange.undecided = False
    return reach_of(exchange.principal, verb)


@contextmanager
def deciding(exchange: Exchange, verb: Verb, kind: str, name: str) -> Iterator[None]:
    """For a block that itself decides on one thing, raising Forbidden: what it decides is handed on."""
    resource = Resource(exchange.principal.tenant, kind, name)
    try:
        yield
    except Forbidden as error:
        hand_on(exchange, verb, resource, Decision(False, error.message))
        raise
    hand_on(exchange, verb, resource, Decision(True, f"role {exchange.principal.role!r} includes {verb!r}"))
    exchange.undecided = False


def resource_of(tenant: str, kind: str, name: str, of: str = "") -> Resource:
    """The resource of a kind and name that is of an agent, or of a `provider/model`."""
    of = name if kind in ("agent", "model") else of
    return Resource(tenant, kind, name, model=of) if "/" in of else Resource(tenant, kind, name, agent=of)


def hand_on(exchange: Exchange, verb: str, resource: Resource, decision: Decision) -> None:
    """Tells the door's hook what was decided about this request."""
    principal, route = exchange.principal, exchange.route
    client = exchange.scope.get("client")
    exchange.hook(
        Judged(
            outcome="allowed" if decision.allowed else "denied",
            tenant=principal.tenant, actor=principal.id, home=principal.home, role=principal.role, verb=verb,
            owner=resource.tenant, kind=resource.kind, name=noted(resource.name), agent=resource.agent,
            reason=decision.reason, source=client[0] if client else "",
            route=f"{route.method} {route.path}" if route is not None else "",
        )
    )  # fmt: skip


def noted(name: str) -> str:
    """The name as it is recorded: whoever asks chose it, of any length and with whatever a terminal obeys."""
    cut = name if len(name) <= MOST_NAME else f"{name[:MOST_NAME]}…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def forbidden(decision: Decision, verb: Verb, principal: Principal) -> Forbidden:
    """The error for a decision that says no; names the roles that may."""
    reason = f"{decision.reason[:1].upper()}{decision.reason[1:]}."
    role = principal.role
    if not decision.roles:
        return Forbidden(reason, remedy="Use a key that may do this.", verb=verb, role=role)
    *others, last = decision.roles
    remedy = f"Use a key of the role {', '.join(others) + ' or ' if others else ''}{last}."
    return Forbidden(reason, remedy=remedy, verb=verb, role=role, roles=decision.roles)
