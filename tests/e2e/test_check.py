"""`golive check` from outside: a twin that is well, servers that run already, and what the command leaves behind."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from golive.checklist.engine import prove
from golive.checklist.http import Unreachable
from golive.checklist.registry import load as load_checks
from golive.checklist.results import EXCERPT_CHARS
from golive.checklist.target import Remote
from golive.checklist.twin import Twin
from golive.core.clock import SystemClock
from golive.sim.process import SimulatorProcess
from golive.sim.script import Script
from tests.e2e.check_kit import project, twin_of
from tests.e2e.saboteur import Saboteur

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {"COLUMNS": "160"}
NEED_NO_TWIN = {
    "GW-1.first-token", "GW-1.proxy", "GW-1.resume", "GW-11.headers", "GW-2.keys", "GW-3.escalation", "GW-3.routes",
    "GW-3.scopes", "MD-1.dialect", "MD-7.priced",
}  # fmt: skip


def golive(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a person does."""
    command = [sys.executable, "-m", "golive.cli.main", "check", *words]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | environ, capture_output=True, text=True, timeout=280, check=False
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken."""
    async with twin_of(project(tmp_path_factory.mktemp("well"))) as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project for commands that do not change it."""
    return project(tmp_path_factory.mktemp("shared"))


def _passed() -> dict[str, str]:
    """Every check passes, but for those of what the clerk does not have: routing, a second credential, an answer's
    form, models that take no pictures, and environments beside its own."""
    without = ("RT-5.routing", "RT-5.judging", "RT-5.summarising", "MD-3.rotation", "RT-14.output-invalid",
               "RT-14.no-images", "SEC-2.environments")  # fmt: skip
    return {check.id: "pass" for check in load_checks()} | dict.fromkeys(without, "unknown")


@pytest.mark.timeout(300)
async def test_a_whole_check_of_a_twin(shared: Path, tmp_path: Path) -> None:
    """On a configuration that is well every check passes; rows without a check cap the verdict at CONDITIONAL (3)."""
    to = tmp_path / "report.json"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = sorted(path.relative_to(shared) for path in shared.rglob("*"))
    done = golive("--config", str(shared), "--json", str(to), cwd=tmp_path, TMPDIR=str(temporary))
    assert done.returncode == 3, done.stdout + done.stderr
    report = json.loads(to.read_text())
    assert {check["id"]: check["status"] for check in report["checks"]} == _passed()
    assert report["verdict"] == "CONDITIONAL"
    assert report["target"]["agent"] == "clerk"
    assert "CONDITIONAL" in done.stdout
    _assert_evidence(report)
    for secret in (r"gl_[0-9a-z]{8}_[A-Za-z0-9_-]{40}", "sk-check-"):
        assert not re.search(secret, to.read_text() + done.stdout + done.stderr)
    assert "$GOLIVE_KEY" in to.read_text()
    assert list(temporary.iterdir()) == []
    assert sorted(path.relative_to(shared) for path in shared.rglob("*")) == before


def _assert_evidence(report: Any) -> None:
    """Each pass has figures, and evidence with hash, time and time to live, of bounded length."""
    for check in report["checks"]:
        if check["status"] != "pass":
            continue
        assert check["evidence"], check["id"]
        assert check["measured"], check["id"]
        assert check["threshold"], check["id"]
        for each in check["evidence"]:
            assert re.fullmatch("[0-9a-f]{64}", each["sha256"])
            assert report["started_at"] <= each["at"] <= report["finished_at"]
            assert each["ttl_s"] == 86_400
            assert len(each["got"]) <= EXCERPT_CHARS


async def test_a_fast_twins_time_goes_on_over_a_restart(well: Twin) -> None:
    """What was done before the restart is not in the future afterwards: its clock is as far ahead as it was."""
    fast = await well.fast()

    async def ahead_s() -> float:
        _, run = await fast.run("Hello?")
        return float((await fast.journal(str(run["run"])))[1][-1]["at"]) - fast.clock.now()

    while (before := await ahead_s()) < 10:
        pass
    await fast.restart()
    assert await ahead_s() >= before


async def test_a_twin_that_a_check_made_ends_with_it(well: Twin) -> None:
    """Its server, its provider and its folder are gone, while the one that it came from serves on."""
    made = await well.configured({})
    pid, folder = made.process.pid, made.folder
    assert (await made.send("GET", "/v1/agents")).status == 200
    await made.end()
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unreachable):
        await well.http.send("GET", f"{made.simulator._root}/sim/bill", remember=False)
    assert (await well.send("GET", "/v1/agents")).status == 200


