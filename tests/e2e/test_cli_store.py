"""`golive store` as an operator meets it: beside a server, without one, after a crash; on SQLite and PostgreSQL."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from golive.store.schema import VERSION
from tests.e2e.cli_kit import Project, new_project
from tests.unit import postgres_kit

ROLES = ("operator", "user")
DATABASE = ".golive/golive.db"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two finished runs and a key, to be copied."""
    made = new_project(tmp_path_factory.mktemp("grown"))
    for question in ("Hello", "A table for two"):
        made.ok("run", "bistro", question)
    made.ok("keys", "create", "--name", "ci")
    return made.folder


@pytest.fixture
def project(grown: Path, tmp_path: Path) -> Project:
    """A project with two finished runs and a key."""
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.fixture
def server(project: Project) -> Iterator[Any]:
    """`golive serve` over it, ready."""
    with project.serve() as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def one(project: Project, sql: str) -> Any:
    with closing(sqlite3.connect(project.folder / DATABASE, isolation_level=None)) as connection:
        found = connection.execute(sql).fetchone()
        return None if found is None else found[0]


def test_a_store_is_verified(project: Project) -> None:
    """Real runs agree: nothing on standard output, a summary beside it. One line for what does not, and exit code 1."""
    done = project.golive("store", "verify")
    assert (done.code, done.out) == (0, "")
    assert "2 runs, " in done.err
    assert f"schema {VERSION}: all agree" in done.err
    run = one(project, "UPDATE runs SET steps = 7 RETURNING run")
    done = project.golive("store", "verify")
    assert done.code == 1
    assert f"default\t{run}\tview\tIn the list of runs steps is 7 and should be 1.\n" in done.out
    assert "2 discrepancies" in done.err
    verdict = json.loads(project.golive("store", "verify", "--json").out)
    assert [found["check"] for found in verdict["discrepancies"]] == ["view", "view"]
    assert verdict["runs"] == 2


def test_a_backup_is_taken_beside_a_server_and_tried(project: Project, server: Any) -> None:
    """Then restored elsewhere: generation 2, verified, its runs are there."""
    said = project.ok("store", "backup", "nightly.db")
    assert said.startswith("nightly.db: 2 runs, ")
    assert stat.S_IMODE((project.folder / "nightly.db").stat().st_mode) == 0o600
    done = project.golive("store", "backup", "nightly.db")
    assert (done.code, "There is a file nightly.db already." in done.err) == (1, True)
    made = json.loads(project.ok("store", "backup", "nightly.db", "--replace", "--json"))
    assert (made["rows"]["runs"], made["rows"]["keys"], made["generation"]) == (2, 1, 1)
    done = project.golive("store", "restore", "nightly.db", "--store", "sqlite:trial.db")
    assert "restored nightly.db (2 runs, " in done.out
    assert "generation 2" in done.out
    assert "revoke again what was revoked since" in done.err
    assert project.golive("store", "verify", "--store", "sqlite:trial.db").code == 0


def test_a_store_that_does_not_agree_is_neither_backed_up_nor_copied_in_silence(project: Project) -> None:
    """The earlier backup stays, exit codes are 1, and who wants the present state all the same says so."""
    project.ok("store", "backup", "nightly.db")
    good = (project.folder / "nightly.db").read_bytes()
    run = one(project, "DELETE FROM events WHERE seq = 3 RETURNING run")
    done = project.golive("store", "backup", "nightly.db", "--replace")
    assert (done.code, run in done.err, "Events are missing: 3." in done.err) == (1, True, True)
    assert (project.folder / "nightly.db").read_bytes() == good
    assert project.golive("store", "verify", "--store", "sqlite:nightly.db.refused").code == 1
    done = project.golive("store", "copy", "--to", "sqlite:other.db")
    assert (done.code, run in done.err, "in both something does not agree" in done.err) == (1, True, True)
    assert project.golive("store", "verify", "--store", "sqlite:other.db").code == 1
    project.ok("store", "backup", "nightly.db", "--replace", "--no-verify")
    project.ok("store", "copy", "--to", "sqlite:third.db", "--no-verify")
    assert project.golive("store", "verify", "--store", "sqlite:nightly.db").code == 1


