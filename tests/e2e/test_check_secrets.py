"""The checks of secrets pass on a server that is well, and fail on each in which the thing they are about is broken."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import GOLIVE, PRICES, breaking, hold, project, twin_of

TLS = '[server.tls]\ncert = "server.crt"\nkey = "server.key"\n'
PLANTED = "sk-proj-" + "Zq8Lw2Xn5Rt7Vb4Yc9Kd1Mf6"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    async with twin_of(project(tmp_path_factory.mktemp("well") / "p")) as found:
        yield found


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_credential_is_replaced_under_runs_without_a_failure(well: Twin) -> None:
    """Twenty in flight, ten after."""
    found = await hold("SEC-2.rotation", well)
    assert found.status == "pass", found.why
    assert found.measured.startswith("20 runs in flight and 10 after: 0 failed; 0 of ")


async def test_a_revoked_credential_is_used_for_less_than_a_second(well: Twin) -> None:
    """By two servers on one PostgreSQL."""
    found = await hold("SEC-2.revoked", well)
    assert found.status == "pass", found.why
    assert found.measured.startswith("2 servers, ")


async def test_a_clean_project_has_no_credential_in_it(well: Twin) -> None:
    """Files, database and log."""
    found = await hold("SEC-1.scan", well)
    assert (found.status, found.why) == ("pass", "")
    assert found.measured.endswith(": 0 found")


async def test_rotation_sees_a_server_that_reads_its_credential_once(well: Twin) -> None:
    """Runs fail as soon as the vendor takes the old value no more."""
    async with breaking(well, "secrets_read_once") as ill:
        found = await hold("SEC-2.rotation", ill)
    assert found.status == "fail"
    assert "calls began with the old one" in found.why


@pytest.mark.parametrize("sabotage", ["secrets_not_followed", "secrets_followed_late"])
async def test_revoked_sees_a_server_that_does_not_learn_of_it_in_time(well: Twin, sabotage: str) -> None:
    """It goes on with the credential for longer than a second, or for good."""
    async with breaking(well, sabotage) as ill:
        found = await hold("SEC-2.revoked", ill)
    assert found.status == "fail"
    assert "after it was revoked" in found.why or "does not know" in found.why


async def test_scan_sees_a_key_in_the_source_and_a_file_of_secrets_in_git(tmp_path: Path) -> None:
    """By file and line, and never with the value."""
    folder = project(tmp_path / "p")
    (folder / "agents" / "clerk" / "client.py").write_text(f'"""A client."""\n\nKEY = "{PLANTED}"\n')
    (folder / ".env").write_text("OPENAI_API_KEY=x\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    async with twin_of(folder) as ill:
        found = await hold("SEC-1.scan", ill)
    assert found.status == "fail"
    assert "agents/clerk/client.py:3: API key" in found.why
    assert ".env:1: file of secrets that git takes in (add it to .gitignore)" in found.why
    assert PLANTED not in repr(found)


async def test_scan_lets_the_key_of_the_server_lie_where_the_configuration_says(tmp_path: Path) -> None:
    """As docs/security/transport.md sets it up; one that everybody can read, and one beside it, are findings."""
    folder = project(tmp_path / "p", golive=GOLIVE + PRICES + TLS)
    made = folder / "server.key"
    made.write_text("-----BEGIN PRIVATE KEY-----\n" + "Zq8Lw2Xn5Rt7Vb4Yc9Kd1Mf6" * 4 + "\n-----END PRIVATE KEY-----\n")
    made.chmod(0o600)
    (folder / "server.crt").write_text("a certificate")
    (folder / ".gitignore").write_text("*.key\n.env\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    async with twin_of(folder) as twin:
        assert (await hold("SEC-1.scan", twin)).why == ""
        made.chmod(0o644)
        found = await hold("SEC-1.scan", twin)
        assert (found.status, found.why) == (
            "fail", "server.key:1: private key that others can read (mode 0644: chmod 600)"
        )  # fmt: skip
        made.chmod(0o600)
        (folder / "old.key").write_bytes(made.read_bytes())
        found = await hold("SEC-1.scan", twin)
    assert (found.status, found.why) == ("fail", "old.key:1: private key")


async def test_scan_sees_a_key_in_the_database(well: Twin) -> None:
    """What the twin wrote is searched for the secrets that the twin has."""
    old = well.folder / "golive.db-old"
    old.write_bytes(b"\0" * 9_000 + well.secrets["the provider's key"].encode())
    found = await hold("SEC-1.scan", well)
    old.unlink()
    assert found.status == "fail"
    assert "the twin's golive.db-old, byte 9000: known secret (the provider's key)" in found.why


async def test_environments_sees_two_that_share_a_credential(tmp_path: Path) -> None:
    """By the manifest alone."""
    from golive.core.chance import SystemChance
    from golive.guards import environments

    named = '[environment]\nname = "prod"\nmanifest = "manifest.json"\n'
    folder = project(tmp_path / "p", golive=GOLIVE + PRICES + named)
    async with twin_of(folder) as twin:
        assert (await hold("SEC-2.environments", twin)).status == "unknown"
        for name, value in (("prod", "one"), ("dev", "two")):
            environments.write(folder / "manifest.json", name, {"env:KEY": value}, SystemChance(), 1.0)
        assert (await hold("SEC-2.environments", twin)).status == "pass"
        environments.write(folder / "manifest.json", "staging", {"env:STAGING_KEY": "one"}, SystemChance(), 1.0)
        found = await hold("SEC-2.environments", twin)
    assert (found.status, found.why) == ("fail", "prod (env:KEY) and staging (env:STAGING_KEY)")
