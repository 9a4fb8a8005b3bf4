"""Erasing a user or a tenant: nothing stands or opens, nobody else loses anything, and a backup brings none back."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from golive.core.clock import SystemClock
from golive.core.errors import ContentErased, InvalidRequest, NotAsItStands, NotFound, StoreError, StoreUnavailable
from golive.core.events import Event
from golive.store.audit import AuditEntry
from golive.store.erasures import Erasure
from golive.store.ports import Lease, RunFilter
from golive.store.sqlite import SqliteStore
from golive.store.tenancy import TenantRow, UserRow
from golive.store.upkeep.backup import backup
from golive.store.upkeep.erased import read
from golive.store.upkeep.restore import restore
from golive.tenants.erasure import REASON, Eraser, ErasureReport
from golive.tenants.exporting import exported
from tests.contract.store_kit import decision, entry, key, message, view
from tests.unit.test_sealed_store import Place
from tests.unit.upkeep_kit import at, done, silent
from tests.untouched import contents

WORDS = {
    ("acme", "ann"): "xylophone", ("acme", "ben"): "marimba", ("beta", "ann"): "celesta", ("beta", None): "spinett",
}  # fmt: skip
CLOCK = SystemClock()


class Log:
    """The server's own."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, /, **_: Any) -> None:
        self.told.append(event)

    def error(self, event: str, /, **_: Any) -> None:
        self.told.append(event)


class Here:
    """A store with words of several users, and what erases there."""

    def __init__(self, place: Place, store: Any) -> None:
        self.place = place
        self.store = store
        self.log = Log()
        self.recorded: list[AuditEntry] = []
        self.cancelled: list[tuple[str, ...]] = []

    def eraser(self, store: Any = None, cancel: Any = None) -> Eraser:
        async def record(entry: AuditEntry) -> None:
            self.recorded.append(entry)

        return Eraser(store or self.store, CLOCK, record, self.log, cancel, settle_s=0.0)

    def files(self, word: str) -> list[str]:
        """Which files hold the word."""
        files = [file for file in self.place.path.parent.iterdir() if file.is_file()]
        return sorted(file.name for file in files if word.encode() in contents(file))

    async def reads(self, tenant: str, user: str | None) -> list[str]:
        """What the journals of a user's runs say."""
        mine = self.store.tenant(tenant)
        runs = [view for view in await mine.runs(RunFilter()) if view.user == user]
        return [json.loads(event.body)["text"] for view in runs for event in await mine.events(view.run)]


def name(tenant: str, user: str | None) -> str:
    return f"run_{tenant}_{user or 'nobody'}"


async def plant(store: Any, tenant: str, user: str | None, word: str, run: str = "", state: str = "running") -> None:
    run = run or name(tenant, user)
    of, body = Lease(tenant, run, 1, "holder-1", user), json.dumps({"text": word}).encode()
    said = [Event(tenant, run, seq, 1, "", "digest", 1.5, "text.block", body) for seq in (1, 2)]
    await store.append(
        of, 0, said, views=[view(of, user=user, state=state)], ledger=[entry(of, 1, 5)],
        outbox=[replace(message(of, f"msg_{run}"), body=body)], decisions=[decision(of, f"dec_{run}")],
    )  # fmt: skip


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    place = Place(tmp_path / "golive.db")
    store, _ = await place.server()
    for tenant in ("acme", "beta"):
        row = TenantRow(tenant=tenant, state="active", created_at=1.0, created_by="cli", note=f"{tenant}'s secret")
        await store.tenant(tenant).put_tenant(row)
        await store.tenant(tenant).put_key(key(tenant=tenant))
    await store.tenant("acme").users_seen({"ann": 5.0, "ben": 6.0})
    for (tenant, user), word in WORDS.items():
        await plant(store, tenant, user, word)
    yield Here(place, store)
    for opened in place.opened:
        await opened.close()