def test_what_needs_servers_to_be_gone_says_so(project: Project, server: Any) -> None:
    """Restore and copy name the process; nothing is changed."""
    project.ok("store", "backup", "b.db")
    for words in (["restore", "b.db", "--force"], ["copy", "--to", "sqlite:other.db"]):
        done = project.golive("store", *words)
        assert done.code == 1
        assert f"another golive server (process {server.pid}) uses" in done.err
    assert one(project, "SELECT generation FROM installation") == 1
    assert not (project.folder / "other.db").exists()
    done = project.golive("store", "migrate", "--to", "5")
    assert (done.code, f"process {server.pid}" in done.err) == (1, True)
    assert one(project, "SELECT max(version) FROM schema_version") == VERSION


def test_a_server_tells_which_schema_it_knows(project: Project) -> None:
    """And the generation, which a restore raises; a user's key does not see it."""
    project.ok("store", "backup", "b.db")
    project.ok("store", "restore", "b.db", "--force")
    operator, user = (project.ok("keys", "create", "--name", role, "--role", role).strip() for role in ROLES)
    with project.serve() as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"] + "/v1/store"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {operator}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            told = json.loads(answer.read())
        assert told == {"kind": "sqlite", "server_schema": VERSION, "generation": 2, "shared": False}
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {user}"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=20)


def test_a_store_is_restored_after_a_crash_and_served_again(project: Project) -> None:
    """The server is killed, the file overwritten with rubbish; from the backup it serves, and knows runs and key."""
    project.ok("store", "backup", "b.db")
    runs = project.ok("runs", "list")
    with project.serve() as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=40)
    for ending in ("-wal", "-shm"):
        (project.folder / (DATABASE + ending)).unlink(missing_ok=True)
    (project.folder / DATABASE).write_bytes(b"rubbish" * 4096)
    done = project.golive("store", "restore", "b.db")
    assert (done.code, "is damaged" in done.err, "--force keeps it aside" in done.err) == (1, True, True)
    assert "generation 2" in project.ok("store", "restore", "b.db", "--force")
    assert (project.folder / f"{DATABASE}.damaged").read_bytes().startswith(b"rubbish")
    assert project.ok("runs", "list") == runs
    assert "ci" in project.ok("keys", "list")
    project.ok("run", "bistro", "Hello again")
    assert project.golive("store", "verify").code == 0


def test_the_schema_goes_down_and_up(project: Project) -> None:
    """The dry run tells and changes nothing; what is sealed keeps the schema that knows of it, and nothing is done by
    halves; a server refuses what is too old and names the command."""
    dry = project.golive("store", "migrate", "--to", "4", "--dry-run")
    assert "down from 5 (durable): Runs that survive their server.\n  loses decisions" in dry.out
    assert "(dry run); stop all servers first" in dry.err
    assert one(project, "SELECT max(version) FROM schema_version") == VERSION
    refused = project.golive("store", "migrate", "--to", "4")
    assert refused.code == 1
    assert "error: 14 events are sealed: a golive of schema 8 could read none of them.\n" in refused.err
    assert one(project, "SELECT max(version) FROM schema_version") == VERSION
    assert project.ok("store", "migrate", "--to", "9").endswith(f": schema 9 (was {VERSION})\n")
    with project.serve() as process:
        _, err = process.communicate(timeout=40)
        assert process.returncode == 1
        assert f"has schema 9; this golive works with schema {VERSION}" in err
        assert "golive store migrate" in err
    plan = json.loads(project.ok("store", "migrate", "--json"))
    assert (plan["from"], plan["to"], plan["done"]) == (9, VERSION, True)
    assert [step["version"] for step in plan["steps"]] == list(range(10, VERSION + 1))
    assert project.golive("store", "verify").code == 0
    project.ok("run", "bistro", "Hello again")


