"""What agent.toml says of words for users and of routing is held against what there is, when the agent is loaded."""

from pathlib import Path

import pytest

from golive.config.load import load
from tests.unit.test_config_load import AGENT, agent_refused, origin, project


def test_messages_are_read_with_their_origin(tmp_path: Path) -> None:
    """Words of an agent's own, and in another language, each with file and line."""
    agent = AGENT + '[messages]\nmodel_out = "Later."\n[messages.de]\ndeadline = "Nach {seconds} s."\n'
    loaded = load(project(tmp_path, agent=agent), {})
    assert loaded.agents["support"].config.messages == {"model_out": "Later.", "de": {"deadline": "Nach {seconds} s."}}
    assert origin(loaded, "agent.support.messages.model_out") == "agents/support/agent.toml:6"
    assert origin(loaded, "agent.support.messages.de.deadline") == "agents/support/agent.toml:8"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('deadlin = "x"', "unknown key `messages.deadlin`. Did you mean `deadline`?"),
        ('de.deadlin = "x"', "unknown key `messages.de.deadlin`. Did you mean `deadline`?"),
        ("deadline = 3", "`messages.deadline` must be text, but is 3."),
        ('german = { deadline = "x" }', "`messages.german` is no language. Use a tag such as `de` or `pt-BR`."),
        ('jp = { deadline = "x" }', "`messages.jp` is no language. Use a tag such as `de` or `pt-BR`."),
        ('language = "english"', "`messages.language` must be a language tag, such as `en` or `pt-BR`."),
        ('a_b = { deadline = "x" }', "`messages.a_b` is no language. Use a tag such as `de` or `pt-BR`."),
        ('language = "German!"', "`messages.language` must be a language tag, such as `en` or `pt-BR`."),
        (
            'deadline = "{tools}"',
            (
                "`messages.deadline` has the placeholder {tools}, which does not exist there. "
                "There may stand {seconds}. A brace of your own is written twice: {{ or }}."
            ),
        ),
        (
            'de.refused = "{why}"',
            (
                "`messages.de.refused` has the placeholder {why}, which does not exist there. "
                "Write a sentence without placeholders. A brace of your own is written twice: {{ or }}."
            ),
        ),
    ],
)
def test_messages_that_cannot_be_said_are_told(tmp_path: Path, lines: str, told: str) -> None:
    """When the agent is loaded, with the line, and not when a user waits for them."""
    assert agent_refused(tmp_path, f"{AGENT}[messages]\n{lines}\n") == [f"agents/support/agent.toml:6: {told}"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            'supervisor = "cheep"',
            "`routing.supervisor` names the tier `cheep`, which the agent does not have. Did you mean `cheap`?",
        ),
        (
            'supervisor = "default"',
            "`routing.supervisor` and `routing.strong` are the same tier, `default`. Name a cheaper tier.",
        ),
        (
            "judge = true",
            (
                "`routing.judge` is work of the supervisor's tier, and there is no `routing.supervisor`. "
                "Name a cheap tier as `routing.supervisor`, or remove the setting."
            ),
        ),
        (
            "summarise_over = 20_000",
            (
                "`routing.summarise_over` is work of the supervisor's tier, and there is no `routing.supervisor`. "
                "Name a cheap tier as `routing.supervisor`, or remove the setting."
            ),
        ),
        (
            "summarise_over = 7_999",
            "`routing.summarise_over` must be a whole number from 8000 to 150000, but is 7999.",
        ),
        ('judge = "yes"', '`routing.judge` must be true or false, but is the text "yes".'),
    ],
)
def test_routing_names_two_tiers(tmp_path: Path, lines: str, told: str) -> None:
    """A policy that could not work is refused when the agent is loaded."""
    agent = f'{AGENT}[models.cheap]\nchain = ["sim/sim-text"]\n[routing]\n{lines}\n'
    assert agent_refused(tmp_path, agent) == [f"agents/support/agent.toml:8: {told}"]


def test_what_becomes_of_a_lost_call_is_one_of_two(tmp_path: Path) -> None:
    """`on_unknown` with another word is refused with its place and what it may be."""
    for name in ("wrong", "right"):
        (tmp_path / name).mkdir()
    (fault,) = agent_refused(tmp_path / "wrong", AGENT + '[tools.pay]\non_unknown = "guess"\n')
    assert '`tools.pay.on_unknown` must be one of "ask", "tell"' in fault
    loaded = load(project(tmp_path / "right", agent=AGENT + '[tools.pay]\non_unknown = "tell"\n'), {})
    assert loaded.agents["support"].config.tools["pay"].on_unknown == "tell"
