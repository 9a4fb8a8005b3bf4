"""Settings that another setting keeps from having an effect: refused where that is a mistake, else told."""

from pathlib import Path

import pytest

from golive.checklist.twin_config import derived, toml
from golive.config.load import Loaded, load
from tests.unit.test_config_load import AGENT, SIM, agent_refused, project, refused

HEAD = 'name = "support"\nversion = "1.0.0"\n'
CHAIN = 'chain = ["sim/a", "sim/b"]\n'
TIER = f"{HEAD}[models.default]\n{CHAIN}"
BOTH = f'{TIER}[models.cheap]\nchain = ["sim/c"]\n'
ROUTED = '[routing]\nsupervisor = "cheap"\n'
FILE = "agents/support/agent.toml"

REFUSED = [
    (
        "[retry]\nfirst_s = 30\nmost_s = 20\n",
        (
            "4: `retry.first_s` is 30, but no wait is longer than `retry.most_s`, which is 20. Lower it, or raise the "
            "other."
        ),
    ),
    (
        "[retry]\nreserve = 0.5\n",
        (
            "4: `retry.reserve` is 0.5, which is never enough for one retry, though `retry.retries` is 3. Set it to 1 "
            "or more, or `retry.retries` to 0."
        ),
    ),
    (
        "[retry]\nretries = 0\nrelay_retries = 2\nreserve = 0\n",
        (
            "6: `retry.reserve` is 0, which is never enough for one retry, though `retry.relay_retries` is 2. Set it "
            "to 1 or more, or `retry.relay_retries` to 0."
        ),
    ),
    (
        "call_s = 10\nfirst_token_s = 15\n",
        (
            "4: `providers.sim.first_token_s` is 15, but a whole call may take 10 s (`call_s`): it is never reached. "
            "Lower it, or raise `call_s`."
        ),
    ),
    (
        "between_tokens_s = 90\n",
        (
            "3: `providers.sim.between_tokens_s` is 90, but a whole call may take 60 s (`call_s`): it is never "
            "reached. Lower it, or raise `call_s`."
        ),
    ),
    (
        'api_key = "env:A"\nmore_api_keys = ["env:B", "env:A"]\n',
        (
            "4: `providers.sim.more_api_keys` names env:A, which names a credential a second time: what refuses the "
            "one refuses the other. Remove it."
        ),
    ),
    (
        'dialect = "openai-responses"\n[capabilities."sim/a*"]\nprefill = true\n',
        (
            "5: `capabilities.\"sim/a*\".prefill` is true, but this provider's API never goes on where an assistant's "
            "message stops. Remove it; `continue_instructed` of a tier asks in words instead."
        ),
    ),
    (
        '[providers.o]\nbase_url = "https://api.openai.com/v1"\n[capabilities."o/gpt"]\nprefill = true\n',
        (
            "6: `capabilities.\"o/gpt\".prefill` is true, but this provider's API never goes on where an assistant's "
            "message stops. Remove it; `continue_instructed` of a tier asks in words instead."
        ),
    ),
]


@pytest.mark.parametrize(("lines", "told"), REFUSED)
def test_golive_toml_that_contradicts_itself_is_refused(tmp_path: Path, lines: str, told: str) -> None:
    """With file and line, the value, and what to do."""
    assert refused(tmp_path, SIM + lines) == [f"golive.toml:{told}"]


def test_a_contradiction_by_the_environment_names_the_variable(tmp_path: Path) -> None:
    """The origin is where the setting was made."""
    (told,) = refused(tmp_path, SIM, GOLIVE_RETRY__RESERVE="0")
    assert told.startswith("environment GOLIVE_RETRY__RESERVE: `retry.reserve` is 0, which is never enough")