async def test_curl_of_the_evidence_can_be_repeated(well: Twin) -> None:
    """A command in the evidence, given the key in its variable, gets the same answer again."""
    reply = await well.send("GET", "/v1/agents")
    command = well.http.evidence(reply).did
    done = subprocess.run(
        ["sh", "-c", command], env=ENVIRONMENT | {"GOLIVE_KEY": well.key}, capture_output=True, check=True
    )
    assert done.stdout == reply.body


async def test_a_running_golive(well: Twin) -> None:
    """Of a golive that runs already, what needs no injection is proved; the rest is Unknown, and says why."""
    async with Remote.at(f"{well.url}/v1", well.key, SystemClock()) as remote:
        assert (remote.golive, remote.agent, remote.model) == (True, "clerk", "clerk")
        report = await prove(load_checks().select([]), remote)
    found = {check.id: check for check in report.checks}
    assert {check_id for check_id, check in found.items() if not check.why.startswith("needs ")} == NEED_NO_TWIN
    for check_id in ("GW-2.keys", "MD-1.dialect", "GW-1.resume", "MD-7.priced"):
        assert found[check_id].status == "pass", found[check_id].why
    assert found["MD-7.priced"].why.startswith("only that tokens and cost are above 0 was looked at")
    assert found["RT-1.deadline"].why == "needs a provider whose faults can be scripted (a twin)"
    assert report.verdict == "CONDITIONAL"


async def test_a_running_golive_behind_a_buffering_proxy(well: Twin) -> None:
    """From outside, too, a proxy that collects streams is named, by times of arrival alone."""
    await well.simulator.play(_slow_speech())
    async with (
        Saboteur(well.url, collect=True, headers={"Via": "1.1 slowpoke"}) as url,
        Remote.at(url, well.key, SystemClock()) as remote,
    ):
        report = await prove(load_checks().select(["GW-1.proxy", "GW-1.first-token"]), remote)
    await well.reset()
    assert {check.id: check.status for check in report.checks} == {"GW-1.first-token": "fail", "GW-1.proxy": "fail"}
    assert "Via: 1.1 slowpoke" in next(check.why for check in report.checks if check.id == "GW-1.proxy")
    assert report.verdict == "NO-GO"


async def test_a_running_golive_that_streams(well: Twin) -> None:
    """The same without the proxy passes, by times of arrival."""
    await well.simulator.play(_slow_speech())
    async with Remote.at(well.url, well.key, SystemClock()) as remote:
        report = await prove(load_checks().select(["GW-1.proxy", "GW-1.first-token"]), remote)
    await well.reset()
    assert {check.status for check in report.checks} == {"pass"}


def _slow_speech() -> Script:
    return Script(tokens=30, pace_ms=25)


async def test_a_server_that_is_not_golive() -> None:
    """Any server of the OpenAI kind can be checked: its keys and its shapes; golive's own promises are Unknown."""
    async with (
        SimulatorProcess(SystemClock(), api_keys=("sk-good",)) as simulator,
        Remote.at(simulator.base_url, "sk-good", SystemClock(), agent="sim-text") as remote,
    ):
        report = await prove(load_checks().select([]), remote)
    found = {check.id: check for check in report.checks}
    assert not report.target.golive
    assert (found["GW-2.keys"].status, found["MD-1.dialect"].status) == ("pass", "pass")
    assert "golive's own API" in found["GW-1.resume"].why
    assert report.verdict == "CONDITIONAL"


async def test_strangers_let_in_stop_everything(tmp_path: Path) -> None:
    """A server that asks for no key is NO-GO (1), and nothing after the security phase is run."""
    async with SimulatorProcess(SystemClock()) as simulator:
        to = tmp_path / "report.json"
        words = ("--target", simulator.base_url, "--agent", "sim-text", "--json", str(to))
        done = golive(*words, cwd=tmp_path, GOLIVE_KEY="sk-any")
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads(to.read_text())
    later = {check["status"] for check in report["checks"] if check["phase"] != "security"}
    assert (report["verdict"], later) == ("NO-GO", {"not_run"})
    assert "stopped: GW-2.keys failed" in done.stdout
    assert "remedy:" in done.stdout


