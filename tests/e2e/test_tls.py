"""TLS by golive itself: versions, ciphers, wrong files, clients' certificates, a change of certificate under way."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from cryptography import x509

from golive.checklist.certificate import DrillPair, make_pair, trusting
from golive.config.schema import ServerConfig
from golive.config.transport import TlsConfig
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError
from golive.gateway import tls
from golive.gateway.listen import HttpServer, bind
from golive.gateway.tls import Certificates, certificates_of
from golive.telemetry.edge import EdgeMetrics
from golive.telemetry.logs import configure

CLOCK = SystemClock()
DAY_S = 86_400.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `ok`; on /slow in two parts, the second when `finish` is set."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"o", "more_body": True})
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.body", "body": b"k"})


class Served:
    """A server over TLS, and its log."""

    def __init__(self, folder: Path, config: TlsConfig) -> None:
        self._file = (folder / "log").open("w+")
        self.told: list[str] = []
        self.certificates = Certificates(
            config, folder, password=lambda: "secret", clock=CLOCK, log=configure("info", "json", None, self._file),
            told=self.told.append,
        )  # fmt: skip
        self.http = HttpServer(app, bind("127.0.0.1", 0), ServerConfig(tls=config), certificates=self.certificates)
        self.port = int(self.http.url.rpartition(":")[2])

    def log(self) -> list[dict[str, Any]]:
        self._file.flush()
        self._file.seek(0)
        return [msgspec.json.decode(line) for line in self._file.read().splitlines()]


@asynccontextmanager
async def served(folder: Path, pair: DrillPair, **settings: Any) -> AsyncIterator[Served]:
    config = TlsConfig(cert=str(pair.cert), key=str(pair.key), **settings)
    server = Served(folder, config)
    await server.http.start()
    try:
        yield server
    finally:
        await server.http.stop()


@pytest.fixture
def pair(tmp_path: Path) -> DrillPair:
    return make_pair(tmp_path, "one", CLOCK.now())


def handshake(port: int, context: ssl.SSLContext, name: str | None = "localhost") -> tuple[str, str, int, str | None]:
    """What was agreed on: version, cipher, the certificate's serial number, ALPN. Blocks."""
    context.check_hostname = name is not None
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(65_536):  # with TLS 1.3 a missing certificate is told here
            answer += data
        if not answer:
            raise ConnectionResetError
        assert answer.startswith(b"HTTP/1.1 200 ")
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        cipher = connection.cipher()
        assert cipher is not None
        return (
            connection.version() or "", cipher[0], x509.load_der_x509_certificate(der).serial_number,
            connection.selected_alpn_protocol(),
        )  # fmt: skip


async def agreed(server: Served, context: ssl.SSLContext, name: str | None = "localhost") -> tuple[str, str, int, Any]:
    return await asyncio.to_thread(handshake, server.port, context, name)


async def test_tls_1_3_is_spoken_and_nothing_older(tmp_path: Path, pair: DrillPair) -> None:
    """By default 1.3 with ALPN http/1.1, plain HTTP gets no answer, and 1.0, 1.1 and 1.2 are refused."""
    async with served(tmp_path, pair) as server:
        context = trusting(pair)
        context.set_alpn_protocols(["h2", "http/1.1"])
        version, cipher, serial, alpn = await agreed(server, context)
        assert (version, serial, alpn) == ("TLSv1.3", pair.serial, "http/1.1")
        assert cipher in ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
        for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2):
            with pytest.raises((ssl.SSLError, OSError)):
                await agreed(server, trusting(pair, oldest=old))
        assert server.http.url == f"https://127.0.0.1:{server.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in await reader.read()
        writer.close()


async def test_tls_1_2_is_spoken_when_asked_for_with_modern_ciphers_only(tmp_path: Path, pair: DrillPair) -> None:
    """With min_version 1.2 each cipher of OpenSSL is tried: only ECDHE with AEAD is agreed on, and 1.1 is refused."""
    async with served(tmp_path, pair, min_version="1.2") as server:
        everything = trusting(pair, oldest=ssl.TLSVersion.TLSv1_2)
        taken = set()
        for name in {found["name"] for found in everything.get_ciphers() if found["protocol"] != "TLSv1.3"}:
            one = trusting(pair, oldest=ssl.TLSVersion.TLSv1_2)
            one.set_ciphers(f"{name}:@SECLEVEL=0")
            try:
                taken.add((await agreed(server, one))[1])
            except (ssl.SSLError, OSError):
                continue
        assert taken == {
            "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        }  # fmt: skip
        with pytest.raises((ssl.SSLError, OSError)):
            await agreed(server, trusting(pair, oldest=ssl.TLSVersion.TLSv1_1))
        assert (await agreed(server, trusting(pair)))[0] == "TLSv1.3"


async def test_a_new_pair_counts_for_new_connections_and_open_ones_go_on(tmp_path: Path, pair: DrillPair) -> None:
    """After a reload new clients see the new one, with or without a server name; an answer under way ends whole."""
    other = make_pair(tmp_path, "two", CLOCK.now())
    async with served(tmp_path, pair) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=trusting(pair), server_hostname="localhost"
        )
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        shutil.copy(other.cert, pair.cert)
        shutil.copy(other.key, pair.key)
        assert await server.certificates.reload()
        assert (await agreed(server, trusting(other)))[2] == other.serial
        assert (await agreed(server, trusting(other), None))[2] == other.serial
        assert await reader.readexactly(2) == b"ok"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert [line["event"] for line in server.log()] == ["tls.expires_soon", "tls.reloaded", "tls.expires_soon"]
    assert server.told == ["ok"]


