"""The gateway as one ASGI application: find the route, learn who asks, decide whether they may, hand over.

Everything passes the same door; there is no other way to a handler. Owns the order of these steps and what becomes of
an error; the handlers own the rest.
"""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from msgspec import structs

from golive.config.schema import ServerConfig
from golive.config.section import NAME
from golive.core.clock import Clock
from golive.core.errors import Forbidden, GoliveError, InternalError, Overloaded, Unauthenticated
from golive.core.health import Dependency
from golive.core.ids import Ids
from golive.core.open_files import requests_that_fit
from golive.core.outsiders import WORDS
from golive.gateway import outsiders, problems
from golive.gateway.administration import Administration
from golive.gateway.anthropic_errors import anthropic_error, request_ids
from golive.gateway.anthropic_messages import MessagesFace
from golive.gateway.audit import Trail
from golive.gateway.breakers import BreakerFaces
from golive.gateway.catalogue import Catalogue
from golive.gateway.docs_page import DocsFaces
from golive.gateway.embeddings import EmbeddingsFace
from golive.gateway.exchange import Exchange, Receive, Scope, Send
from golive.gateway.face import Face
from golive.gateway.health import HealthFaces
from golive.gateway.openai_chat import ChatFace
from golive.gateway.openai_errors import openai_error
from golive.gateway.permit import forbidden, hand_on, resource_of
from golive.gateway.responses_face import ResponsesFace
from golive.gateway.routes import Route, Router, Shape
from golive.gateway.runs import RunFaces
from golive.gateway.steering import SteeringFaces
from golive.gateway.watch import ClientGone
from golive.gateway.whose import TENANT_HEADER, USER_HEADER, check_once, confined, whose
from golive.models.embeddings import Embed
from golive.models.gate import GateState
from golive.models.listing import ModelInfo
from golive.runtime.relay import Relay
from golive.runtime.service import Runtime
from golive.runtime.steering import no_run
from golive.telemetry.logs import Log
from golive.telemetry.metrics import Metrics
from golive.tenants.authentication import Authenticator
from golive.tenants.authorize import INSTALLATION, Decision, Principal, Resource, authorize
from golive.tenants.directory import TENANT_UNKNOWN
from golive.tenants.judged import Hook, Judged, unheard
from golive.tenants.keys import KeyAdmin

MAX_OPEN_REQUESTS = 16_384
"""Requests answered at once, streams included; more are answered 503. Fewer, where the system allows fewer sockets."""
"""Names the tenant to act in, for who may act in others than their own."""
CLIENT_GONE = 499
"""The status under which a request whose client left is counted."""


class Routed(Protocol):
    """Something that answers requests."""

    def routes(self) -> list[Route]: ...


class Doorkeeper(Protocol):
    """Knows which tenants and users are let in: `tenants/directory.py`."""

    async def admit(self, principal: Principal, *, changes: bool = True, user: str | None = None) -> None: ...