async def test_a_users_words_are_gone_and_nobody_elses(here: Here) -> None:
    """The report counts it and proves it; the audit log says that it began and that it is done."""
    report = await here.eraser().erase("acme", "ann", "key:admin")
    assert report == ErasureReport(
        tenant="acme", user="ann", by="key:admin", began_at=report.began_at, finished_at=report.finished_at,
        runs_ended=0, keys_destroyed=1, removed={"runs": 1},
        standing={"leases": 0, "runs": 0, "data_keys": 0}, sampled=2, opened=0, in_files=0, proved=True,
        remains=report.remains,
    )  # fmt: skip
    assert await here.reads("acme", "ann") == []
    for tenant, user in (("acme", "ben"), ("beta", "ann"), ("beta", None)):
        assert await here.reads(tenant, user) == [WORDS[tenant, user]] * 2
    mine = here.store.tenant("acme")
    assert (
        [row.run for row in await mine.deliveries()] == [row.run for row in await mine.decisions()] == ["run_acme_ben"]
    )
    assert await mine.spent("run_acme_ann") == 5
    assert (await mine.user("ann")).state == "erased"
    assert (await mine.user("ann")).erased_at == report.finished_at
    assert [(one.verb, one.kind, one.name, one.outcome, one.actor) for one in here.recorded] == [
        ("users.erase", "user", "ann", "allowed", "key:admin"), ("users.erase", "user", "ann", "done", "key:admin"),
    ]  # fmt: skip
    assert here.recorded[1].detail == {"runs": "1", "keys_destroyed": "1", "standing": "0", "opened": "0"}
    assert here.log.told == ["erasure.begun", "erasure.finished"]


async def test_a_tenant_goes_whole_and_its_name_stays(here: Here) -> None:
    """Users, keys, runs; its row says erased, and nothing else that anybody wrote; the other tenant stands."""
    report = await here.eraser().erase("beta", None, "key:admin")
    assert (report.proved, report.keys_destroyed, report.removed["runs"]) == (True, 2, 2)
    assert set(report.standing.values()) == {0}
    assert len(report.standing) == 12
    row = await here.store.tenant("beta").tenant_row()
    assert (row.state, row.note, row.agents, row.erased_at) == ("erased", "", (), report.finished_at)
    assert await here.store.tenant("beta").keys() == []
    assert await here.reads("acme", "ann") == [WORDS["acme", "ann"]] * 2
    with pytest.raises(ContentErased):
        await plant(here.store, "beta", "eve", "again", "run_new")
    with pytest.raises(ContentErased):
        await plant(here.store, "beta", None, "again", "run_new")


async def test_runs_under_way_are_ended_first_and_one_that_cannot_be_goes_all_the_same(here: Here) -> None:
    """Queued, running and waiting ones, of that user alone."""
    await plant(here.store, "acme", "ann", "more", "run_2", "waiting")
    await plant(here.store, "acme", "ann", "done", "run_3", "finished")

    async def cancel(*asked: str) -> None:
        here.cancelled.append(asked)
        if asked[1] == "run_2":
            raise StoreError("It cannot be ended.")

    report = await here.eraser(cancel=cancel).erase("acme", "ann", "key:admin")
    assert sorted(here.cancelled) == [
        ("acme", "run_2", "key:admin", REASON), ("acme", "run_acme_ann", "key:admin", REASON),
    ]  # fmt: skip
    assert (report.runs_ended, report.removed["runs"], report.proved) == (1, 3, True)


async def test_what_a_server_that_was_killed_began_is_finished_by_another(here: Here) -> None:
    """At each step: the row that says erased comes first, and another server's look does the rest."""
    for step in ("erase_runs", "wipe"):
        other, _ = await here.place.server()

        async def killed(*_: Any) -> Any:
            raise StoreUnavailable("The server was killed.")

        setattr(other, step, killed)
        user = {"erase_runs": "ann", "wipe": "ben"}[step]
        with pytest.raises(StoreUnavailable):
            await here.eraser(other).erase("acme", user, "key:admin")
        assert await here.store.erasures.unfinished(5) == [Erasure("acme", user, None)]
        [report] = await here.eraser().finish_all()
        assert (report.user, report.by, report.proved) == (user, "golive", True)
        assert await here.store.erasures.unfinished(5) == []
    assert await here.eraser().finish_all() == []


