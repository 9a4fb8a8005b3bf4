"""What `deploy/` consists of, read: the Dockerfile's instructions, YAML documents, the sections of systemd units."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = [
    path for path in sorted((DEPLOY / "kubernetes").rglob("*.yaml")) if path.name != "kustomization.yaml"
]  # fmt: skip
KUSTOMIZATIONS = sorted((DEPLOY / "kubernetes").rglob("kustomization.yaml"))
UNITS = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])


def documents(path: Path) -> list[Any]:
    """Every document of a YAML file.

    Raises:
        ruamel.yaml.YAMLError: it is none, or a key stands twice.
    """
    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def document(path: Path) -> Any:
    """The one document of a YAML file."""
    (found,) = documents(path)
    return found


def manifest(kind: str) -> Any:
    """The one Kubernetes object of this kind."""
    (found,) = [one for path in MANIFESTS for one in documents(path) if one["kind"] == kind]
    return found


def container(workload: Any) -> Any:
    """The one container of a Deployment or Job."""
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return found


class Instruction(NamedTuple):
    """One instruction of a Dockerfile; `stage` counts from 0."""

    stage: int
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, continued lines joined."""
    text = "\n".join(line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    found: list[Instruction] = []
    stage = -1
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        if word:
            found.append(Instruction(stage, word, rest.strip()))
    return found


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """A systemd unit: section -> key -> values, in order. Fails on a line that is no section, setting or comment."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line[0] in "#;":
            continue
        if heading := re.fullmatch(r"\[([A-Z][A-Za-z]+)\]", line):
            section = heading[1]
            found.setdefault(section, {})
            continue
        setting = re.fullmatch(r"([A-Z][A-Za-z]+)=(.*)", line)
        assert setting, f"{path.name}:{number}: {line}"
        assert section, f"{path.name}:{number} stands in no section"
        found[section].setdefault(setting[1], []).append(setting[2])
    return found


def variables() -> Iterator[tuple[str, str]]:
    """(file, name) of each variable for golive that anything in `deploy/` sets or names."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file() and "secrets" not in path.relative_to(DEPLOY).parts:
            for name in sorted(set(re.findall(r"\bGOLIVE_[A-Z0-9_]*[A-Z0-9]", path.read_text()))):
                yield str(path.relative_to(ROOT)), name


_NO_PROGRAM = frozenset({"-n", "-u", "-g", "-o", "*", "generic"})
"""What stands before a `golive` that is a user, a namespace or a name."""


def commands(text: str) -> Iterator[list[str]]:
    """Each call of golive and make in a page's code: the program, and the words behind it."""
    code = re.findall(r"^(?: {4}|\t)(.+)$", text, re.M) + re.findall(r"`([^`\n]+)`", text)
    for line in code:
        for part in re.split(r"&&|\|\||[;|]|\$\(", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue  # a quotation that another part closes
            for before, word, *rest in (["", *words][at:] for at in range(len(words))):
                called = word in ("make", "golive", "cli") or word.endswith("/bin/golive")
                if called and before not in _NO_PROGRAM:
                    yield ["make" if word == "make" else "golive", *rest]
                    break
