"""How checks are carried out, and what a verdict follows from."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from golive.checklist import report as reports
from golive.checklist.engine import AT_ONCE, prove
from golive.checklist.http import Http
from golive.checklist.registry import Check, Registry
from golive.checklist.report import CheckReport, Report, judge
from golive.checklist.results import Evidence, Fail, Outcome, Pass, Result, Severity, Status, Unknown, Warn, evidence
from golive.checklist.rows import ROWS, Row
from golive.checklist.target import Target
from golive.checklist.terminal import lines
from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.core.tasks import Tasks
from tests.sim.loop import VirtualClock, simulate


def target(*handles: str) -> Target:
    """A target that is never spoken to."""
    found = Target(Http(SystemClock()), "http://127.0.0.1:9/v1/", "gl_the-secret-key")
    found.handles = set(handles)
    return found


def answering(result: object) -> Callable[[Target], Awaitable[Result]]:
    async def function(_target: Target) -> Result:
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[return-value]

    return function


def registry(*checks: tuple[str, str, Severity, object]) -> Registry:
    """Checks as (id, phase, severity, what they answer or raise)."""
    found = Registry()
    for check_id, phase, severity, result in checks:
        row = check_id.partition(".")[0]
        found.check(check_id, row=row, title="t", phase=phase, severity=severity, remediation="r")(answering(result))
    return found


async def run(*checks: tuple[str, str, Severity, object]) -> Report:
    return await prove(registry(*checks).select([]), target())


def statuses(report: Report) -> dict[str, Status]:
    return {check.id: check.status for check in report.checks}


async def test_an_error_without_words_says_what_was_waited_for() -> None:
    """A time that is over has no message: file, function and line stand in its place."""

    async def waits(_target: Target) -> Result:
        async with asyncio.timeout(0):
            async with Tasks("waiting") as tasks:
                tasks.start(asyncio.Event().wait(), "for ever")
        return Pass()

    found = Registry()
    found.check("GW-1.x", row="GW-1", title="t", phase="serving", severity="major", remediation="r")(waits)
    (check,) = (await prove(found.select([]), target())).checks
    assert check.status == "error"
    assert re.match(r"the check raised TimeoutError at \w+\.py:\d+ in \w+: `.+`", check.why), check.why


@pytest.mark.parametrize("result", [Fail(why="open"), ValueError("broken check")])
async def test_a_failed_security_blocker_stops_later_phases(result: object) -> None:
    """Failed or in error, it lets the rest of its own phase run and nothing after."""
    found = await run(
        ("GW-2.a", "security", "blocker", result),
        ("SEC-1.a", "security", "blocker", Pass()),
        ("GW-1.a", "serving", "blocker", Pass()),
        ("MD-1.a", "resilience", "minor", Pass()),
    )
    assert list(statuses(found).values())[1:] == ["pass", "not_run", "not_run"]
    assert found.verdict == "NO-GO"
    assert found.phases == {"security": "done", "serving": "stopped", "resilience": "stopped"}
    assert found.checks[2].why == "stopped: GW-2.a failed"


@pytest.mark.parametrize(
    ("phase", "severity", "result"),
    [("security", "major", Fail()), ("security", "blocker", Unknown()), ("serving", "blocker", Fail())],
)
async def test_nothing_else_stops_later_phases(phase: str, severity: Severity, result: Outcome) -> None:
    """A lesser failure, an Unknown, or a blocker of a later phase let the rest go on."""
    found = await run(("GW-2.a", phase, severity, result), ("MD-1.a", "resilience", "minor", Pass()))
    assert statuses(found)["MD-1.a"] == "pass"


async def test_a_check_that_raises_is_an_error_and_no_pass() -> None:
    """It counts as failed; its words and trace are kept, without the key."""
    found = await run(("GW-1.a", "serving", "blocker", ValueError("bad gl_the-secret-key")))
    (check,) = found.checks
    assert check.status == "error"
    assert check.why == "the check raised ValueError: bad $GOLIVE_KEY"
    assert "ValueError" in check.evidence[0].got
    assert "gl_the-secret-key" not in found.json().decode()
    assert found.verdict == "NO-GO"


async def test_an_expected_error_is_told_without_a_trace() -> None:
    """Errors of our own tree speak for themselves."""
    found = await run(("GW-1.a", "serving", "minor", StoreUnavailable("it is full.", remedy="Make room.")))
    assert (found.checks[0].status, found.checks[0].why) == ("error", "it is full. Make room.")
    assert found.checks[0].evidence == ()


@pytest.mark.parametrize("answer", [None, True, "pass"])
async def test_a_check_that_answers_anything_else_is_an_error(answer: object) -> None:
    """`return True` is not a pass."""
    found = await run(("GW-1.a", "serving", "minor", answer))
    assert found.checks[0].status == "error"
    assert type(answer).__name__ in found.checks[0].why


async def test_a_check_that_lacks_a_handle_is_unknown_and_is_not_run() -> None:
    """It says in words what is missing, and its function is never called."""
    found = Registry()
    given = {"row": "GW-1", "title": "t", "phase": "serving", "severity": "minor", "remediation": "r"}
    found.check("GW-1.a", needs={"inject", "golive"}, **given)(answering(AssertionError("was run")))  # type: ignore[arg-type]
    report = await prove(found.select([]), target("golive"))
    assert statuses(report) == {"GW-1.a": "unknown"}
    assert report.checks[0].why == "needs a provider whose faults can be scripted (a twin)"


def test_a_check_that_hangs_is_an_error_in_its_own_time() -> None:
    """After `timeout_s` it is over, and the next one runs."""
    found = registry(("MD-1.b", "resilience", "minor", Pass()))

    async def hangs(_target: Target) -> Result:
        await asyncio.sleep(3_600)
        return Pass()

    found.check("GW-1.a", row="GW-1", title="t", phase="serving", severity="minor", remediation="r", timeout_s=40.0)(
        hangs
    )

    async def main(clock: VirtualClock) -> Report:
        return await prove(found.select([]), Target(Http(clock), "http://127.0.0.1:9", ""))

    report = simulate(main)
    assert statuses(report) == {"GW-1.a": "error", "MD-1.b": "pass"}
    assert report.checks[0].seconds == 40.0
    assert "timeout_s (GW-1.a)" in report.checks[0].why


# ---- beside each other ----------------------------------------------------------------------------------------------


class Watching:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begun(self, check: Check) -> None:
        self.told.append(f"begun {check.id}")

    def done(self, check: CheckReport) -> None:
        self.told.append(f"done {check.id}")

    def ended(self, check: CheckReport) -> None:
        self.told.append(f"ended {check.id}")


def taking(*checks: tuple[str, str, str, float]) -> tuple[Report, Watching]:
    """Checks as (id, phase, where, seconds), carried out in virtual time on a target that has all handles."""
    found, watching = Registry(), Watching()

    def waits(seconds: float) -> Callable[[Target], Awaitable[Result]]:
        async def function(_target: Target) -> Result:
            await asyncio.sleep(seconds)
            return Pass()

        return function

    for check_id, phase, where, seconds in checks:
        given: Any = {"row": check_id.partition(".")[0], "phase": phase, "where": where}
        found.check(check_id, title="t", severity="blocker", remediation="r", **given)(waits(seconds))

    async def main(clock: VirtualClock) -> Report:
        return await prove(found.select([]), Target(Http(clock), "http://127.0.0.1:9", ""), progress=watching)

    return simulate(main), watching


def test_what_provokes_one_twin_is_carried_out_one_after_the_other() -> None:
    """And what provokes different ones beside each other, checks with twins of their own each for itself."""
    report, _ = taking(
        ("GW-1.a", "serving", "target", 5.0),
        ("GW-1.b", "serving", "target", 5.0),
        ("RT-1.a", "resilience", "fast", 4.0),
        ("RT-2.a", "resilience", "fast", 4.0),
        ("MD-1.a", "resilience", "own", 3.0),
        ("MD-1.b", "resilience", "own", 3.0),
    )
    began = {check.id: check.at - report.started_at for check in report.checks}
    assert began == {"GW-1.a": 0, "GW-1.b": 5, "RT-1.a": 0, "RT-2.a": 4, "MD-1.a": 0, "MD-1.b": 3}
    assert report.finished_at - report.started_at == 10.0


def test_so_many_twins_at_once_and_no_more() -> None:
    report, _ = taking(*((f"GW-1.{letter}", "serving", "own", 6.0) for letter in "abcdefg"))
    assert AT_ONCE == 3
    assert report.finished_at - report.started_at == 18.0


def test_later_phases_wait_for_security() -> None:
    """Whatever they provoke: nothing else begins until it is known whether strangers are let in."""
    report, _ = taking(("GW-2.a", "security", "own", 7.0), ("RT-1.a", "resilience", "fast", 1.0))
    assert [check.at - report.started_at for check in report.checks] == [0.0, 7.0]


def test_reports_come_in_the_order_of_the_checklist() -> None:
    """One that ended early waits for those before it, in what is told and in the report."""
    report, watching = taking(
        ("GW-1.a", "serving", "target", 5.0),
        ("RT-1.a", "resilience", "fast", 1.0),
        ("MD-1.a", "resilience", "own", 2.0),
    )
    assert [check.id for check in report.checks] == ["GW-1.a", "RT-1.a", "MD-1.a"]
    assert watching.told == [
        "begun GW-1.a", "begun RT-1.a", "begun MD-1.a", "done RT-1.a", "done MD-1.a", "done GW-1.a",
        "ended GW-1.a", "ended RT-1.a", "ended MD-1.a",
    ]  # fmt: skip


async def test_only_what_provokes_the_target_undoes_what_was_provoked_there() -> None:
    """Beside it others are at work, whose answers must not change under them."""
    resets: list[str] = []

    class Watched(Target):
        async def reset(self) -> None:
            resets.append("reset")

    found = Registry()
    for check_id, where in (("GW-1.a", "target"), ("GW-1.b", "own"), ("GW-1.c", "fast")):
        given: Any = {"where": where}
        found.check(check_id, row="GW-1", title="t", phase="serving", severity="minor", remediation="r", **given)(
            answering(Pass())
        )
    await prove(found.select([]), Watched(Http(SystemClock()), "http://127.0.0.1:9", ""))
    assert resets == ["reset"]


# ---- the verdict ----------------------------------------------------------------------------------------------------


def checked(status: Status, severity: Severity = "blocker") -> CheckReport:
    return CheckReport(
        id="GW-1.a", row="GW-1", title="t", phase="serving", severity=severity, status=status, measured="",
        threshold="", why="", evidence=(), remediation="", references=(), at=0.0, seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "severity", "verdict"),
    [
        ("pass", "blocker", "GO"),
        ("fail", "blocker", "NO-GO"),
        ("error", "blocker", "NO-GO"),
        ("fail", "major", "CONDITIONAL"),
        ("error", "minor", "CONDITIONAL"),
        ("warn", "minor", "CONDITIONAL"),
        ("unknown", "blocker", "CONDITIONAL"),
        ("not_run", "minor", "CONDITIONAL"),
    ],
)
def test_the_verdict_of_one_check(status: Status, severity: Severity, verdict: str) -> None:
    """Only a pass allows GO, only a failed blocker (an error is one) is NO-GO, all else is CONDITIONAL."""
    found, reasons = judge([checked(status, severity)], [])
    assert found == verdict
    assert bool(reasons) == (verdict != "GO")


def test_no_number_of_passes_hides_a_blocker() -> None:
    """There is no average."""
    found, reasons = judge([checked("pass")] * 999 + [checked("fail")], [])
    assert found == "NO-GO"
    assert reasons[0] == "GW-1.a failed, and it is a blocker"


def test_rows_and_selections_cap_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every check passed: GO only if all rows are proved whole and no check was left out."""
    whole = {"GW-1": Row("GW-1", "t", "drill")}
    for rows, left_out, verdict in (
        (whole, 0, "GO"),
        (whole, 1, "CONDITIONAL"),
        (whole | {"GW-2": Row("GW-2", "t", "drill")}, 0, "CONDITIONAL"),
        ({"GW-1": Row("GW-1", "t", "drill", "the rest")}, 0, "CONDITIONAL"),
    ):
        monkeypatch.setattr(reports, "ROWS", rows)
        described = reports.TargetReport(kind="remote", url="", golive=True, agent=None, model="", config=None)
        assert judge([checked("pass")], [], 0, ["support"])[0] == "CONDITIONAL", "one agent does not speak for another"
        assert reports.assemble([checked("pass")], described, 0.0, 1.0, left_out).verdict == verdict


