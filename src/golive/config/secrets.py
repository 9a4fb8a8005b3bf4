"""Resolves references to secrets, remembers the values for redaction, and refuses those that were revoked.

The face of all backends (`secret_backends/`): `env:` and `file:` are read on the spot (a file again when it changes),
`aws-sm:` and `vault:` are fetched in threads (`prefetch`, `fetch`) and answered from memory; once a server runs
(`follow`), `resolve` never waits for the network. Who calls `fetch` when is `guards/secret_keeper.py`'s.

A `.env` file is not read: what the process was given is the whole truth, and a forgotten file beside golive.toml must
not quietly win. Who wants one loads it before (`set -a; . ./.env; set +a`, or the `--env-file` of a container).
"""

import hmac
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from golive.config.schema import SecretsConfig
from golive.config.secret_backends import local
from golive.config.secret_backends.local import MAX_SECRET_BYTES as MAX_SECRET_BYTES
from golive.config.secret_backends.reference import Backend, Found, Reference, parse, where
from golive.config.secret_settings import AwsConfig, VaultConfig
from golive.config.secret_values import Held, State
from golive.config.tenant_references import contained
from golive.core.chance import Chance
from golive.core.clock import Clock, SystemClock
from golive.core.errors import ConfigError, GoliveError, InvalidRequest, SecretMissing, SecretRevoked

MIN_PEPPER_BYTES = 32
FINGERPRINT_CHARS = 8
"""How much of a fingerprint is shown, and the least that names one."""
_TTL_S, _STALE_S = 60.0, 3_600.0
_PURPOSE = b"golive secret fingerprint\0"


