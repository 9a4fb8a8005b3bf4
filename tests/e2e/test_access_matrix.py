"""Every route of a whole server, asked with every role: as its verbs say, and as is written out here once more.

A route that is not in `MAY` fails the test: whoever adds one says here who may ask for it.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from golive.gateway.routes import Route
from golive.tenants.authorize import Resource, authorize
from tests.e2e.access_kit import Asked, asked

ROLES = ("viewer", "user", "operator", "developer", "admin", "platform", "desk")
ALL = frozenset(ROLES)
RUN = frozenset({"user", "developer", "admin", "platform", "desk"})
MODEL = RUN - {"desk"}
HANDLE = frozenset({"operator", "admin", "platform", "desk"})
OUTWARD = HANDLE | {"developer"}
WATCH = frozenset({"operator", "developer", "admin", "platform"})
ADMIN = frozenset({"admin", "platform"})
TEND = ADMIN | {"operator"}
ACROSS = frozenset({"platform"})

MAY: Mapping[str, frozenset[str]] = {
    "GET /v1/agents": ALL,
    "GET /v1/agents/{agent}": ALL,
    "POST /v1/agents/{agent}/runs": RUN,
    "GET /v1/runs": ALL,
    "GET /v1/runs/{run}": ALL,
    "GET /v1/runs/{run}/events": ALL,
    "POST /v1/runs/{run}/cancel": RUN | HANDLE,
    "POST /v1/runs/{run}/resume": HANDLE,
    "POST /v1/runs/{run}/retry": RUN,
    "POST /v1/runs/{run}/fork": RUN,
    "GET /v1/decisions": ALL,
    "POST /v1/runs/{run}/decisions/{decision}": HANDLE,
    "GET /v1/models": ALL,
    "GET /v1/models/{model...}": ALL,
    "POST /v1/chat/completions": RUN,
    "POST /v1/responses": RUN,
    "GET /v1/responses/{id}": ALL,
    "POST /v1/embeddings": MODEL,
    "POST /v1/messages": RUN,
    "POST /v1/messages/count_tokens": RUN,
    "GET /v1/breakers": ALL,
    "POST /v1/breakers/reset": TEND,
    "GET /v1/keys": WATCH | {"desk"},
    "POST /v1/keys": ADMIN | {"desk"},
    "POST /v1/keys/{id}/rotate": ADMIN | {"desk"},
    "DELETE /v1/keys/{id}": ADMIN | {"desk"},
    "GET /v1/config": WATCH,
    "GET /v1/store": WATCH,
    "GET /v1/secrets": TEND,
    "POST /v1/secrets/rotate": ADMIN,
    "POST /v1/secrets/revoke": ADMIN,
    "GET /v1/secrets/data-keys": TEND,
    "POST /v1/secrets/data-keys/rotate": ADMIN,
    "POST /v1/secrets/data-keys/rewrap": ADMIN,
    "GET /v1/auth/issuers": WATCH,
    "GET /v1/auth/revocations": TEND,
    "POST /v1/auth/revocations": ADMIN,
    "GET /v1/audit": TEND,
    "GET /v1/audit/verify": TEND,
    "GET /v1/tenants": TEND,
    "POST /v1/tenants": ACROSS,
    "GET /v1/tenants/{tenant}": TEND,
    "POST /v1/tenants/{tenant}": ACROSS,
    "POST /v1/tenants/{tenant}/suspend": ACROSS,
    "POST /v1/tenants/{tenant}/resume": ACROSS,
    "POST /v1/tenants/{tenant}/erase": ACROSS,
    "GET /v1/tenants/{tenant}/export": ADMIN,
    "GET /v1/users": TEND,
    "POST /v1/users": ADMIN,
    "GET /v1/users/{user}": TEND,
    "POST /v1/users/{user}/suspend": ADMIN,
    "POST /v1/users/{user}/resume": ADMIN,
    "POST /v1/users/{user}/erase": ADMIN,
    "GET /v1/users/{user}/export": ADMIN,
    "GET /v1/credentials": TEND,
    "POST /v1/credentials/{provider}": ADMIN,
    "DELETE /v1/credentials/{provider}": ADMIN,
    "GET /health": ALL,
    "GET /metrics": WATCH,
    "GET /openapi.json": ALL,
    "GET /docs": ALL,
    "GET /v1/webhooks": OUTWARD,
    "POST /v1/webhooks/{name}/test": OUTWARD,
    "GET /v1/deliveries": OUTWARD,
    "POST /v1/deliveries/{id}/send": OUTWARD,
    "GET /v1/schedules": ALL,
    "POST /v1/schedules/{name}/run": OUTWARD,
}  # fmt: skip
"""Who may ask for what of the agent `support`, in their own tenant; `desk` is an own role that knows no other agent."""

LOGIN: Mapping[str, int] = {
    "GET /login": 200, "POST /login": 403, "GET /login/start/{issuer}": 404, "GET /login/callback/{issuer}": 400,
    "GET /logout": 200, "POST /logout": 401,
}  # fmt: skip
"""What whoever brings neither a link, an issuer's answer nor a cookie is told there, whatever key they have."""
PUBLIC = {"GET /health/live", "GET /health/ready", *LOGIN}
BODIES: Mapping[str, Any] = {
    "POST /v1/agents/{agent}/runs": {"input": "Hello."},
    "POST /v1/runs/{run}/fork": {"step": 1},
    "POST /v1/runs/{run}/decisions/{decision}": {"choice": "yes"},
    "POST /v1/chat/completions": {"model": "support", "messages": [{"role": "user", "content": "Hello."}]},
    "POST /v1/responses": {"model": "support", "input": "Hello."},
    "POST /v1/embeddings": {"model": "sim/sim-embed", "input": "Hello."},
    "POST /v1/messages": {"model": "support", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello."}]},
    "POST /v1/messages/count_tokens": {"model": "support", "messages": [{"role": "user", "content": "Hello."}]},
    "POST /v1/tenants": {"tenant": "acme"},
    "POST /v1/tenants/{tenant}": {"note": "x"},
    "POST /v1/tenants/{tenant}/erase": {"confirm": "another"},
    "POST /v1/users": {"id": "bob"},
    "POST /v1/users/{user}/erase": {"confirm": "another"},
    "POST /v1/credentials/{provider}": {"reference": "env:NOT_ALLOWED"},
    "POST /v1/keys": {"name": "x", "role": "viewer", "scopes": ["agent:support"]},
}  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path) as running:
        yield running


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, run: str, agent: str, key_id: str) -> str:
    """The route's path with things in it that there are."""
    names = {
        "{agent}": agent, "{run}": run, "{model...}": agent, "{decision}": "dec_1", "{tenant}": "default",
        "{user}": "ada", "{provider}": "sim", "{name}": f"for-{agent}",
        "{id}": f"resp_{run}" if "responses" in route.path else key_id if "keys" in route.path else "msg_1",
    }  # fmt: skip
    path = route.path.replace("{name}", agent) if "webhooks" in route.path else route.path
    for name, value in names.items():
        path = path.replace(name, value)
    return path


