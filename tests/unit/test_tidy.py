"""The repository tidies itself: every rule of `tidy_rules.py` holds over the tree, and fails on what it forbids."""

import ast
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit import tidy_rules as rules

ROOT = Path(__file__).parents[2]
BINARY = (".png", ".ico", ".gif", ".woff2", ".gz", ".whl", ".gguf", ".db")


@cache
def _tracked() -> tuple[str, ...]:
    """Every file that is, or is about to be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(sorted(path for path in set(listed.stdout.splitlines()) if (ROOT / path).is_file()))


@cache
def _texts(*folders: str, suffix: str = "") -> dict[str, str]:
    return {
        path: (ROOT / path).read_text("utf-8")
        for path in _tracked()
        if path.startswith(folders or "") and path.endswith(suffix) and not path.endswith(BINARY)
    }


@cache
def _trees(*folders: str) -> dict[str, ast.Module]:
    return {path: ast.parse(text, path) for path, text in _texts(*folders, suffix=".py").items()}


def _none(findings: Iterator[str]) -> None:
    found = list(findings)
    assert not found, "\n" + "\n".join(found)


def test_files_are_short() -> None:
    """No file of source or tests exceeds 400 lines."""
    _none(
        found
        for path, text in _texts("src/", "tests/", "supply/", suffix=".py").items()
        for found in rules.file_length(path, text)
    )


def test_functions_are_short() -> None:
    """No function exceeds 70 lines."""
    _none(
        found
        for path, tree in _trees("src/", "tests/", "bench/", "supply/").items()
        for found in rules.function_length(path, tree)
    )


def test_names_say_something() -> None:
    """No module is called utils, helpers, common, base or misc."""
    _none(found for path in _trees("src/", "tests/", "bench/", "supply/") for found in rules.module_name(path))


def test_modules_say_what_they_own() -> None:
    """Every module has a docstring, and every package's says what it Owns."""
    found = [
        finding
        for path, tree in _trees("src/", "tests/", "bench/", "supply/").items()
        if not (path.startswith("tests/") and path.endswith("__init__.py"))
        for finding in rules.module_docstring(path, tree)
    ]
    _none(iter(found))


def test_time_chance_tasks_output_and_environment_have_one_place() -> None:
    """What would make a run unrepeatable, or talk past the log, is called in its one place only."""
    _none(found for path, tree in _trees("src/").items() for found in rules.banned_calls(path, tree))


def test_public_functions_are_documented() -> None:
    """Every public function has a docstring, except where a Protocol's or the signature says it already."""
    trees = _trees("src/")
    documented = rules.protocol_methods(trees)
    _none(found for path, tree in trees.items() for found in rules.public_docstrings(path, tree, documented))


def test_the_text_is_fit_for_everyone() -> None:
    """No tracked file holds a path of one machine or a registry's address, or speaks of how it was written."""
    _none(found for path, text in _texts().items() for found in rules.wording(path, text))


