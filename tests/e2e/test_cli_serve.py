"""`golive serve` with the commands of an operator beside it: keys, settings, the database, the simulator."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from golive.store.schema import VERSION
from tests.e2e.cli_kit import Project, free_port, new_project, wait_until


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A new project."""
    return new_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def url(project: Project) -> Iterator[str]:
    """Where `golive serve` answers over it."""
    with project.serve() as server:
        assert server.stdout is not None
        announced = json.loads(server.stdout.readline())
        assert announced["pid"] == server.pid
        yield str(announced["url"])


def status(url: str, key: str) -> int:
    """The HTTP status of a request with a key."""
    request = urllib.request.Request(url + "/v1/agents", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


# ---- serve -------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_in_order(tmp_path: Path) -> None:
    """It announces itself, logs JSON lines on standard error, and exits with 0 on SIGTERM, with nothing on stdout."""
    project = new_project(tmp_path)
    with project.serve() as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["url"].startswith("http://127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=40)
    assert (server.returncode, out) == (0, "")
    events = [json.loads(line)["event"] for line in err.splitlines()]
    warned = ["server.runs_as_root"] if os.geteuid() == 0 else []
    assert [event for event in events if event.startswith("server.")] == [
        "server.started", *warned, "server.draining", "server.stopped",
    ]  # fmt: skip


def test_serve_leaves_no_key_behind(project: Project, url: str) -> None:
    """Production leaves no client.json; a command is told where to ask instead of starting a second server."""
    assert not (project.folder / ".golive/client.json").exists()
    done = project.golive("run", "bistro", "hi")
    assert (done.code, done.out) == (1, "")
    assert "--url" in done.err
    assert "GOLIVE_KEY" in done.err


def test_an_unknown_way_to_announce_is_refused(project: Project) -> None:
    """`--announce` takes json alone."""
    done = project.golive("serve", "--announce", "xml")
    assert done.code == 2
    assert "json" in done.err


# ---- keys --------------------------------------------------------------------------------------------------------


def test_a_key_works_at_once_and_is_refused_soon_after_it_is_revoked(project: Project, url: str) -> None:
    """Beside a running server: the key is on standard output alone, works, is listed, and is 401 once revoked."""
    made = project.golive("keys", "create", "--name", "website")
    key = made.out.rstrip("\n")
    assert re.fullmatch(r"gl_\w{8}_[\w-]{43}", key)
    assert made.err == f"Key {key[3:11]} (user). It is not shown again: keep it now.\n"
    wait_until(lambda: status(url, key) == 200, "the new key is not accepted")
    row = next(row for row in project.ok("keys", "list").splitlines() if row.startswith(key[3:11])).split("\t")
    name, role, scopes, made_at, expires, _, revoked = row[1:]
    assert (name, role, scopes, expires, revoked) == ("website", "user", "-", "-", "-")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", made_at)
    assert key not in project.ok("keys", "list", "--json")
    assert project.ok("keys", "revoke", key[3:11]) == f"revoked {key[3:11]} (website)\n"
    wait_until(lambda: status(url, key) == 401, "the revoked key is still accepted")
    assert key[3:11] not in project.ok("keys", "list")
    assert key[3:11] in project.ok("keys", "list", "--all")


def test_keys_of_a_server_elsewhere(project: Project, url: str, tmp_path: Path) -> None:
    """With --url the same three commands go through the API, from any folder, with an admin's key."""
    admin = project.ok("keys", "create", "--name", "admin", "--role", "admin").strip()
    elsewhere = Project(tmp_path, GOLIVE_KEY=admin)
    made = json.loads(elsewhere.ok("keys", "create", "--name", "far", "--url", url, "--expires-in-days", "2", "--json"))
    assert (made["name"], made["role"], made["created_by"]) == ("far", "user", f"key:{admin[3:11]}")
    assert made["expires_at"] - made["created_at"] == pytest.approx(2 * 86_400)
    assert status(url, made["key"]) == 200
    assert made["id"] in elsewhere.ok("keys", "list", "--url", url)
    assert elsewhere.ok("keys", "revoke", made["id"], "--url", url) == f"revoked {made['id']} (far)\n"
    weak = project.ok("keys", "create", "--name", "weak").strip()
    refused = elsewhere.golive("keys", "list", "--url", url, GOLIVE_KEY=weak)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["create", "--name", "x", "--role", "king"],
            "role 'king' does not exist.\n  Use one of viewer, user, operator",
        ),
        (["create", "--name", ""], "error: "),
        (["create", "--name", "x", "--expires-in-days", "-1"], "error: --expires-in-days -1 is out of range."),
        (
            ["revoke", "nosuch00"],
            "There is no key 'nosuch00'.\n  `golive keys list` shows the ids, with --all-tenants on the store those of",
        ),
    ],
)
def test_what_cannot_be_done_with_keys(project: Project, words: list[str], told: str) -> None:
    """A role, a name, an expiry or an id that cannot be used is told."""
    done = project.golive("keys", *words)
    assert (done.code, done.out) == (1, "")
    assert told in done.err