async def test_again_is_the_same_and_a_stranger_is_none(here: Here) -> None:
    """A second time proves it again; a user nobody has seen may be erased; a tenant that there is not cannot."""
    eraser = here.eraser()
    first = await eraser.erase("acme", "ann", "cli")
    again = await eraser.erase("acme", "ann", "cli")
    assert (again.proved, again.removed, again.keys_destroyed, again.sampled) == (True, {"runs": 0}, 0, 0)
    assert (await here.store.tenant("acme").user("ann")).erased_at == first.finished_at
    assert (await eraser.erase("acme", "stranger", "cli")).proved
    with pytest.raises(NotFound, match="no tenant 'gamma'"):
        await eraser.erase("gamma", "ann", "cli")
    with pytest.raises(NotAsItStands, match="installation's own tenant"):
        await eraser.erase("default", None, "cli")


async def test_a_run_that_a_hanging_server_began_late_is_found_and_removed(here: Here) -> None:
    """It still had the key in memory: what it wrote opens nowhere else, and goes with the next look."""
    hanging, _ = await here.place.server()
    await plant(hanging, "acme", "ann", "before", "run_2")
    assert (await here.eraser().erase("acme", "ann", "cli")).proved
    await plant(hanging, "acme", "ann", "late", "run_3")
    assert [view.run for view in await here.store.tenant("acme").runs(RunFilter(user="ann"))] == ["run_3"]
    with pytest.raises(ContentErased):
        await here.store.tenant("acme").events("run_3")
    [report] = await here.eraser().finish_all()
    assert (report.proved, report.removed) == (True, {"runs": 1})
    assert await here.store.tenant("acme").runs(RunFilter(user="ann")) == []


async def test_a_run_whose_rows_went_can_be_written_no_more(here: Here) -> None:
    """Its server is told, and nothing of it comes back."""
    of = Lease("acme", "run_acme_ann", 1, "holder-1", "ann")
    await here.eraser().erase("acme", "ann", "cli")
    more = Event("acme", of.run, 3, 1, "", "digest", 1.5, "text.block", b"{}")
    with pytest.raises(StoreError):
        await here.store.append(of, 2, [more])
    assert await here.store.tenant("acme").run(of.run) is None


async def test_plain_content_goes_from_the_files_too_and_the_report_warns_of_backups(tmp_path: Path) -> None:
    """Nothing is sealed here: the rows are overwritten where they lay, in the log ahead of the file as well."""
    place = Place(tmp_path / "golive.db")
    store: Any = SqliteStore.open(place.path, clock=CLOCK)
    place.opened.append(store)
    here = Here(place, store)
    await store.tenant("acme").put_tenant(TenantRow(tenant="acme", state="active", created_at=1.0, created_by="cli"))
    for user, word in (("ann", "xylophone"), ("ben", "marimba")):
        await plant(store, "acme", user, word)
    assert here.files("xylophone") != []
    report = await here.eraser().erase("acme", "ann", "cli")
    assert (report.proved, report.sampled, report.in_files) == (True, 2, 0)
    assert any("not sealed" in said for said in report.remains)
    assert here.files("xylophone") == []
    assert here.files("marimba") != []
    await store.close()


