"""`golive config explain` shows each setting with value, origin, default and meaning, and no secret."""

import json
from pathlib import Path

import pytest

from golive.cli import config as command
from golive.config.explain import as_json, select
from golive.config.load import Loaded, load
from golive.config.schema import AgentConfig, GoliveConfig
from golive.config.tree import every_path, expected
from golive.core.errors import ConfigError

GOLIVE = """[server]
port = 9000
[providers.sim]
base_url = "http://127.0.0.1:8090/v1"
api_key = "env:SIM_KEY"
[prices."sim/*"]
input_usd_per_mtok = 1
output_usd_per_mtok = 4.5
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "golive.toml").write_text(GOLIVE)
    return load(tmp_path, {"SIM_KEY": "very-secret"})


def test_one_setting_is_shown_with_all_that_is_known(loaded: Loaded) -> None:
    """Value, origin, default and description of a key."""
    (row,) = json.loads(as_json(select(loaded.values, "server.port")))
    assert row == {
        "key": "server.port", "value": 9000, "origin": "golive.toml:2", "default": 8080, "required": False,
        "secret": False, "description": "Port to listen on; 0 picks a free one and prints it.",
    }  # fmt: skip


def test_a_section_selects_what_is_below_it(loaded: Loaded) -> None:
    """`server` is all of [server]; a name with special characters is quoted as in TOML."""
    assert {row.key.split(".")[0] for row in select(loaded.values, "server")} == {"server"}
    assert [row.value for row in select(loaded.values, 'prices."sim/*".output_usd_per_mtok')] == [4.5]
    assert len(select(loaded.values, None)) == len(loaded.values)


def test_secrets_show_their_reference_only(loaded: Loaded) -> None:
    """The reference is what the file says; the value is nowhere in the answer."""
    (row,) = select(loaded.values, "providers.sim.api_key")
    assert (row.value, row.secret) == ("env:SIM_KEY", True)
    secret = [value.key for value in loaded.values if value.secret and value.value is not None]
    assert {"secrets.pepper", "providers.sim.api_key"} <= set(secret)
    assert b"very-secret" not in as_json(loaded.values)


def test_an_unknown_key_gets_the_nearest(loaded: Loaded) -> None:
    """A misspelt key is refused with the one that was probably meant."""
    with pytest.raises(ConfigError, match=r"there is no setting `server\.prt`") as caught:
        select(loaded.values, "server.prt")
    assert caught.value.remedy == "Did you mean `server.port`?"


@pytest.mark.parametrize("model", [GoliveConfig, AgentConfig])
def test_every_setting_is_described_and_has_words(model: type[GoliveConfig] | type[AgentConfig]) -> None:
    """No setting lacks a sentence, and none expects "something else"."""
    for path, field in every_path(model):
        if field.annotation not in (dict,) and path[-1] not in ("providers", "prices"):
            assert field.description, path
        assert "something else" not in expected(field.annotation, field.metadata), path


def test_the_command_prints_a_line_for_each(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """On a pipe: key, value, origin, default and meaning, separated by tabs."""
    command.explain("server.port", config=loaded.root)
    assert capsys.readouterr().out == (
        "server.port\t9000\tgolive.toml:2\t8080\tPort to listen on; 0 picks a free one and prints it.\n"
    )


def test_the_command_prints_json(loaded: Loaded, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` is the same rows for programs."""
    command.explain(None, json=True, config=loaded.root)
    assert [row["key"] for row in json.loads(capsys.readouterr().out)] == [value.key for value in loaded.values]


def test_square_brackets_in_values_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value is text, not markup of the terminal library."""
    (tmp_path / "golive.toml").write_text('[server]\nhost = "[red]x"\n')
    command.explain("server.host", config=tmp_path)
    assert "[red]x" in capsys.readouterr().out


def test_an_address_is_shown_without_what_may_be_a_secret_in_it(tmp_path: Path) -> None:
    """The query of a webhook's, as its list shows it; the passwords of a database's."""
    (tmp_path / "golive.toml").write_text(
        '[webhooks.hook]\nurl = "https://example.com/hook?token=QUERY-SECRET&x=1"\nsecret = "env:HOOK"\n'
        '[store]\nurl = "postgresql://me:DB-SECRET@db/golive?sslpassword=KEY-SECRET&sslmode=require"\n'
    )
    loaded = load(tmp_path, {"HOOK": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="})
    shown = {row.key: row.value for row in loaded.values}
    assert shown["webhooks.hook.url"] == "https://example.com/hook"
    assert shown["store.url"] == "postgresql://me:***@db/golive?sslpassword=***&sslmode=require"
    assert b"SECRET" not in as_json(loaded.values)