def test_without_keys_the_way_to_one_is_told(tmp_path: Path) -> None:
    """An empty list says how to make a key."""
    done = new_project(tmp_path).golive("keys", "list")
    assert (done.code, done.out, done.err) == (0, "", "No keys: golive keys create --name NAME\n")


# ---- config, store -----------------------------------------------------------------------------------------------


def test_settings_are_explained(project: Project) -> None:
    """In a terminal by sections, each line with its origin; one section with what each key means."""
    lines = project.shown("config", "explain")
    assert "[server]" in lines
    assert "  port                       8080                                      golive.toml:5" in lines
    assert sum(line == "[agent.bistro]" for line in lines) == 1
    section = project.shown("config", "explain", "server.port", GOLIVE_SERVER__PORT="9001")
    assert section == [
        "[server]",
        "  # Port to listen on; 0 picks a free one and prints it.",
        "  port  9001  environment GOLIVE_SERVER__PORT (default 8080)",
    ]


def test_a_secret_is_told_to_be_missing_and_never_shown(tmp_path: Path) -> None:
    """A reference stands as written, with whether it is there; its value nowhere."""
    project = new_project(tmp_path)
    with (tmp_path / "golive.toml").open("a") as settings:
        settings.write('\n[providers.real]\nbase_url = "https://example.com/v1"\napi_key = "env:REAL_KEY"\n')
    row = ("config", "explain", "providers.real.api_key")
    assert project.ok(*row).split("\t")[1] == "env:REAL_KEY (not there)"
    assert project.ok(*row, REAL_KEY="sk-very-secret").split("\t")[1] == "env:REAL_KEY"
    whole = project.ok("config", "explain", REAL_KEY="sk-very-secret")
    assert "sk-very-secret" not in whole
    assert "file:.golive/pepper\t" in whole


def test_settings_of_a_server_elsewhere(project: Project, url: str, tmp_path: Path) -> None:
    """With --url, what a running server was started with: here the port that its environment set."""
    admin = project.ok("keys", "create", "--name", "reader", "--role", "operator").strip()
    there = Project(tmp_path, GOLIVE_KEY=admin).ok("config", "explain", "server.port", "--url", url, "--json")
    (row,) = json.loads(there)
    assert (row["value"], row["origin"]) == (0, "environment GOLIVE_SERVER__PORT")


def test_the_schema_is_brought_up_to_date(project: Project, url: str) -> None:
    """`store migrate` names the file; doing it again, also beside a server, changes nothing."""
    path = project.folder / ".golive/golive.db"
    assert project.ok("store", "migrate") == f"{path}: the schema is up to date ({VERSION})\n"
    assert project.ok("store", "migrate") == f"{path}: the schema is up to date ({VERSION})\n"


# ---- sim ---------------------------------------------------------------------------------------------------------


def test_the_simulator_says_how_to_use_it(tmp_path: Path) -> None:
    """Address, models, bill and how to break it are printed; it answers; Ctrl-C ends it."""
    project = Project(tmp_path)
    with project.terminal("sim", "--port", "0") as sim:
        base_url = sim.until(r"simulated provider on (http://127\.0\.0\.1:\d+/v1)")[1]
        sim.until(r"heal it .*\n")
        assert "sim-agent" in sim.text
        with urllib.request.urlopen(base_url.removesuffix("/v1") + "/sim/bill", timeout=20) as bill:
            assert json.load(bill)["totals"]["cost_microusd"] == 0
        sim.type("\x03")
        assert sim.end() in (0, 130)
        assert "Traceback" not in sim.text


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """A second simulator on one port is refused with the remedy."""
    project = Project(tmp_path)
    port = str(free_port())
    with project.terminal("sim", "--port", port) as sim:
        sim.until(r"heal it ")
        done = project.golive("sim", "--port", port)
        assert done.code == 1
        assert done.err.startswith(f"Cannot listen on 127.0.0.1:{port}: ")
        assert "--port" in done.err
