"""Is what was said sealed where it is kept? Words are planted and looked for; values are moved; keys are replaced."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from golive.checklist.crash import Caught, Place, at_rest, begin, catch, has, impossible, last_is, staged, tell, wrong
from golive.checklist.drill import noted
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.checklist.twin_config import MASTER_FILE, STORE_FILE
from golive.config.master_keys import make
from golive.core.chance import SystemChance
from golive.core.errors import GoliveError
from golive.core.events import RunAccepted, encode_body
from golive.core.messages import Message

BACKUP = "sealed-backup.db"
NEXT_FILE = "next.key"
USER = "golive-check-rotation"
COMMAND_S = 30.0
_REFERENCES = ("https://doi.org/10.6028/NIST.SP.800-38D",)
_SWAP = "UPDATE events SET body = ?, key_id = ? WHERE run = ? AND seq = 1"


@check(
    "GW-11.at-rest",
    row="GW-11",
    title="Words of a run stand in no file: not in the database, its write-ahead log, or a backup",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Let golive alone write its database; keep secrets.master_key elsewhere than the database.",
    references=_REFERENCES,
)
async def sealed_at_rest(target: Target) -> Result:
    """Planted in what users, models and tools say; that they were kept is seen where the journal tells them."""
    found = Finding("0 planted words in any file, while the journal tells each")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    twin, token = stage.twin, SystemChance().token(8).hex()
    words = {name: f"{name}-{token}" for name in ("prompt", "metadata", "reason", "relay")}
    question = f"Please see to {words['prompt']}."
    run = await begin(
        stage, "planted", stage.asks(stage.use("nothing")), 1,
        input=question, metadata={"note": words["metadata"]},
    )  # fmt: skip
    await at_rest(twin, [run])
    if stage.text is not None:
        words["answer"] = stage.text[:40]
    half, half_said = stage.half()
    [cut] = await catch(stage, Place("in mid-answer", half, half_said))
    stage.twin.ledger.release()
    await twin.send("POST", f"/v1/runs/{cut.run}/cancel", {"reason": words["reason"]})
    await at_rest(twin, [cut])
    await twin.simulator.calm()
    await twin.send("POST", "/v1/chat/completions", target.chat(words["relay"]))
    told = "".join([str(run.events), str(cut.events)])
    code, out, err = await _golive(twin, "store", "backup", BACKUP, "--replace", "--json")
    files = [*twin.store_files(), twin.folder / BACKUP]
    standing = await asyncio.to_thread(_search, files, words)
    kept = sorted(name for name, word in words.items() if word in told)
    found.measured = (
        f"{len(words)} words planted, {len(kept)} told by the journal ({', '.join(kept)}), {len(standing)} found in "
        f"{', '.join(file.name for file in files if file.exists())}"
    )
    found.saw(noted(twin, f"looking for {', '.join(words)} in {len(files)} files", "; ".join(standing) or "nothing"))
    if standing:
        return found.failed("; ".join(standing[:4]))
    if code != 0:
        return found.failed(f"golive store backup ended with {code}: {(err or out).strip()[-300:]}")
    if not {"prompt", "metadata"} <= set(kept):
        return found.failed(f"the journal does not tell what was planted: only {', '.join(kept) or 'nothing'}")
    return found.passed()


def _search(files: list[Path], words: dict[str, str]) -> list[str]:
    """Which word stands where."""
    return [
        f"{name} stands in {file.name}"
        for file in files
        if file.exists()
        for name, word in words.items()
        if word.encode() in file.read_bytes()
    ]


@check(
    "GW-11.binding",
    row="GW-11",
    title="A stored value that was moved to another run, or put there in plain words, does not open, and is told",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Let nobody but golive write to its database; restore a backup where this was not a drill.",
    references=_REFERENCES,
)
async def bound_to_its_row(target: Target) -> Result:
    """One run is given the first event of another, and one in plain words that nobody sealed, as somebody could who can
    write to the database; then what was there is put back."""
    found = Finding("no word of the one in the journal of the other, none of the forged; the error names the row")
    stage = await staged(target)
    twin, token = stage.twin, SystemChance().token(8).hex()
    runs = []
    for name in ("giver", "taker"):
        begun = await begin(stage, name, stage.answer(), 0, input=f"Please see to {name}-{token}.")
        await at_rest(twin, [begun])
        runs.append(begun.run)
    giver, taker = runs
    store = twin.folder / STORE_FILE
    before, key = await asyncio.to_thread(_move, store, giver, taker)
    try:
        reply = await twin.send("GET", f"/v1/runs/{taker}/events?format=json")
        forged = RunAccepted("support", "1.0.0", input=(Message("user", f"forged-{token}"),))
        await asyncio.to_thread(_put, store, taker, encode_body(forged), None)
        plain = await twin.send("GET", f"/v1/runs/{taker}/events?format=json")
    finally:
        await asyncio.to_thread(_put, store, taker, before, key)
    again = await twin.send("GET", f"/v1/runs/{taker}/events?format=json")
    said = reply.body.decode("utf-8", "replace")
    answer: Any = reply.json()
    named = isinstance(answer, dict) and "cannot be opened" in str(answer.get("detail")) and taker in said
    found.saw(twin.http.evidence(reply, "the journal of the run that was given another's event"))
    found.saw(twin.http.evidence(plain, "the journal of the run whose first event was replaced by plain words"))
    found.measured = (
        f"moved: HTTP {reply.status}, {answer.get('code') if isinstance(answer, dict) else 'no answer'}; in plain "
        f"words: HTTP {plain.status}; put back: HTTP {again.status}"
    )
    if f"giver-{token}" in said:
        return found.failed("the journal of one run tells what was said in the other")
    if reply.status == 200 or not named:
        return found.failed(f"the moved value is not told: HTTP {reply.status}")
    if f"forged-{token}" in plain.body.decode("utf-8", "replace") or plain.status == 200:
        return found.failed(f"what was put there in plain words is told as if it had been said: HTTP {plain.status}")
    if again.status != 200:
        return found.failed(f"put back, it does not open any more: HTTP {again.status}")
    return found.passed()


def _move(path: Path, giver: str, taker: str) -> tuple[bytes, str]:
    """Gives the one run's first event to the other; returns what was there, and its key."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10.0)) as connection:
        rows = dict(connection.execute("SELECT run, body FROM events WHERE run IN (?, ?) AND seq = 1", (giver, taker)))
        keys = dict(connection.execute("SELECT run, key_id FROM events WHERE run = ? AND seq = 1", (taker,)))
        connection.execute(_SWAP, (rows[giver], keys[taker], taker))
    return rows[taker], keys[taker]


