"""Erasing over every sealed store: the same steps, the same proof, whichever database is beneath."""

import json

import pytest

from golive.core.clock import SystemClock
from golive.core.errors import ContentErased
from golive.store.audit import AuditEntry
from golive.store.ports import RunFilter, Store
from golive.store.tenancy import TenantRow
from golive.tenants.erasure import Eraser
from golive.tenants.exporting import exported
from tests.contract.store_kit import Opener
from tests.unit.test_erasure import CLOCK, Log, plant

pytestmark = pytest.mark.parametrize("place", ["sqlite-sealed", "postgres-sealed"], indirect=True)


def eraser(store: Store) -> Eraser:
    async def record(_: AuditEntry) -> None: ...

    return Eraser(store, SystemClock(), record, Log(), settle_s=0.0)


async def made(store: Store) -> None:
    for tenant in ("acme", "beta"):
        row = TenantRow(tenant=tenant, state="active", created_at=1.0, created_by="cli")
        await store.tenant(tenant).put_tenant(row)
        for user in ("ann", "ben"):
            await plant(store, tenant, user, f"word of {user} in {tenant}")


async def reads(store: Store, tenant: str, user: str) -> str:
    events = await store.tenant(tenant).events(f"run_{tenant}_{user}")
    return " ".join(json.loads(event.body)["text"] for event in events)


async def test_a_user_and_a_tenant_are_erased_and_proved(open_store: Opener) -> None:
    """On the server that did it, and on another that had read all of it before."""
    one, other = await open_store(), await open_store()
    await made(one)
    for tenant in ("acme", "beta"):
        for user in ("ann", "ben"):
            assert f"word of {user} in {tenant}" in await reads(other, tenant, user)
    report = await eraser(one).erase("acme", "ann", "cli")
    assert (report.proved, report.removed, report.keys_destroyed, report.sampled) == (True, {"runs": 1}, 1, 2)
    whole = await eraser(one).erase("beta", None, "cli")
    assert (whole.proved, whole.removed["runs"], whole.keys_destroyed) == (True, 2, 2)
    for store in (one, other):
        await store.control_version()
        assert await reads(store, "acme", "ann") == await reads(store, "beta", "ben") == ""
        assert "word of ben in acme" in await reads(store, "acme", "ben")
        for tenant, user in (("acme", "ann"), ("beta", "eve")):
            with pytest.raises(ContentErased):
                await plant(store, tenant, user, "again", f"run_again_{user}")
    assert await one.erasures.unfinished(5) == []
    assert await one.tenant("beta").runs(RunFilter()) == []


async def test_an_export_is_whole(open_store: Opener) -> None:
    """Every kind of row of a user, in plain words, and the count at its end."""
    store = await open_store()
    await made(store)
    lines = [json.loads(line) async for line in exported(store, "acme", "ben", CLOCK)]
    assert [next(iter(line)) for line in lines] == [
        "export", "run", "event", "event", "decision", "message", "ledger", "end",
    ]  # fmt: skip
    assert lines[2]["event"]["body"] == {"text": "word of ben in acme"}
    assert lines[-1]["end"]["event"] == 2
