"""The report for people: a line per check as it goes, failures with their remedies, the verdict with its reasons."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.status import Status as Spinner

from golive.checklist.registry import Check
from golive.checklist.report import CheckReport, Report
from golive.checklist.results import Status

LINE_CHARS = 140
"""Longest line of evidence on the terminal; the JSON report has all of it."""

_MARKS: dict[Status, str] = {
    "pass": "[green]pass   [/]",
    "fail": "[bold red]FAIL   [/]",
    "warn": "[yellow]warn   [/]",
    "unknown": "[cyan]unknown[/]",
    "error": "[bold red]ERROR  [/]",
    "not_run": "[dim]not run[/]",
}
_COLOURS = {"GO": "bold white on green", "CONDITIONAL": "bold black on yellow", "NO-GO": "bold white on red"}


class Progress:
    """Follows a check run on a terminal; use as `with`."""

    def __init__(self, console: Console, *, compact: bool = False) -> None:
        """`compact`: one line for a check that passed; what did not is told as ever."""
        self._console = console
        self._compact = compact
        self._spinner = Spinner("starting", console=console) if console.is_terminal else None
        self._phase = ""
        self._at_work: dict[str, str] = {}

    def __enter__(self) -> "Progress":
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def say(self, text: str) -> None:
        """What is being done now."""
        if self._spinner is not None:
            self._spinner.update(escape(text[: max(10, self._console.width - 4)]))

    def begun(self, check: Check) -> None:
        """Names those that are under way, with the title where it is one alone."""
        self._at_work[check.id] = check.title
        self._say_all()

    def done(self, check: CheckReport) -> None:
        """It is under way no more; its line may have to wait for those before it."""
        self._at_work.pop(check.id, None)
        self._say_all()

    def _say_all(self) -> None:
        alone = len(self._at_work) == 1
        self.say(", ".join(f"{name}  {title}" if alone else name for name, title in self._at_work.items()))

    def ended(self, check: CheckReport) -> None:
        """Prints the line of a check that is done."""
        if check.phase != self._phase:
            self._phase = check.phase
            self._console.print(f"\n[bold]{escape(check.phase)}[/]", highlight=False)
        told = list(lines(check))
        if self._compact and check.status == "pass":
            del told[1:]
        for line in told:
            self._console.print(line, highlight=False, soft_wrap=True)


def lines(check: CheckReport) -> Iterable[str]:
    """One check: its verdict, what was measured, one line of evidence, and the remedy where it did not pass."""
    grave = "" if check.severity == "blocker" else f" [dim]({check.severity})[/]"
    took = f" [dim]{check.seconds:.1f} s[/]" if check.seconds >= 0.05 else ""
    yield f"  {_MARKS[check.status]} [bold]{check.id:<16}[/] {escape(check.title)}{grave}{took}"
    if check.measured:
        wanted = f" [dim](promised: {escape(check.threshold)})[/]" if check.threshold else ""
        yield f"          {escape(check.measured)}{wanted}"
    if check.why:
        yield f"          {escape(check.why)}"
    if check.evidence:
        shown = check.evidence[-1 if check.status in ("fail", "warn") else 0]
        yield f"          [dim]{escape(_short(shown.did))} · sha256 {shown.sha256[:12]}[/]"
    if check.status in ("fail", "error", "warn") and check.remediation:
        yield f"          [bold]remedy:[/] {escape(check.remediation)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…"


def summary(report: Report, console: Console, *, compact: bool = False) -> None:
    """The end: counts, rows, verdict and reasons. `compact`: the reasons are one sentence where every check passed."""
    counts = ", ".join(f"{number} {status.replace('_', ' ')}" for status, number in report.counts.items() if number)
    rows = report.row_counts
    console.print(f"\nchecks: {counts}", highlight=False)
    if compact and report.verdict == "CONDITIONAL" and report.counts["pass"] == len(report.checks):
        console.print(f"\n[{_COLOURS[report.verdict]}] {report.verdict} [/]", highlight=False)
        console.print(
            f"  No check failed. Of the {len(report.rows)} rows of the checklist {rows['partly']} are proved in part "
            f"and {rows['open']} have\n  no check yet; golive says GO only when every row is proved.",
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print(
        f"rows of the checklist: {rows['proved']} proved, {rows['partly']} in part, {rows['failed']} failed, "
        f"{rows['not_possible']} not possible here, {rows['open']} not yet proved (of {len(report.rows)})",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"\n[{_COLOURS[report.verdict]}] {report.verdict} [/]", highlight=False)
    for reason in report.reasons:
        console.print(f"  - {escape(reason)}", highlight=False, soft_wrap=True)


def listing(checks: Iterable[Check], console: Console) -> None:
    """What `--list` shows."""
    phase = ""
    for check in checks:
        if check.phase != phase:
            phase = check.phase
            console.print(f"[bold]{phase}[/]", highlight=False)
        needs = f" [dim]needs {', '.join(sorted(check.needs))}[/]" if check.needs else ""
        console.print(
            f"  [bold]{check.id:<16}[/] {check.severity:<8} {escape(check.title)}{needs}",
            highlight=False,
            soft_wrap=True,
        )
