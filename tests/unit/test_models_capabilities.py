"""What targets can do, by configuration."""

from pathlib import Path

import pytest

from golive.config.load import load
from golive.config.schema import CapabilityConfig
from golive.core.errors import ConfigError
from golive.models.capabilities import Capabilities, ModelCapabilities


def test_what_nobody_says_is_possible_but_for_a_prefill() -> None:
    """Without a section everything may be tried, sizes are not known, and no prefill is relied upon."""
    assert Capabilities({}).of("any", "model") == ModelCapabilities(
        tools=True, images=True, structured_output=True, reasoning=True, prefill=False, embeddings=True,
        context_window=None, max_output_tokens=None,
    )  # fmt: skip


def test_each_setting_comes_from_the_most_specific_pattern_that_has_it() -> None:
    """A model's section adds to its provider's, and overrules it where both speak, whatever the order in the file."""
    book = Capabilities({
        "local/*": CapabilityConfig(images=False, prefill=True, context_window=8_192),
        "local/vision-*": CapabilityConfig(images=True, max_output_tokens=1_024),
        "*": CapabilityConfig(tools=False),
    })  # fmt: skip
    expected = ModelCapabilities(tools=False, images=True, prefill=True, context_window=8_192, max_output_tokens=1_024)
    assert book.of("local", "vision-2") == expected
    assert book.of("local", "vision-2") is book.of("local", "vision-2")
    assert book.of("local", "text") == ModelCapabilities(tools=False, images=False, prefill=True, context_window=8_192)
    assert book.of("other", "text") == ModelCapabilities(tools=False)


def test_a_default_that_is_written_down_counts() -> None:
    """`images = true` in the narrower section undoes `false` in the wider one, though true is the default."""
    book = Capabilities({"*": CapabilityConfig(embeddings=False), "a/*": CapabilityConfig(embeddings=True)})
    assert (book.of("a", "m").embeddings, book.of("b", "m").embeddings) == (True, False)


def test_names_of_models_hold_slashes_and_case_matters() -> None:
    """Everything after the first slash is the model's name."""
    book = Capabilities({"hub/org/Model-*": CapabilityConfig(tools=False)})
    assert book.of("hub", "org/Model-7").tools is False
    assert book.of("hub", "org/model-7").tools is True


def test_sections_are_read_from_golive_toml(tmp_path: Path) -> None:
    """[capabilities."PATTERN"] with types, bounds and keys checked, and explained with its line."""
    file = tmp_path / "golive.toml"
    file.write_text('[capabilities."local/*"]\nprefill = true\ncontext_window = 4096\n')
    loaded = load(tmp_path, {})
    assert Capabilities(loaded.config.capabilities).of("local", "m").context_window == 4_096
    assert {value.key: value.origin for value in loaded.values}['capabilities."local/*".prefill'] == "golive.toml:2"
    for line, told in (
        ("context_window = 0", "must be a whole number"),
        ('tools = "yes"', '`capabilities."local/*".tools` must be true or false'),
        ("tool = true", 'Did you mean `capabilities."local/*".tools`?'),
    ):
        file.write_text(f'[capabilities."local/*"]\n{line}\n')
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, {})
        assert told in str(caught.value)
