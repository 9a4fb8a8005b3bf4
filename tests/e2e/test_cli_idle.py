"""Settings without effect are told where people look: at the start, in `golive config explain`, before a check."""

import json
import subprocess
from pathlib import Path

from tests.e2e.cli_kit import GOLIVE, PATIENCE_S, Project, new_project

WORDS = (
    'golive.toml:{line}: `prices."sin/*"` is for no provider: there is no [providers.sin]. Did you mean `sim`?'
)  # fmt: skip


def idle(root: Path) -> tuple[Project, str]:
    """A new project with a section of no provider, and what is said of it."""
    project = new_project(root)
    settings = root / "golive.toml"
    lines = settings.read_text()
    settings.write_text(f'{lines}\n[prices."sin/*"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n')
    return project, WORDS.format(line=lines.count("\n") + 2)


def test_config_explain_tells_it_beside_the_settings(tmp_path: Path) -> None:
    """On standard error, so that a pipe gets the settings alone; one setting asked for is answered alone."""
    project, words = idle(tmp_path)
    done = project.golive("config", "explain")
    assert (done.code, done.err) == (0, f"warning: {words}\n")
    assert words not in done.out
    assert project.golive("config", "explain", "server").err == ""


def test_the_server_logs_it_once(tmp_path: Path) -> None:
    """As a warning with setting, origin and remedy, and it serves all the same."""
    project, words = idle(tmp_path)
    command = [*GOLIVE, "serve", "--port", "0", "--announce", "json", "--until-stdin-closes"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        _, log = process.communicate("", timeout=PATIENCE_S)
    told = [json.loads(line) for line in log.splitlines() if "setting.without_effect" in line]
    assert [(one["level"], one["setting"]) for one in told] == [("warning", 'prices."sin/*"')]
    assert words == f"{told[0]['origin']}: {told[0]['message']} {told[0]['remedy']}"


def test_dev_tells_it_at_the_start_and_what_an_edit_adds(tmp_path: Path) -> None:
    """An edit tells what is new, and not again what was told."""
    project, words = idle(tmp_path)
    with project.dev() as terminal:
        assert terminal.text.replace("\n", "").count(words) == 1
        settings = tmp_path / "golive.toml"
        settings.write_text(settings.read_text() + '[capabilities."nobody/*"]\ntools = false\n')
        terminal.until(r"there is no \[providers\.nobody\]")
        terminal.until(r"golive\.toml reloaded")
        assert terminal.text.count("[providers.sin]") == 1


def test_check_tells_it_before_it_begins(tmp_path: Path) -> None:
    """On standard error; the checks are run all the same."""
    project, words = idle(tmp_path)
    done = project.golive("check", "--only", "GW-2.keys")
    assert done.code in (0, 3), done
    assert f"warning: {words}" in done.err
