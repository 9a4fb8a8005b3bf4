"""`golive breakers`: what needs attention is listed, and a quiet list says why it is quiet."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Done, Project, new_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A new project that `golive dev` serves."""
    made = new_project(tmp_path_factory.mktemp("project"))
    with made.dev():
        yield made


def said(done: Done) -> tuple[int, str, str]:
    """Exit code and both outputs."""
    return done.code, done.out, done.err


def test_before_any_call_nothing_is_listed(tmp_path: Path) -> None:
    """Without a server the command starts one: the models of agents have their breakers, and else there are none."""
    project = new_project(tmp_path)
    assert said(project.golive("breakers")) == (0, "", "The only one is closed.\n")
    (tmp_path / "agents").rename(tmp_path / "put-away")
    words = "No model has been asked yet by the server started for this command.\n"
    assert said(project.golive("breakers")) == (0, "", words)


def test_what_is_closed_is_counted_and_listed_on_demand(project: Project) -> None:
    """The agent's model and another, both well: one sentence; `--all` has the rows, and so has `--model`."""
    project.ok("run", "sim/sim-echo", "Hi")
    assert said(project.golive("breakers")) == (0, "", "All 2 are closed.\n")
    assert json.loads(project.ok("breakers", "--json")) == {"data": []}
    echo = "sim/sim-echo\t-\tclosed\t0\tnow"
    assert echo in project.ok("breakers", "--all").splitlines()
    assert len(json.loads(project.ok("breakers", "--all", "--json"))["data"]) == 2
    assert project.ok("breakers", "--model", "sim/sim-echo").splitlines() == [echo]


def test_open_and_paused_ones_are_listed(project: Project) -> None:
    """The open one and the one that its provider paused, until `--reset`."""
    for _ in range(5):
        project.golive("run", "sim/sim-text?status=500", "Hi")
    project.golive("run", "sim/sim-text?status=429&retry_after=900", "Hi")
    rows = [line.split("\t") for line in project.ok("breakers").splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("sim/sim-text?status=429&retry_after=900", "paused", "0"), ("sim/sim-text?status=500", "open", "1"),
    ]  # fmt: skip
    assert all(row[4].startswith("in ") for row in rows)
    code, out, err = said(project.golive("breakers", "--reset"))
    assert (code, out, err.splitlines()[0]) == (0, "", "2 closed")
    assert err.splitlines()[1].endswith("are closed.")


def test_a_model_that_was_not_asked_is_told_from_one_that_cannot_be(project: Project) -> None:
    """A typo gets the nearest name; a provider that is not configured is an error; a listed model is only quiet."""
    project.ok("run", "sim/sim-echo", "Hi")
    quiet = "sim/sim-ecko has not been asked yet by this server. Did you mean `sim/sim-echo`?\n"
    assert said(project.golive("breakers", "--model", "sim/sim-ecko")) == (0, "", quiet)
    wrong = "error: There is no provider 'smi', so there is no circuit breaker of that name.\n"
    for words in ([], ["--reset"]):
        code, out, err = said(project.golive("breakers", "--model", "smi/sim-echo", *words))
        assert (code, out) == (1, "")
        assert err == wrong + "  Did you mean `sim/sim-echo`?\n"
    assert "'sim-echo' is not provider/model" in project.golive("breakers", "--model", "sim-echo").err


def test_an_agent_that_does_not_exist_has_no_runs_and_a_nearest_name(project: Project) -> None:
    """`golive runs list --agent` with a typo does not pass for an agent that nobody asked."""
    assert said(project.golive("runs", "list", "--agent", "bistra")) == (0, "", "No runs. Did you mean `bistro`?\n")
