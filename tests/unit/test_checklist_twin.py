"""What a twin changes of the user's configuration, what it keeps, and what it lets in."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.checklist import stand_ins, twin_config
from golive.checklist.twin_config import environment, key_names, price_provider, targets, toml, write
from golive.config.load import Loaded, load
from golive.config.schema import AgentConfig, ProviderConfig, TierConfig, ToolConfig
from golive.core.errors import ToolArgumentsInvalid
from golive.tools.effects import Named, Role
from golive.tools.loading import load_tools

GOLIVE = """
[server]
port = 9000
host = "0.0.0.0"
heartbeat_s = 3.5

[store]
url = "sqlite:/srv/golive/precious.db"

[secrets]
pepper = "env:REAL_PEPPER"

[providers.main]
base_url = "https://api.openai.com/v1"
api_key = "env:REAL_KEY"
more_api_keys = ["env:REAL_KEY_B", "file:/run/secrets/real_key_c"]
models = ["gpt-5-mini"]
call_s = 12.0

[providers.spare]
base_url = "http://127.0.0.1:11434/v1"
more_api_keys = ["env:REAL_SPARE"]

[providers.google]
dialect = "gemini"
base_url = "https://generativelanguage.googleapis.com/v1beta"

[prices."spare/*"]
input_usd_per_mtok = 0.5
output_usd_per_mtok = 1
"""
AGENT = """
name = "a"
version = "1"
[models.default]
chain = ["main/gpt-5", "spare/llama"]
[models.cheap]
chain = ["spare/llama"]
[worker]
env = ["SHOP_URL"]
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    agent = tmp_path / "mine" / "robots" / "a"
    agent.mkdir(parents=True)
    (tmp_path / "mine" / "golive.toml").write_text(GOLIVE)
    (agent / "agent.toml").write_text(AGENT)
    (agent / "prompt.md").write_text("Hello.\n")
    (agent / ".env").write_text("SECRET=1\n")
    (tmp_path / "mine" / "uv.lock").write_text("lock\n")
    return load(tmp_path / "mine", {"GOLIVE_AGENTS__PATH": "robots", "GOLIVE_SERVER__DRAIN_S": "7"})


def test_a_twin_keeps_what_decides_and_replaces_what_it_must_not_touch(loaded: Loaded, tmp_path: Path) -> None:
    """Agents, chains, timeouts, prices and overrides of the environment stay; addresses, store, port, pepper do not."""
    folder = tmp_path / "twin"
    folder.mkdir()
    again = load(write(loaded, folder, "http://127.0.0.1:5/v1"), {})
    config = again.config
    assert (config.server.host, config.server.port, config.server.heartbeat_s) == ("127.0.0.1", 0, 3.5)
    assert config.server.drain_s == 7
    assert config.store.url == "sqlite:golive.db"
    assert config.secrets.pepper == "file:pepper"
    assert {name: provider.base_url for name, provider in config.providers.items()} == {
        "main": "http://127.0.0.1:5/at/main/v1",
        "spare": "http://127.0.0.1:5/at/spare/v1",
        "google": "http://127.0.0.1:5/at/google/v1beta",
    }
    assert {provider.api_key for provider in config.providers.values()} == {"env:CHECK_PROVIDER_KEY"}
    assert {name: provider.more_api_keys for name, provider in config.providers.items()} == {
        "main": ("env:CHECK_PROVIDER_KEY_2", "env:CHECK_PROVIDER_KEY_3"),
        "spare": ("env:CHECK_PROVIDER_KEY_2",),
        "google": (),
    }
    assert config.providers["main"].call_s == 12
    assert config.providers["main"].price_as == "openai"
    assert config.providers["spare"].price_as is None
    assert config.prices == loaded.config.prices
    assert again.agents["a"].config == loaded.agents["a"].config
    assert (folder / "uv.lock").read_text() == "lock\n"
    assert not (folder / "agents" / "a" / ".env").exists()
    written = (folder / "golive.toml").read_text()
    assert "REAL" not in written
    assert "/run/secrets" not in written


def test_there_are_as_many_credentials_as_the_provider_with_the_most_has(loaded: Loaded) -> None:
    """Each by a variable of its own; one where no provider has further ones."""
    names = ("CHECK_PROVIDER_KEY", "CHECK_PROVIDER_KEY_2", "CHECK_PROVIDER_KEY_3")
    assert key_names(loaded.config) == names
    alone = loaded.config.model_copy(update={"providers": {"google": loaded.config.providers["google"]}})
    assert key_names(alone) == names[:1]
    assert key_names(loaded.config.model_copy(update={"providers": {}})) == names[:1]


def _agent(**tools: ToolConfig) -> AgentConfig:
    return AgentConfig(name="clerk", version="1", models={"default": TierConfig(chain=("a/b",))}, tools=tools)


