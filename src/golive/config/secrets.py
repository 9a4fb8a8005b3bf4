"""Resolves references to secrets (`env:NAME`, `file:PATH`) and remembers the values, so that the log can redact them.

A `.env` file is not read: what the process was given is the whole truth, and a forgotten file beside golive.toml must
not quietly win. Who wants one loads it before (`set -a; . ./.env; set +a`, or the `--env-file` of a container).
Files are read anew on each `resolve`, so that a rotated secret comes in with the next reload.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from golive.core.chance import Chance
from golive.core.errors import ConfigError, SecretMissing

MAX_SECRET_BYTES = 65_536
MIN_PEPPER_BYTES = 32


class Secrets:
    """The secrets of one installation.

    Args:
        root: folder of golive.toml; relative `file:` paths start here.
        environ: the environment that `env:` reads.
        warn: told once of each file that others can read, with the name of an event and its fields.
    """

    def __init__(
        self, root: Path, environ: Mapping[str, str], warn: Callable[..., None] = lambda event, **fields: None
    ) -> None:
        self._root = root
        self._environ = environ
        self._warn = warn
        self._warned: set[str] = set()
        self._known: set[str] = set()

    def resolve(self, reference: str) -> str:
        """The secret's value; of a file, without the line break at its end.

        Raises:
            SecretMissing: the variable is not set, or there is no such file, or it is empty.
            ConfigError: the reference is none, or the file cannot be read as text.
        """
        kind, _, name = reference.partition(":")
        if kind == "env" and name:
            value = self._environ.get(name, "")
            if not value:
                state = "empty" if name in self._environ else "not set"
                message = f"the secret `{reference}` is missing: the environment variable {name} is {state}."
                raise SecretMissing(message, remedy=f"Set {name} before golive starts.", **_where(reference))
        elif kind == "file" and name:
            value = self._read(reference, self._root / name)
        else:  # never echoed: it may be the secret itself
            message = "a reference to a secret is neither `env:NAME` nor `file:PATH` (not shown)."
            raise ConfigError(message, remedy="Write one of the two.", key="", value="", origin="")
        self._known.add(value)
        return value

    def pepper(self, reference: str, chance: Chance) -> bytes:
        """The pepper of API keys; a `file:` that does not exist is created, with mode 0600 and 32 random bytes in hex.

        Unlike other secret files (which orchestrators mount with modes of their own), one that others can read is
        refused: golive itself wrote it for nobody else, and with it whoever can write to the store can forge keys.

        Raises:
            SecretMissing: as `resolve`.
            ConfigError: shorter than 32 bytes, readable by others, or it cannot be created.
        """
        kind, _, name = reference.partition(":")
        if kind == "file" and name:
            path = self._root / name
            if not path.exists():
                self._create(reference, path, chance)
            self._refuse_open_file(reference, path)
        value = self.resolve(reference).encode()
        if len(value) < MIN_PEPPER_BYTES:
            message = f"the pepper `{reference}` has {len(value)} bytes, and needs {MIN_PEPPER_BYTES}."
            remedy = "Make one with `openssl rand -hex 32`, and create the API keys anew."
            raise ConfigError(message, remedy=remedy, **_where(reference))
        return value

    def known(self) -> frozenset[str]:
        """Every value resolved so far, for redaction."""
        return frozenset(self._known)

    def _read(self, reference: str, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SECRET_BYTES + 1)
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except FileNotFoundError:
            message = f"the secret `{reference}` is missing: there is no file {path}."
            raise SecretMissing(message, remedy="Write the secret into it.", **_where(reference)) from None
        except OSError as error:
            message = f"the secret `{reference}` cannot be read: {error.strerror or error} ({path})."
            raise ConfigError(message, remedy="Make the file readable for golive.", **_where(reference)) from None
        if len(data) > MAX_SECRET_BYTES:
            message = f"the secret `{reference}` is larger than {MAX_SECRET_BYTES} bytes."
            raise ConfigError(message, remedy="Point it at the secret alone.", **_where(reference))
        try:
            value = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            message = f"the secret `{reference}` is not UTF-8 text."
            raise ConfigError(message, remedy="Write it as text, such as hex.", **_where(reference)) from None
        if not value:
            message = f"the secret `{reference}` is missing: the file {path} is empty."
            raise SecretMissing(message, remedy="Write the secret into it.", **_where(reference))
        self._tell_open_file(reference, path, mode)
        return value

    def _tell_open_file(self, reference: str, path: Path, mode: int) -> None:
        """No error: orchestrators mount secrets with modes of their own."""
        if mode & 0o077 and reference not in self._warned:
            self._warned.add(reference)
            self._warn(
                "secret.readable_by_others", secret=reference, file=str(path), mode=f"{mode:04o}",
                message=f"the secret `{reference}` can be read by others: {path} has mode {mode:04o}.",
                remedy=f"Run `chmod 600 {path}`; where a mount decides the mode, let it be for golive alone.",
            )  # fmt: skip

    def _create(self, reference: str, path: Path, chance: Chance) -> None:
        """Writes the file whole under another name first, so that nobody ever reads half of it; the first one wins."""
        fresh = path.with_name(f".{path.name}.{chance.token(8).hex()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(file, chance.token(MIN_PEPPER_BYTES).hex().encode() + b"\n")
                os.fsync(file)
            finally:
                os.close(file)
            try:
                os.link(fresh, path)  # fails where another process was faster, whose pepper then stands
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        except OSError as error:
            message = (
                f"the pepper `{reference}` does not exist and cannot be created: {error.strerror or error} ({path})."
            )
            remedy = "Make the folder writable, or set secrets.pepper to `env:NAME`."
            raise ConfigError(message, remedy=remedy, **_where(reference)) from None

    def _refuse_open_file(self, reference: str, path: Path) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            message = f"the pepper `{reference}` can be read by others (mode {mode:04o})."
            remedy = f"Run `chmod 600 {path}`; where a mount decides the mode, set secrets.pepper to `env:NAME`."
            raise ConfigError(message, remedy=remedy, **_where(reference))


def _where(reference: str) -> dict[str, str]:
    return {"key": "", "value": reference, "origin": reference}
