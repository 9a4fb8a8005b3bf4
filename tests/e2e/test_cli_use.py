"""Asking agents and models from the command line, with a server that runs for the project and without one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Project, Terminal, new_project

ANSWER = "Here is what I found: 17:00 to 23:00 Is there anything else I can do for you?\n"
QUESTION = "Are you open on Sunday?"
SLOW = "sim/sim-slow?tokens=400"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A new project."""
    return new_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def dev(project: Project) -> Iterator[Terminal]:
    """`golive dev` over it."""
    with project.dev() as terminal:
        yield terminal


# ---- without a server --------------------------------------------------------------------------------------------


def test_the_first_question_needs_no_server(tmp_path: Path) -> None:
    """After `golive new`, `golive run` starts server and simulator itself, answers, and leaves neither behind."""
    project = new_project(tmp_path)
    done = project.golive("run", "bistro", QUESTION)
    assert (done.code, done.out) == (0, ANSWER)
    assert not (tmp_path / ".golive/client.json").exists()
    assert json.loads(project.ok("keys", "list", "--all", "--json")) == {"data": []}
    again = json.loads(project.ok("run", "bistro", QUESTION, "--json"))
    assert [again["run"]] == [
        line.split("\t")[0] for line in project.ok("runs", "list", "--limit", "1").splitlines()
    ]  # fmt: skip


def test_a_background_run_needs_a_server_that_stays(tmp_path: Path) -> None:
    """A run left to a server that ends with the command would be interrupted: that is refused."""
    done = new_project(tmp_path).golive("run", "bistro", "hi", "--background")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: --background needs a server that goes on running.\n")


def test_nobody_at_the_address(project: Project) -> None:
    """An address where nothing listens is named, with the system's reason and what to do."""
    for words in (["health"], ["run", "bistro", "hi"], ["runs", "tail", "run_1"], ["keys", "list"]):
        done = project.golive(*words, "--url", "http://127.0.0.1:1", "--key", "k")
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            "error: the server at http://127.0.0.1:1 is not reachable (connection refused).\n"
            "  Start one with `golive dev`, or name another with --url.\n"
        )
    assert "is no address" in project.golive("health", "--url", "nonsense").err


# ---- run ---------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_the_answer_alone(project: Project, dev: Terminal) -> None:
    """Standard output is the answer; tool calls, steps, tokens, cost and the run's id stand on standard error."""
    done = project.golive("run", "bistro", QUESTION)
    assert (done.code, done.out) == (0, ANSWER)
    began, ended, summary = done.err.splitlines()
    assert began == '→ opening_hours {"day":"sunday"}'
    assert re.fullmatch(r"✓ opening_hours \(\d+ ms\) 17:00 to 23:00", ended)
    assert re.fullmatch(r"completed · \d+\.\d\d s · 2 steps · 1 tool call · \d+ tokens · \$0\.\d+ · run_\w+", summary)


def test_text_comes_from_standard_input(project: Project, dev: Terminal) -> None:
    """Without a text the message is piped in; an empty pipe is told how to speak."""
    assert project.ok("run", "bistro", stdin=QUESTION + "\n") == ANSWER
    silent = project.golive("run", "bistro", stdin=" \n")
    assert (silent.code, silent.out) == (1, "")
    assert silent.err == 'error: no text was given.\n  Say `golive run bistro "…"`, or pipe the text in.\n'


def test_json_is_the_whole_run(project: Project, dev: Terminal) -> None:
    """`--json` prints the result as `runs show` has it, and nothing beside."""
    done = project.golive("run", "bistro", QUESTION, "--json", "--metadata", "customer=42", "--metadata", "a=b=c")
    result = json.loads(done.out)
    assert (done.code, done.err, result["text"], result["outcome"]) == (0, "", ANSWER[:-1], "completed")
    assert result["metadata"] == {"customer": "42", "a": "b=c"}
    assert json.loads(project.ok("runs", "show", result["run"])) == result


def test_a_run_that_does_not_complete_exits_with_3(project: Project, dev: Terminal) -> None:
    """A limit makes a partial answer: the exit code says so, and the reason stands in the summary."""
    done = project.golive("run", "bistro", QUESTION, "--max-steps", "1")
    assert done.code == 3
    assert "partial (max_steps) · " in done.err.splitlines()[-1]


def test_a_conversation_goes_on(project: Project, dev: Terminal) -> None:
    """Runs with one conversation id share what was said: the second call costs the first one's words as input."""
    words = ("run", "bistro", "hello", "--json", "--conversation", "table-7")
    first, second = json.loads(project.ok(*words)), json.loads(project.ok(*words))
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    listed = json.loads(project.ok("runs", "list", "--conversation", "table-7", "--json"))["data"]
    assert [row["run"] for row in listed] == [second["run"], first["run"]]