def test_a_store_moves_to_postgresql_and_back(project: Project) -> None:
    """By its URL alone; counts and sums of both sides are shown, nothing disagrees, and the runs are there again.

    A backup of it changes what the audit log says, and that it was written to ("installation"), and nothing else.
    """
    url = postgres_kit.fresh("app")
    runs = project.ok("runs", "list")
    there = project.ok("store", "copy", "--to", url)
    assert "runs\t2\t" in there
    assert project.golive("store", "verify", "--store", url).code == 0
    done = project.golive("store", "copy", "--to", url)
    assert (done.code, "is not empty: leases has 2 rows" in done.err) == (1, True)
    assert project.ok("store", "copy", "--store", url, "--to", "sqlite:back.db") == there
    project.ok("store", "backup", "pg.db", "--store", url)
    later = project.ok("store", "copy", "--store", url, "--to", "sqlite:later.db")
    changed = {line.split("\t")[0] for line in set(later.splitlines()) - set(there.splitlines())}
    assert changed == {"installation", "audit", "audit_heads", "audit_checkpoints"}
    os.replace(project.folder / "back.db", project.folder / DATABASE)
    for ending in ("-wal", "-shm"):
        (project.folder / (DATABASE + ending)).unlink(missing_ok=True)
    assert project.ok("runs", "list") == runs
    assert "generation 2" in project.ok("store", "restore", "pg.db", "--store", url, "--force")


def test_a_progress_bar_is_drawn_in_a_terminal_alone(project: Project) -> None:
    """What other programs read is without it."""
    assert "\x1b" not in project.golive("store", "verify").err
    shown = project.shown("store", "backup", "b.db")
    assert any(line.startswith("b.db: 2 runs") for line in shown)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_signal_ends_it_and_nothing_half_done_stays(
    project: Project, number: signal.Signals, code: int, kind: str
) -> None:
    """Here a backup that is struck in its middle: no file, and no part of one."""
    store = f"sqlite:{project.folder / DATABASE}"
    if kind == "postgresql":
        url = postgres_kit.fresh()
        project.ok("store", "copy", "--to", url)
        store = url
    struck = (
        "import os; from golive.store.upkeep import backup, copying; from golive.cli.main import main\n"
        "def strike(*_):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    for _ in range(3_000_000): pass\n"
        "def slow(path, into, progress):\n"
        "    open(into, 'w').close(); strike(); raise SystemExit('it went on')\n"
        "backup.duplicate = slow\n"
        "whole = copying.total\n"
        "copying.total = lambda *given: strike() or whole(*given)\n"
        f"main(['store', 'backup', 'b.db', '--store', {store!r}])"
    )
    command = [sys.executable, "-c", struck]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environ, capture_output=True, text=True, timeout=40, check=False
    )
    assert done.returncode == code, done
    assert [path.name for path in project.folder.iterdir() if path.name.startswith("b.db")] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "--store", "sqlite:none.db"], "There is no database"),
        (["verify", "--store", "mysql://x"], "is no address of a store"),
        (["verify", "--store", "postgresql://127.0.0.1:1/x"], "is unavailable"),
        (["restore", "none.db"], "There is no backup none.db"),
        (["restore", "golive.toml", "--force"], "it is not a SQLite file"),
        (["migrate", "--to", "99"], "There is no schema 99 of sqlite"),
        (["copy", "--to", "sqlite:.golive/golive.db"], "onto itself"),
        (["backup", "golive.toml/b.db"], "golive.toml"),
    ],
)
def test_mistakes_are_told_in_one_message(project: Project, words: list[str], said: str) -> None:
    """No traceback, exit code 1, and a second line that says what to do."""
    done = project.golive("store", *words)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Traceback" not in done.err
    assert "by itself" not in done.err
    assert len(done.err.strip().splitlines()) >= 2