AGENT_REFUSED = [
    (
        TIER + 'continue_instructed = true\non_break = "reset"\n',
        (
            "5: `models.default.continue_instructed` is true, but `on_break` is `reset`: no answer is continued. Set "
            "that to `continue`, or remove this."
        ),
    ),
    (
        HEAD + '[models.default]\nchain = ["sim/a", "sim/b", "sim/a"]\n',
        (
            "4: `models.default.chain` names sim/a, which stands there already: one that has failed is passed over. "
            "Name it once; `retries` says how often to ask."
        ),
    ),
    (
        TIER + 'chain_context_too_long = ["sim/b", "sim/a"]\n',
        (
            "5: `models.default.chain_context_too_long` names sim/b, sim/a, which are the targets of "
            "`models.default.chain` itself: nobody else is asked. Name others, or remove the setting."
        ),
    ),
    (
        TIER + 'chain_content_refused = ["sim/c", "sim/c"]\n',
        (
            "5: `models.default.chain_content_refused` names sim/c, which stands there already: one that has failed is "
            "passed over. Name it once; `retries` says how often to ask."
        ),
    ),
    (
        TIER + "first_token_s = 61\n",
        (
            "5: `models.default.first_token_s` is 61, but a whole call may take 60 s (`call_s`): it is never reached. "
            "Lower it, or raise `call_s`."
        ),
    ),
    (
        TIER + "call_s = 5\nbetween_tokens_s = 6\n",
        (
            "6: `models.default.between_tokens_s` is 6, but a whole call may take 5 s (`call_s`): it is never reached. "
            "Lower it, or raise `call_s`."
        ),
    ),
    (
        TIER + "[routing]\nwait_s = 2\n",
        (
            "6: `routing.wait_s` is 2, but without `routing.supervisor` nothing is routed. Name a cheap tier as "
            "`routing.supervisor`, or remove the setting."
        ),
    ),
    (
        TIER + '[routing]\nstrong = "big"\n',
        (
            "6: `routing.strong` names big, but without `routing.supervisor` nothing is routed. Name a cheap tier as "
            "`routing.supervisor`, or remove the setting."
        ),
    ),
]


@pytest.mark.parametrize(("agent", "told"), AGENT_REFUSED)
def test_an_agent_that_contradicts_itself_is_refused(tmp_path: Path, agent: str, told: str) -> None:
    """With file and line, the value, and what to do."""
    assert agent_refused(tmp_path, agent) == [f"{FILE}:{told}"]


def test_a_hedge_needs_a_budget_that_can_hold_one(tmp_path: Path) -> None:
    """The setting of golive.toml that forbids it is named."""
    golive = f"[retry]\nretries = 0\nreserve = 0\n{SIM}"
    assert agent_refused(tmp_path, f"{TIER}hedge = true\n", golive) == [
        (
            f"{FILE}:5: `models.default.hedge` is true, but `retry.reserve` of golive.toml is 0, which is never enough "
            "for one. Set that to 1 or more, or remove this."
        )
    ]


FINE = [
    ("", "on_break = 'continue'\ncontinue_instructed = true\n"),
    ("", "chain_content_refused = ['sim/b', 'sim/c']\nchain_context_too_long = ['sim/b']\nhedge = true\n"),
    ("call_s = 4\n", ""),
    ("", "call_s = 4\n"),
    ("", "call_s = 300\nfirst_token_s = 300\n"),
    ("first_token_s = 90\ncall_s = 90\n", ""),
    ("[retry]\nretries = 0\nreserve = 0\n", ""),
    ("[retry]\nmost_s = 0.5\n", ""),
    ("more_api_keys = ['env:A', 'env:B']\napi_key = 'env:C'\n", ""),
    ('[capabilities."sim/a"]\nprefill = true\n', ""),
    ('[capabilities."*"]\nprefill = true\n', ""),
    ('[capabilities."*m/a"]\ntools = false\n[prices."*"]\ninput_usd_per_mtok = 0\noutput_usd_per_mtok = 0\n', ""),
    (
        "billing = 'batch'\n[prices.\"sim/*\"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\nbatch_discount = 1\n",
        "",
    ),
    ("[cache]\nmax_bytes = 100000\n", "cache_ttl_s = 0\n"),
    ('[capabilities."s*"]\ntools = false\n[capabilities."sim*-x"]\ntools = false\n', ""),
    ('[capabilities."?i[lm]*"]\ntools = false\n', ""),
    ("[retry]\nshare = 3\n", ""),
    ("[retry]\nshare = 5\n", "retries = 4\nhedge = true\n"),
]


@pytest.mark.parametrize(("golive", "agent"), FINE)
def test_what_has_its_effect_is_loaded_in_silence(tmp_path: Path, golive: str, agent: str) -> None:
    """The same settings where they count; and so is a twin's copy, in which every default is written down."""
    loaded = load(project(tmp_path, SIM + golive, TIER + agent), {})
    assert loaded.idle == ()
    copy = tmp_path / "copy"
    copy.mkdir()
    again = load(project(copy, toml(derived(loaded.config, "http://127.0.0.1:1/v1")), TIER + agent), {})
    assert again.idle == ()


def test_two_tiers_that_are_both_asked_are_silent(tmp_path: Path) -> None:
    """Routing uses both of its tiers, and `default` must be there."""
    assert load(project(tmp_path, SIM, BOTH + ROUTED), {}).idle == ()


