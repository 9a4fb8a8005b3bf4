"""What commands do to keys, links and secrets on the store itself stands in the audit log, before and after."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_kit import Project, new_project
from tests.e2e.test_cli_audit import found

PROVIDER = """
[providers.other]
base_url = "https://other.example.com/v1"
api_key = "file:other.key"
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a provider whose key is a file."""
    made = new_project(tmp_path)
    toml = made.folder / "golive.toml"
    toml.write_text(toml.read_text() + PROVIDER)
    key = made.folder / "other.key"
    key.write_text("sk-first-0123456789abcdef")
    key.chmod(0o600)
    return made


def acts(project: Project, *words: str) -> list[tuple[Any, ...]]:
    """Verb, kind, name, outcome and what was done, the oldest first."""
    rows = sorted(found(project, *words), key=lambda row: row["seq"])
    return [(row["kind"], row["name"], row["outcome"], row["detail"].get("did")) for row in rows]


def test_a_key_that_is_rotated(project: Project) -> None:
    """Which one, and which stands in its place."""
    project.ok("keys", "create", "--name", "ci", "--role", "viewer")
    old = project.ok("keys", "list").split("\t")[0]
    fresh = project.ok("keys", "rotate", old, "--overlap", "0").split("_")[1]
    assert acts(project, "--resource", f"key:{old}") == [
        ("key", old, "allowed", "rotate"), ("key", old, "done", "rotate"),
    ]  # fmt: skip
    done = found(project, "--resource", f"key:{old}")[0]
    assert (done["actor"], done["detail"]) == ("cli", {"did": "rotate", "key": fresh, "overlap_s": "0"})
    assert project.golive("keys", "rotate", "nothing0").code == 1
    assert acts(project, "--resource", "key:nothing0")[-1] == ("key", "nothing0", "failed", "rotate")


def test_a_link_that_logs_in(project: Project) -> None:
    """Made by whom, for which role and how long; nothing of the link itself."""
    link = project.ok("login-link", "--role", "operator", "--ttl", "60").strip().partition("#")[2]
    [(kind, name, outcome, _), done] = acts(project, "--verb", "sessions.link")
    assert (kind, outcome, done) == ("login-link", "allowed", ("login-link", name, "done", None))
    row = found(project, "--verb", "sessions.link")[0]
    assert (row["actor"], row["detail"]) == ("cli", {"role": "operator", "ttl_s": "60"})
    assert link not in project.ok("audit", "search", "--json")


def test_secrets_that_are_rotated_and_revoked(project: Project) -> None:
    """The reference, never the value; what was refused is there as well."""
    project.environ["FRESH_KEY"] = "sk-second-0123456789abcdef"
    project.ok("secrets", "rotate", "file:other.key", "--value", "env:FRESH_KEY")
    project.ok("secrets", "revoke", "file:other.key", "--reason", "it leaked")
    assert acts(project, "--resource", "secret:file:other.key", "--verb", "secrets.manage") == [
        ("secret", "file:other.key", "allowed", "rotate"), ("secret", "file:other.key", "done", "rotate"),
        ("secret", "file:other.key", "allowed", "revoke"), ("secret", "file:other.key", "done", "revoke"),
    ]  # fmt: skip
    assert "0123456789abcdef" not in project.ok("audit", "search", "--json")


def test_data_keys_that_are_replaced_and_wrapped_anew(project: Project) -> None:
    """Also where nothing could be done: there is no such key."""
    project.ok("secrets", "rotate-master", "--to", "file:.golive/master.key")
    assert acts(project, "--verb", "secrets.manage") == [
        ("data-key", "file:.golive/master.key", "allowed", "rotate-master"),
        ("data-key", "file:.golive/master.key", "done", "rotate-master"),
    ]
    assert project.golive("secrets", "rotate-data", "default").code == 1
