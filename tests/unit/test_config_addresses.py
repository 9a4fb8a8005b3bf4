"""Addresses of providers that answer every call with 404: refused where that is sure, else told."""

from pathlib import Path

import pytest

from golive.config.load import load
from tests.unit.test_config_load import project, refused


def provider(url: str, dialect: str = "openai-chat") -> str:
    return f'[providers.p]\nbase_url = "{url}"\ndialect = "{dialect}"\n'


@pytest.mark.parametrize(
    ("url", "dialect", "whole"),
    [
        ("https://api.openai.com/v1/chat/completions", "openai-chat", "https://api.openai.com/v1"),
        ("http://127.0.0.1:8000/v1/chat/completions/", "openai-chat", "http://127.0.0.1:8000/v1"),
        ("https://api.openai.com/v1/responses", "openai-responses", "https://api.openai.com/v1"),
        ("https://api.anthropic.com/v1/messages", "anthropic", "https://api.anthropic.com/v1"),
        ("https://api.openai.com/v1/embeddings", "openai-chat", "https://api.openai.com/v1"),
        (
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent", "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
    ],
)  # fmt: skip
def test_where_calls_are_sent_is_no_address(tmp_path: Path, url: str, dialect: str, whole: str) -> None:
    (told,) = refused(tmp_path, provider(url, dialect))
    assert told == (
        f"golive.toml:2: `providers.p.base_url` names {url}, which is where calls of one kind are sent: golive adds "
        f"that itself, so that each would be sent to a path that there is not. Set it to {whole}."
    )


@pytest.mark.parametrize(
    ("url", "dialect", "whole"),
    [
        ("http://10.0.0.7:11434", "openai-chat", "http://10.0.0.7:11434/v1"),
        ("https://api.openai.com/", "openai-responses", "https://api.openai.com/v1"),
        ("https://api.anthropic.com", "anthropic", "https://api.anthropic.com/v1"),
        ("https://generativelanguage.googleapis.com", "gemini", "https://generativelanguage.googleapis.com/v1beta"),
    ],
)
def test_a_host_alone_is_told(tmp_path: Path, url: str, dialect: str, whole: str) -> None:
    """There are servers that have their API there, so that it is loaded."""
    loaded = load(project(tmp_path, provider(url, dialect), agent=None), {})
    (told,) = [setting.line() for setting in loaded.idle]
    assert told == (
        f"golive.toml:2: `providers.p.base_url` names {url}, a host without a path, where most servers of this dialect "
        f"answer every call with 404. Set it to {whole}, unless this server is another one."
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1", "https://openrouter.ai/api/v1/", "https://api.deepseek.com",
        "https://api.perplexity.ai/", "https://gateway/messages/v1", "https://x.openai.azure.com/openai/v1",
    ],
)  # fmt: skip
def test_other_addresses_are_loaded_in_silence(tmp_path: Path, url: str) -> None:
    assert load(project(tmp_path, provider(url), agent=None), {}).idle == ()
