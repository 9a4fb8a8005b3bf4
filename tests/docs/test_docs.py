"""The documentation is true: its examples run, every setting is in it, and the site builds without a warning."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import pytest
from pydantic import BaseModel

from golive.cli.main import COMMANDS
from golive.config.schema import AgentConfig, GoliveConfig
from golive.core.events import BODIES
from golive.gateway.problems import TABLE
from tests.docs.world import World, world

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.S | re.M)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def _blocks(language: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, language, match["text"])
        for page in PAGES
        for text in [page.read_text()]
        for match in BLOCK.finditer(text)
        if match["language"] == language
    ]


def _pages(language: str) -> list[Path]:
    return sorted({block.page for block in _blocks(language)})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project that is served, for examples that ask something of a server."""
    with world(tmp_path_factory.mktemp("project")) as made:
        yield made


@pytest.mark.parametrize("page", _pages("python"), ids=lambda page: page.name)
def test_python_examples_run(page: Path, running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run one after the other, in one namespace."""
    monkeypatch.setenv("GOLIVE_KEY", running.key)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in _blocks("python"):
        if block.page == page:
            exec(compile("\n" * block.line + running.here(block.text), str(page), "exec"), namespace)


@pytest.mark.timeout(200)  # whole groups of checks are in one of the pages
@pytest.mark.parametrize("page", _pages("bash"), ids=lambda page: page.name)
def test_shell_examples_run(page: Path, running: World) -> None:
    """The Bash blocks of a page run one after the other, in one shell; blocks that never end are written indented."""
    done = running.shell("\n".join(block.text for block in _blocks("bash") if block.page == page))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", _blocks("toml"), ids=str)
def test_toml_examples_are_valid_settings(block: Block) -> None:
    """A TOML block names its file in the first line, and the schema of that file accepts it whole."""
    name = block.text.splitlines()[0]
    model = {"golive.toml": GoliveConfig, "agent.toml": AgentConfig}[name.removeprefix("# ").rpartition("/")[2]]
    model.model_validate(tomllib.loads(block.text))


@pytest.mark.parametrize("block", _blocks("json"), ids=str)
def test_json_examples_are_json(block: Block) -> None:
    """A JSON block can be read."""
    assert json.loads(block.text)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a build in which a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(out / "doctrees")]
    done = subprocess.run([*command, "docs", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        inner = get_args(kind)[1] if get_origin(kind) is dict else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner)
        else:
            assert field.description, f"{model.__name__}.{name} has no description"
            yield name


def test_every_setting_is_documented(site: Path) -> None:
    """Each key of the schema stands on the page Configuration."""
    page = (site / "configuration.html").read_text()
    missing = [key for key in (*_keys(GoliveConfig), *_keys(AgentConfig)) if f">{key}<" not in page]
    assert missing == []


def test_every_request_is_documented(running: World) -> None:
    """Each path of the server's own description stands on the page HTTP API, with each of its methods."""
    page = (ROOT / "docs/http-api.md").read_text()
    described = json.loads(
        running.shell('curl http://127.0.0.1:8080/openapi.json -H "Authorization: Bearer $GOLIVE_KEY"').stdout
    )
    asked = [
        (path, method.upper())
        for path, methods in described["paths"].items()
        for method in methods
        if method != "parameters"
    ]
    assert len(asked) > 15
    missing = [
        f"{method} {path}" for path, method in asked
        if f"`{method} {path}`" not in page and not (method == "GET" and f"`{path}`" in page)
    ]  # fmt: skip
    assert missing == []


def test_every_command_is_documented(site: Path) -> None:
    """Each command and subcommand has a section on the page Command line."""
    page = (site / "cli.html").read_text()
    assert [name for name in COMMANDS if f"golive {name}<" not in page] == []


def test_every_error_and_event_is_documented(site: Path) -> None:
    """Each error code stands on the page HTTP API, and each kind of event on Operations."""
    api, operations = (site / "http-api.html").read_text(), (site / "operations.html").read_text()
    assert [code for code in TABLE if f">{code}<" not in api] == []
    assert [kind for kind in BODIES if f">{kind}<" not in operations] == []
