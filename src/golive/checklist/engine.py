"""Carries checks out, each bounded in time; what raises is an error and no pass.

What provokes one twin is carried out one after the other, what provokes different twins beside each other: most of it
is waiting. A failed blocker of the security phase stops all later phases: a server that lets strangers in is not worth
measuring.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from golive.checklist.registry import PHASES, Check
from golive.checklist.report import CheckReport, Report, TargetReport, assemble
from golive.checklist.results import Fail, Outcome, Pass, Status, Unknown, Warn, evidence
from golive.checklist.target import Target
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, GoliveError
from golive.core.tasks import Tasks
from golive.guards.redact import without_credentials

AT_ONCE = 3
"""How many twins are provoked beside each other: two cores are busy then, and limits in real time are still kept."""


class Progress(Protocol):
    """Who watches: several checks are under way at once, and their reports come in the order of the checklist."""

    def begun(self, check: Check) -> None: ...

    def done(self, check: CheckReport) -> None: ...

    def ended(self, check: CheckReport) -> None:
        """Those before it have ended, too."""


class _Nobody:
    """Nobody watches."""

    def begun(self, check: Check) -> None: ...

    def done(self, check: CheckReport) -> None: ...

    def ended(self, check: CheckReport) -> None: ...


async def prove(
    checks: Sequence[Check],
    target: Target,
    *,
    left_out: int = 0,
    config: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Holds every check against the target.

    Args:
        checks: in the order of their phases, as `Registry.select` gives them.
        left_out: how many checks were not selected; caps the verdict.
        config: golive.toml of a twin, for the report.
        progress: told before and after each check, and of its report.
    """
    watching = progress or _Nobody()
    started_at = target.clock.now()
    ordered = sorted(checks, key=lambda check: PHASES.index(check.phase))
    first = [check for check in ordered if check.phase == PHASES[0]]
    done = await _beside_each_other(first, target, watching)
    stopped_by = next((report.id for report in done if _stops(report)), "")
    if stopped_by:
        for check in ordered[len(first) :]:
            why = Outcome(why=f"stopped: {stopped_by} failed")
            done.append(_report(check, "not_run", why, target.clock.now(), 0.0))
            watching.ended(done[-1])
    else:
        done += await _beside_each_other(ordered[len(first) :], target, watching)
    described = TargetReport(
        kind=target.kind,
        url=target.url,
        golive=target.golive,
        agent=target.agent,
        model=target.model,
        config=config,
    )
    return assemble(done, described, started_at, target.clock.now(), left_out, target.others)


def _stops(report: CheckReport) -> bool:
    return report.severity == "blocker" and report.status in ("fail", "error")


async def _beside_each_other(checks: Sequence[Check], target: Target, progress: Progress) -> list[CheckReport]:
    """Carries out those of one place one after the other, `AT_ONCE` places beside each other; told in their order."""
    reports: dict[str, CheckReport] = {}
    places: dict[str, list[Check]] = {}
    for check in checks:
        places.setdefault(check.id if check.where == "own" else check.where, []).append(check)
    room = asyncio.Semaphore(AT_ONCE)
    waiting = deque(checks)

    async def one_by_one(of_place: Sequence[Check]) -> None:
        async with room:
            for check in of_place:
                progress.begun(check)
                reports[check.id] = await _one(check, target)
                progress.done(reports[check.id])
                while waiting and waiting[0].id in reports:
                    progress.ended(reports[waiting.popleft().id])

    async with Tasks("checks") as tasks:
        for name, of_place in places.items():
            tasks.start(one_by_one(of_place), name)
    return [reports[check.id] for check in checks]


async def _one(check: Check, target: Target) -> CheckReport:
    clock = target.clock
    at, began = clock.now(), clock.monotonic()
    result: Outcome
    status: Status
    missing = target.missing(check.needs)
    if missing:
        return _report(check, "unknown", Unknown(why=f"needs {missing}"), at, 0.0)
    try:
        async with Deadline.after(clock, check.timeout_s, f"the check's timeout_s ({check.id})").enforced(clock):
            if check.where == "target":
                await target.reset()
            result = await check.function(target)
        if not isinstance(result, Pass | Fail | Warn | Unknown):
            raise TypeError(f"{check.id} returned {type(result).__name__}, not Pass, Fail, Warn or Unknown")
        status = result.status
    except DeadlineExceeded as error:
        status, result = "error", Outcome(why=str(error))
    except GoliveError as error:
        status, result = "error", Outcome(why=target.http.clean(str(error)))
    except Exception as error:
        trace = target.http.clean("".join(traceback.format_exception(error)[-6:]))
        why = target.http.clean(f"the check raised {_raised(error)}")
        status, result = "error", Outcome(why=why, evidence=(evidence(f"check {check.id}", trace, clock.now()),))
    return _report(check, status, result, at, clock.monotonic() - began)


def _raised(error: Exception) -> str:
    """Type and message; of one without a message, as of a time that is over, what was waited for, and where."""
    kind, said = type(error).__name__, str(error)
    if said:
        return f"{kind}: {said}"
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "golive" in Path(frame.filename).parts]
    if not ours:
        return kind
    at = ours[-1]
    return f"{kind} at {Path(at.filename).name}:{at.lineno} in {at.name}: `{at.line}`"


def _report(check: Check, status: Status, result: Outcome, at: float, seconds: float) -> CheckReport:
    """What stands in the report, without whatever a check forgot to conceal."""
    shown = tuple(
        replace(one, did=without_credentials(one.did), got=without_credentials(one.got)) for one in result.evidence
    )
    return CheckReport(
        id=check.id,
        row=check.row,
        title=check.title,
        phase=check.phase,
        severity=check.severity,
        status=status,
        measured=without_credentials(result.measured),
        threshold=result.threshold,
        why=without_credentials(result.why),
        evidence=shown,
        remediation=check.remediation,
        references=check.references,
        at=at,
        seconds=round(seconds, 3),
    )
