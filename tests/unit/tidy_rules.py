"""The rules this repository keeps about itself, each a function from files to findings.

A finding is a line `path:line: what is wrong and what to do`. `test_tidy.py` applies the rules to the tree and shows
that each of them fails on a bad sample.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70
SELF_EVIDENT_LINES = 5
"""A public method whose body is no longer than this need not say what its name and signature say."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

BANNED_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "misc"})

TIME_AND_CHANCE = ("src/golive/core/clock.py", "src/golive/core/chance.py", "src/golive/core/ids.py")
BANNED_CALLS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        (
            r"time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep)"
            r"|(random|uuid|secrets)\..*|os\.urandom|datetime\.(datetime|date)\.(now|utcnow|today)"
        ),
        TIME_AND_CHANCE,
        "take a Clock, a Chance or Ids as an argument",
    ),
    (
        r"asyncio\.(create_task|ensure_future|gather|TaskGroup|wait_for|as_completed)|anyio\.create_task_group",
        ("src/golive/core/tasks.py",),
        "start tasks through core/tasks.py, end them by core/deadline.py",
    ),
    (
        r"print",
        ("src/golive/cli/", "src/golive/sim/__main__.py"),
        "log an event; only the command line talks to people",
    ),
    (
        r"os\.(environ|environb|getenv|putenv)(\..*)?",
        ("src/golive/config/", "src/golive/cli/", "src/golive/workers/"),
        "settings come from config/, passed in",
    ),
)
"""(what is banned, where it is allowed all the same, what to do instead)."""

# Written in pieces, so that this file does not contain what it looks for.
_ABSOLUTE = r"(?<![\w.\-/:])/(?:wor" + r"k|ro" + r"ot|opt/whe" + r"els|opt/py" + r"pi|tmp/w)(?:/|\b(?=[\s`'\"]))"
_REGISTRY = r"(?:py" + r"pi\.org|pythonhos" + r"ted\.org|registry\.np" + r"mjs\.org|conda\.anac" + r"onda\.org)"
_AUTHORSHIP = (
    r"co-auth" + r"ored-by|\bai[- ](?:gener" + r"ated|writ" + r"ten|assis" + r"ted|auth" + r"ored)\b"
    r"|\bcoding assis" + r"tant|\bcopi" + r"lot\b|\bpair[- ]progra" + r"mmed\b"
)
WORDING = (
    (re.compile(_ABSOLUTE), "a path of one machine"),
    (re.compile(_REGISTRY, re.I), "the address of a package registry"),
    (re.compile(_AUTHORSHIP, re.I), "a word about how the text came to be"),
)

_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.S | re.M)


def file_length(path: str, text: str) -> Iterator[str]:
    """No file is too long to be read in one go."""
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{path}:{lines}: {lines} lines; split it by ideas ({MAX_FILE_LINES} at most)"


