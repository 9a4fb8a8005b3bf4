"""Tenants over HTTP, from their making to their end: who may do it, what they reach, and what is recorded of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.access_kit import Answer, Asked, asked

TOML = """
[secrets]
tenant_references = ["env:KEY_OF_{tenant}", "vault:tenants/{tenant}/*"]
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path, TOML) as running:
        yield running


class As:
    """Somebody with a key, asking for a tenant's things."""

    def __init__(self, server: Asked, key: str, tenant: str | None = None) -> None:
        self.server = server
        self.key = key
        self.headers = {} if tenant is None else {"x-golive-tenant": tenant}

    async def get(self, path: str) -> Answer:
        return await self.server.ask(self.key, "GET", path, headers=self.headers)

    async def post(self, path: str, body: Any = None) -> Answer:
        return await self.server.ask(self.key, "POST", path, body, self.headers)

    async def delete(self, path: str) -> Answer:
        return await self.server.ask(self.key, "DELETE", path, headers=self.headers)


async def test_a_tenant_lives_from_its_making_to_its_erasure(server: Asked) -> None:
    """Made, given a key, used, suspended, let in again, exported and erased; each answer shows the row."""
    platform = As(server, await server.key("platform"))
    made = await platform.post("/v1/tenants", {"tenant": "acme", "agents": ["support"], "keep_days": 30})
    assert (made.status, made.json["state"], made.json["agents"]) == (201, "active", ["support"])
    acme = As(server, await server.key("admin", tenant="acme"))
    assert [info["name"] for info in (await acme.get("/v1/agents")).json["data"]] == ["support"]
    assert (await acme.post("/v1/agents/shop/runs", {"input": "Hi"})).status == 404
    run = await server.run(acme.key, "support")

    suspended = await platform.post("/v1/tenants/acme/suspend", {"note": "not paid"})
    assert (suspended.status, suspended.json["state"], suspended.json["note"]) == (200, "suspended", "not paid")
    refused = await acme.get(f"/v1/runs/{run}")
    assert (refused.status, refused.json["code"], refused.json["reason"]) == (403, "auth.suspended", "tenant.suspended")
    assert "acme" not in refused.body.decode()
    assert (await platform.post("/v1/tenants/acme/resume")).json["state"] == "active"
    assert (await acme.get(f"/v1/runs/{run}")).status == 200

    changed = await platform.post("/v1/tenants/acme", {"max_open_runs": 5, "keep_days": None})
    assert (changed.json["max_open_runs"], changed.json["keep_days"], changed.json["agents"]) == (5, None, ["support"])
    lines = (await acme.get("/v1/tenants/acme/export")).body.splitlines()
    kinds = [next(iter(msgspec.json.decode(line))) for line in lines]
    assert (kinds[0], kinds[-1], "run" in kinds, "key" in kinds) == ("export", "end", True, True)

    assert (await platform.post("/v1/tenants/acme/erase", {"confirm": "default"})).status == 400
    report = await platform.post("/v1/tenants/acme/erase", {"confirm": "acme"})
    assert (report.status, report.json["proved"], report.json["removed"]["runs"]) == (200, True, 1)
    assert (await acme.get("/v1/agents")).status in (401, 403)
    assert (await platform.get("/v1/tenants/acme")).json["state"] == "erased"
    assert (await platform.post("/v1/tenants", {"tenant": "acme"})).status == 409
    listed = (await platform.get("/v1/tenants")).json["data"]
    assert [(row["tenant"], row["state"]) for row in listed] == [("acme", "erased"), ("default", "active")]