class Gateway:
    """`await gateway(scope, receive, send)`; built by `app.py`, run by `listen.py`."""

    def __init__(
        self, *, runtime: Runtime, relay: Relay, credentials: Authenticator, key_admin: KeyAdmin,
        models: Callable[[str], Sequence[ModelInfo]], dialect: Callable[[str], str | None],
        embeddings: Callable[[str, float | None], Embed],
        breakers: Callable[[], Sequence[GateState]], reset_breakers: Callable[[str | None], int],
        health: Callable[[], Awaitable[Sequence[Dependency]]], ping: Callable[[], Awaitable[None]],
        config_rows: Callable[[], Sequence[Any]], metrics: Metrics, server: ServerConfig, log: Log, clock: Clock,
        ids: Ids, further: Sequence[Routed] = (), hook: Hook = unheard, trail: Trail | None = None,
        doorkeeper: Doorkeeper | None = None, seen: Callable[[str, str], None] = lambda tenant, user: None,
    ) -> None:  # fmt: skip
        """Takes everything it speaks to.

        Args:
            models: the providers' models to list in /v1/models for a tenant.
            dialect: that of `provider/model`; None where there is no such provider.
            embeddings: the call for embeddings of `provider/model`; raises NotFound.
            breakers, reset_breakers: circuit breakers as they stand, and closing those of a target, or all.
            health: the state of each dependency, for /health.
            ping: raises unless the store can be read and written, for /health/ready.
            credentials: tells who asks, from the value of an `Authorization` header.
            further: faces beside its own.
            hook: told of each decision, once it is made; `trail`'s own, where there is one.
            trail: records what is done.
            doorkeeper: raises for whom is not let in, whatever credential they have; None: all are.
            seen: told of each user in whose name a request was answered.
            config_rows: settings with value, origin and default, for /v1/config.
        """
        self._credentials = credentials
        self._hook = hook if trail is None else trail.hear
        self._trail = trail
        self._doorkeeper = doorkeeper
        self._seen = seen
        self._owner_of = runtime.owner_of
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._ids = ids
        self._open = 0
        self._most = min(MAX_OPEN_REQUESTS, requests_that_fit())
        self._docs = DocsFaces()
        face = Face(runtime, relay, clock, server, dialect)
        faces: tuple[Routed, ...] = (
            RunFaces(runtime, server),
            SteeringFaces(runtime, server),
            Catalogue(runtime, models),
            ChatFace(face),
            ResponsesFace(face, runtime, dialect, ids),
            EmbeddingsFace(relay, embeddings, dialect, server.max_body_bytes),
            MessagesFace(face),
            BreakerFaces(breakers, reset_breakers, dialect, server),
            Administration(key_admin, config_rows, server, self._still_known),
            HealthFaces(
                dependencies=health,
                ping=ping,
                draining=lambda: runtime.leaving,
                open_runs=lambda: runtime.open_runs() + relay.open_calls,
                open_of=lambda tenant: runtime.open_of(tenant) + relay.open_of(tenant),
                decisions_pending=runtime.decisions_pending,
                metrics=metrics,
                clock=clock,
                agents=lambda tenant: [info.name for info in runtime.agents(tenant)],
            ),
            self._docs,
            *further,
        )
        self.router = Router(route for face in faces for route in face.routes())
        self._docs.describe(self.router.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, http scopes only."""
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway answers http, not {scope['type']}")
        began = self._clock.monotonic()
        if self._trail is not None:
            self._trail.place(scope)
        exchange = Exchange(scope, receive, send, self._hook)
        self._open += 1
        try:
            await self._admit(exchange)
        except GoliveError as error:
            await self._refuse(exchange, error)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except Exception as error:
            await self._fail(exchange, error)
        finally:
            self._open -= 1
            if exchange.user is not None and exchange.status < 400:
                self._seen(exchange.principal.tenant, exchange.user)
            route = exchange.route
            path = route.path if route is not None else "unmatched"
            seconds = self._clock.monotonic() - began
            method = exchange.method if route else "any"
            self._metrics.http(method, path, str(exchange.status), seconds, exchange.tenant)

    async def _admit(self, exchange: Exchange) -> None:
        """The door: authenticate, then authorise, then the handler. An unknown path is not told to strangers."""
        route, exchange.params, allow = self.router.find(exchange.method, exchange.path)
        exchange.route = route
        if route is not None and route.public:
            await route.handler(exchange)
            return
        exchange.principal = await self._authenticate(exchange, route)
        if self._doorkeeper is not None:
            await self._let_in(self._doorkeeper, exchange, route)
        exchange.user = exchange.principal.user
        if route is None:
            raise self.router.refusal(exchange.method, exchange.path, allow)
        if self._open > self._most:
            raise Overloaded(
                f"{self._most} requests are open, the most this server answers at once.",
                remedy="Try again.",
                advice="Allow more open files (ulimit -Hn), or add a server.",
            )
        if self._trail is not None:
            self._trail.follow(exchange, route)
        await self._authorize(exchange, route)
        if self._trail is not None:
            await self._trail.before(exchange, route)
        await route.handler(exchange)

    async def _authenticate(self, exchange: Exchange, route: Route | None) -> Principal:
        """Who asks, acting in the tenant that the request names where they may. Raises Unauthenticated, Forbidden."""
        try:
            principal = await self._credentials.authenticate(_credential(exchange, route))
        except Unauthenticated as error:
            client = exchange.scope.get("client")
            where = f"{route.method} {route.path}" if route is not None else ""
            source = client[0] if client else ""
            self._hook(Judged("refused", "", "", "", "", "", "", "", "", "", error.message, source, where))
            raise
        exchange.principal = principal
        check_once(exchange)
        asked = exchange.headers.get(TENANT_HEADER)
        if asked is None or (tenant := asked.decode("latin-1")) == principal.tenant:
            return principal
        if principal.across and re.fullmatch(NAME, tenant):
            return principal.acting_in(tenant)
        told = Forbidden(
            "This key may not act in that tenant.", remedy="Leave x-golive-tenant out, or use a key of the tenant."
        )
        exchange.principal = principal
        verb = route.verbs[0] if route is not None else ""
        denied = Decision(False, told.message)
        hand_on(exchange, verb, Resource(tenant[:60], "tenant", tenant[:60]), denied)
        raise told

    async def _still_known(self, exchange: Exchange) -> None:
        """Raises Unauthenticated where the credential was revoked since it was looked at, by whomever."""
        await self._credentials.refresh()
        await self._credentials.authenticate(_credential(exchange, exchange.route))

    async def _let_in(self, doorkeeper: Doorkeeper, exchange: Exchange, route: Route | None) -> None:
        """Raises Suspended, or NotFound for a tenant that there is not; either way it is handed on."""
        principal = exchange.principal
        try:
            user = whose(exchange) if USER_HEADER in exchange.headers else None
            await doorkeeper.admit(principal, changes=exchange.method not in ("GET", "HEAD"), user=user)
        except GoliveError as error:
            unknown = error.fields.get("reason") == TENANT_UNKNOWN  # and what there is not keeps no log either
            exchange.principal = structs.replace(principal, tenant=INSTALLATION if unknown else principal.home,
                                                 home=INSTALLATION if unknown else principal.home)  # fmt: skip
            resource = Resource(principal.tenant[:63], "tenant", principal.tenant[:63])
            hand_on(exchange, route.verbs[0] if route is not None else "", resource, Decision(False, error.message))
            raise

    async def _authorize(self, exchange: Exchange, route: Route) -> None:
        """Raises Forbidden unless one of the route's verbs is granted, on what its path names.

        On a run of an agent that who asks may not even see: NotFound, as for one that is not there.
        """
        principal, params = exchange.principal, exchange.params
        owner = principal.tenant if route.owner == "tenant" else INSTALLATION
        run = params.get("run")
        of = "" if route.narrows else params.get("agent") or params.get("model") or ""
        resource = resource_of(owner, route.kind, next(iter(params.values()), ""), of)
        for verb in route.verbs:
            decision = authorize(principal, verb, resource)
            if decision.allowed:
                break
        else:
            verb = route.verbs[0]
            decision = authorize(principal, verb, resource)
        only = confined(exchange)
        if run is not None and decision.allowed and (principal.limited or only is not None):
            # For others it decides nothing, and costs a read.
            agent, user = await self._owner_of(principal.tenant, run)
            resource = resource_of(owner, route.kind, run, agent)
            if only not in (None, user):
                hand_on(exchange, verb, resource, Decision(False, "it is another user's"))
                raise no_run(run)
            decision = authorize(principal, verb, resource)
        if not decision.allowed:
            hand_on(exchange, verb, resource, decision)
            if (resource.agent or resource.model) and not authorize(principal, "runs.read", resource).allowed and run:
                raise no_run(run)
            raise forbidden(decision, verb, principal)
        if route.narrows:
            exchange.undecided = True  # the handler hands on what it decides
        else:
            hand_on(exchange, verb, resource, decision)

    async def _refuse(self, exchange: Exchange, error: GoliveError) -> None:
        """Tells the client, in the face's shape, unless an answer has begun: then the connection breaks off."""
        route = exchange.route
        exchange.undecided = False  # an error shows nothing of what is still to be decided on
        if exchange.status:
            self._log.error(
                "http.answer_broken", path=exchange.path, run=exchange.run, code=error.code, message=str(error)
            )
            return
        shape = route.face if route is not None else self.router.shape(exchange.path)
        of_ours = error.code in WORDS and not outsiders.runs_it(exchange.known)
        reference = self._ids.new("err") if of_ours and exchange.run is None else None
        told = outsiders.told(exchange, error, reference or "")
        status, headers, body = _TELL[shape](told, exchange.run)
        content_type = problems.CONTENT_TYPE if shape == "problem" else b"application/json"
        if route is not None and route.basic:
            headers = problems.headers_of(error, basic=True)
        if exchange.run is not None:
            headers += request_ids(exchange.run) if shape == "anthropic" else [(b"x-request-id", exchange.run.encode())]
        if status >= 500 or of_ours:
            self._log.warning(
                "http.refused", path=exchange.path, status=status, code=error.code, message=str(error),
                tenant=exchange.tenant or None, run=exchange.run, reference=reference,
            )  # fmt: skip
        await exchange.answer(status, body, content_type, headers)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        """A fault of our own: the trace goes to the log, its reference to the client."""
        reference = self._ids.new("err")
        self._log.error("http.failed", reference=reference, path=exchange.path, run=exchange.run, exc_info=error)
        if not exchange.status:
            told = InternalError(
                "Something went wrong inside golive.",
                remedy="Give the reference to whoever runs this server; the log has the trace.",
                reference=reference,
            )
            await self._refuse(exchange, told)


_TELL: dict[Shape, Callable[[GoliveError, str | None], tuple[int, problems.Headers, bytes]]] = {
    "problem": lambda error, run: problems.problem(error),
    "openai": lambda error, run: openai_error(error),
    "anthropic": anthropic_error,
}


def _credential(exchange: Exchange, route: Route | None) -> str:
    """The Authorization header, or the key in `x-api-key`, as Anthropic's clients send it.

    Where a browser's prompt (Basic) is allowed, its password is the key.
    """
    header = exchange.header(b"authorization")
    if not header:
        return f"Bearer {exchange.header(b'x-api-key') or ''}"
    if route is None or not route.basic or header[:6].lower() != "basic ":
        return header
    try:
        pair = base64.b64decode(header[6:], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {pair.partition(':')[2]}"
