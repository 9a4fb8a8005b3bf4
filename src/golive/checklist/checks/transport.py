"""Is what is on the wire encrypted as it should be, and does it stay so when the certificate changes?"""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from golive.checklist import tls_probe
from golive.checklist.certificate import DrillPair, make_pair, trusting
from golive.checklist.drill import noted
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.server_process import ServerProcess
from golive.checklist.target import Target
from golive.core.tasks import Tasks

CLIENTS = 8
"""Half of them keep their connection, the other half open one for each request."""
BEFORE = 40
"""Requests that are answered before the certificate is changed, and again after it."""
RELOAD_S = 15.0
_ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class _Stage(NamedTuple):
    target: Target
    server: ServerProcess
    pair: DrillPair
    port: int


@check(
    "GW-11.tls",
    row="GW-11",
    title="TLS 1.3 and nothing weak; a new certificate counts without a restart and without a broken request",
    phase="security",
    severity="blocker",
    needs={"process", "golive"},
    remediation="Set server.tls.cert and server.tls.key; leave server.tls.min_version at 1.3; let a proxy before "
    "golive speak nothing older.",
    references=("https://www.rfc-editor.org/rfc/rfc9325", "https://www.rfc-editor.org/rfc/rfc8446"),
    timeout_s=120.0,
)
async def transport(target: Target) -> Result:
    """A server beside the twin, with a certificate of the drill's own; asked with ClientHellos written by hand."""
    oldest = target.twin.loaded.config.server.tls.min_version
    found = Finding(f"TLS {oldest} and above, 0 weak ciphers, a new certificate in {RELOAD_S:g} s, 0 broken requests")
    async with _served(target) as stage:
        wrong = [*await _versions(stage, found, oldest), *await _ciphers(stage, found)]
        wrong += await _renewed(stage, found)
        wrong += await _refused(stage, found)
    if wrong:
        return found.failed("; ".join(wrong))
    return found.passed("where [server.tls] is not set, a proxy before golive must do the same")


@asynccontextmanager
async def _served(target: Target) -> AsyncIterator[_Stage]:
    folder = target.twin.folder / "tls"
    folder.mkdir(exist_ok=True)
    pair = make_pair(folder, "first", target.clock.now())
    server = target.twin.process.beside(folder, {"GOLIVE_STORE__URL": f"sqlite:{folder / 'tls.db'}", **pair.settings()})
    try:
        url = await server.start()
        yield _Stage(target, server, pair, urlsplit(url).port or 0)
    finally:
        await server.stop()


async def _versions(stage: _Stage, found: Finding, oldest: str) -> list[str]:
    """Which versions are spoken."""
    told: list[str] = []
    wrong: list[str] = []
    for name, number in tls_probe.VERSIONS.items():
        offered = [*tls_probe.MODERN, *(cipher for kind in tls_probe.WEAK.values() for cipher in kind)]
        agreed = await tls_probe.ask("127.0.0.1", stage.port, number, offered)
        told.append(f"{name}: {'spoken' if agreed else 'refused'}")
        if agreed and name != f"TLS {oldest}":
            wrong.append(f"{name} is spoken")
    version, cipher, _ = await _shake(stage.port, trusting(stage.pair))
    told.append(f"TLS 1.3: {version} with {cipher}")
    if version != "TLSv1.3":
        wrong.append(f"TLS 1.3 is not spoken, but {version}")
    with contextlib.suppress(ConnectionError, TimeoutError):
        if (plain := await _plain(stage.port)).startswith(b"HTTP/"):
            wrong.append(f"plain HTTP is answered on the same port: {plain[:40]!r}")
    found.measured = ", ".join(told)
    found.saw(noted(stage.target.twin, "ClientHellos of each version", "\n".join(told)))
    return wrong


async def _plain(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_ASK)
        async with asyncio.timeout(tls_probe.WAIT_S):
            return await reader.read(64)
    finally:
        writer.close()