async def test_a_tenants_own_administrators_see_their_own_row_alone(server: Asked) -> None:
    """Of others they do not learn that there are any; making and changing is not theirs."""
    await server.tenant("other")
    acme = As(server, await server.key("admin", tenant="acme"))
    assert [row["tenant"] for row in (await acme.get("/v1/tenants")).json["data"]] == ["acme"]
    there, nowhere = await acme.get("/v1/tenants/other"), await acme.get("/v1/tenants/nothing")
    assert (there.status, nowhere.status) == (404, 404)
    assert there.body.replace(b"other", b"") == nowhere.body.replace(b"nothing", b"")
    for path in ("", "/suspend", "/resume", "/erase", "/export"):
        ask = acme.get if path == "/export" else acme.post
        body = {"confirm": "other"} if path == "/erase" else {}
        answer = await (ask(f"/v1/tenants/other{path}") if path == "/export" else acme.post(
            f"/v1/tenants/other{path}", body
        ))  # fmt: skip
        assert answer.status == 404, path
    for path, body in (("", {"note": "x"}), ("/suspend", {}), ("/resume", {}), ("/erase", {"confirm": "acme"})):
        assert (await acme.post(f"/v1/tenants/acme{path}", body)).status == 403, path
    assert (await acme.post("/v1/tenants", {"tenant": "more"})).status == 403
    assert (await server.ask(acme.key, "GET", "/v1/runs")).status == 200, "it still stands"


async def test_users_are_listed_suspended_and_erased_by_their_tenant(server: Asked) -> None:
    """Ids with a slash are percent-encoded twice; of another tenant's users nothing is learned."""
    acme, other = As(server, await server.key("admin", tenant="acme")), As(server, await server.key("admin"))
    made = await acme.post("/v1/users", {"id": "auth0|1/2", "note": "beta"})
    assert (made.status, made.json["state"], made.json["note"]) == (201, "active", "beta")
    path = "/v1/users/auth0|1%2F2"  # as it stands once the server has decoded the address
    assert (await acme.get(path)).json["id"] == "auth0|1/2"
    assert (await other.get(path)).status == 404
    assert (await other.get("/v1/users")).json == {"data": [], "before": None}
    named = {"x-golive-user": "auth0|1/2"}
    begun = await server.ask(acme.key, "POST", "/v1/agents/support/runs", {"input": "Hi"}, named)
    assert begun.status == 200
    assert (await acme.post(f"{path}/suspend")).json["state"] == "suspended"
    refused = await server.ask(acme.key, "POST", "/v1/agents/support/runs", {"input": "Hi"}, named)
    assert (refused.status, refused.json["reason"]) == (403, "user.suspended")
    told = {"model": "support", "messages": [{"role": "user", "content": "Hi"}], "user": "auth0|1/2"}
    refused = await server.ask(acme.key, "POST", "/v1/chat/completions", told)
    assert (refused.status, refused.json["error"]["code"]) == (403, "auth.suspended")
    assert (await server.ask(acme.key, "POST", "/v1/agents/support/runs", {"input": "Hi"})).status == 200
    assert (await acme.post(f"{path}/resume")).json["state"] == "active"
    lines = (await acme.get(f"{path}/export")).body.splitlines()
    assert b'"run"' in b"".join(lines)
    assert (await other.get(f"{path}/export")).status == 404
    assert (await acme.post(f"{path}/erase", {"confirm": "auth0"})).status == 400
    report = (await acme.post(f"{path}/erase", {"confirm": "auth0|1/2"})).json
    assert (report["proved"], report["removed"]["runs"]) == (True, 1)
    assert (await acme.get(path)).json["state"] == "erased"
    pages = (await acme.get("/v1/users?limit=1")).json
    assert ([row["id"] for row in pages["data"]], pages["before"]) == (["auth0|1/2"], "auth0|1/2")
    assert (await acme.get("/v1/users?limit=1&before=auth0%7C1%2F2")).json == {"data": [], "before": None}


async def test_credentials_are_references_that_the_tenant_may_set(server: Asked) -> None:
    """Any by who acts across."""
    acme = As(server, await server.key("admin", tenant="acme"))
    across = As(server, await server.key("platform"), "acme")
    for reference in ("env:HOME", "vault:tenants/other/x#key"):
        assert (await acme.post("/v1/credentials/sim", {"reference": reference})).json["field"] == "reference"
    put = await acme.post("/v1/credentials/sim", {"reference": "env:KEY_OF_acme"})
    assert (put.status, put.json["reference"]) == (200, "env:KEY_OF_acme")
    assert (await acme.post("/v1/credentials/nobody", {"reference": "env:KEY_OF_acme"})).status == 404
    assert (await across.post("/v1/credentials/sim", {"reference": "env:ANY"})).status == 200
    (row,) = (await acme.get("/v1/credentials")).json["data"]
    assert (row["provider"], row["reference"]) == ("sim", "env:ANY")
    other = As(server, await server.key("admin"))
    assert (await other.get("/v1/credentials")).json["data"] == []
    assert (await other.delete("/v1/credentials/sim")).status == 404
    assert (await acme.delete("/v1/credentials/sim")).json == {"data": []}


