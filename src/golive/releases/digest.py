"""The digest that names an agent version: a SHA-256 over everything that decides how the agent behaves, and no secret.

It covers the paths and bytes of the agent's folder, the lock of its dependencies, and its chains with the addresses
they resolve to. So the digest changes when a prompt, a tool, a schema, a limit, a dependency or a target changes, and
stays when a clock, a key, a file's mode or an editor's leftovers do. Names are bound to digests in `registry.py`.

The lock: one inside the agent's folder is part of the folder. Without one there, the project's (`LOCKS` beside
golive.toml) counts, because the tools run in that environment.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from golive.config.agents import LoadedAgent
from golive.config.schema import AgentConfig, GoliveConfig
from golive.core.errors import AgentError

MAX_FILES = 10_000
MAX_BYTES = 64 * 1024 * 1024
LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "requirements.lock")
"""Names of lock files, the first that is there counts."""

IGNORED = (
    "__pycache__", "*.pyc", "*.pyo", ".git", ".hg", ".svn", ".env", ".DS_Store", "Thumbs.db",
    ".mypy_cache", ".ruff_cache", ".pytest_cache",
    "*~", "#*#", ".#*", ".*.swp", ".*.swo", ".*.swx", "*.orig", "*.rej",
)  # fmt: skip
"""Names, anywhere in the folder, that are no part of a version: caches, version control, secrets, leftovers."""


def version_digest(agent: LoadedAgent, config: GoliveConfig, root: Path) -> str:
    """The digest of a loaded agent; see `digest`. `root`: folder of golive.toml."""
    return digest(agent.folder, project_lock(agent.folder, root), resolved_chains(agent.config, config))


def digest(folder: Path, lock: bytes | None, chains: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """ "sha256:" and 64 hex digits over the folder, the lock and the chains.

    Every part is preceded by its kind and its length, so that no two contents give the same bytes to the hash. Symlinks
    within the folder count as what they lead to; empty folders do not count.

    Args:
        folder: the agent's folder.
        lock: the project's lock, where the folder has none.
        chains: what `resolved_chains` gives.

    Raises:
        AgentError: more than `MAX_FILES` files or `MAX_BYTES` bytes, a symlink that leaves the folder or leads to one,
            a socket or pipe, an unreadable file.
    """
    hashed = hashlib.sha256()

    def add(kind: bytes, data: bytes) -> None:
        hashed.update(kind + len(data).to_bytes(8, "big"))
        hashed.update(data)

    add(b"v", b"golive-version-1")
    size = 0
    for name, path in sorted(_files(folder)):
        data = _read(folder, path, MAX_BYTES - size)
        size += len(data)
        add(b"p", name)
        add(b"b", data)
    if lock is not None:
        add(b"l", lock)
    add(b"c", msgspec.json.encode(chains, order="deterministic"))
    return f"sha256:{hashed.hexdigest()}"


def resolved_chains(agent: AgentConfig, config: GoliveConfig) -> dict[str, list[dict[str, Any]]]:
    """Tier -> its targets in order, each with what decides the answer: provider, dialect, address, model, settings.

    Settings count as they were written: a default that a later golive adds makes no other version.
    References to secrets are left out: a rotated or renamed key makes no other version.
    """
    chains: dict[str, list[dict[str, Any]]] = {}
    for tier, settings in agent.models.items():
        own = settings.model_dump(mode="json", exclude={"chain"}, exclude_unset=True)
        chains[tier] = []
        for target in (*settings.chain, *settings.chain_context_too_long, *settings.chain_content_refused):
            name, _, model = target.partition("/")
            provider = config.providers[name]
            address = provider.base_url.rstrip("/")
            resolved = {"provider": name, "dialect": provider.dialect, "base_url": address, "model": model}
            chains[tier].append({**resolved, "settings": own})
    return chains


def project_lock(folder: Path, root: Path) -> bytes | None:
    """The project's lock, unless the agent's folder brings its own (which is hashed as part of the folder).

    Raises:
        AgentError: it is there and cannot be read.
    """
    if any((folder / name).is_file() for name in LOCKS):
        return None
    found = next((root / name for name in LOCKS if (root / name).is_file()), None)
    return None if found is None else _read(folder, found, MAX_BYTES)


def _files(folder: Path) -> Iterator[tuple[bytes, Path]]:
    """Every file that counts, with its relative POSIX path in bytes; in no particular order."""
    real = folder.resolve()

    def refuse(error: OSError) -> None:
        message = f"the folder {error.filename} cannot be read: {error.strerror}."
        raise AgentError(message, remedy="Make it readable.", origin=str(error.filename)) from None

    seen = 0
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not ignored(name)]
        for name in folders:
            path = Path(place) / name
            if path.is_symlink():
                message = f"{path} is a symlink to a folder."
                raise AgentError(message, remedy="Put the folder itself there.", origin=str(path))
        for name in names:
            if ignored(name):
                continue
            path = Path(place) / name
            if path.is_symlink():
                _refuse_outside(path, real)
            seen += 1
            if seen > MAX_FILES:
                raise _too_large(folder, f"more than {MAX_FILES} files")
            yield os.fsencode(path.relative_to(folder).as_posix()), path


def ignored(name: str) -> bool:
    """Whether a file or folder of this name is no part of a version."""
    return any(fnmatchcase(name, pattern) for pattern in IGNORED)


def _refuse_outside(path: Path, real: Path) -> None:
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # Python before 3.13 raises RuntimeError for a loop of links
        message = f"the symlink {path} leads nowhere."
        raise AgentError(message, remedy="Remove it, or put the file itself there.", origin=str(path)) from None
    if not target.is_relative_to(real):
        message = f"the symlink {path} leaves the agent's folder ({target})."
        raise AgentError(message, remedy="Put the file itself into the folder.", origin=str(path))


def _read(folder: Path, path: Path, room: int) -> bytes:
    """The file's bytes, at most `room`. Opened without blocking, for a pipe would never answer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                message = f"{path} is no regular file."
                raise AgentError(message, remedy="Move it out of the agent's folder.", origin=str(path))
            data = file.read(room + 1)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}."
        remedy = "Make it a readable file, or remove it."
        raise AgentError(message, remedy=remedy, origin=str(path)) from None
    if len(data) > room:
        raise _too_large(folder, f"more than {MAX_BYTES // (1024 * 1024)} MiB")
    return data


def _too_large(folder: Path, what: str) -> AgentError:
    message = f"the agent's folder {folder} holds {what}, and all of it is part of the version."
    return AgentError(message, remedy="Move data, environments and downloads elsewhere.", origin=str(folder))