async def test_an_older_backup_does_not_bring_it_back(here: Here, tmp_path: Path) -> None:
    """Restored over the store that knows of it, or elsewhere with a list that was kept: rows and keys are gone."""
    url, kept = f"sqlite:{here.place.path}", tmp_path / "b.db"
    await asyncio.to_thread(lambda: done(lambda: backup(at(url), kept, silent, fold=None)))
    await here.eraser().erase("acme", "ann", "cli")
    await here.eraser().erase("beta", None, "cli")
    listed = await here.store.erasures.all()
    for opened in here.place.opened:
        await opened.close()
    elsewhere = Place(tmp_path / "elsewhere.db")
    found = await asyncio.to_thread(
        lambda: [
            done(lambda: restore(kept, at(url), CLOCK, silent, force=True)),
            done(lambda: restore(kept, at(f"sqlite:{elsewhere.path}"), CLOCK, silent, erasures=listed)),
        ]
    )
    assert [(one.erased.subjects, one.erased.runs) for one in found] == [(2, 3), (2, 3)]
    for place in (here.place, elsewhere):
        store, _ = await place.server()
        again = Here(place, store)
        assert await again.reads("acme", "ann") == await again.reads("beta", "ann") == []
        assert await again.reads("acme", "ben") == [WORDS["acme", "ben"]] * 2
        assert await store.erasures.all() == listed
        assert await store.erasures.unfinished(5) == []
        assert set((await store.erasures.standing("acme", "ann")).values()) == {0}
        assert set((await store.erasures.standing("beta", None)).values()) == {0}
        await store.close()


async def test_a_users_export_holds_all_of_theirs_and_nothing_else(here: Here) -> None:
    """In plain words, with a last line that counts; no MAC; a tenant's holds all of its users."""
    lines = [json.loads(line) async for line in exported(here.store, "acme", "ann", CLOCK)]
    kinds = [next(iter(line)) for line in lines]
    assert kinds == ["export", "user", "run", "event", "event", "decision", "message", "ledger", "end"]
    assert lines[0]["export"] | {"at": 0} == {
        "format": "golive export", "version": 1, "tenant": "acme", "user": "ann", "at": 0,
    }  # fmt: skip
    assert lines[3]["event"]["body"] == lines[6]["message"]["body"] == {"text": "xylophone"}
    assert lines[-1] == {
        "end": {"export": 1, "user": 1, "run": 1, "event": 2, "decision": 1, "message": 1, "ledger": 1}
    }
    whole = b"".join([line async for line in exported(here.store, "acme", None, CLOCK)]).decode()
    assert [word in whole for word in WORDS.values()] == [True, True, False, False]
    assert '"mac"' not in whole
    assert json.loads(whole.splitlines()[-1])["end"]["user"] == 2


async def test_an_export_of_nobody_is_none(here: Here) -> None:
    """Neither a tenant that there is not, nor a user of whom nothing is known."""
    for tenant, user in (("gamma", None), ("acme", "stranger")):
        with pytest.raises(NotFound):
            [line async for line in exported(here.store, tenant, user, CLOCK)]


async def test_a_report_is_json(here: Here) -> None:
    """As the API and the commands give it."""
    report = await here.eraser().erase("acme", "ann", "cli")
    told = json.loads(msgspec.json.encode(report))
    assert (told["tenant"], told["user"], told["proved"], told["standing"]["runs"]) == ("acme", "ann", True, 0)


async def test_an_erased_user_is_let_out_of_the_list_of_the_seen(here: Here) -> None:
    """A request that came in just before does not make the row active again."""
    await here.eraser().erase("acme", "ann", "cli")
    await here.store.tenant("acme").users_seen({"ann": 99.0})
    row: UserRow = await here.store.tenant("acme").user("ann")
    assert (row.state, row.last_seen_at) == ("erased", None)


async def test_a_list_of_erasures_is_read_line_by_line(here: Here, tmp_path: Path) -> None:
    """What `golive tenants erasures` writes; a line that is none is named, and so is a file that is not there."""
    await here.eraser().erase("acme", "ann", "cli")
    await here.eraser().erase("beta", None, "cli")
    listed, path = await here.store.erasures.all(), tmp_path / "erasures.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(one) for one in listed) + b"\n")
    assert read(path) == listed
    path.write_text('{"tenant": "acme", "user": null, "erased_at": 5.0}\n{"tenant": 7}\n')
    with pytest.raises(InvalidRequest, match=r"Line 2 of .* is no erasure"):
        read(path)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path / "nowhere.jsonl")
