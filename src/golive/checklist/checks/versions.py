"""Is a run's version what the agent's folder holds?"""

import asyncio
from typing import Any

from golive.checklist.registry import check
from golive.checklist.results import Finding, Result, evidence
from golive.checklist.target import Target, need_agent
from golive.releases.digest import version_digest


@check(
    "REL-1.digest",
    row="REL-1",
    title="The version digest on runs is that of the agent's folder",
    phase="serving",
    severity="blocker",
    needs={"store", "golive", "agent"},
    remediation="Serve from a folder that nobody edits; a changed agent is a new version (golive reloads only in dev).",
)
async def digest(target: Target) -> Result:
    """Computes the digest from the folder's files; compares it with the agent's card, a run, and its stored events."""
    twin = target.twin
    name = need_agent(target)
    agent = twin.loaded.agents[name]
    expected = await asyncio.to_thread(version_digest, agent, twin.loaded.config, twin.loaded.root)
    found = Finding(f"{expected[:19]}… everywhere")
    files = sorted(path.relative_to(agent.folder).as_posix() for path in agent.folder.rglob("*") if path.is_file())
    listing = "\n".join(files)
    found.saw(evidence(f"digest of agents/{name}", expected, twin.clock.now(), shown=f"{expected}\n{listing}"))
    card = await target.card()
    reply, run = await target.run("Which version are you?")
    found.saw(target.http.evidence(reply))
    stored = await asyncio.to_thread(twin.stored_versions, str(run.get("run")))
    command = f"sqlite3 golive.db .dump | grep {run.get('run')}"
    found.saw(evidence(command, "\n".join(sorted(stored)), twin.clock.now()))
    told: dict[str, set[Any]] = {
        "the agent's card": {card.get("version")},
        "the run": {run.get("version")},
        "its events": stored,
    }
    wrong = [
        f"{where} says {', '.join(map(str, has)) or 'nothing'}" for where, has in told.items() if has != {expected}
    ]
    found.measured = f"{len(told) - len(wrong)} of {len(told)} places: card, run, stored events"
    return found.failed("; ".join(wrong)) if wrong else found.passed()
