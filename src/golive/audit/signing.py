"""The key that signs the audit log: Ed25519, so that who verifies needs the public half alone.

Owns the key's file, signatures and the names of keys.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from golive.core.chance import Chance
from golive.core.errors import ConfigError, InvalidRequest
from golive.store.audit import AuditCheckpoint, AuditHead, micros

SECRET_BYTES = 32
_ID_CHARS = 16
_PURPOSE = b"golive audit key\0"


class AuditKey:
    """The private key, made of a secret of 32 bytes and more."""

    def __init__(self, secret: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_PURPOSE + secret).digest())
        self.public = self._private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, head: AuditHead, at: float, *, pruned: bool = False) -> AuditCheckpoint:
        """What is signed of a chain as it stands; `at` seconds since the epoch."""
        bare = AuditCheckpoint(
            head.tenant, head.seq, "pruned" if pruned else "checkpoint", head.hash, micros(at), self.id, b""
        )
        return msgspec.structs.replace(bare, signature=self._private.sign(signed(bare)))


def key_id(public: bytes) -> str:
    """What a public key is called: the beginning of its SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:_ID_CHARS]


def signed(row: AuditCheckpoint) -> bytes:
    """The bytes that are signed. Raises UnicodeEncodeError where text of the row cannot be golive's."""
    return msgspec.json.encode(
        ["golive audit", 1, row.kind, row.tenant, row.seq, row.hash.hex(), row.at_us, row.key_id]
    )


class Trusted:
    """Public keys whose signatures count."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self.keys: Mapping[str, bytes] = {key_id(key): key for key in keys}

    def knows(self, row: AuditCheckpoint) -> bool:
        """Whether it says that one of these keys signed it."""
        return row.key_id in self.keys

    def signed(self, row: AuditCheckpoint) -> bool:
        """Whether one of these keys signed exactly this."""
        public = self.keys.get(row.key_id)
        if public is None or row.kind not in ("checkpoint", "pruned"):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(row.signature, signed(row))
        except (InvalidSignature, UnicodeEncodeError):
            return False
        return True


def public_key(told: str) -> bytes:
    """A public key as `golive audit key` shows it: 64 hexadecimal digits.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        found = bytes.fromhex(told.strip())
        Ed25519PublicKey.from_public_bytes(found)
    except ValueError:
        raise InvalidRequest(
            "That is no public key of an audit log.",
            remedy="Give the 64 hexadecimal digits that `golive audit key` shows, or a file that holds them.",
            field="public_key", value=told[:80],
        ) from None  # fmt: skip
    return found


def audit_key(reference: str, root: Path, resolve: Callable[[str], str], chance: Chance | None) -> AuditKey:
    """The installation's key; a `file:` that does not exist is created, with mode 0600 and 32 random bytes in hex.

    Args:
        root: where relative paths start.
        resolve: the value of a reference to a secret.
        chance: where a new key comes from; None: none is made.

    Raises:
        ConfigError: too short, readable by others, or it cannot be created.
    """
    kind, _, name = reference.partition(":")
    fields = {"key": "secrets.audit_key", "value": reference, "origin": reference}
    if kind == "file" and name:
        path = root / name
        try:
            if chance is not None:
                _create(path, chance)
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
        except OSError as error:
            raise ConfigError(
                f"the audit key `{reference}` cannot be created: {error.strerror or error} ({path}).",
                remedy="Make the folder writable, or set secrets.audit_key to `env:NAME`.", **fields,
            ) from None  # fmt: skip
        if path.is_dir():
            raise ConfigError(
                f"the audit key `{reference}` is a folder, not a file: {path}.", remedy="Name the file in it.", **fields
            )
        if mode & 0o077:
            raise ConfigError(
                f"the audit key `{reference}` can be read by others (mode {mode:04o}), who could forge.",
                remedy=f"Run `chmod 600 {path}`; where a mount decides the mode, set secrets.audit_key to `env:NAME`.",
                **fields,
            )
    value = resolve(reference).encode()
    if len(value) < SECRET_BYTES:
        raise ConfigError(
            f"the audit key `{reference}` has {len(value)} bytes, and needs {SECRET_BYTES}.",
            remedy="Make one with `openssl rand -hex 32`.", **fields,
        )  # fmt: skip
    return AuditKey(value)


def _create(path: Path, chance: Chance) -> None:
    """Writes the file whole under another name first; where another process is faster, its key stands."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{chance.token(8).hex()}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, chance.token(SECRET_BYTES).hex().encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
