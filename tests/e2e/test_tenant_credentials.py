"""Each tenant's calls arrive at the provider under that tenant's credential, and one tenant's trouble is its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from golive.app import Server
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.tasks import Tasks
from golive.sim.server import Simulator
from golive.store.tenancy import CredentialRow
from tests.e2e.access_kit import AGENT, Answer, Asked

CONFIG = """
[providers.sim]
base_url = "{url}"
api_key = "file:ours.key"
models = ["sim-agent"]

[providers.theirs]
base_url = "{url}"
api_key = "file:ours.key"
credentials = "tenant"

[secrets]
tenant_references = ["file:tenants/{{tenant}}/*"]

[breaker]
failures = 2
open_s = 600
"""
BOTH = (
    'name = "both"\nversion = "1.0.0"\n[models.default]\nchain = ["theirs/sim-agent", "sim/sim-agent"]\nretries = 0\n'
)
VALUES = ("ours", "acme-1", "acme-2", "globex-1")
TURN = [{"role": "user", "content": "Hello."}]


class Tenants(Asked):
    """A server with the tenants `acme` and `globex`, and the provider that it asks."""

    def __init__(self, server: Server, sim: Simulator, root: Path) -> None:
        super().__init__(server)
        self.sim = sim
        self.root = root
        self.keys: dict[str, str] = {}

    async def make(self, tenant: str) -> None:
        platform = self.keys.get("platform") or await self.key("platform")
        self.keys["platform"] = platform
        made = await self.ask(platform, "POST", "/v1/tenants", {"tenant": tenant})
        assert made.status in (200, 201), made
        self.keys[tenant] = await self.key("admin", tenant=tenant)

    def write(self, tenant: str, value: str) -> str:
        """A credential of a tenant's; its reference."""
        (folder := self.root / "tenants" / tenant).mkdir(parents=True, exist_ok=True)
        fresh = folder / "key.new"
        fresh.write_text(value)
        fresh.chmod(0o600)
        fresh.replace(folder / "key")
        return f"file:tenants/{tenant}/key"

    async def give(self, tenant: str, provider: str, value: str) -> None:
        reference = self.write(tenant, value)
        answer = await self.ask(self.keys[tenant], "POST", f"/v1/credentials/{provider}", {"reference": reference})
        assert answer.status in (200, 201), answer

    async def chat(self, tenant: str, model: str = "sim/sim-agent", **more: Any) -> Answer:
        body = {"model": model, "messages": TURN} | more
        return await self.ask(self.keys[tenant], "POST", "/v1/chat/completions", body)

    def came(self) -> list[str]:
        """The credentials of the calls that the provider has seen, in order; they are forgotten."""
        names = {mark(value): value for value in VALUES}
        posted = [each.credential for each in self.sim.requests.entries() if each.method == "POST"]
        self.sim.requests.clear()
        return [names.get(each, each) for each in posted]


def mark(value: str) -> str:
    """How the simulator's log tells a credential."""
    return blake2b(f"Bearer {value}".encode(), digest_size=4).hexdigest()


@asynccontextmanager
async def tenants(root: Path) -> AsyncIterator[Tenants]:
    sim = Simulator(seed=1, clock=SystemClock())
    url = await sim.start()
    (root / "golive.toml").write_text(CONFIG.format(url=url))
    (root / "ours.key").write_text("ours")
    (root / "ours.key").chmod(0o600)
    for name, text in (("support", AGENT.format(name="support")), ("both", BOTH)):
        (folder := root / "agents" / name).mkdir(parents=True)
        (folder / "agent.toml").write_text(text)
        (folder / "prompt.md").write_text("Be brief.\n")
    server = Server(load(root, {}), {}, inline=True)
    await server.start()
    try:
        found = Tenants(server, sim, root)
        for name in ("acme", "globex"):
            await found.make(name)
        found.keys["default"] = await found.key("admin")
        found.came()
        yield found
    finally:
        await server.close()
        await sim.stop()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Tenants]:
    async with tenants(tmp_path) as found:
        yield found


async def test_a_tenants_calls_go_with_its_own_credential_and_others_with_the_installations(here: Tenants) -> None:
    """Relayed calls, embeddings and agents alike; the provider sees whose key came."""
    await here.give("acme", "sim", "acme-1")
    for tenant, came in (("acme", "acme-1"), ("globex", "ours"), ("default", "ours")):
        assert (await here.chat(tenant)).status == 200
        asked = {"model": "sim/sim-embed", "input": "Hello."}
        assert (await here.ask(here.keys[tenant], "POST", "/v1/embeddings", asked)).status == 200
        await here.run(here.keys[tenant], "support")
        assert set(here.came()) == {came}, tenant


