"""What people read after an erasure, and the exit code where it is not proved."""

from typing import Any

import pytest
import typer

from golive.audit.acting import own
from golive.cli.erasures import in_both, tell
from golive.core.clock import SystemClock
from golive.store.audit import INSTALLATION, AuditEntry

REPORT: dict[str, Any] = {
    "tenant": "acme", "user": "ann", "by": "cli", "began_at": 1.0, "finished_at": 2.0, "runs_ended": 0,
    "keys_destroyed": 1, "removed": {"runs": 3, "keys": 0}, "standing": {"leases": 0, "runs": 0}, "sampled": 9,
    "opened": 0, "in_files": 0, "proved": True, "remains": ["The ledger."],
}  # fmt: skip


def test_a_proved_erasure_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Who, what was removed, what was looked at, what stays."""
    tell(REPORT, as_json=False)
    out, err = capsys.readouterr()
    assert out == "ann\terased\n"
    assert err.splitlines() == [
        "Removed: 3 runs; 1 data key destroyed.",
        "Looked at afterwards: 0 rows left; of 9 stored values 0 can still be opened, 0 stand in the database's files.",
        "What stays: The ledger.",
    ]


def test_one_that_is_not_proved_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant's; nothing was looked for in files."""
    report = REPORT | {"user": None, "proved": False, "opened": 2, "in_files": None, "standing": {"runs": 1}}
    with pytest.raises(typer.Exit) as ended:
        tell(report, as_json=False)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert out == "acme\tNOT PROVED\n"
    assert "1 row left; of 9 stored values 2 can still be opened." in err


async def test_an_erasure_stands_in_the_tenants_log_and_in_the_installations() -> None:
    """Once where both are one; the installation's says in which tenant it was."""
    recorded: list[AuditEntry] = []

    async def record(entry: AuditEntry) -> None:
        recorded.append(entry)

    for tenant in ("acme", INSTALLATION):
        await in_both(record)(own(SystemClock(), "cli", "users.erase", "user", "ann", "done", {"runs": "1"}, tenant))
    assert [(entry.tenant, entry.verb, entry.name, entry.detail) for entry in recorded] == [
        ("acme", "users.erase", "ann", {"runs": "1"}),
        (INSTALLATION, "users.erase", "ann", {"runs": "1", "in_tenant": "acme"}),
        (INSTALLATION, "users.erase", "ann", {"runs": "1"}),
    ]
