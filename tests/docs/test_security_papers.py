"""The papers on security name only what there is: checks, files, settings, commands, and all twenty risks of OWASP."""

import re
from pathlib import Path

import pytest

from golive.checklist import registry
from golive.config.schema import GoliveConfig

ROOT = Path(__file__).parents[2]
PAPERS = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "security").glob("*.md")}
PAPERS["SECURITY.md"] = (ROOT / "SECURITY.md").read_text("utf-8")
OURS = ("threat-model.md", "overview.md", "supply-chain.md", "SECURITY.md")

_CHECK = re.compile(r"`((?:GW|RT|MD|SEC|REL|OBS|GO)-\d+\.[a-z-]+)`")
_ONLY = re.compile(r"golive check --only ([A-Z]+-\d+[.a-z-]*)")
_FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|sql|toml|md|lock))`")
_SETTING = re.compile(r"`((?:server|auth|store|secrets|audit|log)\.[a-z_.]+)`")
_TARGET = re.compile(r"`make ([a-z-]+)")
GIVEN = {"golive.toml", "agent.toml", "tools.py", "prompt.md"}
"""Files of whoever uses golive."""


def unknown_checks(text: str) -> set[str]:
    """Checks, and beginnings of checks behind `--only`, that are not in the register."""
    known = {check.id for check in registry.load()}
    unknown = {each for each in _CHECK.findall(text) if each not in known}
    begins = {each for each in _ONLY.findall(text) if not any(f"{id_}.".startswith(f"{each}.") for id_ in known)}
    return unknown | begins


def unknown_files(text: str) -> set[str]:
    """Files that are neither in the repository nor in the package."""
    places = (ROOT, ROOT / "src" / "golive")
    named = set(_FILE.findall(text)) - GIVEN
    return {each for each in named if not any((place / each).is_file() for place in places)}


def unknown_settings(text: str) -> set[str]:
    """Settings that the schema does not have."""

    def known(path: str) -> bool:
        model: object = GoliveConfig
        for part in path.split("."):
            fields = getattr(model, "model_fields", {})
            if part not in fields:
                return False
            model = fields[part].annotation
        return True

    return {each for each in _SETTING.findall(text) if not each.endswith((".md", ".py")) and not known(each)}


@pytest.mark.parametrize("name", OURS)
def test_every_check_that_is_named_exists(name: str) -> None:
    """A check that is renamed or taken out is seen in the papers too."""
    assert unknown_checks(PAPERS[name]) == set()


@pytest.mark.parametrize("name", OURS)
def test_every_file_that_is_named_exists(name: str) -> None:
    """A control that moves is seen in the papers too."""
    assert unknown_files(PAPERS[name]) == set()


@pytest.mark.parametrize("name", OURS)
def test_every_setting_and_task_that_is_named_exists(name: str) -> None:
    """Settings are the schema's, tasks are the Makefile's."""
    assert unknown_settings(PAPERS[name]) == set()
    makefile = (ROOT / "Makefile").read_text()
    assert [each for each in _TARGET.findall(PAPERS[name]) if f"\n{each}:" not in makefile] == []


def test_every_risk_of_owasp_has_its_line() -> None:
    """LLM01 to LLM10 and ASI01 to ASI10, each once, in order, each saying what is not covered."""
    rows = [line for line in PAPERS["threat-model.md"].splitlines() if re.match(r"\| (LLM|ASI)\d\d ", line)]
    assert [row[2:7].strip() for row in rows] == [f"{list_}{n:02}" for list_ in ("LLM", "ASI") for n in range(1, 11)]
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 4
        assert all(cells)
        assert _CHECK.search(cells[2]) or cells[2].startswith("none")


def test_every_check_of_security_stands_in_the_papers() -> None:
    """A new check of the phase security is named by the threat model, or nobody learns what it proves."""
    papers = PAPERS["threat-model.md"] + PAPERS["overview.md"]
    prefixes = _ONLY.findall(papers)
    missing = [
        check.id
        for check in registry.load()
        if check.phase == "security"
        and f"`{check.id}`" not in papers
        and not any(check.id.startswith(f"{each}.") for each in prefixes)
    ]
    assert missing == []


def test_what_is_not_there_is_found() -> None:
    """Each rule finds a planted fault."""
    assert unknown_checks("`GW-2.nothing` and `golive check --only SEC-99`") == {"GW-2.nothing", "SEC-99"}
    assert unknown_files("`tenants/nobody.py`, `tenants/keys.py`, `golive.toml`") == {"tenants/nobody.py"}
    assert unknown_settings("`server.tsl`, `server.tls`, `store.keep_days`") == {"server.tsl"}