async def test_every_route_opens_to_exactly_the_roles_that_may(server: Asked) -> None:
    """All routes x all roles: the answer of the server, the verdict of the verbs, and the table above, all agree."""
    routes = [route for route in server.server.gateway.router.routes if not route.public]
    assert {name_of(route) for route in routes} == set(MAY), "each route, and no other, has its expectation in MAY"
    assert {name_of(route) for route in server.server.gateway.router.routes} - set(MAY) == PUBLIC
    admin = await server.key("admin")
    wrong = []
    for role in ROLES:
        key = await server.key(role)
        principal = await server.server.security.keyring.authenticate(key)
        for route in routes:
            spare = (await server.key("viewer", "agent:support")).split("_")[1]
            run = await server.run(admin, "support") if "{run}" in route.path or "{id}" in route.path else ""
            found = await server.ask(
                key, route.method, path_of(route, run, "support", spare), BODIES.get(name_of(route))
            )
            assert found.status < 500, (role, name_of(route), found)
            let_in = found.status not in (401, 403)
            declared = any(
                authorize(principal, verb, Resource("default", route.kind, agent="support")).allowed
                for verb in route.verbs
            )
            if let_in is not (role in MAY[name_of(route)]) or (let_in and not declared):
                wrong.append((role, name_of(route), found.status, declared))
    assert wrong == []


