"""docs/check.md tells the truth about the report, the needs, the phases and the exit codes."""

import re
from pathlib import Path

import pytest
from msgspec import Struct

from golive.checklist.registry import NEEDS, PHASES
from golive.checklist.report import EXIT_CODES, CheckReport, Report, RowReport, TargetReport
from golive.checklist.results import Evidence
from golive.checklist.rows import ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text()


@pytest.mark.parametrize(
    ("of", "struct"),
    [
        ("the report", Report),
        ("`target`", TargetReport),
        ("each of `checks`", CheckReport),
        ("each of `evidence`", Evidence),
        ("each of `rows`", RowReport),
    ],
)
def test_every_field_of_the_report_is_documented(of: str, struct: type[Struct]) -> None:
    """The row of the table names the fields of the JSON, in order, and no others."""
    row = re.search(rf"^\| {re.escape(of)} \| (.+) \|$", PAGE, re.M)
    assert row is not None
    outside = re.sub(r"\([^)]*\)", "", row[1])
    assert tuple(re.findall(r"`(\w+)`", outside)) == struct.__struct_fields__


def test_needs_phases_rows_and_exit_codes_are_documented() -> None:
    """All needs in their table, the phases in their order, the number of rows, and each verdict with its code."""
    table = PAGE[PAGE.index("| need | offered by") :]
    assert {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])} == set(
        NEEDS
    )
    assert ", ".join(PHASES) in PAGE
    assert f"all {len(ROWS)} rows" in PAGE
    for verdict, code in EXIT_CODES.items():
        assert f"| {verdict} | {code} |" in PAGE
