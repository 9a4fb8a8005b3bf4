"""TLS of the listening socket: which versions and ciphers, the pair of certificate and key, and changing it under way.

Owns reading and judging the files, the context that connections are made by, and watching the files. A connection keeps
what it was made with; the next one gets the new pair. Leaves the socket to `listen.py`.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from golive.config.transport import TlsConfig
from golive.core.clock import Clock
from golive.core.errors import ConfigError
from golive.gateway.certificates import Pair, Paths, read_pair
from golive.telemetry.edge import EdgeMetrics
from golive.telemetry.logs import Log

WATCH_S = 1.0
"""How often the files are looked at."""
WARN_S = 30 * 86_400.0
"""So long before a certificate ends the log warns, once a day."""
DAY_S = 86_400.0
CIPHERS_OF_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2 only what keeps past traffic secret if the key is lost, and authenticates what it encrypts."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Signature = tuple[tuple[int, int, int] | None, ...]


class Shown(Struct, frozen=True):
    """What may be told of the pair in use. Times are seconds since the epoch."""

    subject: str
    names: tuple[str, ...]
    expires_at: float
    sha256: str


def certificates_of(
    config: TlsConfig, root: Path, *, resolve: Callable[[str], str], clock: Clock, log: Log, metrics: EdgeMetrics
) -> "Certificates | None":
    """What [server.tls] asks for; None where it asks for nothing.

    Args:
        root: what paths are relative to.
        resolve: a secret by its reference.

    Raises:
        ConfigError: it cannot be used; says which setting, and what to do.
    """
    reference = config.key_password
    if not (config.cert or config.key or config.client_ca or reference):
        return None
    found = Certificates(
        config, root, password=lambda: None if reference is None else resolve(reference), clock=clock, log=log,
        told=metrics.reloaded,
    )  # fmt: skip
    metrics.follow_certificate(found.expires_in_s)
    return found


class Certificates:
    """The pair in use. `context` is what the socket is served with, for as long as it is served."""

    def __init__(
        self,
        config: TlsConfig,
        root: Path,
        *,
        password: Callable[[], str | None],
        clock: Clock,
        log: Log,
        told: Callable[[str], None] = lambda result: None,
    ) -> None:
        """Reads the files.

        Args:
            root: what the paths are relative to.
            password: gives the key's password, or None; asked at each reading.
            told: is told `ok` or `refused` of each later reading.

        Raises:
            ConfigError: they cannot be used; says which, and what to do.
        """
        self._config = config
        self._paths = Paths.of(config, root)
        self._password = password
        self._clock = clock
        self._log = log
        self._told = told
        self._lock = asyncio.Lock()
        self._read_at = self._signature()
        self._warned_at: float | None = None
        pair = self._read()
        self.shown = _shown(pair)
        self.context = self._current = self._context(pair)
        # Before a certificate is chosen: of a connection that begins, everything that can be changed is changed.
        self.context.sni_callback = self._choose
        self._warn()

    def expires_in_s(self) -> float:
        """Seconds until the certificate in use ends; negative once it has."""
        return self.shown.expires_at - self._clock.now()

    async def reload(self) -> bool:
        """Reads the files again, for the connections to come. What cannot be used is told in the log and changes
        nothing; returns whether the new pair counts."""
        async with self._lock:
            self._read_at = self._signature()
            try:
                pair = await asyncio.to_thread(self._read)
                context = self._context(pair)
            except ConfigError as error:
                self._log.error(
                    "tls.reload_refused", message=error.message, remedy=error.remedy, key=error.fields.get("key"),
                    in_use=self.shown.sha256, expires_in_s=round(self.expires_in_s()),
                )  # fmt: skip
                self._told("refused")
                return False
            self._current, self.shown, self._warned_at = context, _shown(pair), None
            self._log.info(
                "tls.reloaded", subject=self.shown.subject, names=list(self.shown.names), sha256=self.shown.sha256,
                expires_in_s=round(self.expires_in_s()),
            )  # fmt: skip
            self._told("ok")
            self._warn()
            return True

    async def keep(self) -> None:
        """Follows the files for ever: a change is read once it has stood still for `WATCH_S`."""
        before = self._read_at
        while True:
            await asyncio.sleep(WATCH_S)
            now = self._signature()
            if now != self._read_at and now == before:
                await self.reload()
            before = now
            self._warn()

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called by OpenSSL with each ClientHello, also one that names no server."""
        if self._current is not self.context:
            connection.context = self._current

    def _read(self) -> Pair:
        return read_pair(self._paths, self._password(), self._clock.now())

    def _context(self, pair: Pair) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self._config.min_version]
        context.set_ciphers(CIPHERS_OF_1_2)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            # A password is always given: without one OpenSSL would ask for it on the terminal.
            context.load_cert_chain(self._paths.cert, self._paths.key, password=lambda: pair.password or "")
            if pair.client_ca is not None:
                context.verify_mode = (
                    ssl.CERT_REQUIRED if self._config.client_certs == "required" else ssl.CERT_OPTIONAL
                )
                context.load_verify_locations(cadata=pair.client_ca)
                # A session that is resumed shows no certificate: whoever was let in once would stay let in.
                context.num_tickets = 0
                context.options |= ssl.OP_NO_TICKET
        except (ssl.SSLError, OSError) as error:
            words = getattr(error, "reason", None) or error.strerror or str(error)
            raise ConfigError(
                f"server.tls.cert and server.tls.key cannot be used together: {words}.",
                remedy="Were they replaced just now, one before the other? Then both are read again in a moment.",
                key="server.tls.cert",
                value=str(self._paths.cert),
            ) from None
        return context

    def _signature(self) -> Signature:
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths.all():
            try:
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError:
                found.append(None)
        return tuple(found)

    def _warn(self) -> None:
        left_s = self.expires_in_s()
        now = self._clock.monotonic()
        if left_s > WARN_S or (self._warned_at is not None and now - self._warned_at < DAY_S):
            return
        self._warned_at = now
        self._log.warning(
            "tls.expires_soon", subject=self.shown.subject, sha256=self.shown.sha256, expires_in_s=round(left_s),
            days=int(left_s // DAY_S), remedy="Replace the files; they are read again by themselves, or on SIGHUP.",
        )  # fmt: skip


def _shown(pair: Pair) -> Shown:
    return Shown(pair.subject, pair.names, pair.expires_at, pair.sha256)
