"""Data keys over HTTP: each tenant its own, replaced and wrapped anew while runs go on, recorded, measured."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golive.config.load import load
from golive.tenants.opening import create_key
from tests.e2e.process_kit import RUNS, Project, golive, project

KEYS = "/v1/secrets/data-keys"


async def asked(place: Project, method: str, path: str, key: str | None = None, **more: Any) -> tuple[int, Any]:
    async with place.client(key) as client, client.request(method, path, **more) as answer:
        body = await answer.read()
        return answer.status, msgspec.json.decode(body) if "json" in answer.content_type else body.decode()


async def key_of(place: Project, role: str, tenant: str = "default") -> str:
    return (await create_key(load(place.root, place.environ), role, role, place.environ, tenant=tenant)).secret


async def says(place: Project, key: str | None = None, **more: Any) -> str:
    status, run = await asked(place, "POST", RUNS, key, json={"input": "Hello", **more})
    assert status == 200, run
    return str(run["run"])


async def test_a_tenant_s_key_is_listed_and_replaced(tmp_path: Path) -> None:
    """New content goes under the new one, the old one opens what it sealed, and the audit log names both acts."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        assert (await asked(place, "POST", f"{KEYS}/rotate"))[0] == 404
        first = await says(place)
        status, listed = await asked(place, "GET", KEYS)
        [before] = listed["data"]
        assert (status, before["tenant"], before["state"]) == (200, "default", "present")
        assert before["master"] == listed["master"]
        assert listed["accepted"] == [listed["master"]]
        status, made = await asked(place, "POST", f"{KEYS}/rotate")
        assert (status, made["tenant"]) == (201, "default")
        second = await says(place)
        _, listed = await asked(place, "GET", KEYS)
        assert {card["id"]: card["state"] for card in listed["data"]} == {
            before["id"]: "retired", made["key"]: "present",
        }  # fmt: skip
        assert _keys_under(place, first) == {before["id"]}
        assert _keys_under(place, second) == {made["key"]}
        for run in (first, second):
            assert (await asked(place, "GET", f"/v1/runs/{run}"))[1]["text"] == "Hello"
        _, found = await asked(place, "GET", "/v1/audit?kind=data-key&outcome=done")
        assert [(row["verb"], row["route"], row["name"]) for row in found["data"]] == [
            ("secrets.manage", f"POST {KEYS}/rotate", made["key"])
        ]


async def test_a_tenant_sees_and_changes_its_own_alone(tmp_path: Path) -> None:
    """And learns no name of a master key; who acts across sees all, and nobody else may ask for that."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        await says(place)
        keyed = {role: await key_of(place, role) for role in ("viewer", "operator", "platform")}
        made = await asked(place, "POST", "/v1/tenants", keyed["platform"], json={"tenant": "acme"})
        assert made[0] == 201, made
        other = await key_of(place, "admin", "acme")
        await says(place, other)
        _, listed = await asked(place, "GET", KEYS, other)
        assert [(card["tenant"], card["master"]) for card in listed["data"]] == [("acme", "")]
        assert (listed["master"], listed["accepted"]) == ("", [])
        assert (await asked(place, "GET", f"{KEYS}?every_tenant=true", other))[0] == 403
        assert (await asked(place, "POST", f"{KEYS}/rewrap", other))[0] == 403
        _, listed = await asked(place, "GET", f"{KEYS}?every_tenant=true", keyed["platform"])
        assert sorted(card["tenant"] for card in listed["data"]) == ["acme", "default"]
        for role, reads in (("viewer", 403), ("operator", 200)):
            assert (await asked(place, "GET", KEYS, keyed[role]))[0] == reads
            for act in ("rotate", "rewrap"):
                assert (await asked(place, "POST", f"{KEYS}/{act}", keyed[role]))[0] == 403


async def test_the_master_key_is_changed_without_a_command_at_the_database(tmp_path: Path) -> None:
    """Configured, restarted, wrapped anew over HTTP; then the old key is not needed any more."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        await says(place)
        run = await says(place, user="ada")
        config = (tmp_path / "golive.toml").read_text()
        (tmp_path / "next.key").write_text("ab" * 32)
        (tmp_path / "next.key").chmod(0o600)
        for old, wrapped in (('["file:.golive/master.key"]', 2), ("[]", 0)):
            await place.stop()
            (tmp_path / "golive.toml").write_text(
                f'{config}\n[secrets]\nmaster_key = "file:next.key"\nold_master_keys = {old}\n'
            )
            await place.serve()
            status, done = await asked(place, "POST", f"{KEYS}/rewrap")
            assert (status, done["wrapped"]) == (200, wrapped), done
            assert (await asked(place, "GET", f"/v1/runs/{run}"))[1]["text"] == "Hello"


