"""Reading a certificate, its key and the authorities of clients, and saying what is wrong with them.

OpenSSL's own words for a wrong file ("PEM lib") help nobody; so the files are looked at before they are handed to it.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from golive.config.transport import TlsConfig
from golive.core.errors import ConfigError

MIN_RSA_BITS = 2_048
MAX_FILE_BYTES = 1_048_576

CERT, KEY, PASSWORD, CLIENT_CA = (f"server.tls.{name}" for name in ("cert", "key", "key_password", "client_ca"))


class Paths(NamedTuple):
    """Where the files are."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, config: TlsConfig, root: Path) -> "Paths":
        """The paths of a configuration.

        Raises:
            ConfigError: one of the pair is not named.
        """
        for key, value, other in ((CERT, config.cert, KEY), (KEY, config.key, CERT)):
            if not value:
                raise _wrong(key, "", f"{key} is not set, though {other} is.", f"Name the file with {key}.")
        assert config.cert is not None
        assert config.key is not None
        return cls(root / config.cert, root / config.key, root / config.client_ca if config.client_ca else None)

    def all(self) -> Iterator[Path]:
        """Those that are there to be watched."""
        yield self.cert
        yield self.key
        if self.client_ca is not None:
            yield self.client_ca


class Pair(Struct, frozen=True):
    """A certificate and its key that belong together. `expires_at`: seconds since the epoch; `client_ca`: PEM."""

    subject: str
    names: tuple[str, ...]
    expires_at: float
    sha256: str
    password: str | None
    client_ca: str | None


def read_pair(paths: Paths, password: str | None, now: float) -> Pair:
    """Reads and judges the files. Blocks: call it in a thread while connections are served.

    Args:
        password: of the key; None where it has none.
        now: seconds since the epoch.

    Raises:
        ConfigError: a file cannot be read or is no PEM; certificate and key do not belong together; the certificate is
            over, not yet valid, or weak; the password is wrong or missing.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    leaf, *others = _certificates(CERT, paths.cert)
    public = _key(paths.key, password).public_key()

    def same(certificate: Any) -> bool:
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return bool(certificate.public_key().public_bytes(*form) == public.public_bytes(*form))

    if not same(leaf):
        if any(same(other) for other in others):
            remedy = "Put the server's own certificate first, and what vouches for it after it."
        else:
            remedy = "Use the key with which this certificate was requested."
        raise _wrong(KEY, paths.key, f"{KEY} is not the key of the certificate in {paths.cert}.", remedy)
    _judge(leaf, paths.cert, now)
    client_ca = None
    if paths.client_ca is not None:
        _certificates(CLIENT_CA, paths.client_ca)
        client_ca = paths.client_ca.read_text("ascii", "replace")
    der = leaf.public_bytes(Encoding.DER)
    return Pair(
        subject=leaf.subject.rfc4514_string(), names=_names(leaf), expires_at=leaf.not_valid_after_utc.timestamp(),
        sha256=hashlib.sha256(der).hexdigest(), password=password, client_ca=client_ca,
    )  # fmt: skip


def _wrong(key: str, value: object, message: str, remedy: str) -> ConfigError:
    return ConfigError(message, remedy=remedy, key=key, value=str(value))


def _read(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise _wrong(
            key, path, f"{key} cannot be read: {error.strerror or error} ({path}).",
            "Paths are relative to golive.toml; the file must be readable for golive's user.",
        ) from None  # fmt: skip
    if b"-----BEGIN " not in data:
        raise _wrong(
            key, path, f"{key} is no PEM file: {path} holds no `-----BEGIN`.",
            "Convert it, for instance with `openssl x509 -inform der` (a certificate), `openssl pkey` (a key).",
        )  # fmt: skip
    return data


def _certificates(key: str, path: Path) -> list[Any]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(key, path))
    except ValueError:
        raise _wrong(
            key, path, f"{key} holds no certificate that can be read: {path}.",
            "It must hold `-----BEGIN CERTIFICATE-----`; is it the key's file, or cut short?",
        ) from None  # fmt: skip


def _key(path: Path, password: str | None) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(KEY, path)
    locked = b"ENCRYPTED" in data
    if locked and password is None:
        raise _wrong(
            PASSWORD, "", f"{KEY} is encrypted, and {PASSWORD} is not set ({path}).",
            f"Set {PASSWORD} to a reference to its password, such as `env:TLS_KEY_PASSWORD`.",
        )  # fmt: skip
    try:
        # A password that is not needed is no fault: keys are replaced by ones without.
        return load_pem_private_key(data, (password or "").encode() if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if locked:
            raise _wrong(
                PASSWORD, "", f"{KEY} cannot be decrypted with the password that {PASSWORD} gives ({path}).",
                "Is it the password of this very key?",
            ) from None  # fmt: skip
        raise _wrong(
            KEY, path, f"{KEY} holds no private key that can be read: {path}.",
            "It must hold `-----BEGIN PRIVATE KEY-----`; is it the certificate's file, or cut short?",
        ) from None  # fmt: skip


def _judge(leaf: Any, path: Path, now: float) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    ends, begins = leaf.not_valid_after_utc, leaf.not_valid_before_utc
    moment = datetime.fromtimestamp(now, UTC)
    if moment >= ends:
        raise _wrong(
            CERT, path, f"{CERT} has expired: it was valid until {ends:%Y-%m-%d %H:%M} UTC ({path}).", "Renew it.",
        )  # fmt: skip
    if moment < begins:
        raise _wrong(
            CERT, path, f"{CERT} is not valid before {begins:%Y-%m-%d %H:%M} UTC ({path}).",
            "Does this machine's clock go right?",
        )  # fmt: skip
    public = leaf.public_key()
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:
        raise _wrong(
            CERT, path, f"{CERT} has an RSA key of {public.key_size} bits, which is too short ({path}).",
            f"Use one of at least {MIN_RSA_BITS} bits, or of an elliptic curve.",
        )  # fmt: skip


def _names(leaf: Any) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in found)[:20]
