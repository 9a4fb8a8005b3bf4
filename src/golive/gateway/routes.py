"""Routes: what can be asked of the server, and which verb it takes. A route without a verb cannot be made.

Owns matching a path, and what OpenAPI and authorisation need to know of a route. Matching is a walk over a path's
segments (about a microsecond), literal segments before parameters.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from golive.core.errors import MethodNotAllowed, NotFound
from golive.gateway.exchange import Exchange
from golive.gateway.plain import nameable
from golive.tenants.roles import VERBS, WHOLE, Verb

Handler = Callable[[Exchange], Awaitable[None]]
Shape = Literal["problem", "openai", "anthropic"]
"""In which an error is told: golive's own, or that of the vendor whose API a route has."""


class _Public:
    """The one marker of routes that need no key."""

    def __repr__(self) -> str:
        return "PUBLIC"


NAMED = ("agent", "run", "model", "model...")
"""Path parameters on which the door itself decides."""
UNNARROWED = WHOLE | {"health.read", "docs.read"}
"""Verbs on nothing that is an agent's or a model's."""
PUBLIC: Final = _Public()
PUBLIC_PATHS = frozenset({"/health/live", "/health/ready"})
"""What load balancers ask, without a key."""
BROWSER_PATHS = frozenset({"/login", "/login/start/{issuer}", "/login/callback/{issuer}", "/logout"})
"""Where browsers get a session and end it. What they bring (a link, an issuer's answer, a cookie) is judged there."""


@dataclass(frozen=True)
class Param:
    """A parameter of a route, for the documentation."""

    name: str
    where: Literal["path", "query", "header"]
    description: str
    type: str = "string"


@dataclass(frozen=True)
class Answer:
    """What a route answers when all is well, for the documentation."""

    status: int
    description: str
    body: Any = None
    media: str = "application/json"


@dataclass(frozen=True)
class Route:
    """One method on one path.

    `path` holds `{name}` for a segment and, as the last one, `{name...}` for the rest. `verb` is what the principal
    must be allowed; several mean that any of them opens the door and the handler demands the one that applies. `kind`
    names the resource, and the first path parameter which one. `face` is the shape in which errors are told.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    verb: Verb | tuple[Verb, ...] | _Public
    handler: Handler
    summary: str
    answers: tuple[Answer, ...]
    body: Any = None
    params: tuple[Param, ...] = ()
    description: str = ""
    tag: str = "Server"
    kind: str = "server"
    face: Shape = "problem"
    owner: Literal["tenant", "installation"] = "tenant"
    """Whose it is: what belongs to the installation as a whole, other tenants' principals may not even read."""
    narrows: bool = False
    """Whether the handler decides on each agent and model that it names, by `permit.py`; the door does where the path
    holds {agent}, {run} or {model}. A route that does neither cannot be made, unless its verb knows no agents."""
    basic: bool = False
    """Whether a browser may show its prompt: the key comes as the password of HTTP Basic."""
    verbs: tuple[Verb, ...] = field(init=False)
    """The verbs of which one opens the door; () when public."""

    def __post_init__(self) -> None:
        if isinstance(self.verb, _Public):
            if self.path not in (public := PUBLIC_PATHS | BROWSER_PATHS):
                raise ValueError(f"{self.method} {self.path} cannot be public; only {sorted(public)} are")
            object.__setattr__(self, "verbs", ())
            return
        verbs = self.verb if isinstance(self.verb, tuple) else (self.verb,)
        if not verbs or not all(verb in VERBS for verb in verbs):
            raise ValueError(f"{self.method} {self.path} has no verb that exists: {self.verb!r}")
        object.__setattr__(self, "verbs", verbs)
        if not (self.narrows or set(verbs) <= UNNARROWED or any(f"{{{name}}}" in self.path for name in NAMED)):
            raise ValueError(f"{self.method} {self.path} names no agent, run or model in its path, so it must narrow")

    @property
    def public(self) -> bool:
        return self.verb is PUBLIC


class _Node:
    """A place in the tree of paths."""

    __slots__ = ("literal", "methods", "name", "param", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.param: _Node | None = None
        self.rest: _Node | None = None
        self.name = ""
        self.methods: dict[str, Route] = {}


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._fixed: dict[str, _Node] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path.split("/")[1:]:
            if not segment.startswith("{"):
                node = node.literal.setdefault(segment, _Node())
                continue
            rest = segment.endswith("...}")
            child = (node.rest if rest else node.param) or _Node()
            child.name = segment[1 : -4 if rest else -1]
            if rest:
                node.rest = child
            else:
                node.param = child
            node = child
        if route.method in node.methods:
            raise ValueError(f"{route.method} {route.path} is registered twice")
        node.methods[route.method] = route
        if "{" not in route.path:
            self._fixed[route.path] = node

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], tuple[str, ...]]:
        """The route, its path parameters, and, where the path exists for other methods only, those methods."""
        params: dict[str, str] = {}
        node = self._fixed.get(path) or self._walk(path, params)
        if node is None:
            return None, params, ()
        route = node.methods.get(method)
        if route is None and method == "HEAD":
            route = node.methods.get("GET")
        return route, params, () if route else tuple(node.methods)

    def _walk(self, path: str, params: dict[str, str]) -> _Node | None:
        if not nameable(path):
            return None  # nothing is called so, and no store would take the question
        node = self._root
        segments = path.split("/")[1:]
        for index, segment in enumerate(segments):
            if (child := node.literal.get(segment)) is not None:
                node = child
            elif node.param is not None and segment:
                node = node.param
                params[node.name] = segment
            elif node.rest is not None and segment:
                node = node.rest
                params[node.name] = "/".join(segments[index:])
                break
            else:
                return None
        return node if node.methods else None

    def shape(self, path: str) -> Shape:
        """The shape for a path that `find` has no route for: that of the nearest route above it."""
        node = self._root
        shape: Shape = "problem"
        for segment in path.split("/")[1:]:
            below = node.literal.get(segment)
            if below is None:
                break
            node = below
            shape = next((route.face for route in node.methods.values()), shape)
        return shape

    def refusal(self, method: str, path: str, allow: tuple[str, ...]) -> NotFound | MethodNotAllowed:
        """What to tell a request that `find` has no route for."""
        shown = path[:120]
        if allow:
            return MethodNotAllowed(
                f"{method[:20]} is not possible on {shown}.", remedy=f"Use {' or '.join(allow)}.", allow=allow
            )
        return NotFound(
            f"There is nothing at {shown}.", remedy="GET /openapi.json and /docs list all addresses.", path=shown
        )