async def test_a_key_opens_no_login_and_ends_no_session(server: Asked) -> None:
    """Where browsers log in and out no role counts: every one of them is told what a stranger is."""
    before = len(await server.server.security.key_admin.list("default"))
    keys = [("", ""), *[(role, await server.key(role)) for role in ROLES]]
    told = {}
    for route in server.server.gateway.router.routes:
        if name_of(route) in LOGIN:
            found = [await server.ask(key, route.method, route.path, {"link": "x"}) for _, key in keys]
            told[name_of(route)] = {answer.status for answer in found}
            assert not any("set-cookie" in answer.headers for answer in found if answer.status < 400)
    assert told == {name: {status} for name, status in LOGIN.items()}
    assert len(await server.server.security.key_admin.list("default")) == before + len(ROLES)


async def test_with_one_agent_nothing_of_another_is_reached_on_any_route(server: Asked) -> None:
    """A key limited to `support`, asked with what is `shop`'s on every route: not found or forbidden, and never in a
    list."""
    admin, limited = await server.key("admin"), await server.key("desk")
    shop_run, mine = await server.run(admin, "shop"), await server.run(admin, "support")
    spare = (await server.key("admin")).split("_")[1]
    reached: list[tuple[str, Any]] = []
    for route in server.server.gateway.router.routes:
        if route.public or name_of(route) in ("GET /openapi.json", "GET /docs", "GET /health"):
            continue  # they hold nothing of an agent's
        body: Any = BODIES.get(name_of(route))
        if body is not None and "model" in body:
            body = {**body, "model": "shop"}
        if name_of(route) == "POST /v1/keys":
            body = {**body, "scopes": ["agent:shop"]}
        found = await server.ask(limited, route.method, path_of(route, shop_run, "shop", spare), body)
        listed = found.status == 200 and "{" not in route.path and route.method == "GET"
        if not listed and found.status not in (400, 403, 404):
            reached.append((name_of(route), found.status))
        if listed and (b"shop" in found.body or shop_run.encode() in found.body):
            reached.append((name_of(route), "lists it"))
    assert reached == []
    assert mine.encode() in (await server.ask(limited, "GET", "/v1/runs")).body, "its own it sees"


async def test_another_tenants_administrator_reaches_nothing_of_the_installation(server: Asked) -> None:
    """What belongs to the installation opens to the tenant `default` alone, and to who acts across."""
    other, across = await server.key("admin", tenant="acme"), await server.key("platform", tenant="acme")
    for route in server.server.gateway.router.routes:
        if route.owner != "installation":
            continue
        assert (await server.ask(other, route.method, route.path)).status == 403, route.path
        assert (await server.ask(across, route.method, route.path)).status in (200, 400), route.path


async def test_in_another_tenant_acts_only_who_acts_across_and_both_are_told(tmp_path: Path) -> None:
    """`x-golive-tenant` is refused to all others, in the same words whether there is such a tenant or not."""
    async with asked(tmp_path) as server:
        admin, across = await server.key("admin"), await server.key("platform")
        heard: list[Any] = []
        server.server.gateway._hook = heard.append
        told = [
            await server.ask(admin, "GET", "/v1/keys", headers={"x-golive-tenant": tenant})
            for tenant in ("acme", "nothing", "../x", "")
        ]
        assert {(answer.status, answer.body) for answer in told} == {(403, told[0].body)}
        assert [(found.outcome, found.owner) for found in heard][:2] == [("denied", "acme"), ("denied", "nothing")]
        missing = await server.ask(across, "GET", "/v1/keys", headers={"x-golive-tenant": "acme"})
        assert (missing.status, missing.json["field"]) == (404, "tenant"), "who acts across is told"
        await server.tenant("acme")
        heard.clear()
        made = await server.ask(across, "POST", "/v1/keys", {"name": "x"}, {"x-golive-tenant": "acme"})
        assert made.status == 201
        assert [(found.outcome, found.tenant, found.home, found.verb) for found in heard] == [
            ("allowed", "acme", "default", "keys.manage")
        ]
        assert (await server.ask(made.json["key"], "GET", "/v1/runs")).json["data"] == []
        listed = await server.ask(across, "GET", "/v1/keys")
        assert made.json["id"] not in [row["id"] for row in listed.json["data"]], "it stands in the other tenant"