async def test_where_tenants_have_their_own_or_none_the_installations_is_never_seen(here: Tenants) -> None:
    """403 for who has none, the default tenant included; in a chain the next target is asked."""
    await here.give("acme", "theirs", "acme-1")
    for path, body in (
        ("/v1/chat/completions", {"model": "theirs/sim-agent", "messages": TURN}),
        ("/v1/embeddings", {"model": "theirs/sim-embed", "input": "Hello."}),
    ):
        for tenant in ("globex", "default"):
            refused = await here.ask(here.keys[tenant], "POST", path, body)
            assert refused.status == 403, refused
            assert refused.json["error"]["code"] == "model.no_credential"
            assert "theirs" in refused.json["error"]["message"]
        assert here.came() == []
        assert (await here.ask(here.keys["acme"], "POST", path, body)).status == 200
        assert here.came() == ["acme-1"]
    for tenant, came in (("acme", {"acme-1"}), ("globex", {"ours"})):
        run = await here.run(here.keys[tenant], "both")
        assert set(here.came()) == came
        target = "theirs/sim-agent" if tenant == "acme" else "sim/sim-agent"
        events = await here.ask(here.keys[tenant], "GET", f"/v1/runs/{run}/events?format=json")
        started = next(each["body"] for each in events.json["data"] if each["kind"] == "model.started")
        assert started["target"] == target
        assert started.get("skipped", {}) == ({} if tenant == "acme" else {"theirs/sim-agent": "credential"})


async def test_one_tenants_bad_key_takes_nobody_else_down(here: Tenants) -> None:
    """Its breaker opens, and its alone; the provider's health and every other tenant stay as they were."""
    await here.give("acme", "sim", "acme-1")
    here.sim.accept(("ours", "globex-1"))
    for _ in range(4):
        assert (await here.chat("acme")).status in (502, 503)
    assert (await here.chat("acme")).json["error"]["code"] == "model.circuit_open"
    for tenant in ("globex", "default"):
        assert (await here.chat(tenant)).status == 200
    breakers = (await here.ask(here.keys["default"], "GET", "/v1/breakers")).json["data"]
    states = {row["credential"]: row["state"] for row in breakers if row["target"] == "sim/sim-agent"}
    assert states == {"file:tenants/acme/key": "open", "file:ours.key": "closed"}
    health = await here.ask(here.keys["globex"], "GET", "/health")
    assert b"tenants/acme" not in health.body
    provider = next(row for row in health.json["dependencies"] if row["name"] == "sim")
    assert provider["state"] == "up"
    here.sim.accept(("ours",))
    await here.give("globex", "sim", "globex-1")
    assert (await here.chat("globex")).status == 502, "its own is refused, and the installation's is not tried"
    assert here.came()[-1] == "globex-1"


async def test_a_tenants_credential_is_rotated_under_load_and_nothing_fails(here: Tenants) -> None:
    """Both values are good for a while; the next call has the new one, and then the old one is taken no more."""
    await here.give("acme", "sim", "acme-1")
    here.sim.accept(("ours", "acme-1", "acme-2"))
    async with Tasks("load") as tasks:
        calls = [tasks.start(here.chat("acme", stream=number % 2 == 0), str(number)) for number in range(40)]
        while len(here.sim.requests) < 10:
            await asyncio.sleep(0.001)
        here.write("acme", "acme-2")
        later = [await here.chat("acme") for _ in range(5)]
    assert {answer.status for answer in (*(call.result() for call in calls), *later)} == {200}
    assert set(here.came()) == {"acme-1", "acme-2"}
    here.sim.accept(("ours", "acme-2"))
    assert {(await here.chat("acme")).status for _ in range(5)} == {200}
    assert set(here.came()) == {"acme-2"}
    removed = await here.ask(here.keys["acme"], "DELETE", "/v1/credentials/sim")
    assert removed.status == 200
    assert (await here.chat("acme")).status == 200
    assert here.came() == ["ours"]


@pytest.mark.parametrize(
    "reference",
    [
        "file:ours.key", "env:OURS", "file:tenants/globex/key", "file:tenants/acme/../globex/key",
        "file:tenants/acme/./../../ours.key", "file:tenants/acme//key", "file:tenants/acme/%2e%2e/key",
        "file:/etc/passwd", "vault:tenants/acme/sim#key",
    ],
)  # fmt: skip
async def test_which_references_a_tenant_may_set_the_installation_says(here: Tenants, reference: str) -> None:
    """Its own folder by the pattern, and no way out of it; who acts across tenants may set any."""
    body = {"reference": reference}
    refused = await here.ask(here.keys["acme"], "POST", "/v1/credentials/sim", body)
    assert (refused.status, refused.json["field"]) == (400, "reference")
    there = {"x-golive-tenant": "acme"}
    assert (await here.ask(here.keys["platform"], "POST", "/v1/credentials/sim", body, there)).status == 200


