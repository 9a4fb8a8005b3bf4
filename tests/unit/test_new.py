"""`golive new` writes an agent that can be loaded and served, and touches nothing that exists."""

import re
from pathlib import Path

import msgspec
import pytest

from golive.cli.new import new, write
from golive.config.load import load
from golive.core.errors import ConfigError
from golive.releases.digest import version_digest
from golive.sim.agent import pick_tools
from golive.sim.openai.chat_request import read_chat
from golive.tools.loading import load_tools
from golive.workers.settings import named_functions


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_new_project_is_whole(tmp_path: Path) -> None:
    """In an empty folder, golive.toml, the agent, .gitignore and a README are written, and all of it loads."""
    root, written = write("bistro", tmp_path)
    agent = [f"agents/bistro/{name}" for name in ("agent.toml", "prompt.md", "tools.py")]
    assert files(root) == sorted([".gitignore", "README.md", *agent, "golive.toml"])
    assert sorted(path.relative_to(root).as_posix() for path in written) == files(root)
    loaded = load(tmp_path, {})
    assert loaded.agents["bistro"].config.models["default"].chain == ("sim/sim-agent",)
    assert loaded.config.providers["sim"].base_url == "http://127.0.0.1:8090/v1"
    assert loaded.config.prices["sim/*"].cached_input_usd_per_mtok == 0.25
    assert all("@NAME@" not in (root / name).read_text() for name in files(root))
    assert version_digest(loaded.agents["bistro"], loaded.config, root).startswith("sha256:")


def test_the_tools_are_tools(tmp_path: Path) -> None:
    """tools.py shows a function, an async one with context, one that takes a call back, and a lifespan; the settings
    name what exists."""
    write("bistro", tmp_path)
    folder = tmp_path / "agents/bistro"
    settings = load(tmp_path, {}).agents["bistro"].config.tools
    tools = load_tools(folder, "new_bistro_tools", named_functions(settings, folder))
    assert [(spec.name, tools.tools[spec.name].is_async) for spec in tools.specs] == [
        ("book_table", True),
        ("opening_hours", False),
    ]
    assert tools.lifespan is not None
    assert set(settings) <= set(tools.tools)
    assert list(tools.effects) == [("book_table", "undo")]
    assert b'"ctx"' not in b"".join(bytes(spec.parameters) for spec in tools.specs)


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("Are you open on Sunday?", "opening_hours", {"day": "sunday"}),
        ("Please book a table on friday for 4 people", "book_table", {"day": "friday", "people": 4}),
    ],
)
def test_the_simulator_can_use_the_tools(tmp_path: Path, said: str, tool: str, arguments: dict[str, object]) -> None:
    """The first question that a new user is told to ask makes the simulated model call a tool, without any key."""
    write("bistro", tmp_path)
    specs = load_tools(tmp_path / "agents/bistro", "new_bistro_tools_asked").specs
    offered = [
        {"type": "function", "function": {"name": s.name, "description": s.description, "parameters": s.parameters}}
        for s in specs
    ]
    body = {"model": "sim-agent", "messages": [{"role": "user", "content": said}], "tools": offered}
    (use,) = pick_tools(read_chat(msgspec.json.encode(body)))
    assert (use.name, use.arguments) == (tool, arguments)


def test_the_prepared_providers_work_once_their_marks_are_removed(tmp_path: Path) -> None:
    """The commented blocks are valid as they stand."""
    write("bistro", tmp_path)
    file = tmp_path / "golive.toml"
    file.write_text(re.sub(r"(?m)^# (?=\[providers\.|base_url|api_key|dialect)", "", file.read_text()))
    providers = load(tmp_path, {}).config.providers
    openai, anthropic = providers["openai"], providers["anthropic"]
    assert (openai.base_url, openai.api_key) == ("https://api.openai.com/v1", "env:OPENAI_API_KEY")
    assert (anthropic.dialect, anthropic.api_key) == ("anthropic", "env:ANTHROPIC_API_KEY")


def test_a_second_agent_joins_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below an existing golive.toml only the agent is written, also when called from a folder inside."""
    write("one", tmp_path)
    before = (tmp_path / "golive.toml").read_text() + (tmp_path / ".gitignore").read_text()
    monkeypatch.chdir(tmp_path / "agents/one")
    root, written = write("two", None)
    assert (root, {path.parent.name for path in written}) == (tmp_path, {"two"})
    assert (tmp_path / "golive.toml").read_text() + (tmp_path / ".gitignore").read_text() == before
    assert sorted(load(tmp_path, {}).agents) == ["one", "two"]


def test_the_projects_own_settings_are_followed(tmp_path: Path) -> None:
    """The agents' folder and a provider that lists models are taken from golive.toml, where there is no simulator."""
    (tmp_path / "golive.toml").write_text(
        '[agents]\npath = "src/agents"\n[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["small"]\n'
    )
    write("bistro", tmp_path)
    agent = load(tmp_path, {}).agents["bistro"]
    assert agent.folder == tmp_path / "src/agents/bistro"
    assert agent.config.models["default"].chain == ("local/small",)


def test_a_project_without_any_model_is_told(tmp_path: Path) -> None:
    """An agent that could not answer is not written; the error says what to add."""
    (tmp_path / "golive.toml").write_text('[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\n')
    with pytest.raises(ConfigError) as caught:
        write("bistro", tmp_path)
    assert "[providers.sim]" in caught.value.remedy
    assert files(tmp_path) == ["golive.toml"]


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../a", "a/b", "é", "a" * 64, "a\n", "@NAME@"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    """A name that cannot stand in an address is refused before anything is written."""
    with pytest.raises(ConfigError, match="cannot be the name of an agent") as caught:
        write(name, tmp_path)
    assert "lower-case letters" in caught.value.remedy
    assert files(tmp_path) == []


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    """Nobody's work is overwritten."""
    write("bistro", tmp_path)
    prompt = tmp_path / "agents/bistro/prompt.md"
    prompt.write_text("mine")
    with pytest.raises(ConfigError, match="bistro exists already"):
        write("bistro", tmp_path)
    assert prompt.read_text() == "mine"


def test_existing_files_keep_their_lines(tmp_path: Path) -> None:
    """.gitignore is added to, not replaced; a README stays as it is."""
    (tmp_path / ".gitignore").write_text("*.log\n.env")
    (tmp_path / "README.md").write_text("mine")
    write("bistro", tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.env\n.golive/\n__pycache__/\n"
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_failure_leaves_no_half_agent(tmp_path: Path) -> None:
    """Where the agents' folder cannot be made, the error names the file, and nothing of the agent is there."""
    (tmp_path / "agents").write_text("a file")
    with pytest.raises(ConfigError, match=r"cannot write .*agents") as caught:
        write("bistro", tmp_path)
    assert "--path" in caught.value.remedy
    assert (tmp_path / "agents").read_text() == "a file"


def test_the_command_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lists what it wrote, and the two commands with which the agent answers."""
    monkeypatch.chdir(tmp_path)
    new("bistro")
    out = capsys.readouterr().out
    assert "wrote agents/bistro/tools.py" in out
    assert "  golive dev\n  golive run bistro " in out
    assert "cd " not in out
