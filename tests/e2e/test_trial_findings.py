"""What somebody who had never seen golive ran into: each stays mended."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from tests.e2e.process_kit import golive, project
from tests.e2e.test_data_keys_api import asked, key_of


def chains(root: Path) -> set[str]:
    with closing(sqlite3.connect(root / ".golive" / "golive.db")) as database:
        return {row[0] for row in database.execute("SELECT DISTINCT tenant FROM audit")}


async def test_what_is_asked_of_a_tenant_that_is_not_there_leaves_no_log_of_its_name(tmp_path: Path) -> None:
    """Neither a command nor a request makes one; a key of another tenant is found by naming its tenant."""
    async with project(tmp_path) as place:
        await place.serve()
        platform = await key_of(place, "platform")
        await asked(place, "POST", "/v1/tenants", platform, json={"tenant": "acme"})
        await key_of(place, "admin", "acme")
        for words in (
            ("keys", "create", "--name", "x"), ("keys", "revoke", "ab12cd34"), ("keys", "rotate", "ab12cd34"),
            ("users", "suspend", "ann"), ("credentials", "remove", "sim"), ("audit", "verify"),
            ("credentials", "set", "sim", "env:X"),
        ):  # fmt: skip
            code, _, err = await golive(tmp_path, *words, "--tenant", "nowhere", environ=place.environ)
            assert code == (0 if words[0] == "audit" else 1), (words, err)
        for words in (("tenants", "suspend", "nowhere"), ("secrets", "rotate-data", "nowhere")):
            code, _, err = await golive(tmp_path, *words, environ=place.environ)
            assert code == 1, (words, err)
        for path in ("/v1/runs", "/v1/keys", "/v1/audit"):
            status, _ = await asked(place, "GET", path, platform, headers={"x-golive-tenant": "nowhere"})
            assert status == 404
        assert "nowhere" not in chains(tmp_path)
        code, out, err = await golive(tmp_path, "keys", "list", "--all-tenants", "--json", environ=place.environ)
        assert code == 0, err
        [theirs] = [row for row in msgspec.json.decode(out)["data"] if row["tenant"] == "acme"]
        code, _, err = await golive(tmp_path, "keys", "revoke", theirs["id"], environ=place.environ)
        assert (code, "--tenant" in err) == (1, True), err
        code, _, err = await golive(tmp_path, "keys", "revoke", theirs["id"], "--tenant", "acme", environ=place.environ)
        assert code == 0, err


async def test_the_audit_log_names_every_tenant_and_bounds_what_was_attempted(tmp_path: Path) -> None:
    """One without an entry may have lost them all; an id that somebody made up is cut, and moves no cursor."""
    async with project(tmp_path) as place:
        await place.serve()
        with closing(sqlite3.connect(tmp_path / ".golive" / "golive.db", isolation_level=None)) as database:
            database.execute(
                "INSERT INTO tenants (tenant, state, created_at, created_by, agents, limits, note, changed_at) "
                "VALUES ('quiet', 'active', 1, 'test', '[\"*\"]', '{}', '', 1)"
            )
        odd = f"run_\u202e{'x' * 3_000}"
        await asked(place, "GET", f"/v1/runs/{quote(odd)}/events")
        viewer = await key_of(place, "viewer")
        await asked(place, "POST", f"/v1/runs/{quote(odd)}/cancel", viewer)
        status, found = await asked(place, "GET", "/v1/audit?kind=run&limit=1000")
        names = [row["name"] for row in found["data"]]
        assert status == 200
        assert names
        assert all(len(name) < 300 and name.isprintable() for name in names), [len(name) for name in names]
        code, _, err = await golive(tmp_path, "audit", "verify", environ=place.environ)
        assert (code, "quiet: entries none" in err) == (0, True), err


async def test_that_the_installations_own_tenant_stays_is_no_concurrent_change(tmp_path: Path) -> None:
    """Its own code and title; and the note of a suspension is not said of a tenant that is let in again."""
    async with project(tmp_path) as place:
        await place.serve()
        platform = await key_of(place, "platform")
        status, said = await asked(place, "POST", "/v1/tenants/default/suspend", platform, json={})
        assert (status, said["code"], said["title"]) == (409, "state.conflict", "Not as things stand")
        await asked(place, "POST", "/v1/tenants", platform, json={"tenant": "acme"})
        _, said = await asked(place, "POST", "/v1/tenants/acme/suspend", platform, json={"note": "unpaid"})
        assert (said["state"], said["note"]) == ("suspended", "unpaid")
        _, said = await asked(place, "POST", "/v1/tenants/acme/resume", platform, json={})
        assert (said["state"], said["note"]) == ("active", "")


async def test_a_revocation_is_told_once_and_a_tenants_secret_is_rotated_by_command(tmp_path: Path) -> None:
    """Later commands say nothing of an old revocation; a reference that a tenant's credentials name is known."""
    async with project(tmp_path) as place:
        environ = place.environ | {"OLD_KEY": "sk-first-0123456789abcdef", "FRESH": "sk-second-0123456789abcdef"}
        (tmp_path / "theirs.key").write_text("sk-theirs-0123456789abcdef")
        (tmp_path / "theirs.key").chmod(0o600)
        await place.serve()
        platform = await key_of(place, "platform")
        await asked(place, "POST", "/v1/tenants", platform, json={"tenant": "acme"})
        set_ = ("credentials", "set", "sim", "file:theirs.key", "--tenant", "acme")
        code, _, err = await golive(tmp_path, *set_, environ=environ)
        assert code == 0, err
        rotate = ("secrets", "rotate", "file:theirs.key", "--value", "env:FRESH")
        code, _, err = await golive(tmp_path, *rotate, environ=environ)
        assert (code, (tmp_path / "theirs.key").read_text().strip()) == (0, environ["FRESH"]), err
        revoke = ("secrets", "revoke", "file:theirs.key", "--reason", "it leaked")
        code, _, err = await golive(tmp_path, *revoke, environ=environ)
        assert code == 0, err
        code, _, err = await golive(tmp_path, "secrets", "data-keys", environ=environ)
        assert (code, "secret.revoked" in err) == (0, False), err
        code, out, err = await golive(tmp_path, "secrets", "status", environ=environ)
        assert (code, "secret.revoked" in out + err, "it leaked" in err) == (0, False, True), err


async def test_help_swallows_nothing_and_tells_whom_a_command_trusts(tmp_path: Path) -> None:
    """A word in brackets was taken for markup; `--ca` stood in the documentation alone."""
    for words, said in (
        (("credentials", "set"), "providers"), (("auth", "revoke"), "auth.oidc"), (("keys", "list"), "--ca"),
        (("runs", "list"), "--ca"), (("tenants", "list"), "--ca"), (("secrets", "rotate-master"), "--ca"),
    ):  # fmt: skip
        _, out, err = await golive(tmp_path, *words, "--help", environ={"COLUMNS": "200", "TERM": "dumb"})
        assert said in out + err, (words, out)