async def test_files_that_change_are_read_by_themselves(
    tmp_path: Path, pair: DrillPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to say so: the server sees the change, and reads it once both files stand still."""
    monkeypatch.setattr(tls, "WATCH_S", 0.02)
    other = make_pair(tmp_path, "two", CLOCK.now(), life_s=90 * DAY_S)
    async with served(tmp_path, pair) as server:
        os.replace(other.cert, pair.cert)
        os.replace(other.key, pair.key)
        async with asyncio.timeout(30):
            while server.told != ["ok"]:
                await asyncio.sleep(0.01)
        assert (await agreed(server, trusting(pair)))[2] == other.serial
        assert server.certificates.expires_in_s() == pytest.approx(90 * DAY_S, abs=60)


async def test_a_pair_that_cannot_be_used_changes_nothing(tmp_path: Path, pair: DrillPair) -> None:
    """A certificate without its key, a file cut short, one that is gone: told in the log, and the old one serves."""
    other = make_pair(tmp_path, "two", CLOCK.now())
    whole = pair.cert.read_bytes()
    async with served(tmp_path, pair) as server:
        for damage in (
            lambda: shutil.copy(other.cert, pair.cert), lambda: pair.cert.write_bytes(whole[:200]), pair.cert.unlink
        ):  # fmt: skip
            damage()
            assert not await server.certificates.reload()
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(cadata=whole.decode())
        assert (await agreed(server, client))[2] == pair.serial
    refused = [line for line in server.log() if line["event"] == "tls.reload_refused"]
    assert [line["level"] for line in refused] == ["error"] * 3
    assert "is not the key of the certificate" in refused[0]["message"]
    assert "holds no certificate" in refused[1]["message"]
    assert "No such file" in refused[2]["message"]
    assert server.told == ["refused"] * 3


async def test_clients_show_a_certificate_where_one_is_asked_for(tmp_path: Path, pair: DrillPair) -> None:
    """With client_ca nobody comes in without a certificate of that authority; `optional` lets those without one in."""
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "clients.pem")

    def client(authority: trustme.CA | None) -> ssl.SSLContext:
        context = trusting(pair)
        if authority is not None:
            authority.issue_cert("client@example.com").configure_cert(context)
        return context

    async with served(tmp_path, pair, client_ca="clients.pem") as server:
        assert (await agreed(server, client(ours)))[0] == "TLSv1.3"
        for wrong in (None, theirs):
            with pytest.raises((ssl.SSLError, OSError)):
                await agreed(server, client(wrong))
    async with served(tmp_path, pair, client_ca="clients.pem", client_certs="optional") as server:
        assert (await agreed(server, client(ours)))[0] == "TLSv1.3"
        assert (await agreed(server, client(None)))[0] == "TLSv1.3"
        with pytest.raises((ssl.SSLError, OSError)):
            await agreed(server, client(theirs))


async def test_an_authority_that_is_taken_away_lets_nobody_in_any_more(tmp_path: Path, pair: DrillPair) -> None:
    """After a reload clients of the old authority are refused, also one that has spoken to the server before."""
    old, new = trustme.CA(), trustme.CA()
    old.cert_pem.write_to_path(tmp_path / "clients.pem")
    context = trusting(pair)
    old.issue_cert("client@example.com").configure_cert(context)
    async with served(tmp_path, pair, client_ca="clients.pem") as server:
        await agreed(server, context)
        new.cert_pem.write_to_path(tmp_path / "clients.pem")
        assert await server.certificates.reload()
        with pytest.raises((ssl.SSLError, OSError)):
            await agreed(server, context)


def refusal(folder: Path, **settings: Any) -> ConfigError:
    """Why these settings cannot be used."""
    password = settings.pop("password", None)
    with pytest.raises(ConfigError) as refused:
        certificates_of(
            TlsConfig(**settings, key_password=None if password is None else "env:PASSWORD"), folder,
            resolve=lambda _: str(password), clock=CLOCK, log=configure("error", "json", None), metrics=EdgeMetrics(),
        )  # fmt: skip
    return refused.value


def test_wrong_files_are_told_by_setting_and_remedy(tmp_path: Path, pair: DrillPair) -> None:
    """Each wrong file is named with what is wrong about it; nobody is asked for a password on a terminal."""
    from cryptography.hazmat.primitives import serialization as form

    other = make_pair(tmp_path, "two", CLOCK.now())
    over = make_pair(tmp_path, "over", CLOCK.now() - 7 * DAY_S)
    early = make_pair(tmp_path, "early", CLOCK.now() + 7 * DAY_S)
    secret = form.load_pem_private_key(pair.key.read_bytes(), None).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"right")
    )
    (tmp_path / "locked.key").write_bytes(secret)
    (tmp_path / "chain.crt").write_bytes(other.cert.read_bytes() + pair.cert.read_bytes())
    (tmp_path / "binary").write_bytes(b"\x30\x82\x01")
    cert, key = {"cert": "one.crt"}, {"key": "one.key"}
    cases: list[tuple[dict[str, Any], str, str]] = [
        (cert, "server.tls.key", "server.tls.key is not set"),
        (key, "server.tls.cert", "server.tls.cert is not set"),
        ({"client_ca": "one.crt"}, "server.tls.cert", "server.tls.cert is not set"),
        ({"cert": "none.crt", **key}, "server.tls.cert", "No such file"),
        ({"cert": ".", **key}, "server.tls.cert", "Is a directory"),
        ({"cert": "binary", **key}, "server.tls.cert", "is no PEM file"),
        ({"cert": "one.key", **key}, "server.tls.cert", "holds no certificate"),
        ({**cert, "key": "one.crt"}, "server.tls.key", "holds no private key"),
        ({**cert, "key": "two.key"}, "server.tls.key", "is not the key of the certificate"),
        ({"cert": "chain.crt", **key}, "server.tls.key", "is not the key of the certificate"),
        ({"cert": "over.crt", "key": "over.key"}, "server.tls.cert", "has expired"),
        ({"cert": "early.crt", "key": "early.key"}, "server.tls.cert", "is not valid before"),
        ({**cert, "key": "locked.key"}, "server.tls.key_password", "is encrypted"),
        ({**cert, "key": "locked.key", "password": "wrong"}, "server.tls.key_password", "cannot be decrypted"),
        ({**cert, **key, "client_ca": "one.key"}, "server.tls.client_ca", "holds no certificate"),
    ]  # fmt: skip
    assert over.serial != early.serial
    for settings, setting, words in cases:
        error = refusal(tmp_path, **settings)
        assert error.fields["key"] == setting, settings
        assert words in error.message, settings
        assert error.remedy, settings
    assert "first" in refusal(tmp_path, cert="chain.crt", key="one.key").remedy
    assert certificates_of(
        TlsConfig(cert="one.crt", key="locked.key", key_password="env:P"), tmp_path, resolve=lambda _: "right",
        clock=CLOCK, log=configure("error", "json", None), metrics=EdgeMetrics(),
    )  # fmt: skip


async def test_the_metrics_tell_how_long_the_certificate_lasts(tmp_path: Path) -> None:
    """`golive_tls_expires_seconds` is there where there is a certificate, and only there."""
    from prometheus_client import CollectorRegistry, generate_latest

    make_pair(tmp_path, "long", CLOCK.now(), life_s=60 * DAY_S)
    edge, registry = EdgeMetrics(), CollectorRegistry()
    certificates_of(
        TlsConfig(cert="long.crt", key="long.key"), tmp_path, resolve=str, clock=CLOCK,
        log=configure("error", "json", None), metrics=edge,
    )  # fmt: skip
    edge.join(registry)
    lines = dict(line.split() for line in generate_latest(registry).decode().splitlines() if line[0] != "#")
    assert float(lines["golive_tls_expires_seconds"]) == pytest.approx(60 * DAY_S, abs=60)
    plain, other = EdgeMetrics(), CollectorRegistry()
    plain.join(other)
    assert b"golive_tls" not in generate_latest(other)


async def test_a_handshake_that_never_ends_is_closed(tmp_path: Path, pair: DrillPair) -> None:
    """Who connects and says nothing, or half a ClientHello, is gone after header_s."""
    config = TlsConfig(cert=str(pair.cert), key=str(pair.key))
    certificates = Certificates(
        config, tmp_path, password=lambda: None, clock=CLOCK, log=configure("error", "json", None)
    )
    settings = ServerConfig.model_validate({"limits": {"header_s": 0.2}})
    http = HttpServer(app, bind("127.0.0.1", 0), settings, certificates=certificates)
    await http.start()
    try:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01\x00"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(http.url.rpartition(":")[2]))
            writer.write(said)
            async with asyncio.timeout(20):
                assert await reader.read() == b""
            writer.close()
    finally:
        await http.stop()
