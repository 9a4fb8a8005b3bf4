"""Is what was erased gone? Words of users of two tenants are planted, one user and then one tenant erased, looked for.

Stored values are ciphertext, so words alone would prove nothing: their sealed bodies and the wrapped keys are noted
before, and looked for in the files afterwards. Then the server must still have its database: what a command beside it
does holds, and what it acknowledged survives kill -9. Then an older backup takes the store's place.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from golive.checklist.crash import Stage, at_rest, begin, impossible, own_tools, set_up
from golive.checklist.drill import noted
from golive.checklist.http import Reply
from golive.checklist.neighbours import COMMAND_S, LEARN_S, TENANT_HEADER, ask, golive, made_key, until
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.checklist.twin_config import STORE_FILE
from golive.core.chance import SystemChance
from golive.core.errors import GoliveError

BACKUP = "before-erasing.db"
TOOL_S = 20.0
PEOPLE = ("ann", "ben")
MOST_TOLD = 5
LOOK_S = 0.05
MARK_BYTES = 60
"""Of each stored value so many bytes are looked for: more of it may lie on several pages."""
_BODIES = "SELECT body FROM events WHERE tenant = ? AND run = ?"
_WRAPPED = "SELECT wrapped FROM data_keys WHERE tenant = ? AND wrapped <> x'' AND (? = '' OR subject = ?)"
_STAYS = {"ledger", "audit", "audit_heads", "audit_checkpoints", "installation", "schema_version"}
"""Tables in which run ids and names may stand: amounts and who did what stay."""


class Said(NamedTuple):
    """What one user of a tenant said."""

    tenant: str
    user: str
    run: str
    word: str


class Planted(NamedTuple):
    """The stage; `keys` by tenant; `kept` by what was said: its bytes as they were stored, and its wrapped keys."""

    stage: Stage
    platform_key: str
    other: str
    keys: Mapping[str, str]
    said: tuple[Said, ...]
    kept: Mapping[str, list[bytes]]

    @property
    def twin(self) -> Twin:
        return self.stage.twin


@check(
    "GW-11.erasure",
    row="GW-11",
    title="An erased user, or tenant, is in no file and opens nowhere; nothing else is lost; a backup brings none back",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="own",
    remediation="Erase with `golive users erase`, `golive tenants erase`; see what the report says is left.",
    references=("https://eur-lex.europa.eu/eli/reg/2016/679/oj", "https://doi.org/10.6028/NIST.SP.800-88r1"),
    timeout_s=120.0,
)
async def erases(target: Target) -> Result:
    """Over the API, as an administrator does it, beside a server that serves the others on."""
    found = Finding("0 values, keys, rows of the erased in any file; all of the others; so after kill -9 and a restore")
    if why := impossible(target):
        return found.unknown(why)
    names = await own_tools(target)
    twin = await target.twin.replica(names, TOOL_S, {})
    try:
        planted = await _plant(set_up(target, twin, names))
        await golive(twin, "store", "backup", BACKUP)
        faults = await _erased_one_by_one(planted, found)
        faults += await _kept_beside(planted, found)
        faults += await _restored(planted, found)
    finally:
        twin.ledger.release()
        await twin.end()
    values = sum(map(len, planted.kept.values()))
    found.measured = (
        f"{len(planted.said)} words of {len(PEOPLE)} users of 2 tenants; a user and a tenant erased; {values} stored "
        f"values and wrapped keys looked for in {STORE_FILE} and its log; commands beside the server, kill -9; backup "
        f"restored; {len(faults)} faults"
    )
    return found.failed("; ".join(faults[:MOST_TOLD])) if faults else found.passed()


# ---- before ----------------------------------------------------------------------------------------------------------


async def _plant(stage: Stage) -> Planted:
    """A second tenant, and a run of each user of both."""
    twin, token = stage.twin, SystemChance().token(4).hex()
    other = f"drill-{token}"
    platform_key = await made_key(twin, "", "platform", "check")
    twin.http.conceal(platform_key, "$PLATFORM_KEY")
    await until(twin, platform_key)
    made = await ask(twin, platform_key, "POST", "/v1/tenants", {"tenant": other})
    if made.status != 201:
        raise GoliveError(f"a tenant cannot be made: HTTP {made.status}, {made.body[:300]!r}")
    own_key, other_key = twin.key, await made_key(twin, other, "admin", "check")
    twin.http.conceal(other_key, "$OTHER_KEY")
    await until(twin, other_key)
    said: list[Said] = []
    keys = {"default": own_key, other: other_key}
    try:
        for tenant, key in keys.items():
            twin.key = key
            for user in PEOPLE:
                word = f"{tenant}-{user}-{SystemChance().token(4).hex()}"
                run = await begin(stage, word, stage.answer(), 0, input=f"Please see to {word}.", user=user)
                await at_rest(twin, [run])
                said.append(Said(tenant, user, run.run, word))
    finally:
        twin.key = own_key
    kept = await asyncio.to_thread(_as_kept, twin.folder / STORE_FILE, said)
    return Planted(stage, platform_key, other, keys, tuple(said), kept)


def _as_kept(path: Path, said: list[Said]) -> dict[str, list[bytes]]:
    """By word: the stored bodies of its run, and the wrapped keys of its user. Raises GoliveError: there are none."""
    found: dict[str, list[bytes]] = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10.0)) as connection:
        for one in said:
            bodies = [bytes(row[0]) for row in connection.execute(_BODIES, (one.tenant, one.run))]
            keys = [bytes(row[0]) for row in connection.execute(_WRAPPED, (one.tenant, one.user, one.user))]
            if not bodies or not keys:
                raise GoliveError(f"of {one.user} in {one.tenant} {len(bodies)} values and {len(keys)} keys are stored")
            found[one.word] = [value[:MARK_BYTES] for value in (*bodies, *keys)]
    return found


# ---- erasing ---------------------------------------------------------------------------------------------------------


async def _erased_one_by_one(planted: Planted, found: Finding) -> list[str]:
    twin = planted.twin
    reply = await twin.send("POST", f"/v1/users/{PEOPLE[0]}/erase", {"confirm": PEOPLE[0]})
    found.saw(twin.http.evidence(reply, "what was erased of a user, and the proof"))
    faults = _not_proved(reply, f"the user {PEOPLE[0]}")
    gone = [one for one in planted.said if (one.tenant, one.user) == ("default", PEOPLE[0])]
    faults += await _look(planted, found, gone)
    other = planted.other
    reply = await ask(twin, planted.platform_key, "POST", f"/v1/tenants/{other}/erase", {"confirm": other})
    found.saw(twin.http.evidence(reply, "what was erased of a tenant, and the proof"))
    faults += _not_proved(reply, f"the tenant {other}")
    return faults + await _look(planted, found, [*gone, *(one for one in planted.said if one.tenant == other)])


def _not_proved(reply: Reply, whose: str) -> list[str]:
    report: Any = reply.json()
    if reply.status != 200 or not isinstance(report, dict):
        return [f"{whose} cannot be erased: HTTP {reply.status}"]
    if report.get("in_files") is None:
        return [f"erasing {whose} did not look through the database's files: {'; '.join(report.get('remains', ()))}"]
    return [] if report.get("proved") is True else [f"erasing {whose} is not proved, as its own report says"]


async def _look(planted: Planted, found: Finding, gone: list[Said], after: str = "") -> list[str]:
    """What is wrong: of the erased something is there, or somebody else lost something."""
    twin, faults = planted.twin, []
    for one in planted.said:
        reply = await ask(
            twin, planted.platform_key, "GET", f"/v1/runs/{one.run}/events?format=json", **{TENANT_HEADER: one.tenant}
        )
        told = one.word.encode() in reply.body
        if one in gone and (told or reply.status == 200):
            faults.append(f"{after}the journal of {one.user} in {one.tenant} is still there: HTTP {reply.status}")
        if one not in gone and not told:
            faults.append(f"{after}{one.user} in {one.tenant} lost what was said: HTTP {reply.status}")
    for user in {one.user for one in gone if one.tenant == "default"}:
        reply = await twin.send("POST", f"/v1/agents/{twin.agent}/runs", {"input": "Again.", "user": user})
        if reply.status not in (403, 410):
            faults.append(f"{after}a run is begun for {user}, who was erased: HTTP {reply.status}")
    values = {one.word: planted.kept[one.word] for one in gone}
    standing = await asyncio.to_thread(_standing, twin, values, [one.run for one in gone])
    whose = ", ".join(sorted({f"{one.user} of {one.tenant}" for one in gone}))
    found.saw(noted(twin, f"{after}looking for what was of {whose}", "; ".join(standing) or "nothing"))
    return faults + [f"{after}{one}" for one in standing]


def _standing(twin: Twin, values: Mapping[str, list[bytes]], runs: list[str]) -> list[str]:
    """What of the erased stands in the database's files, byte by byte, or in its rows."""
    files = [file for file in twin.store_files() if not file.name.endswith("-shm")]
    contents = {file.name: file.read_bytes() for file in files if file.exists()}
    found = [
        f"{sum(value in data for value in kept)} stored values or wrapped keys of {word} stand in {name}"
        for name, data in contents.items()
        for word, kept in values.items()
        if any(value in data for value in kept)
    ]
    path = f"file:{twin.folder / STORE_FILE}?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=10.0)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(tables) - _STAYS):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for run in runs if "run" in columns else ():
                [(rows,)] = connection.execute(f"SELECT count(*) FROM {table} WHERE run = ?", (run,))  # noqa: S608 - ours
                found += [f"{rows} rows of a run that was erased are in {table}"] if rows else []
    return found


