"""Does a credential lie where it does not belong: in the project's files, in its database?"""

import asyncio
from pathlib import Path

from golive.checklist.registry import check
from golive.checklist.results import Finding, Result, evidence
from golive.checklist.target import Target
from golive.config.load import Loaded
from golive.config.secret_use import client_files, key_files, references
from golive.guards.dotenv import exposed
from golive.guards.scanning import Leak, Scanner

MOST_BYTES = 100_000_000
"""What is read in the time that the check has; of a larger project it says Unknown."""
MOST_TOLD = 5


@check(
    "SEC-1.scan",
    row="SEC-1",
    title="No credential in the project's files, configuration or database; .env is ignored by git",
    phase="security",
    severity="blocker",
    needs={"process", "store", "golive"},
    remediation="Revoke it at its vendor, put the new one behind a reference (env:, file:, aws-sm:, vault:); what is "
    "none says `golive: no secret` in its line.",
    references=("OWASP LLM02:2025 Sensitive Information Disclosure", "CWE-798"),
    timeout_s=90.0,
)
async def no_credential_lies_about(target: Target) -> Result:
    """Reads the user's own folder, and what the twin wrote: its database and its log, for the secrets that it has."""
    twin = target.twin
    root = twin.original.root
    found = Finding("0 found")
    scanner = Scanner(spared=spared(twin.original), most_bytes=MOST_BYTES)
    keys = key_files(twin.original.config, root)
    leaks = await asyncio.to_thread(lambda: [*scanner.scan([root]), *exposed(root, keys)])
    own = Scanner(twin.secrets)
    for path in (*twin.store_files(), twin.process.log_file, twin.process.out_file):
        leaks += await asyncio.to_thread(own.file, path, f"the twin's {path.name}")
    found.measured = (
        f"{scanner.files + own.files} files, {(scanner.bytes + own.bytes) / 1e6:.1f} MB: {len(leaks)} found"
    )
    report = "\n".join(_shown(leak, root) for leak in leaks) or "nothing found"
    found.saw(evidence("golive secrets scan", report, twin.clock.now()))
    if leaks:
        return found.failed("; ".join(_shown(leak, root) for leak in leaks[:MOST_TOLD]))
    if not scanner.whole:
        return found.unknown(f"the folder holds more than {MOST_BYTES / 1e6:.0f} MB: run `golive secrets scan` itself")
    return found.passed()


def spared(loaded: Loaded) -> list[Path]:
    """Files where secrets belong: those of `file:` references; .env files and the key of [server.tls], of which git is
    asked instead."""
    files = [loaded.root / each[5:] for each in references(loaded.config) if each.startswith("file:")]
    files += [*key_files(loaded.config, loaded.root), *client_files(loaded.root)]
    return [*files, *(path for path in loaded.root.glob(".env*") if path.is_file())]


def _shown(leak: Leak, root: Path) -> str:
    return str(leak).removeprefix(f"{root}/")
