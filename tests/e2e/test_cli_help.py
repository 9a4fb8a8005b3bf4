"""`golive` explains itself: what commands there are, what each takes, what was meant by a mistyped one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from golive import __version__
from golive.cli.main import COMMANDS
from tests.e2e.cli_kit import Project

HEAVY = frozenset({
    "cryptography", "_cffi_backend", "jwt", "ssl", "hashlib", "hmac", "secrets",
    "aiohttp", "httptools", "http", "uvicorn", "uvloop", "asyncio", "socket", "yarl", "boto3", "hvac",
    "sqlite3", "asyncpg", "sqlalchemy", "alembic",
    "pydantic", "msgspec", "genai_prices", "jsonschema", "watchfiles", "prometheus_client", "docstring_parser",
})  # fmt: skip
"""Of cryptography, of HTTP, of databases, and what else takes long: no such thing is needed to show a list."""
LIGHT = {"golive", "golive.cli", "golive.cli.main", "golive.core", "golive.core.errors"}


def test_help_lists_every_command_with_its_line(tmp_path: Path) -> None:
    """Each command stands in `golive --help` with the sentence that says what it does, uncut."""
    lines = Project(tmp_path, COLUMNS="120").ok("--help").splitlines()
    for name, command in COMMANDS.items():
        assert any(name in line.split() and command.help in line for line in lines), name


def test_help_imports_nothing_heavy() -> None:
    """What makes a start slow is imported by the command that needs it, not to show the help: no library of
    cryptography, HTTP or databases, and of golive itself the list of commands alone."""
    script = (
        "import json, sys\n"
        "from golive.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert sorted({name.partition(".")[0] for name in loaded} & HEAVY) == []
    assert {name for name in loaded if name.partition(".")[0] == "golive"} == LIGHT


def test_without_arguments_the_help_is_shown(tmp_path: Path) -> None:
    """`golive` alone is the help; as wrong usage it exits with 2, so that a script notices."""
    project = Project(tmp_path)
    alone = project.golive()
    assert alone.code == 2
    assert (alone.out or alone.err).strip() == project.ok("--help").strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_outside_a_project(tmp_path: Path, command: str) -> None:
    """The help of a command needs no golive.toml, names the command, and says what its options mean."""
    text = Project(tmp_path).ok(command, "--help")
    assert f"golive {command}" in text
    assert "Show this message and exit." in text


@pytest.mark.parametrize(
    ("typed", "meant"), [("agnets", "agents"), ("serv", "serve"), ("chek", "check"), ("runs lst", "list")]
)
def test_a_mistyped_command_gets_a_suggestion(tmp_path: Path, typed: str, meant: str) -> None:
    """The nearest command is named, on standard error, with exit code 2."""
    done = Project(tmp_path).golive(*typed.split())
    assert (done.code, done.out) == (2, "")
    assert f"Did you mean '{meant}'" in done.err


def test_the_version_is_told_twice(tmp_path: Path) -> None:
    """`--version` is one line; `golive version` is what a report of a fault begins with."""
    project = Project(tmp_path)
    assert project.ok("--version") == f"golive {__version__}\n"
    found = json.loads(project.ok("version", "--json"))
    assert (found["golive"], found["python"]) == (__version__, sys.version.split()[0])
    assert [line.split()[0] for line in project.ok("version").splitlines()] == list(found)


@pytest.mark.parametrize("words", ["agents", "run bistro hi", "dev", "serve", "keys list", "config explain", "check"])
def test_outside_a_project_the_way_in_is_told(tmp_path: Path, words: str) -> None:
    """Without a golive.toml every command says so and how to get one, without a traceback."""
    done = Project(tmp_path).golive(*words.split())
    assert done.code in (1, 2)
    assert done.err == (
        f"error: there is no golive.toml in {tmp_path} or above it.\n"
        "  Begin with `golive new NAME`, or name the file with --config PATH.\n"
    )
