"""`golive dev`: announces itself to the other commands of its project, and follows every edit."""

import json
import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Project, alive, new_project, wait_until


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A new project of the test's own."""
    return new_project(tmp_path)


def test_it_says_how_to_use_it_and_takes_everything_away(project: Project) -> None:
    """Address, key and next commands are printed; client.json is the owner's alone; after Ctrl-C all is gone. The key
    was never in the store, so that a server that is killed leaves none that opens anything."""
    client = project.folder / ".golive/client.json"
    with project.dev() as dev:
        url = dev.until(r"golive dev answers at (http://127\.0\.0\.1:\d+)")[1]
        key = dev.until(r"key +(gl_\S+)")[1]
        assert f"curl -N {url}/v1/agents/bistro/runs" in dev.text
        assert 'golive run bistro "Hello"' in dev.text
        assert stat.S_IMODE(client.stat().st_mode) == 0o600
        assert json.loads(client.read_text()) == {"url": url, "key": key, "pid": dev.process.pid}
        assert project.ok("keys", "list", "--all") == ""
        dev.type("\x03")
        assert dev.end() == 0
        assert "Traceback" not in dev.text
    assert not client.exists()
    assert project.ok("keys", "list", "--all") == ""


def test_an_address_left_by_a_killed_server_is_not_used(project: Project) -> None:
    """After SIGKILL client.json is still there, but names no living process: commands start a server of their own."""
    with project.dev() as dev:
        dev.process.kill()
        dev.end()
    assert (project.folder / ".golive/client.json").exists()
    assert "bistro" in project.ok("agents")


def test_edits_are_served(project: Project) -> None:
    """A prompt, a tool and a provider's settings each take effect in the running server, under a new version."""
    agent = project.folder / "agents/bistro"
    settings = project.folder / "golive.toml"

    def version() -> str:
        return str(json.loads(project.ok("agents", "bistro", "--json"))["version_name"])

    with project.dev() as dev:
        seen = [version()]
        (agent / "prompt.md").write_text("You are brief.")
        dev.until(r"reloading bistro \(agents/bistro/prompt\.md\) …\nbistro reloaded\n")
        seen.append(version())
        tools = (agent / "tools.py").read_text()
        (agent / "tools.py").write_text(tools.replace("17:00 to 23:00", "at noon"))
        dev.until(r"reloading bistro \(agents/bistro/tools\.py\) …\nbistro reloaded\n")
        assert "at noon" in project.ok("run", "bistro", "Are you open on Sunday?")
        seen.append(version())
        toml = (agent / "agent.toml").read_text()
        (agent / "agent.toml").write_text(toml.replace("max_steps = 15", "max_steps = 3"))
        dev.until(r"reloading bistro \(agents/bistro/agent\.toml\) …\nbistro reloaded\n")
        assert json.loads(project.ok("agents", "bistro", "--json"))["max_steps"] == 3
        seen.append(version())
        url = re.search(r'base_url = "(http://127[^"]*)"', settings.read_text())
        assert url is not None
        settings.write_text(
            settings.read_text() + f'\n[providers.other]\nbase_url = "{url[1]}"\nmodels = ["sim-echo"]\n'
        )
        dev.until(r"golive\.toml reloaded\nreloading bistro …\nbistro reloaded\n")
        assert project.ok("run", "other/sim-echo", "through the new one") == "through the new one\n"
        assert "other/sim-echo\tother\topenai-chat\t" in project.ok("models")
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("file", "broken", "told"),
    [
        ("agents/bistro/tools.py", "def broken(:\n", r"tools\.py cannot be imported: SyntaxError"),
        ("agents/bistro/agent.toml", 'name = "bistro"\nversion = "1"\nmodle = 3\n', r"unknown key `modle`"),
        ("golive.toml", "[server\n", r"error: .*golive\.toml"),
        ("golive.toml", '[servr]\nport = 1\n', r"`servr`"),
    ],
)  # fmt: skip
def test_a_broken_edit_keeps_the_last_good_version(project: Project, file: str, broken: str, told: str) -> None:
    """A file that cannot be used is told with its place; the agent goes on answering; the next good edit is served."""
    path = project.folder / file
    good = path.read_text()
    with project.dev() as dev:
        path.write_text(broken)
        dev.until(told)
        name = "bistro" if "bistro" in file else r"golive\.toml"
        dev.until(rf"{name} not reloaded: what was served last goes on")
        key = re.search(r"gl_\S+", dev.text)
        url = re.search(r"http://127\.0\.0\.1:\d+", dev.text)
        assert key is not None
        assert url is not None
        asked = project.ok("run", "bistro", "Are you open on Sunday?", "--url", url[0], "--key", key[0])
        assert "17:00 to 23:00" in asked
        path.write_text(good + "\n# mended\n")
        dev.until(rf"{name} reloaded")
        assert "Traceback" not in dev.text


