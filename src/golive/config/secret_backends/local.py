"""Secrets of the environment and of files: read here and now, on the spot."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from golive.config.secret_backends.reference import Found, Reference, where
from golive.core.errors import ConfigError, InvalidRequest, SecretMissing

MAX_SECRET_BYTES = 65_536

Stamp = tuple[int, int, int, int, int]
"""What changes with a file: inode, size, when it and its entry were last written (nanoseconds), and its mode."""


def from_environment(reference: Reference, environ: Mapping[str, str]) -> Found:
    """Raises SecretMissing when the variable is not set or empty."""
    value = environ.get(reference.name, "")
    if not value:
        state = "empty" if reference.name in environ else "not set"
        message = f"the secret `{reference.text}` is missing: the environment variable {reference.name} is {state}."
        raise SecretMissing(message, remedy=f"Set {reference.name} before golive starts.", **where(reference))
    return Found(value)


def stamp_of(path: Path) -> Stamp | None:
    """None: there is nothing to look at; reading it says why."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, stat.S_IMODE(found.st_mode)


def from_file(reference: Reference, path: Path) -> Found:
    """A file's text without the line break at its end.

    Raises:
        SecretMissing: there is no such file, or it is empty.
        ConfigError: it cannot be read as text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
            made_at = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        message = f"the secret `{reference.text}` is missing: there is no file {path}."
        raise SecretMissing(message, remedy="Write the secret into it.", **where(reference)) from None
    except (OSError, ValueError) as error:  # a ValueError: what no path can be
        said = getattr(error, "strerror", None) or error
        message = f"the secret `{reference.text}` cannot be read: {said} ({path})."
        raise ConfigError(message, remedy="Make the file readable for golive.", **where(reference)) from None
    if len(data) > MAX_SECRET_BYTES:
        message = f"the secret `{reference.text}` is larger than {MAX_SECRET_BYTES} bytes."
        raise ConfigError(message, remedy="Point it at the secret alone.", **where(reference))
    try:
        value = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        message = f"the secret `{reference.text}` is not UTF-8 text."
        raise ConfigError(message, remedy="Write it as text, such as hex.", **where(reference)) from None
    if not value:
        message = f"the secret `{reference.text}` is missing: the file {path} is empty."
        raise SecretMissing(message, remedy="Write the secret into it.", **where(reference))
    return Found(value, made_at=made_at)


def replace_file(reference: Reference, path: Path, value: str) -> str:
    """Puts `value` into the file in one step, so that nobody reads half of it; owner and mode stay.

    Raises:
        InvalidRequest: the file does not exist or cannot be replaced.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        before = path.stat()
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(f"{value}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise InvalidRequest(
            f"the file of `{reference.text}` cannot be replaced: {error.strerror or error} ({path}).",
            remedy="Write the new value where the file comes from (a mounted secret is changed at its source).",
            field="reference", value=reference.text,
        ) from None  # fmt: skip
    return f"{path} holds the new value; running servers use it with their next call"
