"""The register of checks: what may be registered, in which order, what a selection finds, what packages may add."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from golive.checklist import registry
from golive.checklist.registry import NEEDS, PHASES, Registry
from golive.checklist.results import Pass, Result
from golive.checklist.rows import ROWS
from golive.checklist.target import Target
from golive.cli.demo import CHECKS
from golive.core.errors import ConfigError


async def passes(_target: Target) -> Result:
    return Pass()


def register(to: Registry, check_id: str, **fields: object) -> None:
    given = {
        "row": check_id.partition(".")[0],
        "title": "t",
        "phase": "serving",
        "severity": "minor",
        "remediation": "r",
    }
    to.check(check_id, **(given | fields))(passes)  # type: ignore[arg-type]


def test_checks_come_in_the_order_of_phases_then_rows() -> None:
    """Whatever was registered first, security stands first, and within a phase the checklist's order holds."""
    found = Registry()
    register(found, "MD-1.z", phase="resilience")
    register(found, "GW-10.b")
    register(found, "GW-2.b")
    register(found, "SEC-1.a", phase="security")
    assert [check.id for check in found] == ["SEC-1.a", "GW-2.b", "GW-10.b", "MD-1.z"]


def test_checks_of_one_row_come_in_one_order_whoever_imports_first() -> None:
    """A module that something else imported early does not move to the front; what packages bring stands last."""
    early = "import golive.checklist.checks.takeovers, golive.checklist.checks.endings"
    late = "from golive.checklist.registry import load; print(*(check.id for check in load()))"
    plain, shuffled = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for code in (late, f"{early}; {late}")
    )
    assert plain.index("RT-9.kill") < plain.index("RT-9.stream")
    assert shuffled == plain
    ours = Registry()
    register(ours, "GW-1.a")
    ours.check("GW-1.b", row="GW-1", title="t", phase="serving", severity="minor", remediation="r")(
        next(iter(registry.load().select(["GW-1.resume"]))).function
    )
    assert [check.id for check in ours] == ["GW-1.b", "GW-1.a"]


def test_an_id_is_taken_once() -> None:
    """Two checks of one id would hide each other."""
    found = Registry()
    register(found, "GW-1.a")
    with pytest.raises(ValueError, match=r"'GW-1\.a' is registered twice"):
        register(found, "GW-1.a")


@pytest.mark.parametrize(
    ("check_id", "fields", "told"),
    [
        ("XX-9.a", {}, "known row"),
        ("GW-1.", {}, "known row"),
        ("GW-10.a", {"row": "GW-1"}, "known row"),
        ("GW-1.a", {"phase": "later"}, "phase 'later'"),
        ("GW-1.a", {"severity": "grave"}, "severity 'grave'"),
        ("GW-1.a", {"needs": {"magic"}}, r"needs \['magic'\]"),
        ("GW-1.a", {"where": "elsewhere"}, "'elsewhere' is none of target, fast"),
    ],
)
def test_what_cannot_be_registered_is_refused(check_id: str, fields: dict[str, object], told: str) -> None:
    """Row, phase, severity, needs and place must exist; the error names the check and the value."""
    with pytest.raises(ValueError, match=told):
        register(Registry(), check_id, **fields)


def test_a_selection_goes_by_whole_parts_of_an_id() -> None:
    """GW-1 means its own checks and not those of GW-10; case does not matter; no selection means all."""
    found = Registry()
    for check_id in ("GW-1.proxy", "GW-1.resume", "GW-10.health", "MD-1.a"):
        register(found, check_id)
    assert [check.id for check in found.select(["GW-1"])] == ["GW-1.proxy", "GW-1.resume"]
    assert [check.id for check in found.select(["gw"])] == ["GW-1.proxy", "GW-1.resume", "GW-10.health"]
    assert [check.id for check in found.select(["gw-1.pro", "MD-1"])] == ["GW-1.proxy", "MD-1.a"]
    assert len(found.select([])) == 4


def test_a_selection_that_fits_nothing_is_an_error() -> None:
    """A mistyped id must not read as "all selected checks passed"."""
    with pytest.raises(ConfigError, match="GW-77"):
        Registry().select(["GW-77"])


def test_golives_own_checks_are_complete() -> None:
    """Each says how to repair what it finds; needs and phases exist; every row with `missing` has a check."""
    found = list(registry.load(()))
    assert len(found) >= 13
    assert all(check.remediation and check.title and check.timeout_s > 0 for check in found)
    assert {check.phase for check in found} <= set(PHASES)
    assert {need for check in found for need in check.needs} <= set(NEEDS)
    assert {row.id for row in ROWS.values() if row.missing} <= {check.row for check in found}


def test_the_demo_starts_few_servers() -> None:
    """What it shows needs the twin and one more: whoever looks for the first time does not wait for the rest."""
    shown = registry.load(()).select(CHECKS)
    assert {check.where for check in shown} == {"target", "effecting"}
    assert {"GW-2.keys", "GW-1.resume", "SEC-1.log", "MD-7.priced"} <= {check.id for check in shown}


def test_a_package_brings_checks_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module named in the group `golive.checks` is imported, and registers itself."""
    point = EntryPoint("mine", "tests.unit.checklist_plugin", registry.GROUP)
    monkeypatch.setattr(registry.REGISTRY, "_checks", dict(registry.REGISTRY._checks))
    found = registry.load([point])
    assert [check.title for check in found.select(["OBS-6.plugin"])] == ["A plug-in's check"]


def test_a_package_whose_checks_cannot_be_loaded_is_named() -> None:
    """A broken plug-in stops the check instead of being left out in silence."""
    point = EntryPoint("broken", "tests.unit.no_such_plugin", registry.GROUP)
    with pytest.raises(ConfigError, match=r"checks 'broken' of tests\.unit\.no_such_plugin cannot be loaded"):
        registry.load([point])
