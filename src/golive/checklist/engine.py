"""Carries checks out: in phases, one after the other, each bounded in time; what raises is an error and no pass.

A failed blocker of the security phase stops all later phases: a server that lets strangers in is not worth measuring.
"""

import traceback
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from golive.checklist.registry import PHASES, Check
from golive.checklist.report import CheckReport, Report, TargetReport, assemble
from golive.checklist.results import Fail, Outcome, Pass, Status, Unknown, Warn, evidence
from golive.checklist.target import Target
from golive.core.deadline import Deadline
from golive.core.errors import DeadlineExceeded, GoliveError
from golive.guards.redact import without_credentials

Begun = Callable[[Check], None]
Ended = Callable[[CheckReport], None]


def _silent(_: object) -> None:
    """Nobody watches."""


async def prove(
    checks: Sequence[Check],
    target: Target,
    *,
    left_out: int = 0,
    config: str | None = None,
    begun: Begun = _silent,
    ended: Ended = _silent,
) -> Report:
    """Holds every check against the target.

    Args:
        checks: in the order of their phases, as `Registry.select` gives them.
        left_out: how many checks were not selected; caps the verdict.
        config: golive.toml of a twin, for the report.
        begun, ended: told before and after each check, for live progress.
    """
    clock = target.clock
    started_at = clock.now()
    done: list[CheckReport] = []
    stopped_by = ""
    for check in sorted(checks, key=lambda check: PHASES.index(check.phase)):
        if stopped_by and check.phase != PHASES[0]:
            report = _report(check, "not_run", Outcome(why=f"stopped: {stopped_by} failed"), clock.now(), 0.0)
        else:
            begun(check)
            report = await _one(check, target)
        done.append(report)
        ended(report)
        if check.phase == PHASES[0] and check.severity == "blocker" and report.status in ("fail", "error"):
            stopped_by = stopped_by or check.id
    described = TargetReport(
        kind=target.kind,
        url=target.url,
        golive=target.golive,
        agent=target.agent,
        model=target.model,
        config=config,
    )
    return assemble(done, described, started_at, clock.now(), left_out, target.others)


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
        why = target.http.clean(f"the check raised {type(error).__name__}: {error}")
        status, result = "error", Outcome(why=why, evidence=(evidence(f"check {check.id}", trace, clock.now()),))
    return _report(check, status, result, at, clock.monotonic() - began)


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