def test_a_plain_model_can_be_asked(project: Project, dev: Terminal) -> None:
    """`provider/model` goes through the OpenAI face; what it took is told as for an agent."""
    done = project.golive("run", "sim/sim-echo", "good evening")
    assert (done.code, done.out) == (0, "good evening\n")
    assert re.fullmatch(r"completed · .* · 1 step · 0 tool calls · \d+ tokens · \$0\.\d+ · run_\w+\n", done.err)
    asked = json.loads(project.ok("run", "sim/sim-echo", "x", "--json"))
    assert (asked["text"], asked["outcome"]) == ("x", "completed")
    refused = project.golive("run", "sim/sim-echo", "x", "--conversation", "c")
    assert refused.code == 1
    assert refused.err.startswith("error: sim/sim-echo is a plain model")
    failed = project.golive("run", "nobody/x", "x")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("error: ")


def test_refusals_are_one_message(project: Project, dev: Terminal) -> None:
    """What the server refuses is told with its remedy, without a traceback."""
    unknown = project.golive("run", "bisto", "hi")
    assert (unknown.code, unknown.err) == (1, "error: There is no agent 'bisto'.\n  Agents served here: bistro.\n")
    assert project.golive("run", "bistro", "hi", "--metadata", "x").err.startswith("error: --metadata 'x' is no KEY=")
    wrong = project.golive("run", "bistro", "hi", "--key", "gl_wrong")
    assert wrong.code == 1
    assert wrong.err.startswith("error: ")
    assert "Traceback" not in wrong.err


def test_a_terminal_shows_it_all(project: Project, dev: Terminal) -> None:
    """In a terminal the answer and what stands beside it come in order."""
    lines = project.shown("run", "bistro", QUESTION)
    assert [line.split()[0] for line in lines if line] == ["→", "✓", "Here", "completed"]


def test_an_answer_cannot_drive_the_terminal(project: Project, dev: Terminal) -> None:
    """Escape sequences in what a model says are shown as marks in a terminal, and reach a pipe as they are."""
    evil = "\x1b]0;owned\x07\x1b[2Jdone"
    with project.terminal("run", "sim/sim-echo", evil) as terminal:
        assert terminal.end() == 0
        assert "\ufffd]0;owned\ufffd\ufffd[2Jdone" in terminal.raw
    assert project.ok("run", "sim/sim-echo", evil) == evil + "\n"


def test_ctrl_c_ends_the_command_at_once(project: Project, dev: Terminal) -> None:
    """Ctrl-C in the middle of an answer exits with 130 and no traceback."""
    with project.terminal("run", SLOW, "hi") as terminal:
        terminal.until(r"\w+ \w+ ")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text


# ---- runs --------------------------------------------------------------------------------------------------------


def test_runs_are_listed_for_people_and_for_programs(project: Project, dev: Terminal) -> None:
    """A pipe gets all columns, tab-separated, with no header; a narrow terminal fewer columns, and the id uncut."""
    run = json.loads(project.ok("run", "bistro", "hello", "--json"))["run"]
    row = project.ok("runs", "list", "--limit", "1").rstrip("\n").split("\t")
    assert [row[0], row[1], *row[3:6]] == [run, "bistro", "completed", "-", "1"]
    assert re.fullmatch(r"0\.1\.0\+dev\.\w{8}", row[2])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row[7])
    wide = project.shown("runs", "list", "--limit", "1", columns=140)
    assert wide[0].split() == ["RUN", "AGENT", "VERSION", "STATUS", "REASON", "STEPS", "COST", "CREATED", "(UTC)"]
    narrow = project.shown("runs", "list", "--limit", "1", columns=80)
    assert len(narrow) == 2
    assert narrow[0].split() == ["RUN", "AGENT", "STATUS", "COST", "CREATED", "(UTC)"]
    assert narrow[1].startswith(f"{run}  bistro  completed  $0.")
    assert all(len(line) <= 80 for line in narrow)


def test_runs_are_filtered(project: Project, dev: Terminal) -> None:
    """Outcome, state, agent and source narrow the list; a word that is none of the choices is refused with them."""
    project.golive("run", "bistro", QUESTION, "--max-steps", "1")
    project.ok("run", "sim/sim-echo", "x")
    rows = json.loads(project.ok("runs", "list", "--outcome", "partial", "--json"))["data"]
    assert {row["outcome"] for row in rows} == {"partial"}
    assert {row["source"] for row in json.loads(project.ok("runs", "list", "--source", "relay", "--json"))["data"]} == {
        "relay"
    }
    assert project.ok("runs", "list", "--state", "waiting") == ""
    assert project.golive("runs", "list", "--agent", "nobody").err == "No runs.\n"
    wrong = project.golive("runs", "list", "--state", "done", COLUMNS="200")
    assert (wrong.code, wrong.out) == (2, "")
    assert "'queued', 'running', 'waiting', 'finished'" in wrong.err


