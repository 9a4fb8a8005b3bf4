"""A plug-in with one check, as an installed package would bring it."""

from golive.checklist.registry import check
from golive.checklist.results import Pass, Result
from golive.checklist.target import Target


@check(
    "OBS-6.plugin",
    row="OBS-6",
    title="A plug-in's check",
    phase="observability",
    severity="minor",
    remediation="Nothing to do.",
)
async def asks_nothing(_target: Target) -> Result:
    """Passes."""
    return Pass()