def _put(path: Path, run: str, body: bytes, key: str | None) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10.0)) as connection:
        connection.execute(_SWAP, (body, key, run))


@check(
    "GW-11.rotation",
    row="GW-11",
    title="Master key and data key are replaced while a run is in flight, and all stays readable, of users too",
    phase="security",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Name the new master key in secrets.old_master_keys of every server, restart them, and rotate with "
    "`golive secrets rotate-master` and `rotate-data`; keep the old one until it is told that no data key is under it.",
    timeout_s=120.0,
)
async def rotates_in_flight(target: Target) -> Result:
    """By the commands an operator types. While the server does not have the new master key, they must refuse; restarted
    with it, it has no user's key in memory and fetches one after the rotation."""
    found = Finding(
        "refused while the server lacks the new master key; then the run completes, its journal, an older one and a "
        "user's are readable, and all keys are under the new master"
    )
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    twin = stage.twin
    first = await begin(stage, "before", stage.asks(stage.use("nothing")), 1)
    await at_rest(twin, [first])
    theirs = await begin(stage, "of a user", stage.answer(), 0, user=USER)
    await at_rest(twin, [theirs])
    faults: list[str] = []
    config = twin.folder / "golive.toml"
    before = config.read_text(encoding="utf-8")
    await asyncio.to_thread(_make_next, twin.folder / NEXT_FILE)
    caught: Caught | None = None
    try:
        faults += [fault async for fault in _not_refused(twin, config, before)]
        await twin.restart()
        [caught] = await catch(
            stage, Place("in a tool", stage.asks(stage.use("nothing", "before")), last_is("tool.started"), "before")
        )
        master = str((await _done(twin, "rotate-master", "--to", f"file:{NEXT_FILE}"))["master"])
        made = str((await _done(twin, "rotate-data", "default"))["key"])
        keys = (await _done(twin, "data-keys"))["data"]
        stage.twin.ledger.release()
        await at_rest(twin, [caught])
        late = await begin(stage, "after", stage.answer(), 0)
        await at_rest(twin, [late])
        faults += [fault for each in (first, caught) for fault in wrong(stage, each, stage.text)]
        under = [key["master"] for key in keys if key["state"] != "present"]
        if not under or set(under) != {master}:
            faults.append(f"data keys are still under another master key than {master}: {under}")
        for each in (first, theirs, caught, late):
            if not has("run.finished")((await twin.journal(each.run))[1]):
                faults.append(f"the journal of the run {each.place} cannot be read after the rotation")
    finally:
        stage.twin.ledger.release()
        await _golive(twin, "secrets", "rotate-master", "--to", f"file:{MASTER_FILE}", "--force")
        await asyncio.to_thread(config.write_text, before, "utf-8")
    found.measured = (
        f"{len(keys)} data keys of tenants, master key {master}, new data key {made}; the run stands at "
        f"{caught.outcome}; a user's journal was read with a key that was not in memory"
    )
    await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


async def _not_refused(twin: Twin, config: Path, before: str) -> AsyncIterator[str]:
    """What is wrapped under a master key that a configuration, and then the server that runs, does not have."""
    for lacks in ("the configuration", "the server that runs"):
        code, _, _ = await _golive(twin, "secrets", "rotate-master", "--to", f"file:{NEXT_FILE}")
        if code == 0:
            yield f"data keys were wrapped under a master key that {lacks} does not have"
        await asyncio.to_thread(_accept, config, before)


def _make_next(path: Path) -> None:
    if not path.exists():
        make(path, f"file:{NEXT_FILE}", SystemChance())


def _accept(config: Path, before: str) -> None:
    """Has the configuration accept the new master key besides; running servers do not look."""
    line = next(line for line in before.splitlines() if "master_key" in line)
    key = "old_master_keys"
    more = f'"{key}" = ["file:{NEXT_FILE}"]' if line.startswith('"') else f'{key} = ["file:{NEXT_FILE}"]'
    config.write_text(before.replace(line, f"{line}\n{more}", 1), encoding="utf-8")


async def _done(twin: Twin, *words: str) -> dict[str, Any]:
    """`golive secrets …` on the twin: what it prints as JSON. Raises GoliveError where it does not end with 0."""
    code, out, err = await _golive(twin, "secrets", *words, "--json")
    if code != 0:
        raise GoliveError(f"golive secrets {words[0]} ended with {code}: {err.strip()[-600:]}")
    printed: dict[str, Any] = msgspec.json.decode(out)
    return printed


async def _golive(twin: Twin, *words: str) -> tuple[int, str, str]:
    return await twin.process.also([*words, "--config", str(twin.folder / "golive.toml")], COMMAND_S)
