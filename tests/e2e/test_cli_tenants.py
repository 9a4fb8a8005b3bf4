"""`golive tenants`, `users` and `credentials`: on the store itself, through a server, and beside replicas at work."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_kit import Project
from tests.e2e.process_kit import RUNS, golive
from tests.e2e.test_outward_replicas import replicas

TOML = '[providers.sim]\nbase_url = "http://127.0.0.1:9/v1"\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "golive.toml").write_text(TOML)
    return Project(tmp_path)


def told(project: Project, *words: str) -> Any:
    return json.loads(project.ok(*words, "--json"))


def test_a_tenant_is_made_changed_suspended_and_erased(project: Project) -> None:
    """Each command shows the row; on a pipe a line with tabs."""
    made = project.ok("tenants", "create", "acme", "--agent", "shop-*", "--max-open-runs", "3", "--note", "new")
    assert made.split("\t")[:5] == ["acme", "active", "shop-*", "3", "-"]
    changed = told(project, "tenants", "set", "acme", "--max-open-runs", "none", "--keep-days", "2.5")
    assert (changed["max_open_runs"], changed["keep_days"], changed["agents"]) == (None, 2.5, ["shop-*"])
    assert told(project, "tenants", "suspend", "acme", "--note", "late")["state"] == "suspended"
    assert told(project, "tenants", "show", "acme")["note"] == "late"
    assert told(project, "tenants", "resume", "acme")["state"] == "active"
    assert [row["tenant"] for row in told(project, "tenants", "list")["data"]] == ["acme", "default"]
    lines = [json.loads(line) for line in project.ok("tenants", "export", "acme").splitlines()]
    assert [next(iter(line)) for line in lines][:2] == ["export", "tenant"]
    refused = project.golive("tenants", "erase", "acme")
    assert (refused.code, "it was not confirmed" in refused.err) == (1, True)
    report = told(project, "tenants", "erase", "acme", "--confirm", "acme")
    assert (report["proved"], report["tenant"]) == (True, "acme")
    assert told(project, "tenants", "show", "acme")["state"] == "erased"


def test_users_and_credentials_are_a_tenants(project: Project) -> None:
    """Ids with slashes, too; what was done stands in the tenant's log and in the installation's."""
    project.ok("tenants", "create", "acme")
    of = ("--tenant", "acme")
    assert told(project, "users", "create", "auth0|1/2", *of)["state"] == "active"
    assert told(project, "users", "suspend", "bob", *of)["state"] == "suspended"
    assert told(project, "users", "resume", "bob", *of)["state"] == "active"
    listed = told(project, "users", "list", "--limit", "1", *of)
    assert ([row["id"] for row in listed["data"]], listed["before"]) == (["auth0|1/2"], "auth0|1/2")
    assert [row["id"] for row in told(project, "users", "list", "--before", "auth0|1/2", *of)["data"]] == ["bob"]
    assert told(project, "users", "erase", "bob", "--confirm", "bob", *of)["proved"] is True
    assert told(project, "users", "show", "bob", *of)["state"] == "erased"
    assert project.ok("credentials", "set", "sim", "env:ACME_KEY", *of) == "sim\tenv:ACME_KEY\n"
    (row,) = told(project, "credentials", "list", *of)["data"]
    assert (row["reference"], row["state"], row["remedy"]) == (
        "env:ACME_KEY", "missing", "Set ACME_KEY before golive starts.",
    )  # fmt: skip
    assert told(project, "credentials", "list")["data"] == []
    project.ok("credentials", "remove", "sim", *of)
    for tenant in ("acme", "default"):
        rows = told(project, "audit", "search", "--tenant", tenant, "--limit", "200")["data"]
        done = [(row["verb"], row["name"], row["detail"].get("did")) for row in rows if row["outcome"] == "done"]
        assert ("users.manage", "bob", "suspend") in done, tenant
        assert ("credentials.manage", "sim", "remove") in done, tenant


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tenants", "create", "Acme"], "is no name for a tenant"),
        (["tenants", "create", "x", "--max-open-runs", "many"], "--max-open-runs 'many' is no number"),
        (["tenants", "create", "x", "--agent", "a*b"], "names no agents"),
        (["tenants", "set", "default"], "Nothing is to be changed"),
        (["tenants", "suspend", "default"], "installation's own tenant"),
        (["tenants", "suspend", "nobody"], "There is no tenant 'nobody'"),
        (["users", "list", "--tenant", "nobody"], "There is no tenant 'nobody'"),
        (["users", "resume", "nobody"], "There is no user 'nobody'"),
        (["users", "create", "a b "], "is no id of a user"),
        (["credentials", "set", "nobody", "env:X"], "There is no provider 'nobody'"),
        (["credentials", "set", "sim", "sk-secret"], "is no reference to a secret"),
        (["credentials", "remove", "sim"], "There is no credential for 'sim'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(project: Project, words: list[str], said: str) -> None:
    """On standard error, with the exit code of a refusal, and nothing is made."""
    done = project.golive(*words)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert [row["tenant"] for row in told(project, "tenants", "list")["data"]] == ["default"]


async def test_two_replicas_know_what_a_command_did_and_a_command_works_through_one(tmp_path: Path) -> None:
    """Made at the store: let in by both at once. Suspended through one: out at the other. Slashes in ids survive.

    What was begun until the other one knew is the user's too: all of it is exported, and erased.
    """
    async with replicas(tmp_path, 2) as (served, urls, _, _):

        async def ok(*words: str, key: str = "") -> Any:
            more = ("--url", urls[0], "--key", key) if key else ("--config", str(served.root))
            code, out, err = await golive(tmp_path, *words, *more, "--json", environ=served.environ)
            assert code == 0, err
            return json.loads(out)

        platform = (await ok("keys", "create", "--name", "p", "--role", "platform"))["key"]
        assert (await ok("tenants", "create", "acme"))["state"] == "active"
        key = (await ok("keys", "create", "--name", "k", "--role", "admin", "--tenant", "acme"))["key"]
        begun: list[str] = []
        async with served.client(key) as http:

            async def status(url: str, path: str = "/v1/agents", **sent: Any) -> int:
                method = "POST" if sent else "GET"
                async with http.request(method, url + path, **sent) as answer:
                    if sent and answer.status == 200:
                        begun.append((await answer.json())["run"])
                    return answer.status

            async def until(url: str, wanted: int, *asked: Any, **sent: Any) -> None:
                async with asyncio.timeout(20):
                    while await status(url, *asked, **sent) != wanted:
                        await asyncio.sleep(0.02)

            assert [await status(url) for url in urls] == [200, 200]
            user, named = "auth0|1/2", {"x-golive-user": "auth0|1/2"}
            asked = (RUNS,)
            sent = {"json": {"input": "Hi"}, "headers": named}
            assert await status(urls[1], *asked, **sent) == 200
            of = ("--tenant", "acme")
            assert (await ok("users", "suspend", user, *of, key=platform))["id"] == user
            await until(urls[1], 403, *asked, **sent)
            assert await status(urls[1]) == 200
            assert (await ok("users", "resume", user, *of, key=platform))["state"] == "active"
            assert (await ok("users", "show", user, *of, key=platform))["id"] == user
            assert (await ok("tenants", "set", "acme", "--agent", "other", key=platform))["agents"] == ["other"]
            await until(urls[1], 404, *asked, **sent)
            assert (await ok("tenants", "suspend", "acme", key=platform))["state"] == "suspended"
            for url in urls:
                await until(url, 403)
            assert (await ok("tenants", "resume", "acme"))["state"] == "active"
            for url in urls:
                await until(url, 200)
            more = ("--url", urls[0], "--key", platform)
            code, out, err = await golive(tmp_path, "users", "export", user, *of, *more, environ=served.environ)
            lines = [json.loads(line) for line in out.splitlines()]
            assert (code, lines[-1].get("end", {}).get("run")) == (0, len(begun)), err
            assert [line["run"]["run"] for line in lines if "run" in line] == begun[::-1]
            report = await ok("users", "erase", user, "--confirm", user, *of, key=platform)
            assert (report["proved"], report["removed"]["runs"]) == (True, len(begun))


def test_setting_a_credential_says_whether_it_resolves_and_never_its_value(project: Project) -> None:
    """A warning that names the remedy, and a column; of a value that was revoked, too."""
    project.ok("tenants", "create", "acme")
    of, reference = ("--tenant", "acme"), "file:acme.key"
    gone = project.golive("credentials", "set", "sim", reference, *of)
    assert (gone.code, gone.out) == (0, f"sim\t{reference}\n")
    assert f"warning: {reference} does not resolve: the secret" in gone.err
    assert "Write the secret into it." in gone.err
    assert "missing" in project.ok("credentials", "list", *of)
    (project.folder / "acme.key").write_text("k-value-0123456789")
    (project.folder / "acme.key").chmod(0o600)
    good = project.golive("credentials", "set", "sim", reference, *of)
    assert (good.out, "warning" in good.err) == (f"sim\t{reference}\n", False)
    listed = project.ok("credentials", "list", *of)
    assert ("resolved" in listed, "k-value" in listed) == (True, False)
    project.ok("secrets", "revoke", reference, "--reason", "leaked")
    (row,) = told(project, "credentials", "list", *of)["data"]
    assert (row["state"], "was revoked" in row["problem"]) == ("revoked", True)