@pytest.mark.parametrize(
    ("given", "missing", "state"),
    [
        ([], "", "open"),
        (["pass", "pass"], "", "proved"),
        (["pass"], "something", "partly"),
        (["pass", "warn"], "", "partly"),
        (["pass", "unknown"], "", "partly"),
        (["unknown", "not_run"], "", "not_possible"),
        (["pass", "error"], "", "failed"),
        (["unknown", "fail"], "", "failed"),
    ],
)
def test_the_state_of_a_row(given: list[Status], missing: str, state: str) -> None:
    """A row is proved only if all its checks passed and cover it."""
    assert reports._state(given, missing) == state


async def test_the_report_is_data_that_reads_back() -> None:
    """The JSON holds everything, for renderers and other programs; every row of the checklists is in it."""
    seen = evidence("curl x", "the answer", 5.0)
    found = await run(("GW-1.a", "serving", "blocker", Warn(measured="1 s", threshold="2 s", evidence=(seen,))))
    again = msgspec.json.decode(found.json(), type=Report)
    assert again == found
    assert {row.id for row in again.rows} == set(ROWS)
    assert len(ROWS) == 62
    assert sum(again.row_counts.values()) == 62
    assert again.checks[0].evidence == (Evidence("curl x", "the answer", seen.sha256, 5.0),)
    assert (again.exit_code, again.format) == (3, 1)


