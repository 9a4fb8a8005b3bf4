"""What is open of tenants and users that are not let in any more ends, wherever it stands; and nothing new begins."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from golive.core.chance import SeededChance
from golive.core.errors import GoliveError, NotFound, StoreUnavailable, Suspended, TenantLimited
from golive.core.ids import Ids
from golive.core.messages import Message
from golive.models.call import ModelRequest
from golive.runtime.api import RunRequest
from golive.runtime.barring import Barring
from golive.runtime.relay import Relay
from golive.store.ports import RunFilter, RunView
from golive.tenants.administration import Settings, TenantAdmin, UserAdmin
from golive.tenants.authorize import Principal
from golive.tenants.directory import Directory
from golive.tools.toolset import EffectRules, ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import TARGET, Item, ScriptedModel, Tools, World, answer, asks

REQUEST = ModelRequest(messages=(Message("user", "hello"),))


class Place(World):
    """A server that carries runs of the tenants `acme` and `other`, with a directory that is told of changes."""

    def __init__(self, path: Path, *turns: list[Item], tools: Tools | None = None) -> None:
        self.gate = asyncio.Event()
        super().__init__(path, ScriptedModel(*(turns or ([self.gate.wait, *answer("done")],)), repeat=True), tools)
        self.directory = Directory(self.store, self.clock)
        around = (self.store, self.clock, self.directory.refresh)
        self.tenants, self.users = TenantAdmin(*around), UserAdmin(*around)
        self.ended: list[tuple[str, str | None, str, str]] = []
        self.failed: list[tuple[str, BaseException]] = []
        self.agents._may_use = self.directory.may_use
        self.relay = Relay(
            store=self.store, target=lambda ref, ttl_s: self.model, clock=self.clock,
            ids=Ids(self.clock, SeededChance(9)), holder="test", observer=lambda state, bodies: None,
            admits=self.admits,
        )  # fmt: skip
        self.runtime._admits = self.admits
        self.barring = Barring(
            store=self.store, standing=self.directory, runs=self.runtime, calls=self.relay,
            cancel=self.runtime.steering.cancel, clock=self.clock,
            ended=lambda *told: self.ended.append(told), failed=lambda *told: self.failed.append(told),
        )  # fmt: skip

    async def begin(self) -> None:
        for name in ("acme", "other"):
            await self.tenants.create(name, Settings(), by="tests")

    def admits(self, tenant: str, user: str | None) -> None:
        count = self.runtime.open_of(tenant) + self.relay.open_of(tenant)
        self.directory.begin(tenant, user, lambda: count)

    async def run_of(self, tenant: str, user: str | None = None) -> str:
        who = Principal(tenant, "key:1", "user")
        text = (Message("user", "Hello"),)
        return await self.runtime.start(
            RunRequest(agent="helper", input=text, principal=who, background=True, user=user)
        )

    async def row(self, tenant: str, run: str) -> RunView:
        view = await self.store.tenant(tenant).run(run)
        assert view is not None
        return view

    async def until_ended(self, tenant: str, run: str) -> tuple[str, str | None, str | None]:
        """Looks as a server does, until the run has ended; how."""
        async with asyncio.timeout(20):
            while (row := await self.row(tenant, run)).outcome is None:
                self.barring.look()
                await asyncio.sleep(0.01)
        return row.state, row.outcome, row.reason


async def test_runs_of_a_suspended_tenant_end_and_no_others(tmp_path: Path) -> None:
    """As cancelled, with the reason; the other tenant's goes on to its answer."""
    place = Place(tmp_path)
    await place.begin()
    mine, theirs = await place.run_of("acme"), await place.run_of("other")
    assert (place.runtime.open_of("acme"), place.runtime.open_of("other"), place.runtime.open_of("x")) == (1, 1, 0)
    await place.tenants.suspend("acme")
    assert await place.until_ended("acme", mine) == ("finished", "cancelled", "tenant.suspended")
    assert place.runtime.open_of("acme") == 0
    place.gate.set()
    assert (await place.runtime.wait("other", theirs)).outcome == "completed"
    await asyncio.sleep(0)
    assert place.ended == [("acme", None, mine, "tenant.suspended")]
    told = await place.runtime.result("acme", mine)
    assert "tenant.suspended" not in told.message, "users are told in words"
    await place.barring.close()


async def test_runs_of_a_suspended_user_end_and_no_others(tmp_path: Path) -> None:
    """Those in that user's name, in that tenant."""
    place = Place(tmp_path)
    await place.begin()
    ada, bob = await place.run_of("acme", "ada"), await place.run_of("acme", "bob")
    nobodys, namesake = await place.run_of("acme"), await place.run_of("other", "ada")
    await place.users.suspend("acme", "ada", by="tests")
    assert await place.until_ended("acme", ada) == ("finished", "cancelled", "user.suspended")
    place.gate.set()
    for tenant, run in (("acme", bob), ("acme", nobodys), ("other", namesake)):
        assert (await place.runtime.wait(tenant, run)).outcome == "completed"
    assert place.ended == [("acme", "ada", ada, "user.suspended")]
    await place.barring.close()


