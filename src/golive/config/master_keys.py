"""The master keys that `[secrets]` names: bytes, or who holds one elsewhere.

The first is made where nothing was ever sealed under another. AWS KMS makes and holds its keys itself.
"""

import base64
import binascii
import os
import stat
from pathlib import Path

from golive.config.schema import SecretsConfig
from golive.config.secret_backends.aws_kms import KIND, KmsKey
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.errors import ConfigError, SecretMissing

KEY_BYTES = 32
_REMEDY = "Make one with `openssl rand -hex 32`."


def master_key(secrets: Secrets, reference: str) -> bytes | KmsKey:
    """The 32 bytes that a reference stands for, as 64 hexadecimal digits or base64; or the key that KMS holds.

    Raises:
        ConfigError: there is no such secret, or it is no key; it is not quoted.
    """
    if reference.startswith(KIND):
        return KmsKey(reference, secrets.aws)
    text = secrets.resolve(reference)
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"the master key `{reference}` is not {KEY_BYTES} bytes in hexadecimal or base64 (not shown).",
            remedy=_REMEDY, key="secrets.master_key", value=reference, origin=reference,
        )  # fmt: skip
    return key


def master_keys(
    secrets: Secrets, root: Path, config: SecretsConfig, chance: Chance, *, sealed: int
) -> tuple[bytes | KmsKey, list[bytes | KmsKey]]:
    """The present master key and the old ones that are still accepted.

    Args:
        root: folder of golive.toml.
        sealed: how many data keys there are under master keys; only where there is none a `file:` is made.

    Raises:
        SecretMissing: there is no master key, and content is sealed under one.
        ConfigError: it is no key, others can read it, or it cannot be made.
    """
    path = path_of(config.master_key, root)
    if path is not None and not path.exists():
        if sealed:
            raise SecretMissing(
                f"the master key `{config.master_key}` is missing: there is no file {path}, and what the database "
                f"holds is sealed under it ({sealed} data keys).",
                remedy="Put the key back, from where you keep a copy, or correct secrets.master_key. golive makes no "
                "new one over what is there: nobody could read that any more.",
                key="secrets.master_key", value=config.master_key, origin=config.master_key,
            )  # fmt: skip
        make(path, config.master_key, chance)
    return master_key(guarded(secrets, root, config.master_key), config.master_key), [
        master_key(secrets, reference) for reference in config.old_master_keys
    ]


def is_remote(reference: str) -> bool:
    """Whether the network is asked for it."""
    return reference.partition(":")[0] not in ("env", "file")


def path_of(reference: str, root: Path) -> Path | None:
    """The file that a reference means; None: it means none."""
    kind, _, name = reference.partition(":")
    return root / name if kind == "file" and name else None


def guarded(secrets: Secrets, root: Path, reference: str) -> Secrets:
    """`secrets`, unless the reference means a file that others can read. Raises ConfigError."""
    path = path_of(reference, root)
    if path is not None and path.is_dir():
        raise ConfigError(
            f"the master key `{reference}` is a folder, not a file: {path}.", remedy="Name the file in it.",
            key="secrets.master_key", value=reference, origin=reference,
        )  # fmt: skip
    if path is not None and path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        raise ConfigError(
            f"the master key `{reference}` can be read by others (mode {mode:04o}).",
            remedy=f"Run `chmod 600 {path}`; where a mount decides the mode, set secrets.master_key to `env:NAME`.",
            key="secrets.master_key", value=reference, origin=reference,
        )  # fmt: skip
    return secrets


def make(path: Path, reference: str, chance: Chance) -> None:
    """Writes a new key into a file of mode 0600: whole under another name first, and the first one to come wins.

    Raises:
        ConfigError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{chance.token(8).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(chance.token(KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    except OSError as error:
        raise ConfigError(
            f"the master key `{reference}` does not exist and cannot be made: {error.strerror or error} ({path}).",
            remedy="Make the folder writable, or set secrets.master_key to `env:NAME`.",
            key="secrets.master_key", value=reference, origin=reference,
        ) from None  # fmt: skip
