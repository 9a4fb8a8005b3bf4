"""Does a restored backup keep its promise? Backed up beside the server, restored without one, with a run in between.

What the run did after the backup was taken is in the world, and not in the store: nobody but a person may say whether
it goes on. The commands are those an operator types.
"""

from typing import Any

import msgspec

from golive.checklist.crash import (
    Place,
    at_rest,
    back,
    catch,
    has,
    impossible,
    kill,
    look,
    staged,
    tell,
    wrong,
)
from golive.checklist.drill import noted
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.checklist.twin import Twin
from golive.core.errors import GoliveError

BACKUP = "backup.db"
COMMAND_S = 30.0
CHOICES = ["continue", "end"]


@check(
    "REL-6.restore",
    row="REL-6",
    title="A backup, restored: a new generation, and an open run that had effects goes on when a person says so",
    phase="releases",
    severity="blocker",
    needs={"inject", "process", "store", "golive", "agent"},
    where="effecting",
    remediation="Back up with `golive store backup`, restore with `golive store restore`, then see `golive decisions`.",
)
async def restores(target: Target) -> Result:
    """Backed up in mid-answer after a tool's effect; then the run goes on, and the backup takes the store's place."""
    found = Finding("the generation rises; the run waits for a person, then completes; no effect twice; none is lost")
    if why := impossible(target):
        return found.unknown(why)
    stage = await staged(target)
    twin = stage.twin
    half, half_said = stage.half()
    ended, caught = await catch(
        stage,
        Place("at its end", stage.asks(stage.use("status")), has("run.finished")),
        Place("in mid-answer, after an effect", stage.asks(stage.use("nothing"), then=half), half_said),
    )
    made = await _store(twin, found, "backup", BACKUP, "--replace")
    [after] = await catch(stage, Place("after the backup", stage.asks(stage.use("status")), has("run.finished")))
    faults = await kill(stage)
    done = await _store(twin, found, "restore", BACKUP, "--force")
    await twin.simulator.play(stage.asks(stage.use("nothing")))
    await back(twin)
    await at_rest(twin, [caught])
    asked: list[dict[str, Any]] = caught.view.get("decisions") or []
    if [(one.get("about"), one.get("choices")) for one in asked] != [("restored", CHOICES)]:
        faults.append(f"the run that had effects waits for nobody: it stands at {caught.outcome}")
    else:
        body = {"choice": "continue"}
        reply = await twin.send("POST", f"/v1/runs/{caught.run}/decisions/{asked[0]['id']}", body)
        found.saw(twin.http.evidence(reply, str(asked[0].get("question"))))
        caught.view = {}
        await at_rest(twin, [caught])
    await at_rest(twin, [ended])
    for each in (caught, ended):
        faults += list(wrong(stage, each, stage.text))
    await look(twin, after)
    if after.view.get("outcome"):
        faults.append("a run that began after the backup is still there: nothing was restored")
    generations = (int(made["generation"]), int(done["generation"]))
    if generations[1] <= generations[0]:
        faults.append(f"the generation is {generations[1]} after a restore of generation {generations[0]}")
    found.measured = (
        f"generation {generations[0]} to {generations[1]}; {done['open_runs']} run was open, asked a person "
        f"({len(asked)} decision) and stands at {caught.outcome}; backup of {made['bytes']} bytes"
    )
    await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


async def _store(twin: Twin, found: Finding, *words: str) -> dict[str, Any]:
    """`golive store …` on the twin: what it prints as JSON.

    Raises:
        GoliveError: it ended otherwise than with 0; says what it said.
    """
    command = ["store", *words, "--json", "--config", str(twin.folder / "golive.toml")]
    code, out, err = await twin.process.also(command, COMMAND_S)
    found.saw(noted(twin, f"golive {' '.join(command)}", f"exit code {code}\n{out}{err}"))
    if code != 0:
        raise GoliveError(f"golive {' '.join(words)} ended with {code}: {err.strip()[-600:]}")
    printed: dict[str, Any] = msgspec.json.decode(out)
    return printed