# ---- beside the server -----------------------------------------------------------------------------------------------


async def _kept_beside(planted: Planted, found: Finding) -> list[str]:
    """What is wrong: the server and a command work on different databases, or what was acknowledged is lost."""
    twin = planted.twin
    keys = [await _new_key(twin)]
    said, faults = await _command(twin, ("keys", "list"))
    keys.append(await _new_key(twin))
    run = await begin(planted.stage, "after", planted.stage.answer(), 0)
    await at_rest(twin, [run])
    for id_, _ in keys:
        more, wrong = await _command(twin, ("keys", "revoke", id_))
        said, faults = said + more, faults + wrong
    faults += [
        "a key that a command revoked after the erasures is still let in"
        for _, key in keys
        if not await _refused(twin, key)
    ]
    if not faults:
        await twin.process.kill()
        await twin.process.start()
        await until(twin, planted.platform_key)
        faults += [
            "a key that a command revoked after the erasures is let in again after kill -9"
            for _, key in keys
            if not await _refused(twin, key)
        ]
        reply = await twin.send("GET", f"/v1/runs/{run.run}")
        if reply.status != 200:
            faults.append(f"a run that ended after the erasures is lost with kill -9: HTTP {reply.status}")
        more, wrong = await _command(twin, ("store", "verify"))
        said, faults = said + more, faults + wrong
        gone = [one for one in planted.said if one.tenant == planted.other or one.user == PEOPLE[0]]
        faults += await _look(planted, found, gone, "after kill -9: ")
    found.saw(noted(twin, "commands beside the server, then kill -9", "\n".join((*said, *faults))))
    return faults