async def test_lists_say_with_whose_credential_and_secrets_know_the_tenants(here: Tenants) -> None:
    """`/v1/models` for each tenant its own; `/v1/secrets` names tenant and provider, and a revoked value ends."""
    await here.give("acme", "sim", "acme-1")
    for tenant, whose in (("acme", {"sim": "tenant", "theirs": "none"}), ("globex", {"sim": "installation"})):
        listed = (await here.ask(here.keys[tenant], "GET", "/v1/models")).json["data"]
        told = {row["owned_by"]: row["credential"] for row in listed if "credential" in row}
        assert whose.items() <= told.items()
    assert (await here.chat("acme")).status == 200
    cards = (await here.ask(here.keys["default"], "GET", "/v1/secrets")).json["data"]
    card = next(row for row in cards if row["reference"] == "file:tenants/acme/key")
    assert (card["used_by"], card["state"]) == (["tenants.acme.sim"], "fresh")
    keeper = here.server.security.secret_keeper
    await keeper.revoke("file:tenants/acme/key", reason="a test", by="tests", cut=True)
    assert (await here.chat("acme")).status == 500
    assert (await here.chat("globex")).status == 200


async def test_whether_a_reference_resolves_is_said_at_once_and_in_the_list(here: Tenants) -> None:
    """To the tenant's own people in words that name nothing of the installation's; whoever acts across is told all."""
    acme, across = here.keys["acme"], here.keys["platform"]
    reference, path = "file:tenants/acme/key", "/v1/credentials/sim"

    def said(answer: Answer) -> tuple[str, str, str]:
        row = answer.json["data"][0] if "data" in answer.json else answer.json
        return row["state"], row["problem"], row["remedy"]

    gone = (
        "missing", "there is no value behind it",
        "Put the credential where the reference leads to, or set another reference.",
    )  # fmt: skip
    assert said(await here.ask(acme, "POST", path, {"reference": reference})) == gone
    assert said(await here.ask(acme, "GET", "/v1/credentials")) == gone
    state, problem, remedy = said(await here.ask(across, "GET", "/v1/credentials", headers={"x-golive-tenant": "acme"}))
    assert (state, str(here.root) in problem, remedy) == ("missing", True, "Write the secret into it.")
    here.write("acme", "acme-1")
    assert said(await here.ask(acme, "GET", "/v1/credentials")) == ("resolved", "", "")
    put = await here.ask(acme, "POST", path, {"reference": reference})
    assert (said(put), b"acme-1" in put.body) == (("resolved", "", ""), False)
    revoked = {"secret": reference, "reason": "leaked"}
    assert (await here.ask(here.keys["default"], "POST", "/v1/secrets/revoke", revoked)).status == 200
    assert said(await here.ask(acme, "GET", "/v1/credentials"))[:2] == ("revoked", "its value was revoked")


async def test_a_stored_reference_that_is_none_keeps_nothing_from_starting(
    here: Tenants, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of before such were refused: it is told once, in the status and the list; only calls that need it fail."""
    row = CredentialRow("acme", "sim", "file:tenants/acme/a\0b", 1.0, "tests")
    await here.server.store.tenant("acme").put_credential(row)
    await here.server.close()
    server = Server(load(here.root, {}), {}, inline=True)
    await server.start()
    try:
        again = Tenants(server, here.sim, here.root)
        again.keys = here.keys
        (card,) = [each for each in server.security.secret_keeper.cards() if each.state == "unusable"]
        assert (card.used_by, "is none of" in card.problem) == (("tenants.acme.sim",), True)
        listed = await again.ask(again.keys["acme"], "GET", "/v1/credentials")
        assert [(each["provider"], each["state"]) for each in listed.json["data"]] == [("sim", "unusable")]
        assert (await again.chat("acme")).status == 500
        assert (await again.chat("globex")).status == 200
        assert (await again.ask(again.keys["default"], "GET", "/v1/secrets")).status == 200
        await server.security.secret_keeper._use()
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        told = [line for line in lines if line["event"] == "secret.missing"]
        assert [line["used_by"] for line in told] == [["tenants.acme.sim"]]
    finally:
        await server.close()