def test_evidence_hashes_all_and_shows_a_bounded_excerpt() -> None:
    """The hash is that of the whole artifact; what is shown keeps beginning and end."""
    import hashlib

    artifact = "a" * 5_000 + "the end"
    found = evidence("cat", artifact, 1.0)
    assert found.sha256 == hashlib.sha256(artifact.encode()).hexdigest()
    assert len(found.got) == 1_200
    assert found.got.startswith("aaa")
    assert found.got.endswith("the end")


@pytest.mark.parametrize("before", ["", "x" * 1_150])
async def test_no_key_gets_into_a_report(before: str) -> None:
    """Whatever a check forgot to conceal, wherever it put it; also where an excerpt would cut it in two."""
    key = f"gl_ab12cd34_{'Zy9-_' * 8}abc"
    seen = evidence(f"curl -H 'authorization: Bearer {key}'", f"{before}{key} {'y' * 2_000}", 5.0)
    answered = Warn(measured=f"{key} works", threshold="none", why=f"it is {key}", evidence=(seen,))
    report = await run(
        ("GW-1.a", "serving", "blocker", answered), ("GW-1.b", "serving", "minor", ValueError(f"no {key}"))
    )
    text = report.json().decode() + "".join(line for check in report.checks for line in lines(check))
    assert "gl_ab12cd34_" not in text
    assert "it is [redacted]" in text
