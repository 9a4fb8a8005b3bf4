"""Is who did what recorded, and can nobody change it unseen?

What must leave an entry is taken from the server's own description: every endpoint whose verb is an act, asked by who
may and by who may not. Tampering is done to a copy of the twin's database, and told by `golive audit verify`.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from golive.checklist.checks.access import Endpoint, ask_all, endpoints_of, keys_of
from golive.checklist.drill import noted
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.checklist.twin_config import STORE_FILE
from golive.gateway.audit import ACTS

COMMAND_S = 40.0
PAGE = 1_000
MOST_TOLD = 5
LOOK_S = 0.2
_TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"


class Tampering(NamedTuple):
    """Something that somebody does to the log. `seq`: the entry that must be named."""

    name: str
    statements: tuple[str, ...]
    seq: str


_TAMPERINGS = (
    Tampering("an entry changed", ("UPDATE audit SET actor = 'key:nobody' WHERE tenant = 'default' AND seq = 3",), "3"),
    Tampering(
        "an outcome changed", ("UPDATE audit SET outcome = 'allowed ' WHERE tenant = 'default' AND seq = 4",), "4"
    ),
    Tampering("an entry removed", ("DELETE FROM audit WHERE tenant = 'default' AND seq = 5",), "5"),
    Tampering(
        "two entries in each other's place",
        (
            "UPDATE audit SET seq = -6 WHERE tenant = 'default' AND seq = 6",
            "UPDATE audit SET seq = 6 WHERE tenant = 'default' AND seq = 7",
            "UPDATE audit SET seq = 7 WHERE tenant = 'default' AND seq = -6",
        ),
        "6",
    ),
    Tampering(
        "the end cut off, with its signatures and its head",
        (
            "DELETE FROM audit WHERE tenant = 'default' AND seq > 7",
            "DELETE FROM audit_checkpoints WHERE tenant = 'default' AND seq > 7",
            "UPDATE audit_heads SET seq = 7 WHERE tenant = 'default'",
            "UPDATE audit_heads SET hash = (SELECT hash FROM audit WHERE tenant = 'default' AND seq = 7)",
        ),
        "8",
    ),
)


@check(
    "SEC-7.recorded",
    row="SEC-7",
    title="Every act and every denial leaves its entry in the audit log, before it is answered",
    phase="security",
    severity="blocker",
    needs={"golive", "inject"},
    remediation="Let the one door record what it decides; leave no verb that changes something out of the log.",
    references=("OWASP A09:2021", "https://csrc.nist.gov/pubs/sp/800/92/final"),
)
async def acts_are_recorded(target: Target) -> Result:
    """Each endpoint whose verb is an act is asked by an administrator, and by a key that may only read."""
    found = Finding("0 missing")
    endpoints = await endpoints_of(target, found)
    acts = [each for each in endpoints if ACTS.intersection(each.verbs or ())]
    if not acts:
        return found.unknown("the server describes no endpoint whose verb is an act")
    before = await _entries(target, 0)
    after = max((int(row["seq"]) for row in before), default=0)
    async with keys_of(target) as keys:
        made, viewer = await keys.make("viewer")
        body = made.json()
        if not viewer or not isinstance(body, dict):
            return found.unknown(f"no key of the role viewer can be made (HTTP {made.status})")
        denied = [
            each for each, reply in zip(acts, await ask_all(target, viewer, acts), strict=True) if reply.status == 403
        ]
        await ask_all(target, target.key, acts)
        rows = await _entries(target, after)  # at once: an act is recorded before its answer
    low = f"key:{body['id']}"
    missing = [f"{_of(each)} denied" for each in denied if not _there(rows, each, ("denied",), low)]
    for each in acts:
        missing += [f"{_of(each)}: that it may" for _ in [0] if not _there(rows, each, ("allowed",), "", but=low)]
        missing += [f"{_of(each)}: what came" for _ in [0] if not _there(rows, each, ("done", "failed"), "", but=low)]
    if not any(row["verb"] == "secrets.use" for row in [*before, *rows]):
        missing.append("that secrets were used")
    if await _stranger(target) is None:
        missing.append("a stranger's attempt")
    found.measured = (
        f"{len(acts)} endpoints that do something, asked by who may and by who may not ({len(denied)} denials): "
        f"{len(rows)} entries, {len(missing)} missing"
    )
    return found.failed("; ".join(missing[:MOST_TOLD])) if missing else found.passed()


def _of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def _there(rows: Iterable[dict[str, Any]], of: Endpoint, outcomes: Sequence[str], actor: str, but: str = "") -> bool:
    return any(
        row["route"].replace("...}", "}") == _of(of) and row["outcome"] in outcomes
        and (row["actor"] == actor if actor else row["actor"] != but)
        for row in rows
    )  # fmt: skip


async def _entries(target: Target, after: int) -> list[dict[str, Any]]:
    """What stands in the log behind an entry, newest first."""
    rows: list[dict[str, Any]] = []
    before = ""
    while True:
        reply = await target.send("GET", f"/v1/audit?limit={PAGE}{before}")
        page = reply.json()
        if reply.status != 200 or not isinstance(page, dict):
            return rows
        rows += [row for row in page["data"] if row["seq"] > after]
        if page["before"] is None or page["data"][-1]["seq"] <= after:
            return rows
        before = f"&before={page['before']}"


async def _stranger(target: Target) -> dict[str, Any] | None:
    """The entry of somebody without a key, once it is summed up."""
    await target.http.send("GET", f"{target.url}/v1/agents", headers={})
    deadline = target.clock.monotonic() + target.twin.loaded.config.audit.sum_up_s + 2.0
    while target.clock.monotonic() < deadline:
        page = (await target.send("GET", "/v1/audit?outcome=refused&limit=1")).json()
        if isinstance(page, dict) and page["data"]:
            row: dict[str, Any] = page["data"][0]
            return row
        await asyncio.sleep(LOOK_S)
    return None


@check(
    "SEC-7.tamper",
    row="SEC-7",
    title="An entry that is changed, removed or moved, and an end that is cut off, are told and named",
    phase="security",
    severity="blocker",
    needs={"golive", "inject", "process", "store"},
    remediation="Keep the audit key and the checkpoints out of reach of who can write to the database; verify often.",
    references=("https://www.rfc-editor.org/rfc/rfc8032", "CWE-354"),
    timeout_s=180.0,
)
async def tampering_is_told(target: Target) -> Result:
    """`golive audit verify` on copies of the database: as it is, and with one thing changed in each."""
    twin = target.twin
    found = Finding("the untouched log is proved; each tampering is named")
    for _ in range(4):
        await twin.send("DELETE", "/v1/keys/nokey000")
    folder = twin.folder / "tampered"
    await asyncio.to_thread(_prepare, twin, folder)
    kept = folder / "kept.jsonl"
    code, _, err = await _golive(twin, folder, "export", str(kept))
    whole, proved, told = await _golive(twin, folder, "verify", "--checkpoint", str(kept))
    found.saw(noted(twin, "golive audit verify", f"exit code {whole}\n{proved}{told}"))
    if code or whole:
        return found.failed(f"a log that nobody touched is not proved: {(proved or told or err).strip()[:300]}")
    missed: list[str] = []
    for one in _TAMPERINGS:
        await asyncio.to_thread(_tamper, folder, one)
        code, said, _ = await _golive(twin, folder, "verify", "--checkpoint", str(kept))
        named = [line.split("\t")[1] for line in said.splitlines() if "\t" in line]
        found.saw(noted(twin, f"{one.name}: {'; '.join(one.statements)}", f"exit code {code}\n{said}"))
        if code != 1 or one.seq not in named:
            missed.append(
                f"{one.name} (entry {one.seq}) is not told: exit code {code}, named {', '.join(named) or '-'}"
            )
    found.measured = f"{len(_TAMPERINGS)} tamperings: {len(_TAMPERINGS) - len(missed)} told and named"
    return found.failed("; ".join(missed)) if missed else found.passed()


def _prepare(twin: Twin, folder: Path) -> None:
    """A copy of the database, and a configuration that leads to it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _copy(twin.folder / STORE_FILE, folder / "whole.db")
    shutil.copy(folder / "whole.db", folder / STORE_FILE)
    text = (twin.folder / "golive.toml").read_text("utf-8")
    for name in ("audit.key", "agents"):
        text = text.replace(f'file:{name}"', f'file:../{name}"').replace(f'"{name}"\n', f'"../{name}"\n')
    (folder / "golive.toml").write_text(text, "utf-8")


def _copy(source: Path, to: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(to)) as other:
        one.backup(other)


def _tamper(folder: Path, how: Tampering) -> None:
    """Anew on an untouched copy, without the guards, which whoever has the file can take away."""
    for path in folder.glob(f"{STORE_FILE}*"):
        path.unlink()
    shutil.copy(folder / "whole.db", folder / STORE_FILE)
    with closing(sqlite3.connect(folder / STORE_FILE, isolation_level=None)) as connection:
        for (name,) in connection.execute(_TRIGGERS).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for sql in how.statements:
            connection.execute(sql)


async def _golive(twin: Twin, folder: Path, *words: str) -> tuple[int, str, str]:
    return await twin.process.also(["audit", *words, "--config", str(folder / "golive.toml")], COMMAND_S)