BROKEN = [
    ("agent.toml", 'name = "second"\nversion = "1"\nmodle = 3\n', r"agents/second/agent\.toml:3: unknown key `modle`"),
    ("tools.py", "def broken(:\n", r"tools\.py cannot be imported: SyntaxError"),
    ("tools.py", "import time\ntime.sleep(600)\n", r"reloading second"),
]


@pytest.mark.parametrize(("file", "broken", "told"), BROKEN, ids=["settings", "tools", "hanging"])
def test_a_broken_agent_is_its_own_affair(project: Project, file: str, broken: str, told: str) -> None:
    """While one agent is broken, or does not come up, edits of another and of golive.toml are served at once; its error
    is told once; its last good version answers, also after the providers were changed; the mended one is served."""
    project.ok("new", "second")
    settings = project.folder / "golive.toml"
    second = project.folder / "agents/second" / file
    good = second.read_text()
    with project.dev() as dev:
        second.write_text(broken)
        dev.until(told)
        (project.folder / "agents/bistro/prompt.md").write_text("You are brief.")
        dev.until(r"reloading bistro \(agents/bistro/prompt\.md\) …\nbistro reloaded\n")
        settings.write_text(settings.read_text() + '\n[providers.other]\nbase_url = "http://127.0.0.1:9/v1"\n')
        dev.until(r"golive\.toml reloaded\n[\s\S]*bistro reloaded\n")
        assert "17:00 to 23:00" in project.ok("run", "second", "Are you open on Sunday?")
        second.write_text(good + "\n# mended\n")
        dev.until(r"second reloaded\n")
        assert len(re.findall(told, dev.text)) == (2 if "sleep" in broken else 1)
        assert "17:00 to 23:00" in project.ok("run", "second", "Are you open on Sunday?")
        assert "Traceback" not in dev.text
        assert "unchanged" not in dev.text


def test_agents_come_and_go(project: Project) -> None:
    """A new folder is served, an edit that was taken back too; a folder that went is told."""
    prompt = project.folder / "agents/bistro/prompt.md"
    good = prompt.read_text()
    with project.dev() as dev:
        project.ok("new", "second")
        dev.until(r"second reloaded\n")
        assert "17:00 to 23:00" in project.ok("run", "second", "Are you open on Sunday?")
        prompt.write_text("")
        dev.until(r"bistro not reloaded")
        prompt.write_text(good)
        dev.until(r"bistro reloaded\n")
        shutil.rmtree(project.folder / "agents/second")
        dev.until(r"second removed\n")
        assert [line.split("\t")[0] for line in project.ok("agents").splitlines()] == ["bistro"]


def test_settings_that_need_a_new_process_are_named(project: Project) -> None:
    """A changed port cannot be followed; that is said."""
    settings = project.folder / "golive.toml"
    with project.dev() as dev:
        settings.write_text(settings.read_text().replace("[server]\n", "[server]\nheartbeat_s = 3\n"))
        dev.until(r"\[server\] and \[store\] take effect at the next start")
        dev.until(r"golive\.toml reloaded")


def test_files_an_editor_writes_beside_are_not_named(project: Project) -> None:
    """A save by a temporary file and a rename names the file alone."""
    prompt = project.folder / "agents/bistro/prompt.md"
    with project.dev() as dev:
        beside = prompt.with_name("prompt.md.tmp~")
        beside.write_text("You are very brief.")
        beside.rename(prompt)
        assert dev.until(r"reloading bistro \((.*)\) …\nbistro reloaded")[1] == "agents/bistro/prompt.md"


def test_a_port_in_use_is_told_first(project: Project) -> None:
    """Nothing is started when the address is taken: one message names the port and the remedy."""
    with project.dev() as dev:
        port = dev.until(r"answers at http://127\.0\.0\.1:(\d+)")[1]
        second = project.golive("dev", "--port", port)
    assert (second.code, second.out) == (1, "")
    assert second.err.startswith(f"error: Port {port} on 127.0.0.1 is in use.\n")


@pytest.mark.parametrize("how", ["TERM", "HUP"])
def test_a_signal_ends_it_in_order(project: Project, how: str) -> None:
    """SIGTERM, and a terminal that is closed, leave no address and no worker behind."""

    with project.dev() as dev:
        workers = [int(pid) for pid in _children(dev.process.pid)]
        os.kill(dev.process.pid, getattr(signal, f"SIG{how}"))
        dev.end()
    assert not (project.folder / ".golive/client.json").exists()
    assert workers
    wait_until(lambda: not any(alive(pid) for pid in workers), "a worker is left")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
