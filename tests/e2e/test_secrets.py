"""Credentials that are rotated, revoked and lost under a real server with runs in flight."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golive.core.tasks import Tasks
from tests.contract.secrets_kit import ROOT_TOKEN, Bao
from tests.e2e.process_kit import RUNS, Project

ONE, TWO, THREE = (f"sk-{name}-" + name * 6 for name in ("one", "two", "three"))
SLOW = {"mode": "text", "tokens": 60, "pace_ms": 20}
KEYS = """
api_key = "file:one.key"
more_api_keys = ["file:two.key"]
"""


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    made = Project(tmp_path)
    (tmp_path / "one.key").write_text(ONE)
    (tmp_path / "two.key").write_text(TWO)
    try:
        yield made
    finally:
        await made.close()


async def begin(project: Project, keys: str = KEYS, further: str = "") -> None:
    """A server whose provider has these credentials."""
    await project.begin(further)
    path = project.root / "golive.toml"
    path.write_text(path.read_text().replace("first_token_s = 5\n", f"first_token_s = 5{keys}", 1))
    project.sim.accept((ONE, TWO, THREE))
    project.script("sim-talk", mode="text", tokens=12)
    await project.serve()


async def golive(project: Project, *words: str) -> tuple[int, str, str]:
    """The command in the project's folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.main", *words, env=project.environ, cwd=project.root,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def ask(project: Project) -> dict[str, Any]:
    async with project.client() as client, client.post(RUNS, json={"input": "Hello?"}) as reply:
        return msgspec.json.decode(await reply.read())


async def status(project: Project) -> dict[str, Any]:
    async with project.client() as client, client.get("/v1/secrets") as reply:
        assert reply.status == 200, await reply.text()
        return msgspec.json.decode(await reply.read())


def used(project: Project) -> list[str]:
    """The credentials of the model calls so far, as the provider tells them apart."""
    return [entry.credential for entry in project.sim.requests.entries(1_000) if entry.method == "POST"]


async def open_calls(project: Project, count: int) -> None:
    async with asyncio.timeout(10):
        while len(used(project)) < count:
            await asyncio.sleep(0.01)


def no_value(text: str) -> None:
    for value in (ONE, TWO, THREE):
        assert value not in text


async def test_a_credential_is_replaced_under_runs_in_flight(project: Project) -> None:
    """Those finish on the old one, the next begins with the new one, and nothing restarts."""
    await begin(project)
    project.script("sim-talk", **SLOW)
    async with Tasks("runs") as tasks:
        runs = [tasks.start(ask(project), f"run {number}") for number in range(20)]
        await open_calls(project, 20)
        code, out, err = await golive(project, "secrets", "rotate", "file:one.key", "--value", "env:FRESH")
        assert (code, "env:FRESH" in err) == (1, True)  # there is no such variable
        project.environ["FRESH"] = THREE
        code, out, err = await golive(project, "secrets", "rotate", "file:one.key", "--value", "env:FRESH")
        assert (code, err.count("Revoke the old value")) == (0, 1), out + err
        project.script("sim-talk", mode="text", tokens=12)
        assert (await ask(project))["outcome"] == "completed"
        project.sim.accept((THREE,))  # the vendor no longer takes the old one
        assert (await ask(project))["outcome"] == "completed"
    assert [run.result()["outcome"] for run in runs] == ["completed"] * 20
    old, new = used(project)[0], used(project)[-1]
    assert used(project) == [old] * 20 + [new] * 2
    assert old != new
    found = await status(project)
    [first] = [card for card in found["data"] if card["reference"] == "file:one.key"]
    assert (first["reference"], first["backend"], first["state"]) == ("file:one.key", "file", "fresh")
    assert first["used_by"] == ["providers.sim.api_key"]
    assert first["age_days"] < 0.1
    assert first["last_used_at"]
    no_value(msgspec.json.encode(found).decode() + out + err + project.log_path.read_text())


async def test_a_credential_that_a_command_revokes_begins_no_call_within_a_second(project: Project) -> None:
    """The next one takes over; runs in flight go on; the status, the log and the next start know it."""
    await begin(project)
    project.script("sim-talk", **SLOW)
    async with Tasks("runs") as tasks:
        run = tasks.start(ask(project), "run")
        await open_calls(project, 1)
        code, out, err = await golive(project, "secrets", "revoke", "file:one.key", "--reason", "it leaked")
        assert code == 0, out + err
        await asyncio.sleep(1.0)
        project.script("sim-talk", mode="text", tokens=12)
        assert (await ask(project))["outcome"] == "completed"
        assert run.done() or (await run)["outcome"] == "completed"
    old, new = used(project)
    assert old != new
    [told] = [line for line in project.log() if line["event"] == "secret.revoked"]
    assert (told["reference"], told["by"], told["reason"]) == ("file:one.key", "cli", "it leaked")
    await project.stop()
    await project.serve()
    assert (await ask(project))["outcome"] == "completed"
    assert used(project)[-1] == new
    code, out, err = await golive(project, "secrets", "status")
    assert "revoked" in out
    assert "it leaked" in err + out
    no_value(out + err + project.log_path.read_text())
    (project.root / "one.key").write_text(THREE)
    assert (await ask(project))["outcome"] == "completed"
    assert len(set(used(project))) == 3