class Secrets:
    """The secrets of one installation.

    Args:
        root: folder of golive.toml; relative `file:` paths start here.
        environ: the environment that `env:` reads.
        warn: told once of each file that others can read, with the name of an event and its fields.
        aws, vault: how those two are spoken to.
        ttl_s, stale_s: see SecretsConfig.
    """

    def __init__(
        self, root: Path, environ: Mapping[str, str], warn: Callable[..., None] = lambda event, **fields: None, *,
        aws: AwsConfig | None = None, vault: VaultConfig | None = None,
        ttl_s: float = _TTL_S, stale_s: float = _STALE_S, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._root = root
        self._environ = environ
        self._warn = warn
        self._warned: set[str] = set()
        self.aws, self._vault = aws or AwsConfig(), vault or VaultConfig()
        self._backends: dict[str, Backend] = {}
        self.ttl_s, self.stale_s = ttl_s, stale_s
        self._clock = clock or SystemClock()
        self._held: dict[str, Held] = {}
        self._known: dict[str, str] = {}
        """Every value so far, with its fingerprint ("" as long as there is no key for them)."""
        self._key: bytes | None = None
        self._revoked: frozenset[str] = frozenset()
        """The values among them that are revoked."""
        self._revocations: tuple[str, ...] = ()
        self._following = False
        self._of_tenants: Sequence[str] = ()

    @classmethod
    def of(
        cls, root: Path, environ: Mapping[str, str], settings: SecretsConfig, clock: Clock | None = None,
        warn: Callable[..., None] = lambda event, **fields: None,
    ) -> "Secrets":  # fmt: skip
        """Those of a configuration."""
        made = cls(
            root, environ, warn, aws=settings.aws, vault=settings.vault, ttl_s=settings.ttl_s, stale_s=settings.stale_s,
            clock=clock,
        )  # fmt: skip
        made.contain(settings.tenant_references)
        return made

    def contain(self, patterns: Sequence[str]) -> None:
        """Files that these patterns cover (`secrets.tenant_references`) are read where the patterns say, or not."""
        if tuple(patterns) != tuple(self._of_tenants):
            self._of_tenants = patterns
            for held in self.held():
                held.stamp = None  # looked at anew, whatever was read before

    def resolve(self, reference: str) -> str:
        """The secret's value; of a file, without the line break at its end.

        Raises:
            SecretMissing: there is none, or not yet. SecretUnavailable: its backend has been away for too long.
            SecretRevoked: the value was revoked.
            ConfigError: the reference is none, or the file cannot be read as text.
        """
        held = self._held.get(reference) or self._hold(reference)
        found = self._now(held)
        if found.value in self._revoked:
            raise SecretRevoked(
                f"the credential `{reference}` with the fingerprint {self.fingerprint(found.value)} was revoked.",
                remedy="Put a new one where the reference leads to; `golive secrets status` shows what is used.",
                key="", value=reference, origin=reference,
            )  # fmt: skip
        held.used_at = self._clock.now()
        return found.value

    def pepper(self, reference: str, chance: Chance) -> bytes:
        """The pepper of API keys; a `file:` that does not exist is created, with mode 0600 and 32 random bytes in hex.

        Unlike other secret files (which orchestrators mount with modes of their own), one that others can read is
        refused: golive itself wrote it for nobody else, and with it whoever can write to the store can forge keys.
        Fingerprints are made with it from now on.

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
            raise ConfigError(message, remedy=remedy, **where(parse(reference)))
        self._key = value
        self._known = {each: self._mac(each) for each in self._known}
        self._mark()
        return value

    def known(self) -> frozenset[str]:
        """Every value resolved so far, for redaction."""
        return frozenset(self._known)

    def held(self) -> list[Held]:
        """What is held of every reference asked for so far."""
        return list(self._held.values())

    def state(self, held: Held) -> State:
        """How good its value is now."""
        if held.found is not None and held.found.value in self._revoked:
            return "revoked"
        if not held.reference.remote:
            return "fresh" if held.found is not None else "never"
        return held.state(self._clock.monotonic(), self.ttl_s, self.stale_s)

    # ---- over the network --------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """From now on `resolve` waits for no network: somebody calls `fetch` for what is `due`."""
        self._following = True

    def want(self, references: Iterable[str]) -> None:
        """These will be asked for: those of the network are `due`.

        Raises:
            ConfigError: one is no reference; the others are asked for all the same.
        """
        wrong: ConfigError | None = None
        for reference in references:
            try:
                self._held.get(reference) or self._hold(reference)
            except ConfigError as error:
                wrong = wrong or error
        if wrong is not None:
            raise wrong

    def due(self) -> list[Held]:
        """What is to be fetched now."""
        now = self._clock.monotonic()
        return [held for held in self.held() if held.reference.remote and held.due(now, self.ttl_s)]

    def fetch(self, held: Held) -> bool:
        """Fetches one anew; blocks, may be called in any thread. Whether another value than before came.

        Raises:
            GoliveError: as `Backend.fetch`; the value there is stays.
        """
        held.fetching = True
        try:
            found = self._backend(held.reference).fetch(held.reference)
        except GoliveError as error:
            held.failed(error, self._clock.monotonic())
            raise
        finally:
            held.fetching = False
        self._learn(found.value)
        return held.took(found, self._clock.monotonic(), self._clock.now())

    def anew(self, reference: str) -> bool:
        """Asks the backend at once, also before the time is over; blocks. Whether another value than before came.

        Raises:
            GoliveError: as `fetch` and `resolve`.
        """
        held = self._held.get(reference) or self._hold(reference)
        if held.reference.remote:
            return self.fetch(held)
        before = held.found
        found = self._now(held)
        return before is not None and before.value != found.value

    def rotate(self, reference: str, value: str | None) -> str:
        """Puts `value` where the reference leads to; None: has the backend make one. Says what was done; blocks.

        Raises:
            InvalidRequest: this kind cannot; the remedy says what to do instead.
            GoliveError: as `fetch`.
        """
        held = self._held.get(reference) or self._hold(reference)
        parsed = held.reference
        if value is not None:
            self._learn(value)
        if parsed.remote:
            return self._backend(parsed).rotate(parsed, value)
        if parsed.kind == "file" and value is not None:
            return local.replace_file(parsed, self._root / parsed.name, value)
        remedy = {
            "env": f"Set {parsed.name} where the server is started from, and restart it server by server; or use "
            "`file:`, which is read again when it changes.",
            "file": "Make a new credential at its vendor, and give it with `--value env:NAME` or `--value file:PATH`; "
            "or replace the file yourself.",
        }[parsed.kind]
        raise InvalidRequest(
            f"`{reference}` cannot be rotated from here: golive makes no credential of somebody else's.",
            remedy=remedy, field="reference", value=reference,
        )  # fmt: skip

    # ---- fingerprints and revocation ---------------------------------------------------------------------------------

    def fingerprint(self, value: str, chars: int = FINGERPRINT_CHARS) -> str:
        """The beginning of an HMAC of the value under the pepper, in hex; "" before there is one."""
        return (self._known.get(value) or self._mac(value))[:chars]

    def fingerprints(self) -> list[str]:
        """The whole fingerprints of every value so far."""
        return [mac for mac in self._known.values() if mac]

    def revoke(self, fingerprints: Collection[str]) -> frozenset[str]:
        """Sets what is revoked, by fingerprints of eight characters and more; returns the values newly among them."""
        before = self._revoked
        self._revocations = tuple(fingerprints)
        self._mark()
        return self._revoked - before

    def _mark(self) -> None:
        revoked = self._revocations
        self._revoked = frozenset(
            value for value, mac in list(self._known.items()) if mac and mac.startswith(revoked) and revoked
        )

    def _mac(self, value: str) -> str:
        return "" if self._key is None else hmac.digest(self._key, _PURPOSE + value.encode(), "sha256").hex()

    def _learn(self, value: str) -> None:
        if value not in self._known:
            self._known = {**self._known, value: self._mac(value)}
            if self._revocations:
                self._mark()

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _hold(self, reference: str) -> Held:
        return self._held.setdefault(reference, Held(parse(reference)))

    def _now(self, held: Held) -> Found:
        """The value as things stand; of a variable or a file, as it is this moment."""
        reference = held.reference
        if reference.remote:
            return self._from_memory(held)
        if reference.kind == "env":
            found, stamp = local.from_environment(reference, self._environ), None
        else:
            path = self._root / reference.name
            stamp = local.stamp_of(path)
            if stamp is not None and stamp == held.stamp and held.found is not None:
                return held.found
            found = local.from_file(reference, contained(self._of_tenants, self._root, reference))
            if stamp is not None:
                self._tell_open_file(reference.text, path, stamp[-1])
        if held.found is None or held.found.value != found.value or stamp != held.stamp:
            self._learn(found.value)
            held.took(found, self._clock.monotonic(), self._clock.now())
            held.stamp = stamp
        return held.found or found

    def _from_memory(self, held: Held) -> Found:
        found = held.found
        if found is None:
            if self._following:
                raise held.error or SecretMissing(
                    f"the secret `{held.reference.text}` has not been fetched yet.", remedy="Try again in a moment.",
                    **where(held.reference),
                )  # fmt: skip
            self.fetch(held)
            assert held.found is not None
            return held.found
        if held.state(self._clock.monotonic(), self.ttl_s, self.stale_s) == "lost":
            raise held.why_lost(self.stale_s)
        return found

    def _backend(self, reference: Reference) -> Backend:
        made = self._backends.get(reference.kind)
        if made is None:
            if reference.kind == "aws-sm":
                from golive.config.secret_backends.aws import AwsBackend

                made = AwsBackend(self.aws)
            else:
                from golive.config.secret_backends.vault import VaultBackend

                made = VaultBackend(self._vault, self._login_secret)
            self._backends[reference.kind] = made
        return made

    def _login_secret(self, reference: str) -> str:
        return self.resolve(reference)

    # ---- the pepper's file -------------------------------------------------------------------------------------------

    def _tell_open_file(self, reference: str, path: Path, mode: int) -> None:
        """No error: orchestrators mount secrets with modes of their own."""
        if mode & 0o077 and reference not in self._warned:
            self._warned.add(reference)
            self._warn(
                "secret.readable_by_others", reference=reference, file=str(path), mode=f"{mode:04o}",
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
            raise ConfigError(message, remedy=remedy, **where(parse(reference))) from None

    def _refuse_open_file(self, reference: str, path: Path) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            message = f"the pepper `{reference}` is a folder, not a file: {path}."
            raise ConfigError(message, remedy="Name the file in it.", **where(parse(reference)))
        if mode & 0o077:
            message = f"the pepper `{reference}` can be read by others (mode {mode:04o})."
            remedy = f"Run `chmod 600 {path}`; where a mount decides the mode, set secrets.pepper to `env:NAME`."
            raise ConfigError(message, remedy=remedy, **where(parse(reference)))
