"""Two servers on one PostgreSQL: one is frozen in the middle of its runs, the other goes on with them, the first wakes.

The cluster is this drill's own, and both servers are twins of the same configuration. The time of the lease and of the
tools is shortened, and said: what is tried is that neither does what the other did, whatever the times.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from golive.checklist.checks.takeovers import Client
from golive.checklist.crash import (
    CATCH_S,
    LOOK_S,
    Caught,
    Place,
    Stage,
    at_rest,
    catch,
    has,
    impossible,
    last_is,
    own_tools,
    set_up,
    shown,
    tell,
    wrong,
)
from golive.checklist.postgres import MISSING, PostgresNotStarted, own_folder, postgres, programs
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.server_process import ServerProcess
from golive.checklist.target import Target
from golive.core.tasks import Tasks

LEASE_S = 2.0
"""server.lease_s of both."""
TOOL_S = 4.0
"""timeout_s of every tool: whoever takes a call over waits until the frozen one can take effect no more."""
STALL_S = 7.0
"""How long the model says nothing in mid-answer: it goes on, to a server that has lost the run by then."""
FOLLOW_S = 15.0
"""Longest wait for the other replica's stream."""
WAKING_S = 5.0
"""Longest wait for what the woken server still does."""


class _Pair(NamedTuple):
    """The one that will be frozen, as a stage, and the other."""

    stage: Stage
    other: ServerProcess


@check(
    "RT-9.freeze",
    row="RT-9",
    title="A replica that is frozen in mid-payment and wakes later: another has gone on, and no effect comes twice",
    phase="resilience",
    severity="blocker",
    needs={"inject", "process", "golive", "agent"},
    where="own",
    remediation="Declare `idempotent` or `status` for tools, and hand ctx.idempotency_key on to whoever pays.",
    timeout_s=90.0,
)
async def frozen(target: Target) -> Result:
    """SIGSTOP to server and workers; a reader comes to the other replica, one stays with the first."""
    found = Finding("every run completed on the other replica, its text whole; each effect once, also after the waking")
    if why := impossible(target):
        return found.unknown(why)
    if programs() is None:
        return found.unknown(MISSING)
    with own_folder() as folder:
        try:
            async with postgres(folder, target.clock) as url, _pair(target, url, folder) as pair:
                found.saw(shown(pair.stage))
                return await _freeze(found, pair)
        except PostgresNotStarted as error:
            return found.unknown(error.message)


@asynccontextmanager
async def _pair(target: Target, url: str, folder: Path) -> AsyncIterator[_Pair]:
    names = await own_tools(target)
    settings = {"GOLIVE_STORE__URL": url, "GOLIVE_SERVER__LEASE_S": str(LEASE_S)}
    first = await target.twin.replica(names, TOOL_S, settings | {"GOLIVE_SERVER__REPLICA": "golive-check-first"})
    beside = first.folder / "beside"
    beside.mkdir()
    other = first.process.beside(beside, {"GOLIVE_SERVER__REPLICA": "golive-check-other"})
    try:
        await other.start()
        yield _Pair(set_up(target, first, names), other)
    finally:
        await other.kill()
        await first.end()


async def _freeze(found: Finding, pair: _Pair) -> Result:
    stage, other = pair
    twin = stage.twin
    half, half_said = stage.half(STALL_S * 1000)
    [told] = await catch(stage, Place("in mid-answer", stage.asks(stage.use("idempotent"), then=half), half_said))
    leaves, stays = Client(), Client()
    if stage.text is not None:
        await leaves.follow(twin, told.run, stop_after=1)
    async with Tasks("a reader") as tasks:
        tasks.start(stays.follow(twin, told.run, timeout_s=3 * FOLLOW_S), "stays")
        async with asyncio.timeout(CATCH_S):
            while not stays.ids:  # noqa: ASYNC110 - it listens on a connection of its own
                await asyncio.sleep(LOOK_S)
        runs = [told, *await _at_work(stage)]
        workers = twin.ledger.alive()
        twin.process.freeze()
        _tell_all(workers, signal.SIGSTOP)
        frozen_at = twin.clock.now()
        twin.ledger.release()
        await twin.simulator.play(stage.asks(stage.use("status")))
        twin.url = other.url
        slow = [caught for caught in runs if has("run.finished")((await twin.journal(caught.run))[1])]
        await leaves.follow(twin, told.run, timeout_s=FOLLOW_S)
        await at_rest(twin, runs)
        over_s = twin.clock.now() - frozen_at
        before = _effects(stage)
        twin.process.wake()
        _tell_all(workers, signal.SIGCONT)
        await _woken(stage)
    if slow:
        return found.unknown("this machine is too slow just now: runs were over before the server could be frozen")
    await at_rest(twin, runs)
    first = [event["at"] for caught in runs for event in caught.events if event["epoch"] > 1]
    faults = [fault for caught in runs for fault in wrong(stage, caught, stage.text)]
    for name, client in (("who came to the other replica", leaves), ("who stayed", stays)):
        faults += client.faults[:2]
        if not client.finished:
            faults.append(f"the reader {name} was not told the run's end")
        elif client.text != told.view.get("text"):
            faults.append(f"the reader {name} shows {len(client.text)} characters that are not the run's")
    for caught in runs:
        if not caught.boundaries():
            faults.append(f"the run caught {caught.place} was not taken over")
    whole = sum(caught.view.get("outcome") == "completed" for caught in runs)
    found.measured = (
        f"{whole} of {len(runs)} runs went on elsewhere and completed, the first event there "
        f"{f'{min(first) - frozen_at:.1f} s' if first else 'never'} after the freeze, all over after {over_s:.1f} s; "
        f"{before} effects by then, {_effects(stage) - before} more after the waking; "
        f"lease_s {LEASE_S:g} and timeout_s {TOOL_S:g} for the drill"
    )
    for caught in runs[1:]:
        await tell(stage, found, caught)
    return found.failed("; ".join(faults[:4])) if faults else found.passed()


async def _at_work(stage: Stage) -> list[Caught]:
    """With a tool under way whose call may have taken effect, or may take it yet."""
    after, before = stage.asks(stage.use("status", "after")), stage.asks(stage.use("idempotent", "before"))
    begun = last_is("tool.started")
    return await catch(
        stage,
        Place("after its payment", after, begun, "after"),
        Place("before its payment", before, begun, "before"),
    )


async def _woken(stage: Stage) -> None:
    """Waits until the woken workers have left what they were at."""
    end = stage.twin.clock.monotonic() + WAKING_S
    while stage.twin.ledger.at_work() and stage.twin.clock.monotonic() < end:  # noqa: ASYNC110 - a file tells
        await asyncio.sleep(LOOK_S)


def _effects(stage: Stage) -> int:
    return sum(entry.what == "done" for entry in stage.twin.ledger.entries())


def _tell_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