async def _new_key(twin: Twin) -> tuple[str, str]:
    """A key made over the API: its id and itself. Raises GoliveError."""
    reply = await twin.send("POST", "/v1/keys", {"name": "check-beside", "role": "viewer"})
    if reply.status != 201:
        raise GoliveError(f"no key can be made after the erasures: HTTP {reply.status}, {reply.body[:300]!r}")
    made: Any = reply.json()
    twin.http.conceal(made["key"], "$REVOKED_BESIDE")
    return made["id"], made["key"]


async def _command(twin: Twin, words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """A command beside the server: how it ended, and what is wrong where that is not with 0."""
    code, out, err = await twin.process.also([*words, "--config", str(twin.folder / "golive.toml")], COMMAND_S)
    said = f"golive {' '.join(words[:2])} ended with {code}"
    return [said], [f"{said}: {(err or out).strip()[-300:]}"] if code else []


async def _refused(twin: Twin, key: str) -> bool:
    """Whether the server lets the key in no more, within the time that it has to learn of it."""
    end = twin.clock.monotonic() + LEARN_S
    while (await ask(twin, key, "GET", "/v1/agents")).status != 401:
        if twin.clock.monotonic() >= end:
            return False
        await asyncio.sleep(LOOK_S)
    return True


# ---- after a restore -------------------------------------------------------------------------------------------------


async def _restored(planted: Planted, found: Finding) -> list[str]:
    """An older backup, which holds all of it, in the store's place."""
    twin = planted.twin
    await twin.process.stop()
    done = await golive(twin, "store", "restore", BACKUP, "--force")
    found.saw(noted(twin, f"golive store restore {BACKUP} --force", str(done)))
    await twin.process.start()
    await until(twin, planted.platform_key)
    gone = [one for one in planted.said if one.tenant == planted.other or one.user == PEOPLE[0]]
    return await _look(planted, found, gone, "after a restore: ")
