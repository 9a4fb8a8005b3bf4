"""TLS to PostgreSQL that does not come about: the error names the parameter and what to do, and blames no network."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from golive.core.errors import StoreError, StoreUnavailable
from golive.store.opening import passes
from golive.store.postgres.connection import Address, connect


@pytest.fixture(autouse=True)
def nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the certificates of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)


async def refusal(port: int, query: str) -> StoreUnavailable:
    with pytest.raises(StoreError) as caught:
        await connect(Address(f"postgresql://golive@localhost:{port}/golive?{query}"), None)
    assert isinstance(caught.value, StoreUnavailable)
    assert "can be reached" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
async def test_without_a_root_certificate_the_parameter_is_named(mode: str) -> None:
    """Where it was looked for too; no waiting mends that."""
    error = await refusal(1, f"sslmode={mode}")
    assert error.fields["cause"] == f"sslmode={mode} needs a root certificate, and sslrootcert names none"
    assert "sslrootcert=FILE to store.url" in error.remedy
    assert "~/.postgresql/root.crt" in error.remedy
    assert not passes(error)


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslcrl"])
async def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """With its parameter."""
    missing = tmp_path / "missing.pem"
    query = f"sslmode=verify-full&{name}={missing}"
    if name != "sslrootcert":
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        query += f"&sslrootcert={tmp_path / 'ca.pem'}"
    error = await refusal(1, query)
    assert error.fields["cause"] == f"{name}={missing} cannot be read (No such file or directory)"
    assert name in error.remedy
    assert not passes(error)


async def test_a_root_certificate_from_the_environment_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGSSLROOTCERT counts where the URL says nothing."""
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "missing.pem"))
    error = await refusal(1, "sslmode=verify-full")
    assert error.fields["cause"].startswith(f"PGSSLROOTCERT={tmp_path / 'missing.pem'} cannot be read")


async def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    """It can be read, and holds something else."""
    (tmp_path / "ca.pem").write_text("golive\n")
    error = await refusal(1, f"sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}")
    assert error.fields["cause"] == f"sslrootcert={tmp_path / 'ca.pem'} holds no certificate in PEM"


async def test_an_unknown_mode_is_named() -> None:
    """In the driver's words, with the modes that there are."""
    error = await refusal(1, "sslmode=strict")
    assert "sslmode" in error.fields["cause"]
    assert "store.url" in error.remedy


@asynccontextmanager
async def postgres_with(certificate: trustme.LeafCert | None) -> AsyncIterator[int]:
    """The port of something that answers PostgreSQL's question for TLS as a server with that certificate; None: no."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N" if certificate is None else b"S")
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            try:
                await writer.start_tls(context)
            except (OSError, ssl.SSLError):
                return
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_of_another_authority_is_told(tmp_path: Path) -> None:
    """And which parameter would say that it is to be trusted."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with postgres_with(trustme.CA().issue_cert("localhost")) as port:
        error = await refusal(port, f"sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}")
    assert error.fields["cause"].startswith("the database's certificate is not trusted (")
    assert f"sslrootcert={tmp_path / 'ca.pem'}" in error.remedy
    assert not passes(error)


async def test_a_certificate_of_another_host_is_told(tmp_path: Path) -> None:
    """It is the name in store.url that is not the certificate's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with postgres_with(authority.issue_cert("db.example")) as port:
        error = await refusal(port, f"sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}")
    assert error.fields["cause"].startswith("the database's certificate is for another host (")
    assert "store.url" in error.remedy


async def test_a_server_without_tls_is_told() -> None:
    """It answers, but not with TLS."""
    async with postgres_with(None) as port:
        error = await refusal(port, "sslmode=require")
    assert error.fields["cause"] == "it speaks no TLS, and sslmode=require demands it"
    assert "ssl = on" in error.remedy
