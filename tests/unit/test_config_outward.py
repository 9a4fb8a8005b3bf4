"""[webhooks] and [schedules]: what they may say, and how what cannot be meant is refused."""

from pathlib import Path

import pytest

from golive.checklist.twin_config import derived
from golive.config.load import load
from golive.core.errors import ConfigError
from tests.unit.test_config_load import SIM, faults, project

HOOK = '[webhooks.crm]\nurl = "https://crm.example/hook?team=1"\nsecret = "env:CRM"\n'
NIGHTLY = '[schedules.nightly]\nagent = "support"\ncron = "0 7 * * MON-FRI"\ninput = "Sum up the day."\n'

REFUSED = [
    (
        HOOK + 'agents = ["suport"]\n',
        '6: `webhooks.crm.agents` is the text "suport", which is no agent that there is. Did you mean `support`?',
    ),
    (
        HOOK + 'topics = ["run.waiting"]\noutcomes = ["failed"]\n',
        (
            "7: `webhooks.crm.outcomes` chooses among finished runs, but `topics` does not name `run.finished`. Add it "
            "to `topics`, or remove `outcomes`."
        ),
    ),
    (
        HOOK.replace("https://", "https://user:pw@"),
        (
            "4: `webhooks.crm.url` must be an address such as https://example.com/golive, without user or password, "
            "but is a text that is not shown, for it may hold a secret."
        ),
    ),
    (HOOK + 'topics = ["run.done"]\n', '6: `webhooks.crm.topics[0]` must be one of "run.finished", "run.waiting"'),
    (
        NIGHTLY.replace('"support"', '"suport"'),
        '4: `schedules.nightly.agent` is the text "suport", which is no agent that there is. Did you mean `support`?',
    ),
    (
        NIGHTLY.replace("0 7 *", "0 25 *"),
        (
            '5: `schedules.nightly.cron` is the text "0 25 * * MON-FRI", which is no time that comes: the hour 25 is '
            "not from 0 to 23. Write minute, hour, day of the month, month and day of the week, such as "
            "`0 7 * * MON-FRI`."
        ),
    ),
    (
        NIGHTLY + 'timezone = "Europe/Berlyn"\n',
        (
            '7: `schedules.nightly.timezone` is the text "Europe/Berlyn", which is no time zone that this machine '
            "knows. Did you mean `Europe/Berlin`?"
        ),
    ),
    (
        NIGHTLY.replace("Sum up the day.", " "),
        '6: `schedules.nightly.input` is the text " ", which is empty. Write what the run begins with.',
    ),
]


@pytest.mark.parametrize(("more", "expected"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path: Path, more: str, expected: str) -> None:
    """File, line, setting, value and what to do."""
    with pytest.raises(ConfigError) as caught:
        load(project(tmp_path, SIM + more), {})
    (fault,) = faults(caught.value)
    assert fault.startswith(f"golive.toml:{expected}")


def test_what_is_right_is_read(tmp_path: Path) -> None:
    """Defaults are those that the documentation names; a drill's twin has neither webhooks nor schedules."""
    loaded = load(project(tmp_path, SIM + HOOK + NIGHTLY), {})
    hook, nightly = loaded.config.webhooks["crm"], loaded.config.schedules["nightly"]
    assert (hook.url, hook.topics, hook.content, hook.relayed) == (
        "https://crm.example/hook?team=1", ("run.finished",), True, False,
    )  # fmt: skip
    assert (nightly.timezone, nightly.catch_up, nightly.enabled) == ("UTC", "latest", True)
    twin = derived(loaded.config, "http://127.0.0.1:1/v1")
    assert (twin["webhooks"], twin["schedules"]) == ({}, {})


def test_waits_may_be_set(tmp_path: Path) -> None:
    """As a list of numbers in the file, or in JSON in the environment."""
    root = project(tmp_path, SIM + HOOK + "waits_s = [1, 2.5]\n")
    assert load(root, {}).config.webhooks["crm"].waits_s == (1, 2.5)
    assert load(root, {"GOLIVE_WEBHOOKS__CRM__WAITS_S": "[3, 4]"}).config.webhooks["crm"].waits_s == (3, 4)


def test_a_machine_without_time_zones_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC needs no database; any other zone does."""
    monkeypatch.setattr("golive.core.cron.ZoneInfo", lambda name: (_ for _ in ()).throw(LookupError(name)))
    monkeypatch.setattr("golive.config.outward_faults.timezones", frozenset)
    assert load(project(tmp_path, SIM + NIGHTLY), {}).config.schedules["nightly"].timezone == "UTC"
    (tmp_path / "golive.toml").write_text(SIM + NIGHTLY + 'timezone = "Europe/Berlin"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert "install the system's package tzdata" in str(caught.value)