async def test_metrics_tell_of_keys_and_of_what_does_not_open(tmp_path: Path) -> None:
    """Keys by state, values left, the master key's name; and each value that is not what was sealed."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        run = await says(place)
        _, listed = await asked(place, "GET", KEYS)
        await place.stop()
        with closing(sqlite3.connect(tmp_path / ".golive" / "golive.db", isolation_level=None)) as database:
            database.execute("UPDATE events SET body = CAST(substr(body, 1, 40) AS BLOB) WHERE seq = 1")
        await place.serve()
        _, said = await asked(place, "GET", "/metrics")
        assert 'golive_data_keys{scope="tenant",state="present",tenant="default"} 1.0' in said
        left = next(line for line in said.splitlines() if line.startswith("golive_data_key_values_left{"))
        assert float(left.split()[1]) == 2**30 - listed["data"][0]["reserved"]
        assert f'golive_master_key{{master="{listed["master"]}",use="present"}} 1.0' in said
        assert 'golive_content_not_opened_total{tenant="default"}' not in said
        assert (await asked(place, "GET", f"/v1/runs/{run}"))[0] == 500
        _, said = await asked(place, "GET", "/metrics")
        assert 'golive_content_not_opened_total{tenant="default"} 1.0' in said


async def test_a_tenant_learns_no_name_of_a_master_key_from_an_error(tmp_path: Path) -> None:
    """On no face, nor in a stream; the log has the name and the remedy."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        platform = await key_of(place, "platform")
        await asked(place, "POST", "/v1/tenants", platform, json={"tenant": "acme"})
        other = await key_of(place, "admin", "acme")
        run = await says(place, other, user="ada")
        await place.stop()
        await place.serve()  # with such a row in the database it would not start
        with closing(sqlite3.connect(tmp_path / ".golive" / "golive.db", isolation_level=None)) as database:
            database.execute("UPDATE data_keys SET master = 'f0re19nma57er' WHERE scope = 'user'")
        for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/events?format=json", f"/v1/responses/resp_{run[4:]}",
                     f"/v1/runs/{run}/events"):  # fmt: skip
            status, said = await asked(place, "GET", path, other)
            assert "f0re19n" not in str(said), (path, said)
            assert "master_key" not in str(said), (path, said)
            if path.endswith(run):
                assert (status, said["code"]) == (500, "store.sealed"), said
        status, said = await asked(
            place, "POST", "/v1/chat/completions", other,
            json={"model": RUNS.split("/")[3], "messages": [{"role": "user", "content": "Hi"}], "user": "ada"},
        )  # fmt: skip
        assert status >= 500, said
        assert "f0re19n" not in str(said)
        log = str(place.log())
    assert "wrapped under the master key f0re19nma57er" in log
    assert "secrets.old_master_keys" in log


async def test_the_commands_ask_a_server_elsewhere(tmp_path: Path) -> None:
    """With --url: the same lists and acts, with the rights of the key."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        await says(place)
        there = ("--url", place.url, "--key", place.key)
        code, out, err = await golive(tmp_path, "secrets", "data-keys", *there, "--json", environ=place.environ)
        assert code == 0, err
        [before] = msgspec.json.decode(out)["data"]
        code, made, err = await golive(tmp_path, "secrets", "rotate-data", "default", *there, environ=place.environ)
        assert (code, made.startswith("dk_")) == (0, True), err
        code, out, err = await golive(tmp_path, "secrets", "rotate-master", *there, environ=place.environ)
        assert (code, "0 data keys wrapped" in out) == (0, True), err
        code, out, err = await golive(tmp_path, "secrets", "data-keys", environ=place.environ)
        assert before["id"] in out
        assert made.strip() in out
        _, found = await asked(place, "GET", "/v1/audit?verb=secrets.manage&outcome=done")
        assert {row["actor"][:4] for row in found["data"]} == {"key:"}


async def test_a_master_key_that_a_server_lacks_is_refused_with_its_name(tmp_path: Path) -> None:
    """A user whose key the server does not hold in memory would be answered 500 from then on. Nothing is changed, and
    no file is made; with the key in its configuration the server reads what was said before and after."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        runs = [await says(place, user=user) for user in ("ada", "bob")]
        rotate = ("secrets", "rotate-master", "--to", "file:keys/next.key")
        code, _, err = await golive(tmp_path, *rotate, environ=place.environ)
        assert (code, "old_master_keys" in err, (tmp_path / "keys").exists()) == (1, True, False), err
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / "next.key").write_text("ab" * 32)
        config = (tmp_path / "golive.toml").read_text()
        (tmp_path / "golive.toml").write_text(f'{config}\n[secrets]\nold_master_keys = ["file:keys/next.key"]\n')
        code, _, err = await golive(tmp_path, *rotate, environ=place.environ)
        assert (code, "1 of the servers that run" in err, "srv_" in err) == (1, True, True), err
        await place.stop()
        await place.serve()
        code, out, err = await golive(tmp_path, *rotate, environ=place.environ)
        assert (code, "2 data keys wrapped" in out) == (0, True), out + err
        for run in (*runs, await says(place, user="cy")):
            assert (await asked(place, "GET", f"/v1/runs/{run}"))[1]["text"] == "Hello"
        code, out, err = await golive(tmp_path, "store", "verify", environ=place.environ)
        assert code == 0, out + err


@pytest.mark.parametrize("words", [("rotate-data", "default"), ("rotate-master", "--to", "file:.golive/master.key")])
async def test_what_is_done_at_the_database_is_recorded_too(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The audit log has what a command did to keys without a server."""
    async with project(tmp_path) as place:
        place.script("sim-talk", text="Hello")
        await place.serve()
        await says(place)
        code, _, err = await golive(tmp_path, "secrets", *words, environ=place.environ)
        assert code == 0, err
        _, found = await asked(place, "GET", "/v1/audit?kind=data-key&actor=cli")
        assert [(row["outcome"], row["detail"]["did"]) for row in found["data"]] == [
            ("done", words[0]), ("allowed", words[0]),
        ]  # fmt: skip


def _keys_under(place: Project, run: str) -> set[str]:
    with closing(sqlite3.connect(place.root / ".golive" / "golive.db")) as database:
        return {row[0] for row in database.execute("SELECT key_id FROM events WHERE run = ?", (run,))}
