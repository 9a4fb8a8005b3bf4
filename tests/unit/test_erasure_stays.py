"""Where the id of an erased user goes on standing is what docs/security/erasure.md says, column by column."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from golive.core.clock import SystemClock
from golive.store.audit import AuditEntry
from golive.store.fingerprints import FingerprintRow
from golive.store.ports import Lease
from golive.store.revocation import TokenRevocation
from golive.store.tenancy import CredentialRow, TenantRow, UserRow
from golive.tenants.erasure import Eraser
from tests.contract.store_kit import decision, entry, events, key, message, view
from tests.unit.test_sealed_store import Place

PAGE = Path(__file__).parents[2] / "docs" / "security" / "erasure.md"
ANN = "ann-unusual-id"
HERS = f"user:{ANN}"


class Log:
    """Says nothing."""

    def info(self, event: str, /, **_: object) -> None: ...

    def error(self, event: str, /, **_: object) -> None: ...


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path / "golive.db")
    yield made
    for opened in made.opened:
        await opened.close()


def stands(path: Path) -> set[str]:
    """Each column, as `table.column`, in which the id stands."""
    found = set()
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                sql = f'SELECT 1 FROM {table} WHERE instr(CAST("{column}" AS TEXT), ?) > 0'
                if connection.execute(sql, (ANN,)).fetchone():
                    found.add(f"{table}.{column}")
    return found


async def test_the_id_of_an_erased_user_stands_where_the_page_says_and_nowhere_else(place: Place) -> None:
    """She ran, decided, made, noted and revoked; others wrote of her."""
    store, _ = await place.server()
    acme, now = store.tenant("acme"), SystemClock().now()
    await acme.put_tenant(TenantRow(tenant="acme", state="active", created_at=1.0, created_by=HERS, note=f"ask {ANN}"))
    await acme.users_seen({ANN: 5.0})
    await acme.put_user(
        UserRow(tenant="acme", id="ben", state="suspended", created_at=1.0, created_by=HERS, note=f"{ANN} complained")
    )
    await acme.put_key(key(name=f"laptop of {ANN}", created_by=HERS))
    await acme.put_credential(CredentialRow("acme", "openai", "env:KEY", 1.0, HERS))
    await store.revocations.add(
        TokenRevocation("acme", "rev_1", "https://corp", "user", ANN, 1.0, now + 900, 1.0, HERS)
    )
    await store.fingerprints.put(FingerprintRow("ab" * 32, "env:KEY", 1.0, 2.0, HERS, f"{ANN} leaked it"))
    for user, run in ((ANN, "run_ann"), ("ben", "run_ben")):
        of = Lease("acme", run, 1, "holder-1", user)
        shown = view(of, user=user, principal=HERS, conversation=f"of {ANN}")
        asked = decision(of, f"dec_{run}", subject=f"pay {ANN}", decided_by=HERS, choice="skip", decided_at=6.0)
        await store.append(
            of, 0, events(range(1, 3), of, ANN.encode()), views=[shown], ledger=[entry(of, 1, 5)],
            outbox=[message(of, f"msg_{run}")], decisions=[asked],
        )  # fmt: skip
    said = AuditEntry(
        tenant="acme", at=1.0, actor=HERS, home="acme", verb="users.manage", kind="user", name=ANN, outcome="done",
        detail={"note": f"{ANN} asked"},
    )  # fmt: skip
    await store.audit.append([said])

    async def record(one: AuditEntry) -> None:
        await store.audit.append([one])

    before = stands(place.path)
    assert {"leases.user", "runs.user"} <= before
    report = await Eraser(store, SystemClock(), record, Log(), None, settle_s=0.0).erase("acme", ANN, "cli")
    assert report.proved
    section = PAGE.read_text(encoding="utf-8").split("### Where the id of an erased user stands")[1].split("\n#")[0]
    assert stands(place.path) == set(re.findall(r"`([a-z_]+\.[a-z_]+)`", section))
