"""`golive audit` as an operator meets it: beside a server, after it was killed, with an export far from any store."""

import json
import os
import signal
import sqlite3
import stat
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_kit import Project, new_project

DATABASE = ".golive/golive.db"
TRIGGERS = ("audit_stays", "audit_goes_with_a_mark", "audit_checkpoints_go_with_a_mark", "audit_heads_rise")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a key."""
    made = new_project(tmp_path)
    made.ok("keys", "create", "--name", "ci", "--role", "viewer")
    return made


def change(project: Project, *statements: str) -> None:
    """Somebody who has the file."""
    with closing(sqlite3.connect(project.folder / DATABASE, isolation_level=None)) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        for sql in statements:
            connection.execute(sql)


def found(project: Project, *words: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(project.ok("audit", "search", *words, "--json"))["data"]
    return rows


def test_what_a_command_does_is_recorded_and_proved(project: Project) -> None:
    """That it was to be done, and that it was; by whom, on what, with which id."""
    done, allowed = found(project, "--verb", "keys.manage")
    assert (allowed["actor"], allowed["kind"], allowed["name"], allowed["outcome"]) == ("cli", "key", "ci", "allowed")
    assert (done["outcome"], done["detail"]["role"]) == ("done", "viewer")
    key = project.ok("keys", "list").split("\t")[0]
    assert done["detail"]["key"] == key
    project.ok("keys", "revoke", key)
    assert [row["detail"].get("did") for row in found(project, "--resource", f"key:{key}")] == ["revoke", "revoke"]
    assert found(project, "--actor", "nobody") == []
    assert found(project, "--since", "2999-01-01") == []
    proved = project.golive("audit", "verify")
    assert (proved.code, proved.out) == (0, "")
    assert "default: entries 1 to 4, signed up to 4: all as recorded" in proved.err


def test_the_key_is_made_for_its_owner_alone_and_shown_in_public_halves(project: Project) -> None:
    """64 hexadecimal digits that cannot sign; others may not read the file."""
    path = project.folder / ".golive/audit.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = project.ok("audit", "key").strip()
    assert len(bytes.fromhex(shown)) == 32
    assert shown not in path.read_text()
    path.chmod(0o644)
    refused = project.golive("keys", "list")
    assert refused.code == 1
    assert "can be read by others" in refused.err


def test_an_export_is_verified_with_the_public_key_alone(project: Project, tmp_path: Path) -> None:
    """Elsewhere, without configuration or store; a byte that was changed in it is told by its entry."""
    key = project.ok("audit", "key").strip()
    file = tmp_path / "audit.jsonl"
    project.ok("audit", "export", str(file))
    assert found(project, "--verb", "audit.read")[0]["detail"] == {"did": "export"}
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    proved = elsewhere.golive("audit", "verify", str(file), "--public-key", key)
    assert (proved.code, "all as recorded" in proved.err) == (0, True)
    other = elsewhere.golive("audit", "verify", str(file), "--public-key", "ab" * 32)
    assert other.code == 1
    text = file.read_text()
    file.write_text(text.replace('"name":"ci"', '"name":"cj"', 1))
    told = elsewhere.golive("audit", "verify", str(file), "--public-key", key)
    assert (told.code, told.out.split("\t")[:3]) == (1, ["default", "1", "altered"])
    file.write_text("nonsense\n")
    assert "Line 1 of" in elsewhere.golive("audit", "verify", str(file), "--public-key", key).err


def test_a_tail_that_was_cut_off_is_missed_by_what_was_exported_before(project: Project, tmp_path: Path) -> None:
    """Rows, head and signatures were all taken back: the store agrees with itself, and not with the export."""
    for name in ("a", "b"):
        project.ok("keys", "create", "--name", name)
    kept = tmp_path / "kept.jsonl"
    project.ok("audit", "export", str(kept))
    change(
        project, "DELETE FROM audit WHERE seq > 2", "DELETE FROM audit_checkpoints WHERE seq > 2",
        "UPDATE audit_heads SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)",
    )  # fmt: skip
    assert project.golive("audit", "verify").code == 0
    told = project.golive("audit", "verify", "--checkpoint", str(kept))
    assert (told.code, told.out.split("\t")[:3]) == (1, ["default", "3", "truncated"])


def test_a_server_that_is_killed_leaves_a_whole_chain_and_every_act_it_answered(project: Project) -> None:
    """kill -9 in the middle of keys being made: each that was answered is there; the next start signs what is left."""
    admin = project.ok("keys", "create", "--name", "root", "--role", "admin").split()[0]
    answered = []
    with project.serve() as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        for number in range(30):
            body = json.dumps({"name": f"k{number}", "role": "viewer"}).encode()
            headers = {"Authorization": f"Bearer {admin}", "Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/keys", body, headers)) as reply:
                answered.append(json.loads(reply.read())["id"])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    rows = found(project, "--verb", "keys.manage", "--limit", "1000")
    assert set(answered) <= {row["detail"].get("key") for row in rows if row["outcome"] == "done"}
    proved = project.golive("audit", "verify")
    assert (proved.code, proved.out) == (0, "")
    assert [row["name"] for row in found(project, "--verb", "secrets.use")]
    with project.serve() as process:
        assert process.stdout is not None
        process.stdout.readline()
    [verdict] = json.loads(project.ok("audit", "verify", "--json"))["tenants"]
    assert verdict["signed"] >= rows[0]["seq"]


def test_what_is_done_to_the_store_is_recorded_in_it(project: Project, tmp_path: Path) -> None:
    """Backups and restores, with where and what."""
    project.ok("store", "backup", str(tmp_path / "b.db"))
    project.ok("store", "restore", str(tmp_path / "b.db"), "--force")
    rows = found(project, "--verb", "store.manage", "--outcome", "done")
    assert [(row["name"], row["actor"]) for row in rows] == [("restore", "cli")]
    assert rows[0]["detail"]["of"] == str(tmp_path / "b.db")
    assert project.golive("audit", "verify").code == 0


def test_a_time_that_is_none_is_told(project: Project) -> None:
    """With the option's name."""
    done = project.golive("audit", "search", "--since", "yesterday")
    assert done.code == 1
    assert "--since 'yesterday' is no time" in done.err


def test_what_is_given_to_commands_is_bounded_and_names_no_secret(project: Project) -> None:
    """Refused where it is too long, with field and bound; what the log has of a try is cut, with a mark."""
    project.ok("tenants", "create", "acme")
    long = project.golive("users", "suspend", "ann", "--tenant", "acme", "--note", "n" * 501)
    assert (long.code, "note" in long.err, "500 printable characters" in long.err) == (1, True, True), long
    assert "100 printable" in project.golive("keys", "create", "--name", "k" * 101, "--role", "viewer").err
    assert project.golive("credentials", "remove", "p" * 1_000, "--tenant", "acme").code == 1
    tried = found(project, "--verb", "credentials.manage", "--tenant", "acme")
    assert {row["name"] for row in tried} == {"p" * 299 + "…"}
    assert {row["outcome"] for row in tried} == {"allowed", "failed"}
    value = (project.folder / ".golive/audit.key").read_text().strip()
    project.golive("credentials", "remove", f"x {value}", "--tenant", "acme")
    assert value not in project.ok("audit", "search", "--tenant", "acme", "--json")
