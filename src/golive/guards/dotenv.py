"""Files of secrets that git would take in (`.env`, private keys that are configured): found by asking git itself."""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from golive.guards.scanning import SKIPPED, Leak

_GIT_S = 10.0
_EXAMPLES = (".example", ".sample", ".template", ".dist")
KIND = "file of secrets that git takes in"
OPEN_KIND = "private key that others can read"
_OTHERS = 0o037
"""The owner's group may read it, as orchestrators mount keys for it; nobody else, and none but the owner writes."""


def exposed(root: Path, keys: Sequence[Path] = ()) -> list[Leak]:
    """The .env files below `root` that git tracks or does not ignore, and `.env` itself where it would be; none outside
    a repository, and where there is no git. Blocks.

    Args:
        keys: files of private keys. Below `root` they are where they belong as long as git does not take them in and
            nobody but their owner and group reads them: those that do not keep to it are told, too.
    """
    keys = [path for path in keys if path.is_file() and path.resolve().is_relative_to(root.resolve())]
    modes = [(path, stat.S_IMODE(path.stat().st_mode)) for path in keys]
    found = [
        Leak(path=str(path), line=1, kind=OPEN_KIND, name=f"mode {mode:04o}: chmod 600")
        for path, mode in modes
        if mode & _OTHERS
    ]
    if _git(root, "rev-parse", "--is-inside-work-tree") != 0:
        return found
    for path in dict.fromkeys([root / ".env", *_files(root), *keys]):
        name = os.path.relpath(path, root)
        if _git(root, "ls-files", "--error-unmatch", "--", name) == 0:
            found.append(Leak(path=str(path), line=1, kind=KIND, name="it is tracked: git rm --cached"))
        elif _git(root, "check-ignore", "-q", "--", name) == 1:
            found.append(Leak(path=str(path), line=1, kind=KIND, name="add it to .gitignore"))
    return found


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob(".env*")):
        named = path.name == ".env" or path.name.startswith(".env.")
        inside = path.relative_to(root).parts[:-1]
        if named and path.is_file() and not path.name.endswith(_EXAMPLES) and not SKIPPED.intersection(inside):
            yield path


def _git(root: Path, *words: str) -> int:
    """The exit code; 128 where git is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, timeout=_GIT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return 128
    return done.returncode
