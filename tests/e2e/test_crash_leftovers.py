"""Processes that are killed: what they could not take away goes by itself, or with the next start."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Project, alive, new_project, wait_until
from tests.e2e.process_kit import project

TOOLS = 'def note() -> str:\n    """Notes."""\n    return "noted"\n'


def folders(temporary: Path) -> list[str]:
    """What golive has in the temporary folder."""
    return sorted(path.name for path in temporary.iterdir() if path.name.startswith("golive-"))


def descendants(pid: int) -> set[int]:
    """Every process below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


def all_end(processes: set[int]) -> None:
    """Waits until none of the processes runs."""
    wait_until(lambda: not any(alive(pid) for pid in processes), f"one of {processes} is left")


@pytest.mark.parametrize(("when", "least"), [(r"golive serves the agent", 3), (r"GW-2\.keys", 6)])
def test_a_killed_demo_takes_its_processes_along(tmp_path: Path, when: str, least: int) -> None:
    """After SIGKILL, while the agent talks or the checks run, no simulator, server, check or worker goes on; what it
    left in the temporary folder goes with the next demo."""
    here = Project(tmp_path)
    with here.terminal("demo") as demo:
        demo.until(when)
        processes = descendants(demo.process.pid)
        demo.process.kill()
        demo.end()
    assert len(processes) >= least
    all_end(processes)
    if least > 3:
        return
    assert [name.rpartition("-")[0] for name in folders(tmp_path)] == ["golive-demo"]
    with here.terminal("demo", "--no-check") as demo:
        assert demo.end() == 0
    assert folders(tmp_path) == []


def test_a_killed_check_takes_its_twin_along(tmp_path: Path) -> None:
    """After SIGKILL neither the twin's server, its workers nor the simulator goes on, and the next check tidies up."""
    here = new_project(tmp_path)
    with here.terminal("check") as check:
        check.until(r"GW-2\.keys")
        processes = descendants(check.process.pid)
        check.process.kill()
        check.end()
    assert len(processes) >= 3
    all_end(processes)
    assert any(name.startswith("golive-check-") for name in folders(tmp_path))
    here.golive("check", "--only", "GW-10")
    assert folders(tmp_path) == []


def test_any_program_can_be_ended_with_its_parent(tmp_path: Path) -> None:
    """`golive.cli.lifeline` runs a module as `python -m` does, and ends it by SIGTERM when standard input ends."""
    (tmp_path / "endless.py").write_text("import sys, time\nprint(sys.argv[1:], flush=True)\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "golive.cli.lifeline", "endless", "--size", "2"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "['--size', '2']\n"
        process.stdin.close()
        assert process.wait(timeout=20) == -15


async def test_a_killed_servers_worker_folder_goes_with_the_next_start(tmp_path: Path) -> None:
    """After SIGKILL the workers' folder is left; the next server removes it, and not that of a server that lives."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with project(tmp_path / "one") as first, project(tmp_path / "two") as second:
        for served in (first, second):
            served.environ["TMPDIR"] = str(temporary)
            served.agent("noter", "sim-note", tools=TOOLS)
        await first.serve()
        killed = folders(temporary)
        await second.serve()
        both = folders(temporary)
        await first.kill()
        assert folders(temporary) == both
        await first.serve()
        async with asyncio.timeout(20):
            while not any(line["event"] == "worker.folders_removed" for line in first.log()):
                await asyncio.sleep(0.02)
        left = folders(temporary)
        assert (len(killed), len(both), len(left)) == (1, 2, 2)
        assert set(both) - set(left) == set(killed)
        await first.stop()
        await second.stop()
    assert folders(temporary) == []