async def test_calls_with_a_revoked_credential_are_cut_and_their_runs_survive(project: Project) -> None:
    """Over the API: at once here."""
    await begin(project)
    project.script("sim-talk", **SLOW)
    async with project.client() as client, Tasks("runs") as tasks:
        runs = [tasks.start(ask(project), f"run {number}") for number in range(5)]
        await open_calls(project, 5)
        await asyncio.sleep(0.2)
        body = {"secret": "file:one.key", "reason": "on the internet", "cut": True}
        async with client.post("/v1/secrets/revoke", json=body) as reply:
            assert reply.status == 200, await reply.text()
            card = msgspec.json.decode(await reply.read())
        await open_calls(project, 10)
    assert card["cut"]
    assert [run.result()["outcome"] for run in runs] == ["completed"] * 5
    assert used(project)[:5] == [used(project)[0]] * 5
    assert used(project)[0] not in used(project)[5:]
    [told] = [line for line in project.log() if line["event"] == "secret.revoked"]
    assert told["calls_cut"] == 5
    assert (await status(project))["revoked"][0]["reason"] == "on the internet"


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"secret": "file:one.key"}, 422, "reason"),
        ({"secret": "secrets.pepper", "reason": "x"}, 400, "no value of"),
        ({"secret": "file:.golive/pepper", "reason": "x"}, 400, "golive's own"),
        ({"secret": "env:NOPE", "reason": "x"}, 400, "no value of"),
    ],
)
async def test_what_cannot_be_revoked_is_told(project: Project, body: dict[str, str], status: int, told: str) -> None:
    """And nothing is."""
    await begin(project)
    async with project.client() as client, client.post("/v1/secrets/revoke", json=body) as reply:
        text = await reply.text()
        assert reply.status in (status, 400, 422), text
        assert told in text
    assert (await ask(project))["outcome"] == "completed"


async def test_a_secret_of_vault_is_rotated_under_the_server_and_outlives_vault(
    project: Project, tmp_path: Path
) -> None:
    """A real server of Vault's protocol: the new version is used at once, and after Vault is gone the last one."""
    bao = await asyncio.to_thread(Bao, tmp_path)
    try:
        bao.put("provider", key=ONE)
        project.environ |= {"VAULT_TOKEN": ROOT_TOKEN, "FRESH": TWO}
        reference = "vault:secret/provider#key"
        await begin(
            project, f'\napi_key = "{reference}"\n',
            f'\n[secrets]\nttl_s = 1.5\nstale_s = 600\n[secrets.vault]\nurl = "{bao.url}"\ntimeout_s = 1\n',
        )  # fmt: skip
        assert (await ask(project))["outcome"] == "completed"
        code, out, err = await golive(project, "secrets", "rotate", reference, "--value", "env:FRESH")
        assert code == 0, out + err
        assert "Vault has the new version 2" in out
        project.sim.accept((TWO,))
        assert (await ask(project))["outcome"] == "completed"
        [card] = [each for each in (await status(project))["data"] if each["backend"] == "vault"]
        assert (card["backend"], card["state"], card["version"]) == ("vault", "fresh", "2")
    finally:
        bao.stop()
    async with asyncio.timeout(15):
        while (card := next(each for each in (await status(project))["data"] if each["backend"] == "vault"))[
            "state"
        ] != "stale":
            await asyncio.sleep(0.1)
    assert "cannot be asked" in card["problem"]
    assert (await ask(project))["outcome"] == "completed"
    [told] = [line for line in project.log() if line["event"] == "secret.stale"]
    assert told["reference"] == reference
    async with project.client() as client, client.get("/metrics") as reply:
        metrics = await reply.text()
    assert "golive_secrets_away 1.0" in metrics
    assert 'golive_secret_fetch_failures_total{backend="vault"}' in metrics
    no_value(metrics + out + err + project.log_path.read_text())


async def test_environments_that_share_a_credential_are_found(project: Project) -> None:
    """By fingerprints in a file that both write; the status names the other environment."""
    await begin(project, further='\n[environment]\nname = "prod"\nmanifest = "shared/manifest.json"\n')
    code, out, err = await golive(project, "secrets", "manifest", "--write")
    assert (code, out) == (0, "prod: 2 credentials\n"), err
    project.environ["GOLIVE_ENVIRONMENT"] = "dev"
    (project.root / "one.key").write_text(THREE)
    code, out, err = await golive(project, "secrets", "manifest", "--write")
    assert code == 3, err
    assert "shared: dev (file:two.key) and prod (file:two.key) have the same credential" in out
    code, out, err = await golive(project, "secrets", "status")
    assert "file:two.key is the credential of prod, too." in out + err
    no_value((project.root / "shared" / "manifest.json").read_text())


async def test_a_secret_that_is_due_is_told_in_time(project: Project) -> None:
    """In the log, the metrics and the status."""
    await begin(project, further='\n[secrets.rotation."file:one.key"]\nevery_days = 0.00001\nremind_days = 0\n')
    async with asyncio.timeout(10):
        while not (told := [line for line in project.log() if line["event"] == "secret.overdue"]):
            await asyncio.sleep(0.05)
    assert told[0]["reference"] == "file:one.key"
    assert "golive secrets rotate" in told[0]["remedy"]
    async with project.client() as client, client.get("/metrics") as reply:
        metrics = await reply.text()
    assert "golive_secrets_due 1.0" in metrics
    assert 'golive_secret_age_days{reference="file:one.key"}' in metrics
