"""`golive demo`: the first minute. It shows what it promises, ends by itself, and leaves nothing behind."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Project, Terminal, alive, wait_until


def descendants(pid: int) -> set[int]:
    """Every process below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


def leaves_nothing(folder: Path, processes: set[int]) -> None:
    """No folder of the demo's and none of its processes is left."""
    wait_until(lambda: not any(alive(pid) for pid in processes), "a process is left")
    assert [path.name for path in folder.iterdir() if path.name.startswith("golive-")] == []


def test_the_demo_shows_what_it_promises(tmp_path: Path) -> None:
    """Three answers, a shot provider, equal bills, every check on one line, an honest verdict, exit code 0."""
    with Project(tmp_path).terminal("demo", columns=100) as demo:
        demo.until(r"golive serves the agent `support`")
        processes = descendants(demo.process.pid)
        assert demo.end() == 0
        text = demo.text
    assert len(processes) >= 3
    assert len(re.findall(r"(?m)^    completed · \d+\.\d\d s · 2 steps · 1 tool call", text)) == 3
    assert "✗ primary/sim-agent cannot be reached (connection refused)." in text
    assert "✓ backup/sim-agent answered" in text
    assert "3 of 3 runs completed for $0.00" in text
    bills = re.search(r"by golive's journal: (\S+); by the bill that `backup` keeps: (\S+)\.\n", text)
    assert bills is not None
    assert bills[1] == bills[2]
    assert re.search(r"  pass +GW-1\.resume +A stream cut in the middle resumes", text)
    assert "promised:" not in text
    assert re.search(r"CONDITIONAL \n  No check failed\. Of the \d+ rows", text)
    assert "What to do next" in text
    assert "Traceback" not in text
    leaves_nothing(tmp_path, processes)


def test_a_log_of_the_demo_reads_in_order(tmp_path: Path) -> None:
    """On a pipe all of it is on standard output, so tool calls and answers stay in order, without colours."""
    done = Project(tmp_path).golive("demo", "--no-check")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    marks = (
        "1  A shop",
        "→ find_order",
        "agent     I looked",
        "completed",
        "3  The provider",
        "→ refund",
        "What to do",
    )
    places = [done.out.index(mark) for mark in marks]
    assert places == sorted(places)


@pytest.mark.parametrize(("how", "code"), [("ctrl-c", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("when", [r"golive serves the agent", r"GW-2\.keys"])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, how: str, code: int, when: str) -> None:
    """However it is ended, while the agent talks or the checks run, servers, simulators and folders go with it."""
    with Project(tmp_path).terminal("demo") as demo:
        demo.until(when)
        processes = descendants(demo.process.pid)
        _end(demo, how)
        assert demo.end() == code
        assert "Traceback" not in demo.text
    leaves_nothing(tmp_path, processes)


def _end(demo: Terminal, how: str) -> None:
    if how == "ctrl-c":
        demo.type("\x03")
    else:
        os.kill(demo.process.pid, getattr(signal, how))


def test_stay_keeps_serving(tmp_path: Path) -> None:
    """With --stay the server can be asked with the printed address and key, until Ctrl-C, which is its proper end."""
    project = Project(tmp_path)
    with project.terminal("demo", "--stay", "--no-check") as demo:
        address = demo.until(r"export GOLIVE_URL=(\S+) GOLIVE_KEY=(\S+)")
        demo.until(r"In a browser")
        asked = project.golive("run", "support", "Where is order B-2001?", GOLIVE_URL=address[1], GOLIVE_KEY=address[2])
        assert asked.code == 0
        assert "Oak monitor shelf" in asked.out
        processes = descendants(demo.process.pid)
        demo.type("\x03")
        assert demo.end() == 0
    leaves_nothing(tmp_path, processes)


def test_live_without_a_provider_is_told(tmp_path: Path) -> None:
    """--live needs a key or an address; nothing is started without."""
    done = Project(tmp_path, OPENAI_API_KEY="").golive("demo", "--live")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: --live needs a provider: OPENAI_API_KEY is not set.\n")
