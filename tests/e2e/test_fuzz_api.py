"""The whole HTTP API against its own description, with every built-in role: requests are made up, many and bad ones."""

import asyncio
import base64
import re
import sys
from pathlib import Path

import pytest

from golive.config.load import load
from golive.core.verbs import BUILT_IN_ROLES
from golive.tenants.opening import create_key
from tests.e2e.process_kit import Project, project

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
FURTHER = """
[webhooks.told]
url = "http://127.0.0.1:9/hook"
secret = "file:hook.secret"

[schedules.yearly]
agent = "talk"
cron = "0 0 1 1 *"
input = "Sum up."

[auth.oidc.corp]
issuer = "http://127.0.0.1:9"
audience = ["golive"]
tenant = "default"
role = "user"
"""
EXAMPLES = 40
"""Requests a route and phase."""


@pytest.mark.parametrize("role", BUILT_IN_ROLES)
async def test_the_api_keeps_to_its_own_description(role: str, tmp_path: Path) -> None:
    """Thousands of generated requests: no 5xx, no undeclared status, media type or shape, no crash."""
    (tmp_path / "hook.secret").write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}\n")
    async with project(tmp_path, FURTHER) as place:
        code, said = await fuzzed(place, role, "--max-examples", str(EXAMPLES), "--seed", "1")
        assert code == 0, said[-20_000:]
        passed = re.search(r"generated, (\d+) passed", said)
        assert passed is not None, said[-2_000:]
        assert int(passed.group(1)) > 500
        assert place.process is not None
        assert place.process.returncode is None
        assert [line for line in place.log() if line["event"] == "http.failed"] == []


async def fuzzed(place: Project, role: str, *options: str) -> tuple[int, str]:
    """Serves, and sends made-up requests with a key of the role: exit code, and what was said.

    Not asked is that whatever the description allows is accepted: it cannot say that an agent must exist.
    """
    loaded = load(place.root, place.environ)
    key = (await create_key(loaded, "fuzz", role, place.environ)).secret
    place.key = (await create_key(loaded, "reader", "admin", place.environ)).secret
    await place.serve()
    document = place.root / "openapi.json"
    async with place.client() as client, client.get("/openapi.json") as answer:
        document.write_bytes(await answer.read())
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"), "run", document, "--url", place.url,
        "-H", f"Authorization: Bearer {key}", "--request-timeout", "20", "--no-color",
        "--exclude-checks", "positive_data_acceptance", *options,
        cwd=place.root, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")