async def test_json_on_standard_output_is_nothing_but_json(shared: Path) -> None:
    """With --json - the report stands alone on standard output, what people read on standard error; --only caps it."""
    done = golive("--only", "rel-1", "--json", "-", cwd=shared)
    report = json.loads(done.stdout)
    assert [check["id"] for check in report["checks"]] == ["REL-1.digest"]
    assert any("were not selected" in reason for reason in report["reasons"])
    assert "REL-1.digest" in done.stderr
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "XX-1"), "no check's id begins with 'XX-1'"),
        (("--target", "nowhere"), "is not an address"),
        (("--target", "http://127.0.0.1:9"), "is the server running"),
        (("--config", "missing.toml"), "there is no"),
        (("--agent", "nobody"), "there is no agent 'nobody'"),
    ],
)
async def test_wrong_usage_is_told_and_is_no_verdict(shared: Path, words: tuple[str, ...], told: str) -> None:
    """What prevents any check ends with code 2, one message, and no traceback."""
    done = golive(*words, cwd=shared)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


async def test_a_refused_key_is_told_before_any_check(well: Twin, tmp_path: Path) -> None:
    """A golive that refuses the given key cannot be judged: that is usage, not a verdict."""
    done = golive("--target", well.url, "--key", "gl_wrong", cwd=tmp_path)
    assert done.returncode == 2
    assert "answers 401 to the key" in done.stderr


async def test_a_twin_survives_its_servers_death(tmp_path: Path) -> None:
    """The process handle kills for real, and a restart finds the same store: keys and runs are still there."""
    async with twin_of(project(tmp_path)) as found:
        _, run = await found.run("Remember me.")
        await found.process.kill()
        with pytest.raises(Unreachable):
            await found.send("GET", "/health/live")
        await found.restart()
        reply = await found.send("GET", f"/v1/runs/{run['run']}")
        assert reply.json()["text"] == run["text"]
        assert found.process.log().count("server.started") == 2


async def test_a_configuration_without_agents(tmp_path: Path) -> None:
    """A plain gateway is checked as one: its models, its keys; what needs an agent is Unknown and says so."""
    folder = project(tmp_path)
    shutil.rmtree(folder / "agents")
    async with twin_of(folder) as found:
        assert (found.agent, found.model) == (None, "second/tiny")
        report = await prove(load_checks().select(["GW-2", "SEC-1", "GW-1.first-token", "MD-1", "MD-7"]), found)
    statuses = {check.id: check.status for check in report.checks}
    assert [statuses.pop(check_id) for check_id in ("MD-1.chain", "MD-7.usage")] == ["unknown", "unknown"]
    assert set(statuses.values()) == {"pass"}, report.reasons


async def test_list_names_every_check(tmp_path: Path) -> None:
    """--list needs neither a configuration nor a server."""
    done = golive("--list", cwd=tmp_path)
    assert done.returncode == 0
    assert all(check.id in done.stdout for check in load_checks())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_it_takes_everything_away(shared: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle leaves no process and no file."""
    command = [sys.executable, "-m", "golive.cli.main", "check", "--config", str(shared), "--only", "RT-1"]
    process = subprocess.Popen(
        command, env=ENVIRONMENT | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "Checking a twin" not in process.stdout.readline():
        assert process.poll() is None
    assert [path for path in tmp_path.iterdir() if path.name.startswith("golive-check-")]
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    deadline = time.monotonic() + 60
    while _mention(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _mention(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def _mention(text: str) -> list[int]:
    """Processes whose command line or environment names the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                data = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in data:
                found.append(int(entry.name))
    return found


async def test_the_documentation_names_a_sabotage_for_each_check() -> None:
    """docs/check.md's table has exactly the registered checks, and each test it names is there."""
    text = (ROOT / "docs" / "check.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+-\d+\.[a-z-]+)` \| (.+?) \| (.+?) \|$", text, re.M)
    assert [row[0] for row in rows] == [check.id for check in load_checks()]
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests" / "e2e").glob("test_check_*.py")]
    tests = {node.name for tree in trees for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    for check_id, sabotage, named in rows:
        assert len(sabotage) > 20, check_id
        found = set(re.findall(r"`(test_\w+)`", named))
        assert found, check_id
        assert found <= tests, check_id
