"""The report: data first. Verdict, checks with evidence, rows with what is proved; renderers only show it.

The JSON is stable: fields are only added, and `format` rises when one changes its meaning (docs/check.md).
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from golive import __version__
from golive.checklist.results import Evidence, Severity, Status
from golive.checklist.rows import ROWS, Proof

FORMAT = 1

Verdict = Literal["GO", "CONDITIONAL", "NO-GO"]
RowState = Literal["proved", "partly", "failed", "open", "not_possible"]
"""proved: all its checks passed. partly: so, but they do not cover all of it, or a warning stands. failed: one failed.
open: no check exists yet. not_possible: a check exists and could not be run here."""

EXIT_CODES: dict[Verdict, int] = {"GO": 0, "NO-GO": 1, "CONDITIONAL": 3}
"""2 is wrong usage: nothing was checked."""


class CheckReport(Struct, frozen=True, kw_only=True):
    """One check's result. `at`: start, seconds since the epoch."""

    id: str
    row: str
    title: str
    phase: str
    severity: Severity
    status: Status
    measured: str
    threshold: str
    why: str
    evidence: tuple[Evidence, ...]
    remediation: str
    references: tuple[str, ...]
    at: float
    seconds: float


class RowReport(Struct, frozen=True, kw_only=True):
    """One row of the checklists. `missing`: what of it no check proves yet."""

    id: str
    title: str
    proof: Proof
    state: RowState
    missing: str
    checks: tuple[str, ...]


class TargetReport(Struct, frozen=True, kw_only=True):
    """What was checked. `config`: golive.toml of a twin."""

    kind: str
    url: str
    golive: bool
    agent: str | None
    model: str
    config: str | None


class Report(Struct, frozen=True, kw_only=True):
    """A whole go/no-go."""

    format: int
    golive: str
    verdict: Verdict
    reasons: tuple[str, ...]
    target: TargetReport
    started_at: float
    finished_at: float
    phases: dict[str, Literal["done", "stopped"]]
    counts: dict[Status, int]
    row_counts: dict[RowState, int]
    checks: tuple[CheckReport, ...]
    rows: tuple[RowReport, ...]

    def json(self) -> bytes:
        """The report as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def assemble(
    checks: Sequence[CheckReport],
    target: TargetReport,
    started_at: float,
    finished_at: float,
    left_out: int,
    others: Sequence[str] = (),
) -> Report:
    """The report over results. Checks `left_out`, and agents that were not asked (`others`), cap the verdict."""
    rows = tuple(_rows(checks))
    verdict, reasons = judge(checks, rows, left_out, others)
    statuses: tuple[Status, ...] = ("pass", "fail", "warn", "unknown", "error", "not_run")
    states: tuple[RowState, ...] = ("proved", "partly", "failed", "open", "not_possible")
    phases: dict[str, Literal["done", "stopped"]] = {}
    for check in checks:
        stopped = check.status == "not_run" or phases.get(check.phase) == "stopped"
        phases[check.phase] = "stopped" if stopped else "done"
    return Report(
        format=FORMAT,
        golive=__version__,
        verdict=verdict,
        reasons=reasons,
        target=target,
        started_at=started_at,
        finished_at=finished_at,
        phases=phases,
        counts={status: sum(check.status == status for check in checks) for status in statuses},
        row_counts={state: sum(row.state == state for row in rows) for state in states},
        checks=tuple(checks),
        rows=rows,
    )


def judge(
    checks: Sequence[CheckReport], rows: Sequence[RowReport], left_out: int = 0, others: Sequence[str] = ()
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, gravest first. One failed blocker is NO-GO; whatever is not a pass forbids GO."""
    reasons = [
        f"{check.id} {_HOW[check.status]}, and it is a blocker"
        for check in checks
        if check.status in ("fail", "error") and check.severity == "blocker"
    ]
    verdict: Verdict = "NO-GO" if reasons else "CONDITIONAL"
    reasons += [
        f"{check.id} {_HOW[check.status]}"
        for check in checks
        if check.status != "pass" and not (check.status in ("fail", "error") and check.severity == "blocker")
    ]
    if left_out:
        reasons.append(f"{left_out} checks were not selected")
    if others:
        reasons.append(f"other agents were not checked ({_some(others)}): name one with --agent")
    if partly := [row.id for row in rows if row.state == "partly" and row.missing]:
        reasons.append(f"{len(partly)} rows are proved in part only ({_some(partly)})")
    if unproved := [row.id for row in rows if row.state == "open"]:
        reasons.append(f"{len(unproved)} rows are not yet proved ({_some(unproved)})")
    return ("GO" if not reasons else verdict), tuple(reasons)


_HOW: dict[Status, str] = {
    "fail": "failed",
    "error": "could not be carried out to its end",
    "warn": "passed with a warning",
    "unknown": "could not be run here",
    "not_run": "was not run",
}


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (" …" if len(ids) > 5 else "")


def _rows(checks: Sequence[CheckReport]) -> list[RowReport]:
    found = []
    for row in ROWS.values():
        mine = [check for check in checks if check.row == row.id]
        state = _state([check.status for check in mine], row.missing)
        ids = tuple(check.id for check in mine)
        found.append(
            RowReport(id=row.id, title=row.title, proof=row.proof, state=state, missing=row.missing, checks=ids)
        )
    return found


def _state(statuses: Sequence[Status], missing: str) -> RowState:
    if not statuses:
        return "open"
    if any(status in ("fail", "error") for status in statuses):
        return "failed"
    if any(status in ("unknown", "not_run") for status in statuses):
        return "not_possible" if all(status in ("unknown", "not_run") for status in statuses) else "partly"
    return "partly" if missing or "warn" in statuses else "proved"