def function_length(path: str, tree: ast.Module) -> Iterator[str]:
    """No function is too long to be seen whole."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines ({MAX_FUNCTION_LINES} at most)"


def module_name(path: str) -> Iterator[str]:
    """A name says what a file or folder owns."""
    for part in PurePosixPath(path).parts:
        if part.removesuffix(".py") in BANNED_NAMES:
            yield f"{path}:1: {part} says nothing about what it owns; name the idea"


def module_docstring(path: str, tree: ast.Module) -> Iterator[str]:
    """Every module says what it owns; a package says so in this very word."""
    text = ast.get_docstring(tree)
    if text is None:
        yield f"{path}:1: no module docstring; say what it owns and what it leaves to others"
    elif (
        path.startswith("src/golive/") and path.endswith("/__init__.py") and path.count("/") > 2 and "Owns" not in text
    ):
        yield f"{path}:1: a package's docstring says what it Owns"


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return None if inner is None else f"{inner}.{node.attr}"
    return None


def banned_calls(path: str, tree: ast.Module) -> Iterator[str]:
    """Time, chance, tasks, output and environment are touched in their one place only, under whatever name."""
    names = _imported_names(tree)
    rules = [(re.compile(what), remedy) for what, where, remedy in BANNED_CALLS if not path.startswith(where)]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name | ast.Attribute):
            continue
        dotted = _dotted(node)
        if dotted is None:
            continue
        first, dot, rest = dotted.partition(".")
        if first not in names and first != "print":
            continue
        full = names.get(first, first) + dot + rest
        for what, remedy in rules:
            if what.fullmatch(full):
                yield f"{path}:{node.lineno}: {full} does not belong here; {remedy}"
    if not path.startswith("src/golive/core/tasks.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_task":
                yield f"{path}:{node.lineno}: create_task does not belong here; start tasks through core/tasks.py"


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(_dotted(base.value if isinstance(base, ast.Subscript) else base) in _PROTOCOL for base in node.bases)


_PROTOCOL = ("Protocol", "typing.Protocol", "asyncio.Protocol")  # what these declare is documented where it is declared


def protocol_methods(trees: Mapping[str, ast.Module]) -> frozenset[str]:
    """Names that a Protocol documents; whoever implements them need not repeat it."""
    return frozenset(
        method.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and _is_protocol(node)
        for method in node.body
        if isinstance(method, Function)
    )


def _needs_docstring(method: Function, documented: frozenset[str]) -> bool:
    if method.name.startswith(("_", "on_")) or method.name in documented or ast.get_docstring(method) is not None:
        return False
    if any((_dotted(mark) or "").endswith(("overload", ".setter", "override")) for mark in method.decorator_list):
        return False
    return (method.end_lineno or 0) - method.body[0].lineno + 1 > SELF_EVIDENT_LINES


def _documented_in_bases(node: ast.ClassDef, tree: ast.Module) -> frozenset[str]:
    bases = {_dotted(base) for base in node.bases}
    return frozenset(
        method.name
        for other in tree.body
        if isinstance(other, ast.ClassDef) and other.name in bases
        for method in other.body
        if isinstance(method, Function) and ast.get_docstring(method) is not None
    )


def public_docstrings(path: str, tree: ast.Module, documented: frozenset[str]) -> Iterator[str]:
    """Every public function says what its signature does not; a callback (`on_…`) says it where it is registered."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_") and ast.get_docstring(node) is None:
            if not any((_dotted(mark) or "").endswith("overload") for mark in node.decorator_list):
                yield f"{path}:{node.lineno}: {node.name} has no docstring"
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not _is_protocol(node):
            inherited = documented | _documented_in_bases(node, tree)
            for method in node.body:
                if isinstance(method, Function) and _needs_docstring(method, inherited):
                    yield f"{path}:{method.lineno}: {node.name}.{method.name} has no docstring"


def wording(path: str, text: str) -> Iterator[str]:
    """Nothing in the tree tells of one machine, one registry or one way of writing."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in WORDING:
            if pattern.search(line):
                yield f"{path}:{number}: {what}: {line.strip()[:80]}"


def dependency_reasons(pyproject: str, architecture: str) -> Iterator[str]:
    """Each dependency has a row, beginning with its name, that says why it is there."""
    data = tomllib.loads(pyproject)
    wanted = [*data["project"]["dependencies"]]
    for extra in data["project"].get("optional-dependencies", {}).values():
        wanted += extra
    for group in data.get("dependency-groups", {}).values():
        wanted += group
    for requirement in wanted:
        name = re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0]
        if not re.search(rf"^\|[^|]*`{re.escape(name)}`[^|]*\|[^|]*\w", architecture, re.M):
            yield f"pyproject.toml:1: ARCHITECTURE.md gives no reason for {name}"


def markdown_links(path: str, text: str, root: Path) -> Iterator[str]:
    """Links to files of the repository lead to files that are there."""
    prose = _FENCE.sub("", text)
    for target in _LINK.findall(prose):
        if re.match(r"[a-z][a-z0-9+.-]*:|#", target):
            continue
        file = (root / path).parent / target.split("#")[0]
        if not file.exists():
            yield f"{path}:1: the link to {target} leads nowhere"