def test_stand_ins_are_tools_of_the_same_names_that_die(tmp_path: Path) -> None:
    """The worker's own loader finds exactly the names, and nothing of what stood there; each ends as it is told."""
    (tmp_path / "tools.py").write_text("raise SystemExit('imported')\n")
    stand_ins.write(tmp_path, _agent(), ["book_table", "os", "time"])
    tools = load_tools(tmp_path, "stand_ins_under_test").tools
    assert sorted(tools) == ["book_table", "os", "time"]
    for tool in tools.values():
        bound = tool.bind(b'{"fate": "raises"}', lambda: pytest.fail("a stand-in wants no context"))
        with pytest.raises(ConnectionError, match="this tool is out"):
            tool.function(*bound.args, **bound.kwargs)
        bound = tool.bind(b'{"fate": "lives"}', lambda: pytest.fail("a stand-in wants no context"))
        assert tool.function(*bound.args, **bound.kwargs) == "done"
        with pytest.raises(ToolArgumentsInvalid):
            tool.bind(b'{"fate": "sleeps"}', lambda: pytest.fail("a stand-in wants no context"))


def test_functions_about_calls_have_stand_ins_too(tmp_path: Path) -> None:
    """What agent.toml names as status or undo is there, no tool, and out: the settings stay the agent's own."""
    stand_ins.write(
        tmp_path, _agent(pay=ToolConfig(status="paid", undo="_back"), mail=ToolConfig(undo="_back")), ["pay"]
    )
    loaded = load_tools(tmp_path, "stand_ins_with_effects", [Named("pay", "paid", "_back")])
    assert list(loaded.tools) == ["pay"]
    roles: tuple[Role, ...] = ("status", "undo")
    for role in roles:
        with pytest.raises(ConnectionError, match="this tool is out"):
            loaded.effects["pay", role].function()


def test_no_drill_of_dead_tools_waits_for_a_person(tmp_path: Path) -> None:
    """What a twin's tools have set as `on_unknown` is taken out; all else stays, and a file without it as it is."""
    toml = 'name = "a"\n\n[tools.pay]\ncritical = true\non_unknown = "ask"\n'
    (tmp_path / "agent.toml").write_text(toml)
    stand_ins.write(tmp_path, _agent(pay=ToolConfig(critical=True)), ["pay"])
    assert (tmp_path / "agent.toml").read_text() == toml
    stand_ins.write(tmp_path, _agent(pay=ToolConfig(critical=True, on_unknown="ask")), ["pay"])
    kept = tomllib.loads((tmp_path / "agent.toml").read_text())
    assert kept == {"name": "a", "tools": {"pay": {"critical": True}}}


def test_the_users_secrets_stay_outside(loaded: Loaded) -> None:
    """Of the environment only what programs need, and what the agents' workers ask for, reaches a twin."""
    given = {"PATH": "/bin", "REAL_KEY": "sk", "GOLIVE_STORE__URL": "sqlite:x", "SHOP_URL": "u", "AWS_SECRET": "s"}
    found = environment(given, loaded.agents, {"CHECK_PROVIDER_KEY": "sk-check"})
    assert found == {"PATH": "/bin", "SHOP_URL": "u", "CHECK_PROVIDER_KEY": "sk-check"}


def test_targets_are_those_of_chains_then_those_listed(loaded: Loaded) -> None:
    """Each once, chains first."""
    assert targets(loaded.config, loaded.agents) == ["main/gpt-5", "spare/llama", "main/gpt-5-mini"]


@pytest.mark.parametrize(
    ("base_url", "price_as", "found"),
    [
        ("https://api.openai.com/v1", None, "openai"),
        ("https://api.openai.com/v1", "azure", "azure"),
        ("https://models.example.com/v1", None, None),
        ("http://localhost:8000/v1", None, None),
        ("http://[::1]:8000/v1", None, None),
    ],
)
def test_prices_by_address_survive_the_change_of_address(
    base_url: str, price_as: str | None, found: str | None
) -> None:
    """What the price list knew by the provider's address is told by `price_as` in a twin."""
    assert price_provider(ProviderConfig(base_url=base_url, price_as=price_as)) == found


_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES: Any = st.one_of(
    _TEXT, st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
)
_TABLES: Any = st.recursive(
    st.dictionaries(_TEXT, st.one_of(_VALUES, st.lists(_TEXT, max_size=3)), max_size=4),
    lambda inner: st.dictionaries(_TEXT, st.one_of(_VALUES, inner), max_size=4),
    max_leaves=8,
)


@given(_TABLES)
def test_toml_that_is_written_reads_back_the_same(data: dict[str, Any]) -> None:
    """Any text, number, list and nested table; keys need not be bare."""
    assert tomllib.loads(toml(data)) == data


def test_the_file_names_are_those_of_the_store(loaded: Loaded) -> None:
    """The store's handle looks at the file that the twin is told to use."""
    assert twin_config.derived(loaded.config, "http://h/v1")["store"]["url"] == f"sqlite:{twin_config.STORE_FILE}"
