"""Stand-ins that have effects, and a client that follows a run over several connections."""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from golive.checklist import ledger
from golive.checklist.checks.takeovers import Client, _Told
from golive.checklist.ledger import Ledger, chosen
from golive.config.schema import AgentConfig, TierConfig, ToolConfig
from golive.core.clock import SystemClock
from golive.tools.context import ToolContext
from golive.tools.effects import Named
from golive.tools.loading import LoadedTools, load_tools

TOML = 'name = "clerk"\nversion = "1"\n\n[models.default]\nchain = ["a/b"]\n'


def _agent(**tools: ToolConfig) -> AgentConfig:
    return AgentConfig(name="clerk", version="1", models={"default": TierConfig(chain=("a/b",))}, tools=tools)


def _written(root: Path, agent: AgentConfig, *names: str, timeout_s: float | None = None) -> Path:
    folder = root / "agents" / "clerk"
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(TOML)
    (folder / "tools.py").write_text("raise SystemExit('imported')\n")
    ledger.write(folder, agent, names, timeout_s=timeout_s)
    return folder


def _call(loaded: LoadedTools, name: str, key: str, arguments: bytes = b"{}") -> Any:
    tool = loaded.tools[name]
    bound = tool.bind(arguments, lambda: ToolContext("default", "run_1", key, name, None, 9e9, SystemClock()))
    return tool.function(*bound.args, **bound.kwargs)


def test_the_agents_own_tools_stand_for_what_they_declare() -> None:
    """The first of each way, unless it has too little time to be caught; ours for the rest."""
    agent = _agent(
        pay=ToolConfig(status="paid", idempotent=True),
        quick=ToolConfig(timeout_s=1.0),
        look=ToolConfig(idempotent=True),
    )
    assert chosen(agent, ["look", "pay", "quick"]) == {
        "status": "pay", "idempotent": "look", "nothing": "golive_check_pay",
    }  # fmt: skip
    told = _agent(mail=ToolConfig(on_unknown="tell"), read=ToolConfig(on_unknown="ask"))
    assert chosen(told, ["mail"])["nothing"] == "golive_check_pay", "nobody is asked about the agent's own"
    assert chosen(told, ["mail", "read"])["nothing"] == "read"
    assert chosen(_agent(), []) == {
        "status": "golive_check_mail", "idempotent": "golive_check_write", "nothing": "golive_check_pay",
    }  # fmt: skip


def test_stand_ins_enter_what_they_do(tmp_path: Path) -> None:
    """Nothing of what stood there is called; a receiver that knows the key does it once, any other each time."""
    agent = _agent(pay=ToolConfig(status="paid", undo="back", timeout_s=20.0))
    folder = _written(tmp_path, agent, "pay")
    named = [Named("pay", "paid", "back"), Named("golive_check_mail", "golive_check_mailed", None)]
    loaded = load_tools(folder, "ledger_under_test", named)
    assert sorted(loaded.tools) == ["golive_check_mail", "golive_check_pay", "golive_check_write", "pay"]
    for name in ("pay", "golive_check_write"):
        for _ in range(2):
            assert _call(loaded, name, f"key of {name}") == "carried out"
    found = Ledger(tmp_path)
    done = [(entry.tool, entry.key) for entry in found.entries("run_1") if entry.what == "done"]
    assert done == [("pay", "key of pay"), ("pay", "key of pay"), ("golive_check_write", "key of golive_check_write")]
    assert {entry.pid for entry in found.entries()} == {os.getpid()} == set(found.alive())
    assert (found.at_work(), found.entries("run_2")) == ([], [])
    status = loaded.effects["pay", "status"].function
    context = ToolContext("default", "run_1", "another key", "pay", None, 9e9, SystemClock())
    assert status(context) is None
    with pytest.raises(Exception, match="pause"):
        _call(loaded, "pay", "key", b'{"pause": "whenever"}')


def test_settings_are_the_agents_own_or_shortened(tmp_path: Path) -> None:
    """agent.toml declares ours beside the agent's; a drill may give all of them another time."""
    folder = _written(tmp_path, _agent(), "look", timeout_s=3.0)
    declared = tomllib.loads((folder / "agent.toml").read_text())
    assert declared["tools"] == {
        "look": {"timeout_s": 3.0},
        "golive_check_mail": {"status": "golive_check_mailed", "timeout_s": 3.0},
        "golive_check_write": {"idempotent": True, "timeout_s": 3.0},
        "golive_check_pay": {"timeout_s": 3.0},
    }
    assert declared["worker"] == {"concurrency": 16}, "all who pause can do so at once"
    assert declared["models"] == {"default": {"chain": ["a/b"]}}


def _heard(*events: tuple[str, str, dict[str, Any]]) -> Client:
    client = Client()
    for event_id, name, data in events:
        client._hear(event_id, name, msgspec.convert(data, _Told))
    return client


def test_a_client_shows_what_the_stream_tells_it() -> None:
    """Text that another server never had is taken back, from a place in the stream or from within a message."""
    client = _heard(
        ("1-1", "run.accepted", {}),
        ("1-5", "text.delta", {"item": "msg_1", "text": "Once"}),
        ("1-10", "text.delta", {"item": "msg_1", "text": " upon"}),
        ("1-7", "text.reset", {"pos": 7}),
        ("2-8", "text.reset", {"item": "msg_1", "length": 4}),
        ("2-11", "text.delta", {"item": "msg_1", "text": " is"}),
        ("2-12", "run.finished", {}),
    )
    assert (client.text, client.faults, client.finished) == ("Once is", [], True)


def test_a_client_notices_what_is_lost_and_what_comes_twice() -> None:
    """By the places of the events alone, whatever the text."""
    lost = _heard(("1-1", "run.accepted", {}), ("1-6", "text.delta", {"item": "msg_1", "text": "Once"}))
    assert lost.faults == ["1 characters or events are missing before 1-6"]
    twice = _heard(("1-1", "run.accepted", {}), ("1-1", "run.accepted", {}))
    assert twice.faults == ["run.accepted 1-1 came after 1-1"]
    assert not twice.finished
