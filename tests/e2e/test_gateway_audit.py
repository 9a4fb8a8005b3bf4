"""The door's audit log: each decision leaves its entry, an act has its own before it is done and answered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from golive.audit import log as audit_log
from golive.audit.log import Audit
from golive.audit.signing import Trusted
from golive.config.audit import AuditConfig
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError, StoreUnavailable
from golive.gateway.audit import Trail
from golive.gateway.audit_face import AuditFace
from golive.store.audit import AuditEntry, AuditHead, AuditRow
from golive.store.sqlite.audit import SqliteAudit
from tests.e2e.gateway_kit import Server, serving
from tests.unit.audit_kit import KEY


class Away(SqliteAudit):
    """A log whose store can be away."""

    away = False

    async def append(self, entries: Sequence[AuditEntry]) -> list[AuditHead]:
        if self.away:
            raise StoreUnavailable("The disk is full.", remedy="Free some.")
        return await super().append(entries)


class Audited:
    """A server with an audit log, and what stands in it."""

    def __init__(self, config: AuditConfig) -> None:
        self._config = config
        self.server: Server

    def parts(self, server: Server) -> dict[str, Any]:
        self.server = server
        self.store = Away(server.store)
        self.audit = Audit(self.store, KEY, SystemClock(), on_full=self._config.on_full)
        self.trail = Trail(self.audit, self._config, SystemClock())
        face = AuditFace(self.store, KEY, Trusted([KEY.public]), SystemClock())
        return {"trail": self.trail, "further": (face,)}

    async def rows(self) -> list[AuditRow]:
        self.trail.flush()
        await self.audit.flush()
        return await self.store.tenant("default").rows()

    async def told(self, *names: str) -> list[tuple[str, ...]]:
        return [tuple(getattr(row, name) for name in names) for row in await self.rows()]

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str) -> int:
        async with self.server.client(key) as client, client.request(method, path, json=body, headers=headers) as reply:
            await reply.read()
            return reply.status


@asynccontextmanager
async def audited(path: Path, **config: Any) -> AsyncIterator[Audited]:
    found = Audited(AuditConfig(**config))
    async with serving(path, gateway=found.parts):
        await found.audit.start()
        yield found
        await found.audit.close()


async def test_a_use_leaves_who_what_on_what_from_where_and_by_which_route(tmp_path: Path) -> None:
    """And nothing of what was said."""
    async with audited(tmp_path) as found:
        assert await found.ask("POST", "/v1/agents/support/runs", {"input": "my secret words"}) == 200
        [row] = await found.rows()
        keys = await found.server.keys.list("default")
        assert (row.actor, row.home, row.tenant) == (f"key:{keys[0].id}", "default", "default")
        assert (row.verb, row.kind, row.name, row.outcome) == ("runs.create", "agent", "support", "allowed")
        assert (row.source, row.route) == ("127.0.0.1", "POST /v1/agents/{agent}/runs")
        assert "secret words" not in str(row)


async def test_an_act_leaves_that_it_was_allowed_and_what_became_of_it(tmp_path: Path) -> None:
    """Both before the answer: nothing is waited for here."""
    async with audited(tmp_path) as found:
        assert await found.ask("POST", "/v1/keys", {"name": "ci", "role": "viewer"}) == 201
        stored = await found.store.tenant("default").rows()
        assert [(row.verb, row.kind, row.outcome) for row in stored] == [
            ("keys.manage", "key", "allowed"), ("keys.manage", "key", "done"),
        ]  # fmt: skip
        made = (await found.server.keys.list("default"))[-1]
        assert msgspec.json.decode(stored[1].detail) == {
            "name": "ci",
            "key": made.id,
            "role": "viewer",
            "status": "201",
        }
        assert await found.ask("DELETE", "/v1/keys/nokey123") == 404
        stored = await found.store.tenant("default").rows(2)
        assert [(row.name, row.outcome) for row in stored] == [("nokey123", "allowed"), ("nokey123", "failed")]


async def test_a_denial_leaves_its_reason_and_one_of_an_act_is_durable_before_it_is_told(tmp_path: Path) -> None:
    """The key that asked is named."""
    async with audited(tmp_path) as found:
        made = await found.server.keys.create("default", "low", "viewer", created_by="tests")
        assert await found.ask("POST", "/v1/keys", {"name": "x"}, key=made.secret) == 403
        [row] = await found.store.tenant("default").rows()
        assert (row.actor, row.verb, row.outcome) == (f"key:{made.row.id}", "keys.manage", "denied")
        assert "viewer" in msgspec.json.decode(row.detail)["reason"]


async def test_strangers_are_recorded_once_for_each_address_and_route(tmp_path: Path) -> None:
    """With how often they tried."""
    async with audited(tmp_path) as found:
        for _ in range(3):
            assert await found.ask("GET", "/v1/agents", key="") == 401
        [row] = await found.rows()
        assert (row.actor, row.verb, row.outcome, row.source) == ("unknown", "authenticate", "refused", "127.0.0.1")
        assert msgspec.json.decode(row.detail)["count"] == "3"


async def test_reads_are_summed_up_and_health_is_left_out(tmp_path: Path) -> None:
    """As configured; acts never are."""
    async with audited(tmp_path, leave_out=("health.read", "keys.manage")) as found:
        for _ in range(4):
            assert await found.ask("GET", "/v1/agents") == 200
        assert await found.ask("GET", "/health") == 200
        assert await found.ask("DELETE", "/v1/keys/nokey123") == 404
        assert sorted(await found.told("verb", "outcome")) == [
            ("agents.read", "allowed"), ("keys.manage", "allowed"), ("keys.manage", "failed"),
        ]  # fmt: skip
        [counted] = [row for row in await found.rows() if row.verb == "agents.read"]
        assert msgspec.json.decode(counted.detail)["count"] == "4"


async def test_an_act_that_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    """503, with what to do; uses go on until the buffer is full, then they are refused as well."""
    async with audited(tmp_path) as found:
        before = len(await found.server.keys.list("default"))
        found.store.away = True
        assert await found.ask("POST", "/v1/keys", {"name": "ci", "role": "viewer"}) == 503
        assert len(await found.server.keys.list("default")) == before
        assert await found.ask("GET", "/v1/models") == 200
        for number in range(audit_log.MOST):
            found.audit.note(AuditEntry(
                tenant="default", at=1.0, actor="a", home="", verb="v", kind="", name=str(number), outcome="allowed",
            ))  # fmt: skip
        assert await found.ask("GET", "/v1/models") == 503
        assert await found.ask("GET", "/health/ready", key="") == 200
        found.store.away = False
        await found.audit.flush()
        assert await found.ask("GET", "/v1/models") == 200


async def test_the_log_is_searched_and_proved_over_http(tmp_path: Path) -> None:
    """By who may read it; reading it is recorded, too."""
    async with audited(tmp_path) as found:
        await found.ask("POST", "/v1/keys", {"name": "ci", "role": "viewer"})
        low = await found.server.keys.create("default", "low", "viewer", created_by="tests")
        assert await found.ask("GET", "/v1/audit", key=low.secret) == 403
        async with found.server.client() as client:
            async with client.get("/v1/audit?verb=keys.manage&outcome=done") as reply:
                [shown] = (await reply.json())["data"]
            async with client.get("/v1/audit?limit=1&before=2") as reply:
                page = await reply.json()
            async with client.get("/v1/audit?limit=0") as reply:
                assert reply.status == 400
            async with client.get("/v1/audit/verify") as reply:
                verdict = await reply.json()
        assert (shown["seq"], shown["detail"]["role"], shown["outcome"]) == (2, "viewer", "done")
        assert ([one["seq"] for one in page["data"]], page["before"]) == ([1], None)
        assert (verdict["faults"], verdict["public_key"]) == ([], KEY.public.hex())
        assert verdict["checkpoint"]["seq"] >= 2
        assert ("audit.read", "denied") in await found.told("verb", "outcome")


async def test_a_request_through_our_own_proxy_comes_from_the_client(tmp_path: Path) -> None:
    """From the last address that is no proxy of ours; nobody else's word counts, and a client cannot add one."""
    async with audited(tmp_path, proxies=("127.0.0.1", "10.0.0.0/8")) as found:
        said = {"X-Forwarded-For": "203.0.113.66, 198.51.100.4, 10.1.2.3"}
        assert await found.ask("GET", "/v1/models", **said) == 200
        assert await found.told("source") == [("198.51.100.4",)]
    (tmp_path / "other").mkdir()
    async with audited(tmp_path / "other") as found:
        assert await found.ask("GET", "/v1/models", **{"X-Forwarded-For": "198.51.100.4"}) == 200
        assert await found.told("source") == [("127.0.0.1",)]


def test_a_proxy_that_is_no_address_is_refused() -> None:
    """At the start."""
    with pytest.raises(ConfigError, match="neither an address nor a network"):
        Trail(None, AuditConfig(proxies=("proxy.example.com",)), SystemClock())  # type: ignore[arg-type]


async def test_a_client_that_leaves_harms_nothing(tmp_path: Path) -> None:
    """Its use stands."""
    async with audited(tmp_path) as found:
        with pytest.raises((aiohttp.ServerTimeoutError, TimeoutError)):
            async with asyncio.timeout(0.001):
                await found.ask("GET", "/v1/models")
        assert await found.ask("GET", "/v1/models") == 200
        assert {verb for (verb,) in await found.told("verb")} == {"models.read"}
