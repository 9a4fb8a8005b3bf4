"""Environment variables stand above golive.toml, typed by the schema."""

from pathlib import Path

import pytest

from golive.config.load import Loaded, load
from golive.core.errors import ConfigError

GOLIVE = '[server]\nport = 8080\n[providers.my-llm]\nbase_url = "http://127.0.0.1:1/v1"\n'


def read(root: Path, **environ: str) -> Loaded:
    (root / "golive.toml").write_text(GOLIVE)
    return load(root, environ)


def told(root: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(root, **environ)
    (problem,) = caught.value.fields["problems"]
    return str(problem.line())


def test_it_stands_above_the_file(tmp_path: Path) -> None:
    """A variable wins over the line, whatever its case."""
    assert read(tmp_path, GOLIVE_SERVER__PORT="9000").config.server.port == 9000
    assert read(tmp_path, golive_server__Port="9001").config.server.port == 9001


def test_types_come_from_the_schema(tmp_path: Path) -> None:
    """Text becomes the number, list or absence that the setting takes."""
    provider = read(
        tmp_path,
        GOLIVE_PROVIDERS__MY_LLM__CALL_S="7.5",
        GOLIVE_PROVIDERS__MY_LLM__MODELS="a, b,",
        GOLIVE_PROVIDERS__MY_LLM__API_KEY="",
    ).config.providers["my-llm"]
    assert (provider.call_s, provider.models, provider.api_key) == (7.5, ("a", "b"), None)
    listed = read(tmp_path, GOLIVE_PROVIDERS__MY_LLM__MODELS='["x,y", "z"]').config.providers["my-llm"].models
    assert listed == ("x,y", "z")


def test_a_provider_may_live_in_the_environment_alone(tmp_path: Path) -> None:
    """A free name that the file does not have is a new entry."""
    config = read(tmp_path, GOLIVE_PROVIDERS__OPENAI__BASE_URL="https://api.openai.com/v1").config
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"
    assert config.providers["my-llm"].base_url == "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("GOLIVE_SERVER__PORT", "many", 'a whole number from 0 to 65535, but is the text "many".'),
        ("GOLIVE_SERVER__PORT", "", 'a whole number from 0 to 65535, but is the text "".'),
        ("GOLIVE_LOG__LEVEL", "loud", 'one of "debug", "info", "warning", "error", but is the text "loud".'),
        ("GOLIVE_SERVER__PROT", "1", "unknown key `server.prot`. Did you mean `server.port`?"),
        ("GOLIVE_SERVER", "1", "`server` is a section, not a setting."),
        ("GOLIVE_PROVIDERS__MY_LLM", "1", "`providers.my-llm` is a section, not a setting."),
        ("GOLIVE_PROVIDERS", "1", "Name a setting in it: GOLIVE_PROVIDERS__NAME__KEY."),
        ("GOLIVE_SERVER__PORT__X", "1", "unknown key `server.port.x`."),
        ("GOLIVE_PROVIDERS__X__API_KEY__", "1", "unknown key"),
        ("GOLIVE_AGENT__SUPPORT__LIMITS__MAX_STEPS", "1", "agent settings are part of a version."),
        ("GOLIVE_PROVIDERS__MY_LLM__MODELS", "[1", 'a list; each entry text, but is the text "[1".'),
    ],
)
def test_what_cannot_be_used_names_the_variable(tmp_path: Path, variable: str, text: str, expected: str) -> None:
    """Each fault of the environment is told with the variable it came from."""
    line = told(tmp_path, **{variable: text})
    assert line.startswith(f"environment {variable}: ")
    assert expected in line


def test_a_secret_in_the_environment_is_never_shown(tmp_path: Path) -> None:
    """A key set where a reference belongs is refused without showing it."""
    line = told(tmp_path, GOLIVE_PROVIDERS__MY_LLM__API_KEY="my-secret-value")
    assert "my-secret-value" not in line
    assert line.startswith("environment GOLIVE_PROVIDERS__MY_LLM__API_KEY: ")


def test_one_setting_twice_is_refused(tmp_path: Path) -> None:
    """Two spellings of one variable would make the winner a matter of chance."""
    line = told(tmp_path, GOLIVE_SERVER__PORT="1", golive_server__port="2")
    assert "`server.port` is set twice, also by GOLIVE_SERVER__PORT." in line


def test_other_variables_are_left_alone_and_listed(tmp_path: Path) -> None:
    """What clients use is silently ignored; what an orchestrator injects is ignored and listed."""
    loaded = read(tmp_path, GOLIVE_KEY="k", GOLIVE_SERVER_PORT="tcp://10.0.0.1:80", GOLIVE_AGENT="x", HOME="/")
    assert loaded.ignored == ("GOLIVE_AGENT", "GOLIVE_SERVER_PORT")
    assert loaded.config.server.port == 8080


def test_a_section_that_is_none_in_the_file_is_still_told(tmp_path: Path) -> None:
    """An override below something that is no table does not hide the file's fault."""
    (tmp_path / "golive.toml").write_text("server = 3\n")
    with pytest.raises(ConfigError, match="`server` must be a table, but is 3"):
        load(tmp_path, {"GOLIVE_SERVER__PORT": "1"})
