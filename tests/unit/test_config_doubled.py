"""A section that stands twice is named, with both lines and what to do."""

from pathlib import Path

import pytest

from golive.config.load import load
from golive.core.errors import ConfigError

TWICE = """
[webhooks.crm]
url = "https://crm.example/a"
secret = "env:CRM"

[ webhooks . "crm" ]
url = "https://crm.example/b"
"""


def test_a_section_that_stands_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    """However it is written."""
    (tmp_path / "golive.toml").write_text(TWICE)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert "golive.toml:6: the section [webhooks.crm] stands twice: on line 2 already." in caught.value.message
    assert "another name" in str(caught.value)


def test_what_only_looks_like_it_is_left_to_the_parser(tmp_path: Path) -> None:
    """Two such lines within a text, and the mistake is elsewhere."""
    (tmp_path / "golive.toml").write_text('[a]\nb = """\n[webhooks.crm]\n[webhooks.crm]\n"""\nc = \n')
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(tmp_path, {})