def test_a_background_run_is_followed_and_cancelled(project: Project, dev: Terminal) -> None:
    """--background prints the id; tail follows from where one was; cancel ends it and keeps the text."""
    run = project.ok("run", "bistro", QUESTION, "--background").strip()
    assert project.ok("runs", "tail", run) == ANSWER
    frames = json.loads(project.ok("runs", "show", run, "--events"))["data"]
    assert [frames[0]["kind"], frames[-1]["kind"]] == ["run.accepted", "run.finished"]
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    text_at = next(frame for frame in frames if frame["kind"] == "text.block")["body"]["pos"]
    assert project.ok("runs", "tail", run, "--from", f"1-{text_at + 5}") == ANSWER[5:]
    assert project.ok("runs", "cancel", run) == f"{run} completed\n"


def test_a_running_run_is_cancelled(project: Project, dev: Terminal) -> None:
    """Cancelling ends a run under way; who follows it sees the reason."""
    settings = project.folder / "agents/bistro/agent.toml"
    (project.folder / "agents/slow").mkdir(exist_ok=True)
    (project.folder / "agents/slow/agent.toml").write_text(
        settings.read_text().replace("bistro", "slow").replace("sim/sim-agent", SLOW).split("[tools.")[0]
    )
    (project.folder / "agents/slow/prompt.md").write_text("Be slow.")
    dev.until(r"slow reloaded")
    run = project.ok("run", "slow", "hi", "--background").strip()
    with project.terminal("runs", "tail", run) as tail:
        tail.until(r"\w+ \w+ ")
        assert project.ok("runs", "cancel", run, "--reason", "Closing time.") == f"{run} cancelled\n"
        assert tail.end() == 0
        assert "Closing time." in tail.text
        assert "cancelled · " in tail.text


def test_an_unknown_run_is_told(project: Project, dev: Terminal) -> None:
    """All three commands say that there is none."""
    for words in (["show", "run_x"], ["tail", "run_x"], ["cancel", "run_x"]):
        done = project.golive("runs", *words)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("error: There is no run '")


# ---- what is there -----------------------------------------------------------------------------------------------


def test_agents_are_listed_and_shown(project: Project, dev: Terminal) -> None:
    """The list has version, tools, chains and digest; one agent also its limits and what each tool is for."""
    row = next(line for line in project.ok("agents").splitlines() if line.startswith("bistro\t")).split("\t")
    assert [row[0], row[2], row[3]] == ["bistro", "book_table, opening_hours", "sim/sim-agent"]
    one = project.shown("agents", "bistro")
    assert one[0].startswith("bistro 0.1.0+dev.")
    assert "  routing      off" in one
    assert "  limits       15 steps, 120 s" in one
    rows = [re.split(r"\t|  +", line) for line in one]
    assert ["opening_hours", "called again", "-", "Tells when the restaurant is open."] in rows
    assert [row[:3] for row in rows if row[0] == "book_table"] == [["book_table", "called again", "yes"]]
    card = json.loads(project.ok("agents", "bistro", "--json"))
    assert card["max_steps"] == 15
    assert card["effects"]["book_table"] == {
        "idempotent": True, "status": False, "undo": True, "on_unknown": None,
    }  # fmt: skip
    assert project.golive("agents", "nobody").err.startswith("error: There is no agent 'nobody'.\n")


def test_models_and_health_are_told(project: Project, dev: Terminal) -> None:
    """`models` is what `model` may be, with price, whose credential and capabilities; `health` has a line for each
    dependency."""
    listed = [line.split("\t") for line in project.ok("models").splitlines()]
    assert ["bistro", "golive", *["-"] * 7] in listed
    can = "tools, images, structured_output, reasoning, embeddings"
    assert ["sim/sim-agent", "sim", "openai-chat", "-", "1.00", "0.25", "4.00", "installation", can] in listed
    told = {model["id"]: model for model in json.loads(project.ok("models", "--json"))["data"]}
    assert told["bistro"] == {"id": "bistro", "owned_by": "golive", "created": 0, "object": "model"}
    assert told["sim/sim-agent"]["price"] == {
        "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 4.0, "cached_input_usd_per_mtok": 0.25, "own": True,
    }  # fmt: skip
    rows = [line.split("\t") for line in project.ok("health").splitlines()]
    assert {(row[0], row[1], row[2]) for row in rows} >= {
        ("store", "store", "up"), ("sim", "provider", "up"), ("bistro", "worker", "up"),
    }  # fmt: skip
    assert all(re.fullmatch(r"\d+\.\d|-", row[3]) for row in rows)


def test_health_exits_with_1_when_something_is_down(tmp_path: Path) -> None:
    """A provider that is out is named with the reason, and the exit code says it to a script."""
    project = new_project(tmp_path)
    with (tmp_path / "golive.toml").open("a") as settings:
        settings.write('\n[providers.gone]\nbase_url = "http://127.0.0.1:1/v1"\n')
    done = project.golive("health")
    assert done.code == 1
    row = next(line for line in done.out.splitlines() if line.startswith("gone\t")).split("\t")
    assert [row[1], row[2], row[4]] == ["provider", "down", "connection refused"]
    assert json.loads(project.golive("health", "--json").out)["status"] == "degraded"
