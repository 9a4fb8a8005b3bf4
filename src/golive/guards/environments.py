"""The manifest that environments share: salted fingerprints of their credentials, to see that no two share one.

The file holds no value. A fingerprint is made slowly (scrypt, under a salt of the file's own), so that also short
secrets are not found out from it; give it to no stranger all the same.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from golive.core.chance import Chance
from golive.core.errors import ConfigError

_COST, _BLOCK, _BYTES = 2**14, 8, 16
SALT_BYTES = 16


class Noted(Struct):
    """One environment: when it was written (seconds since the epoch), and its fingerprints with the references."""

    written_at: float
    credentials: dict[str, str]


class Manifest(Struct):
    """The file."""

    salt: str
    environments: dict[str, Noted] = {}
    version: int = 1

    def fingerprint(self, value: str) -> str:
        """Of a value, 32 hex digits; takes some 50 ms."""
        salt = bytes.fromhex(self.salt)
        return hashlib.scrypt(value.encode(), salt=salt, n=_COST, r=_BLOCK, p=1, dklen=_BYTES).hex()

    def shared(self) -> list[tuple[str, str, str, str]]:
        """Credentials of two environments that are the same: environment, reference, environment, reference."""
        names = sorted(self.environments)
        return [
            (one, self.environments[one].credentials[key], other, self.environments[other].credentials[key])
            for place, one in enumerate(names)
            for other in names[place + 1 :]
            for key in sorted(self.environments[one].credentials.keys() & self.environments[other].credentials.keys())
        ]

    def elsewhere(self, environment: str, values: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Of references with their values in `environment`, which other environments have the same value."""
        found: dict[str, tuple[str, ...]] = {}
        for reference, value in values.items():
            key = self.fingerprint(value)
            others = [name for name, noted in self.environments.items() if key in noted.credentials]
            found[reference] = tuple(sorted(name for name in others if name != environment))
        return {reference: names for reference, names in found.items() if names}


def read(path: Path) -> Manifest | None:
    """The manifest; None: there is none yet.

    Raises:
        ConfigError: the file cannot be read, or is none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
        bytes.fromhex(found.salt)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(
            f"the manifest {path} cannot be used: {error}.", remedy="Restore it, or remove it and write it anew in "
            "each environment.", key="environment.manifest", value=str(path), origin="",
        ) from None  # fmt: skip
    return found


def write(path: Path, environment: str, values: Mapping[str, str], chance: Chance, now: float) -> Manifest:
    """Notes this environment's credentials in the place of those it had; the file is made with mode 0600.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    found = read(path) or Manifest(chance.token(SALT_BYTES).hex())
    found.environments[environment] = Noted(
        now, {found.fingerprint(value): reference for reference, value in values.items()}
    )
    fresh = path.with_name(f".{path.name}.{chance.token(4).hex()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(found, order="sorted"), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(
            f"the manifest {path} cannot be written: {error.strerror or error}.", remedy="Make its folder writable.",
            key="environment.manifest", value=str(path), origin="",
        ) from None  # fmt: skip
    return found