async def test_runs_that_wait_for_a_person_end_too(tmp_path: Path) -> None:
    """Nobody carries them: whichever server comes first ends them, also one that starts afterwards."""

    async def dies(invocation: ToolInvocation) -> ToolOutcome:
        return ToolOutcome(False, "the worker died", "tool.worker_crashed")

    tools = Tools(pay=dies)
    tools.effects = {"pay": EffectRules(on_unknown="ask")}
    place = Place(tmp_path, asks(("pay", "{}")), tools=tools)
    await place.begin()
    runs = [await place.run_of("acme", "ada") for _ in range(3)]
    for run in runs:
        assert (await place.runtime.wait("acme", run)).state == "waiting"
    await place.tenants.suspend("acme")
    for run in runs:
        assert await place.until_ended("acme", run) == ("finished", "cancelled", "tenant.suspended")
    assert await place.store.tenant("acme").decisions(pending=True) == []
    await place.barring.close()


async def test_what_could_not_be_ended_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is told of, and the run ends once it is back."""
    place = Place(tmp_path)
    await place.begin()
    run, real, tries = await place.run_of("acme"), place.runtime.steering.cancel, 0

    async def fails(tenant: str, run: str, by: str, reason: str) -> object:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise StoreUnavailable("The database is away.")
        return await real(tenant, run, by, reason)

    place.barring._cancel = fails
    await place.tenants.suspend("acme")
    assert (await place.until_ended("acme", run))[2] == "tenant.suspended"
    assert [what for what, _ in place.failed] == [run, run]
    await place.barring.close()


async def test_plain_calls_end_where_they_wait_for_the_provider(tmp_path: Path) -> None:
    """Their client is told why; another tenant's call goes on."""
    place = Place(tmp_path)
    await place.begin()
    mine = await place.relay.open(Principal("acme", "key:1", "user"), TARGET, REQUEST)
    theirs = await place.relay.open(Principal("other", "key:2", "user"), TARGET, REQUEST)
    assert (place.relay.open_of("acme"), place.relay.open_of("other")) == (1, 1)

    async def read(call: object) -> str:
        try:
            async for _ in call:  # type: ignore[attr-defined]
                pass
        except GoliveError as error:
            return str(error.fields.get("reason", error.code))
        finally:
            await call.aclose()  # type: ignore[attr-defined]
        return "done"

    reading = [asyncio.ensure_future(read(call)) for call in (mine, theirs)]
    await asyncio.sleep(0.05)
    await place.tenants.suspend("acme")
    place.barring.look()
    assert await asyncio.wait_for(reading[0], 20) == "tenant.suspended"
    place.gate.set()
    assert await asyncio.wait_for(reading[1], 20) == "done"
    (row,) = await place.store.tenant("acme").runs(RunFilter())
    assert (row.outcome, row.reason) == ("cancelled", "tenant.suspended")
    assert (place.relay.open_of("acme"), place.relay.open_of("other")) == (0, 0)
    assert place.ended == [("acme", None, mine.run, "tenant.suspended")]
    place.barring.look()
    assert len(place.ended) == 1
    await place.barring.close()


async def test_nothing_begins_for_who_is_out_or_has_enough_open(tmp_path: Path) -> None:
    """Runs and plain calls count together, each tenant's for itself."""
    place = Place(tmp_path)
    await place.begin()
    await place.tenants.change("acme", Settings(max_open_runs=2))
    first = await place.run_of("acme")
    call = await place.relay.open(Principal("acme", "key:1", "user"), TARGET, REQUEST)
    with pytest.raises(TenantLimited):
        await place.run_of("acme")
    with pytest.raises(TenantLimited):
        await place.relay.open(Principal("acme", "key:1", "user"), TARGET, REQUEST)
    others = [await place.run_of("other") for _ in range(3)]
    await call.aclose()
    second = await place.run_of("acme")
    await place.users.suspend("other", "ada", by="tests")
    with pytest.raises(Suspended):
        await place.run_of("other", "ada")
    with pytest.raises(Suspended):
        await place.relay.open(Principal("other", "key:1", "user"), TARGET, REQUEST, user="ada")
    place.gate.set()
    for tenant, run in [("acme", first), ("acme", second), *(("other", run) for run in others)]:
        assert (await place.runtime.wait(tenant, run)).outcome == "completed"
    assert (place.runtime.open_of("acme"), place.runtime.open_of("other")) == (0, 0)
    await place.barring.close()


async def test_a_tenant_has_the_agents_it_is_given(tmp_path: Path) -> None:
    """Of others it does not even learn the names; a run that began before goes on with its version."""
    place = Place(tmp_path)
    await place.begin()
    place.agents.put(replace(place.agents.get("acme", "helper"), name="shop-1", digest="sha256:shop"))
    run = await place.run_of("acme")
    await place.tenants.change("acme", Settings(agents=("shop-*",)))
    assert [version.name for version in place.agents.all("acme")] == ["shop-1"]
    assert [version.name for version in place.agents.all("other")] == ["helper", "shop-1"]
    assert [info.name for info in place.runtime.agents("acme")] == ["shop-1"]
    with pytest.raises(NotFound) as error:
        await place.run_of("acme")
    assert "served here: shop-1." in error.value.remedy
    assert place.agents.of_name("acme", "helper") is None
    assert place.agents.targets("nobody") == []
    assert place.agents.of_digest("sha256:test") is not None
    place.gate.set()
    assert (await place.runtime.wait("acme", run)).outcome == "completed"
    await place.barring.close()