IDLE = [
    (
        "[retry]\nretries = 0\nmost_s = 20\n", AGENT,
        ("golive.toml:5: `retry.most_s` is 20, but nothing is tried again: `retry.retries`, `retry.relay_retries` and "
        "every tier say 0. Remove it, or allow retries."),
    ),
    (
        "[retry]\nretries = 0\nshare = 0.1\n", AGENT,
        ("golive.toml:5: `retry.share` is 0.1, but nothing is tried again: `retry.retries`, `retry.relay_retries` and "
        "every tier say 0. Remove it, or allow retries."),
    ),
    (
        "[retry]\nshare = 0.0\n", AGENT,
        ("golive.toml:4: `retry.share` is 0, so that after 10 retries there is none until a restart. Set it above 0; "
        "0.2 is the default."),
    ),
    (
        '[capabilities."sin/*"]\ntools = false\n', AGENT,
        'golive.toml:3: `capabilities."sin/*"` is for no provider: there is no [providers.sin]. Did you mean `sim`?',
    ),
    (
        '[prices."sim/*"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\nbatch_discount = 0.5\n', AGENT,
        ('golive.toml:6: `prices."sim/*".batch_discount` is 0.5, but no provider has `billing = "batch"`. Remove it, '
        "or say how the provider bills."),
    ),
    (
        '[capabilities."openai/*"]\ntools = false\n', AGENT,
        (
            'golive.toml:3: `capabilities."openai/*"` is for no provider: there is no [providers.openai]. Remove it, '
            "or add the provider."
        ),
    ),
    (
        '[capabilities."sim"]\ntools = false\n', AGENT,
        ("golive.toml:3: `capabilities.sim` is for no target: their names are `provider/model`. Write `sim/*` for all "
        "of the provider's models."),
    ),
    (
        '[prices."sim-*"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n', AGENT,
        ('golive.toml:3: `prices."sim-*"` is for no target: their names are `provider/model`. Write the provider '
        "before it, such as `sim/sim-*`."),
    ),
    (
        "[retry]\nshare = 5\n", AGENT,
        ("golive.toml:4: `retry.share` is 5, but no call is tried again more than 3 times: it bounds nothing. Lower "
        "it; 0.2 is the default."),
    ),
    (
        "", BOTH,
        (f"{FILE}:5: `models.cheap` is a tier that is never asked: the loop uses `default`, and [routing] does not "
        "name this one. Remove it, or route to it."),
    ),
    (
        "", TIER + 'chain_content_refused = ["sim/b"]\n',
        (f"{FILE}:5: `models.default.chain_content_refused` names sim/b, which is what follows in `chain` anyway. "
        "Remove it, or name others."),
    ),
    (
        "", TIER + "call_s = 301\n",
        (f"{FILE}:5: `models.default.call_s` is 301, but a whole run may take 300 s (`limits.deadline_s`): it is never "
        "reached. Lower it, or raise the other."),
    ),
    (
        "", TIER + "[tools.look]\ntimeout_s = 40\n[limits]\ndeadline_s = 20\n",
        (f"{FILE}:6: `tools.look.timeout_s` is 40, but a whole run may take 20 s (`limits.deadline_s`): it is never "
        "reached. Lower it, or raise the other."),
    ),
    (
        "", TIER + '[worker]\nenv = ["A", "B"]\n',
        (f"{FILE}:6: `worker.env` names A, B, but the agent has no tools.py, so that no worker is started. Remove it, "
        "or write the tools."),
    ),
]  # fmt: skip


def told(loaded: Loaded) -> list[str]:
    return [setting.line() for setting in loaded.idle]


@pytest.mark.parametrize(("golive", "agent", "words"), IDLE)
def test_what_may_be_meant_is_told_and_loaded(tmp_path: Path, golive: str, agent: str, words: str) -> None:
    """One line with file and line, the value, why, and what to do."""
    assert told(load(project(tmp_path, SIM + golive, agent), {})) == [words]


def test_retries_of_one_tier_use_the_settings_of_all(tmp_path: Path) -> None:
    """`retry.retries` of 0 does not make the rest idle where a tier has its own; a hedge uses the budget."""
    golive = f"{SIM}[retry]\nretries = 0\nmost_s = 20\nshare = 0.1\n"
    (tmp_path / "tier").mkdir()
    assert told(load(project(tmp_path / "tier", golive, f"{TIER}retries = 2\n"), {})) == []
    (tmp_path / "hedge").mkdir()
    (words,) = told(load(project(tmp_path / "hedge", golive, f"{TIER}hedge = true\n"), {}))
    assert "`retry.most_s`" in words
