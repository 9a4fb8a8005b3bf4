"""The README's tour works as it is written: the same commands, in the same order, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Project, free_port

ROOT = Path(__file__).parents[2]


def tour() -> list[str]:
    """The commands of the tour, comments taken off, continued lines joined."""
    section = (ROOT / "README.md").read_text().partition("## A tour\n")[2].partition("\n## ")[0]
    text = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    lines = text.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", line.partition("   #")[0]).strip() for line in lines if line.strip()]


@pytest.mark.timeout(300)  # a whole check is in it, which a busy machine takes two minutes for
def test_the_tour_of_the_readme(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """New agent, dev, a question, the same over HTTP with the printed key, the list, the checks."""
    path, aside = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", tmp_path_factory.mktemp("aside")
    project = Project(tmp_path, PATH=path, TMPDIR=str(aside))  # twins of checks are none of the project's files
    new, dev, *rest = tour()
    assert (new, dev) == ("golive new support", "golive dev")
    assert "agents/support/tools.py" in project.ok(*new.split()[1:])
    settings, port = tmp_path / "golive.toml", free_port()
    settings.write_text(
        settings.read_text().replace(":8090/", f":{free_port()}/").replace("port = 8080", f"port = {port}")
    )
    with project.terminal(*dev.split()[1:]) as server:
        project.environ["GOLIVE_KEY"] = server.until(r"key +(gl_\S+)")[1]
        server.until(r"Ctrl-C ends\.")
        outs = {line: _shell(project, line.replace(":8080/", f":{port}/")) for line in rest}
        server.type("\x03")
        assert server.end() == 0
    run, curl, listing, decisions, check = outs
    assert "17:00 to 23:00" in outs[run]
    assert re.findall(r"^event: (\S+)", outs[curl], re.M)[-1] == "run.finished"
    assert len(outs[listing].splitlines()) == 2
    assert outs[decisions] == ""
    assert "CONDITIONAL" in outs[check]
    assert "FAIL" not in outs[check]


def _shell(project: Project, line: str) -> str:
    done = subprocess.run(
        ["bash", "-c", line], cwd=project.folder, env=project.environ, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == (3 if line.startswith("golive check") else 0), done.stdout + done.stderr
    return done.stdout
