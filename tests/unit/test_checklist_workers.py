"""The check on worker processes: which agents need one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from golive.checklist.checks.workers import workers_hold_no_secret
from golive.checklist.http import Http
from golive.checklist.results import Fail, Pass
from golive.checklist.server_process import ServerProcess
from golive.checklist.simulator import SimulatorControl
from golive.checklist.twin import Twin
from golive.checklist.twin_config import PEPPER_FILE
from golive.config.load import load
from golive.core.clock import SystemClock

CLOCK = SystemClock()


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process without children, where the server would be."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def twin(tmp_path: Path, server: subprocess.Popen[bytes]) -> Twin:
    """Two agents without tools.py, served by a process without workers."""
    (tmp_path / "golive.toml").write_text('[providers.main]\nbase_url = "http://127.0.0.1:9/v1"\n')
    for name in ("a", "b"):
        agent = tmp_path / "agents" / name
        agent.mkdir(parents=True)
        (agent / "agent.toml").write_text(f'name = "{name}"\nversion = "1"\n[models.default]\nchain = ["main/gpt-5"]\n')
        (agent / "prompt.md").write_text("Hello.\n")
    process = ServerProcess((), tmp_path / "golive.toml", {}, tmp_path, CLOCK)
    process.pid = server.pid
    (tmp_path / PEPPER_FILE).write_text("pepper")
    http = Http(CLOCK)
    return Twin(
        http,
        loaded=load(tmp_path, {}),
        folder=tmp_path,
        process=process,
        simulator=SimulatorControl(http, "http://127.0.0.1:9", ()),
        key="gl_key",
        revocable=("key", "gl_revoked"),
        provider_keys=("sk-provider",),
        speed=1.0,
        another=_no_other,
    )


async def _no_other(**wanted: object) -> Twin:
    raise AssertionError(f"nobody needs another twin, with {wanted}")


async def test_agents_without_tools_need_no_worker(twin: Twin) -> None:
    """tools.py is optional: where no agent has one, no worker process is missed."""
    result = await workers_hold_no_secret(twin)
    assert isinstance(result, Pass)
    assert result.measured == f"server {twin.process.pid}, 0 workers for 0 agents with tools"
    assert result.why == "no agent has a tools.py: there is no code of the user's to run"


async def test_an_agent_with_tools_and_no_worker_fails_the_check(twin: Twin) -> None:
    """Where one of two agents has tools, one worker is missed, and only one."""
    (twin.folder / "agents" / "b" / "tools.py").write_text("def f() -> int: return 1\n")
    result = await workers_hold_no_secret(twin)
    assert isinstance(result, Fail)
    assert result.measured == f"server {twin.process.pid}, 0 workers for 1 agents with tools"
    assert result.why == "only 0 worker processes: tools may run inside the server"