def test_every_dependency_has_a_reason() -> None:
    """ARCHITECTURE.md says why each dependency is there."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    _none(rules.dependency_reasons((ROOT / "pyproject.toml").read_text(), architecture))


def test_links_lead_somewhere() -> None:
    """Every relative link in a Markdown file leads to a file."""
    _none(found for path, text in _texts(suffix=".md").items() for found in rules.markdown_links(path, text, ROOT))


# ---- each rule fails on what it forbids ------------------------------------------------------------------------------

SRC = "src/golive/runtime/sample.py"
BAD_CALLS = [
    "import time\ntime.time()",
    "import time as t\nt.monotonic()",
    "from time import sleep\nsleep(1)",
    "import random\nrandom.random()",
    "from random import Random\nRandom(1)",
    "import uuid\nuuid.uuid4()",
    "import secrets\nsecrets.token_hex()",
    "import os\nos.urandom(8)",
    "import datetime\ndatetime.datetime.now()",
    "from datetime import datetime\ndatetime.now(None)",
    "import asyncio\nasyncio.create_task(f())",
    "import asyncio\nasyncio.ensure_future(f())",
    "from asyncio import gather\ngather(f())",
    "import asyncio\nasyncio.TaskGroup()",
    "import asyncio\nasyncio.wait_for(f(), 1)",
    "import anyio\nanyio.create_task_group()",
    "def f(loop):\n    loop.create_task(g())",
    "print('x')",
    "import os\nos.environ['X']",
    "import os\nos.environ.get('X')",
    "from os import getenv\ngetenv('X')",
]
GOOD_CALLS = [
    "import time\ntime.strftime('%H')",
    "def f(clock, chance):\n    return clock.now(), chance.uniform(0, 1)",
    "import asyncio\nasyncio.wait([])",
    "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)",
    "def f(self):\n    self.time.time()",
]


@pytest.mark.parametrize("source", BAD_CALLS)
def test_a_banned_call_is_found(source: str) -> None:
    """Each banned call is found, whatever name it was imported under."""
    assert list(rules.banned_calls(SRC, ast.parse(source)))


@pytest.mark.parametrize("source", GOOD_CALLS)
def test_an_innocent_call_is_not_found(source: str) -> None:
    """What only looks like a banned call passes."""
    assert list(rules.banned_calls(SRC, ast.parse(source))) == []


def test_a_banned_call_is_allowed_in_its_place() -> None:
    """The clock may read the time, the command line may print, the configuration may read the environment."""
    assert not list(rules.banned_calls("src/golive/core/clock.py", ast.parse("import time\ntime.time()")))
    assert not list(rules.banned_calls("src/golive/cli/run.py", ast.parse("print()")))
    assert not list(rules.banned_calls("src/golive/config/load.py", ast.parse("import os\nos.environ")))


LONG_BODY = "\n".join(["    x = 1"] * 71)
BAD_SAMPLES: list[tuple[str, Callable[[], Iterator[str]]]] = [
    ("file length", lambda: rules.file_length(SRC, "\n" * 401)),
    ("function length", lambda: rules.function_length(SRC, ast.parse(f"def f():\n{LONG_BODY}"))),
    ("module name", lambda: rules.module_name("src/golive/store/helpers.py")),
    ("folder name", lambda: rules.module_name("src/golive/utils/text.py")),
    ("module docstring", lambda: rules.module_docstring(SRC, ast.parse("x = 1"))),
    ("package docstring", lambda: rules.module_docstring("src/golive/store/__init__.py", ast.parse('"""Stores."""'))),
    ("function docstring", lambda: rules.public_docstrings(SRC, ast.parse("def f(): ..."), frozenset())),
    (
        "method docstring",
        lambda: rules.public_docstrings(SRC, ast.parse("class A:\n  def f(self):" + "\n    x = 1" * 6), frozenset()),
    ),
    ("absolute path", lambda: rules.wording("a.md", "see /ro" + "ot/secret for it")),
    ("absolute path in code", lambda: rules.wording("a.py", "PATH = '/wor" + "k/main/x'")),
    ("registry", lambda: rules.wording("a.lock", "--index-url https://py" + "pi.org/simple")),
    ("authorship", lambda: rules.wording("a.md", "Co-Auth" + "ored-By: someone")),
    (
        "dependency",
        lambda: rules.dependency_reasons(
            '[project]\ndependencies = ["orjson>=3"]', "| `msgspec` | fast |\n| `orjson` | |\n"
        ),
    ),
    ("link", lambda: rules.markdown_links("README.md", "[x](no/such/file.md)", ROOT)),
]


@pytest.mark.parametrize(("rule", "apply"), BAD_SAMPLES, ids=[name for name, _ in BAD_SAMPLES])
def test_each_rule_fails_on_a_bad_sample(rule: str, apply: Callable[[], Iterator[str]]) -> None:
    """A rule that cannot fail proves nothing."""
    assert len(list(apply())) == 1, rule


def test_rules_pass_what_is_right() -> None:
    """Good samples near the edge of each rule pass."""
    assert not list(rules.file_length(SRC, "\n" * 400))
    assert not list(rules.wording("a.md", "an agent's work/life in /var/lib/golive, the framework/root folder"))
    assert not list(rules.markdown_links("README.md", "[x](pyproject.toml#L1) [y](https://example.org)", ROOT))
    assert not list(rules.dependency_reasons('[project]\ndependencies = ["orjson>=3"]', "| `orjson` | fast |"))
    protocol = ast.parse("class P(Protocol):\n  def f(self): ...")
    assert rules.protocol_methods({"a": protocol}) == {"f"}
    assert not list(rules.public_docstrings(SRC, protocol, frozenset()))
    override = ast.parse('class A:\n  def f(self):\n    "Says."\nclass B(A):\n  def f(self):' + "\n    x = 1" * 6)
    assert not list(rules.public_docstrings(SRC, override, frozenset()))
