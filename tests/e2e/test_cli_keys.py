"""`golive keys` as people meet it: scopes, own roles, rotation with an overlap, other tenants, clear refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_kit import Project

TOML = '[roles.desk]\nlike = "user"\nagents = ["support", "shop-*"]\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "golive.toml").write_text(TOML)
    return Project(tmp_path)


def listed(project: Project, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.ok("keys", "list", "--json", *words))["data"]
    return found


def test_a_key_with_scopes_is_made_rotated_and_revoked(project: Project) -> None:
    """The new key has role and scopes of the old one, which ends with the overlap."""
    scopes = ("--scope", "runs.create", "--scope", "agent:support")
    old = project.ok("keys", "create", "--name", "web", "--role", "desk", *scopes).strip()
    new = project.ok("keys", "rotate", old[3:11], "--overlap", "2h").strip()
    rows = {row["id"]: row for row in listed(project)}
    assert set(rows) == {old[3:11], new[3:11]}
    for row in rows.values():
        assert (row["name"], row["role"], row["scopes"]) == ("web", "desk", ["runs.create", "agent:support"])
        assert row["prefix"] == f"gl_{row['id']}"
    assert rows[new[3:11]]["expires_at"] is None
    ends_after = rows[old[3:11]]["expires_at"] - rows[new[3:11]]["created_at"]
    assert ends_after == pytest.approx(7_200, abs=1)
    assert "revoked" in project.ok("keys", "revoke", old[3:11])
    assert [row["id"] for row in listed(project)] == [new[3:11]]


def test_keys_of_another_tenant_stand_by_themselves(project: Project) -> None:
    """With --tenant, on the machine itself."""
    refused = project.golive("keys", "create", "--name", "theirs", "--tenant", "acme")
    assert (refused.code, "There is no tenant 'acme'" in refused.err) == (1, True)
    project.ok("tenants", "create", "acme")
    project.ok("keys", "create", "--name", "theirs", "--tenant", "acme")
    assert listed(project) == []
    assert [row["name"] for row in listed(project, "--tenant", "acme")] == ["theirs"]


def test_roles_are_listed_with_what_they_may(project: Project) -> None:
    """Built-in ones and one's own."""
    rows = {row["name"]: row for row in json.loads(project.ok("keys", "roles", "--json"))["data"]}
    assert list(rows) == ["viewer", "user", "operator", "developer", "admin", "platform", "desk"]
    assert rows["desk"]["grants"][0]["agents"] == ["support", "shop-*"]
    assert rows["desk"]["grants"][0]["models"] == []
    assert [name for name, row in rows.items() if row["across"]] == ["platform"]
    assert "agent:support agent:shop-*" in project.ok("keys", "roles")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--name", "x", "--role", "dsk"], "role 'dsk' does not exist"),
        (["create", "--name", "x", "--scope", "keys.manage"], "scopes only narrow"),
        (["create", "--name", "x", "--scope", "agent:a*b"], "does not name agents"),
        (["create", "--name", "x", "--role", "desk", "--scope", "agent:other"], "covers nothing that role 'desk' may"),
        (["rotate", "00000000"], "There is no key '00000000'"),
        (["rotate", "00000000", "--overlap", "soon"], "--overlap 'soon' is no time of 0 to 90 days"),
        (["rotate", "00000000", "--overlap", "91d"], "--overlap '91d' is no time of 0 to 90 days"),
    ],
)
def test_what_cannot_be_is_refused_in_words(project: Project, words: list[str], said: str) -> None:
    """On standard error, with the exit code of a refusal, and nothing is made."""
    done = project.golive("keys", *words)
    assert (done.code != 0, done.out) == (True, "")
    assert said in done.err
    assert listed(project, "--all") == []


def test_a_lost_pepper_is_not_replaced_where_keys_hang_on_it(project: Project) -> None:
    """None is made by a command, either; keys are still listed and revoked, and then a new one is made."""
    key = project.ok("keys", "create", "--name", "web").strip()
    pepper = project.folder / ".golive" / "pepper"
    pepper.unlink()
    refused = project.golive("keys", "create", "--name", "more")
    assert (refused.code, "the pepper `file:.golive/pepper` is missing" in refused.err) == (1, True)
    assert [row["id"] for row in listed(project)] == [key[3:11]]
    project.ok("keys", "revoke", key[3:11])
    assert not pepper.exists()
    project.ok("keys", "create", "--name", "more")
    assert pepper.exists()