async def test_more_than_a_tenant_may_have_open_is_told_when_to_come_back(server: Asked) -> None:
    """429 with Retry-After, in each face's own shape; other tenants go on; the metric counts it."""
    platform, acme = await server.key("platform"), await server.key("admin", tenant="acme")
    await server.ask(platform, "POST", "/v1/tenants/acme", {"max_open_runs": 1})
    held = server.server.runtime._carrier.live
    held["acme", "run_held"] = object()  # type: ignore[assignment]
    try:
        native = await server.ask(acme, "POST", "/v1/agents/support/runs", {"input": "Hi"})
        assert (native.status, native.json["code"], native.headers["retry-after"]) == (429, "tenant.limited", "1")
        assert (native.json["limit"], native.json["value"]) == ("max_open_runs", 1)
        chat = {"model": "sim/sim-agent", "messages": [{"role": "user", "content": "Hi"}]}
        relayed = await server.ask(acme, "POST", "/v1/chat/completions", chat)
        assert (relayed.status, relayed.json["error"]["type"]) == (429, "rate_limit_error")
        assert (await server.ask(platform, "POST", "/v1/agents/support/runs", {"input": "Hi"})).status == 200
    finally:
        del held["acme", "run_held"]
    assert (await server.ask(acme, "POST", "/v1/agents/support/runs", {"input": "Hi"})).status == 200
    shown = (await server.ask(platform, "GET", "/metrics")).body.decode()
    assert 'golive_tenant_refusals_total{reason="max_open_runs",tenant="acme"} 2.0' in shown
    assert 'golive_tenants{state="active"} 2.0' in shown


async def test_what_is_done_to_a_tenant_stands_in_both_logs(server: Asked) -> None:
    """In that of who did it, and in that of the tenant; refusals of what is suspended, too."""
    platform = As(server, await server.key("platform"))
    await platform.post("/v1/tenants", {"tenant": "acme"})
    acme = As(server, await server.key("admin", tenant="acme"))
    await platform.post("/v1/tenants/acme/suspend", {"note": "x"})
    assert (await acme.get("/v1/agents")).status == 403
    await platform.post("/v1/tenants/acme/resume")
    await acme.post("/v1/users/ada/suspend", {})
    await acme.get("/v1/tenants/default")
    await server.server.security.recording.audit.flush()
    for who, home in ((platform, "default"), (acme, "acme")):
        rows = (await who.get("/v1/audit?limit=200")).json["data"]
        done = [(row["name"], row["detail"].get("did")) for row in reversed(rows) if row["outcome"] == "done"]
        assert ("acme", "suspend") in done, home
        assert ("acme", "resume") in done, home
    rows = (await acme.get("/v1/audit?limit=200")).json["data"]
    assert [row["detail"]["reason"] for row in rows if row["outcome"] == "denied" and row["kind"] == "tenant"] == [
        "tenant belongs to another tenant", "Your tenant is suspended.",
    ]  # fmt: skip
    assert ("ada", "suspend") in [(row["name"], row["detail"].get("did")) for row in rows]


async def test_open_runs_of_a_suspended_tenant_end(server: Asked) -> None:
    """A stream that is under way is told the end of its run: cancelled, with the reason."""
    platform = As(server, await server.key("platform"))
    acme = As(server, await server.key("admin", tenant="acme"))
    slow = {"input": "Hi", "stream": True}
    reading = asyncio.ensure_future(
        server.ask(acme.key, "POST", "/v1/agents/support/runs", slow, {"x-sim-script": '{"first_token_ms": 60000}'})
    )
    async with asyncio.timeout(20):
        while not server.server.runtime.open_of("acme"):
            await asyncio.sleep(0.01)
        await platform.post("/v1/tenants/acme/suspend")
        ended = await reading
    assert b'"outcome":"cancelled"' in ended.body
    assert b'"reason":"tenant.suspended"' in ended.body