async def _ciphers(stage: _Stage, found: Finding) -> list[str]:
    """Which weak ciphers are agreed to, each kind offered alone."""
    told, wrong = [], []
    for kind, ciphers in tls_probe.WEAK.items():
        agreed = await tls_probe.ask("127.0.0.1", stage.port, tls_probe.VERSIONS["TLS 1.2"], ciphers)
        told.append(f"{kind}: {f'agreed to 0x{agreed.cipher:04x}' if agreed else 'refused'}")
        if agreed:
            wrong.append(f"a weak cipher is agreed to ({kind}, 0x{agreed.cipher:04x})")
    found.measured += f"; {len(wrong)} of {len(tls_probe.WEAK)} weak kinds of cipher agreed to"
    found.saw(noted(stage.target.twin, "ClientHellos that offer weak ciphers alone", "\n".join(told)))
    return wrong


async def _shake(port: int, context: ssl.SSLContext) -> tuple[str, str, int]:
    """A handshake: version, cipher, serial number of the certificate that was shown."""
    from cryptography import x509

    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = shown.getpeercert(binary_form=True) or b""
        cipher = shown.cipher() or ("", "", 0)
        return shown.version() or "", cipher[0], x509.load_der_x509_certificate(der).serial_number
    finally:
        writer.close()


class _Load:
    """Clients that ask on, and what became of their requests."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context
        self.answered = 0
        self.broken: list[str] = []
        self.over = False

    async def ask_on(self, kept: bool) -> None:
        """One client, until it is over; `kept`: on one connection."""
        held: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.over:
            try:
                reader, writer = held or await asyncio.open_connection(
                    "127.0.0.1", self._port, ssl=self._context, server_hostname="localhost"
                )
                held = (reader, writer) if kept else None
                writer.write(_ASK)
                head = await reader.readuntil(b"}")
                if not head.startswith(b"HTTP/1.1 200"):
                    self.broken.append(repr(head[:40]))
                self.answered += 1
                if not kept:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError) as error:
                held = None
                self.broken.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0)
        if held is not None:
            held[1].close()


async def _renewed(stage: _Stage, found: Finding) -> list[str]:
    """The files are replaced and SIGHUP sent, while clients ask."""
    other = make_pair(stage.pair.cert.parent, "second", stage.target.clock.now())
    both = trusting(stage.pair)
    both.load_verify_locations(other.cert)
    load = _Load(stage.port, both)
    clock = stage.target.clock
    serial = stage.pair.serial
    async with Tasks("clients") as clients:
        for number in range(CLIENTS):
            clients.start(load.ask_on(number % 2 == 0), f"client {number}")
        await _until(lambda: load.answered >= BEFORE or len(load.broken) > BEFORE)
        os.replace(other.key, stage.pair.key)
        os.replace(other.cert, stage.pair.cert)
        os.kill(stage.server.pid, signal.SIGHUP)
        began = clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELOAD_S):
                while (serial := (await _shake(stage.port, both))[2]) != other.serial:  # noqa: ASYNC110 - its, not ours
                    await asyncio.sleep(0.05)
        took_s = clock.monotonic() - began
        then = load.answered
        await _until(lambda: load.answered >= then + BEFORE or len(load.broken) > BEFORE)
        load.over = True
    found.measured += (
        f"; after the files were replaced, the new certificate counted after {took_s:.1f} s, and {len(load.broken)} of "
        f"{load.answered + len(load.broken)} requests broke"
    )
    found.saw(noted(stage.target.twin, "cp new.crt new.key …; kill -HUP", found.measured))
    if serial != other.serial:
        return [f"{RELOAD_S:g} s after the files were replaced, the old certificate was still shown"]
    return [f"{len(load.broken)} requests broke while the certificate changed: {load.broken[0]}"] if load.broken else []


async def _until(done: Callable[[], bool]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELOAD_S):
            while not done():  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.01)


async def _refused(stage: _Stage, found: Finding) -> list[str]:
    """A certificate that is no certificate: the one before it stays."""
    second = stage.pair.cert.read_text()
    context = ssl.create_default_context(cadata=second)
    stage.pair.cert.write_text("-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n")
    os.kill(stage.server.pid, signal.SIGHUP)
    await _until(lambda: "tls.reload_refused" in stage.server.log())
    said = "tls.reload_refused" in stage.server.log()
    try:
        await _shake(stage.port, context)
    except (ssl.SSLError, OSError) as error:
        return [f"after a damaged file nobody could connect any more: {error}"]
    found.saw(noted(stage.target.twin, "a damaged certificate and kill -HUP", f"refused in the log: {said}; served on"))
    return [] if said else ["a damaged certificate was not told in the log"]
