"""A golive server inside the command's own process: for `dev`, `demo`, and commands that find no server running."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from golive.app import DEFAULT_TENANT, Server
from golive.cli.client import Address
from golive.cli.edge import application
from golive.config.explain import DEFAULT
from golive.config.load import Loaded, load
from golive.config.secret_use import CLIENT_FILE
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import StoreUnavailable
from golive.gateway.listen import HttpServer, bind
from golive.sim.server import Simulator

DRAIN_S = "1"
"""Who ends a command does not want to wait for open runs, as a production server does."""
SIM = "sim"
"""A provider of this name is simulated when nothing answers at its address."""


@asynccontextmanager
async def serving(
    loaded: Loaded, environ: Mapping[str, str], *, inline: bool, dev: bool, errand: bool = False
) -> AsyncIterator[tuple[Server, HttpServer]]:
    """A server that answers on its socket; drained and closed on leaving.

    Raises:
        PortInUse: told before anything else is begun.
    """
    listener = bind(loaded.config.server.host, loaded.config.server.port)
    server = Server(loaded, environ, inline=inline, dev=dev, errand=errand)
    try:
        await server.start()
        http = HttpServer(application(server), listener, loaded.config.server)
        await http.start()
    except BaseException:
        listener.close()
        await server.close()
        raise
    try:
        yield server, http
    finally:
        await server.drain()
        await http.stop()
        await server.close()


@asynccontextmanager
async def simulated(loaded: Loaded) -> AsyncIterator[str | None]:
    """Starts the simulator at the address of provider `sim`, if nothing answers there; yields its address."""
    provider = loaded.config.providers.get(SIM)
    host, port = _local_address(provider.base_url) if provider else ("", 0)
    if not port or _answers(host, port):
        yield None
        return
    simulator = Simulator(seed=0, clock=SystemClock())
    try:
        yield await simulator.start(host, port)
    finally:
        await simulator.stop()


def with_defaults(config: Path | None, environ: dict[str, str], **settings: str) -> Loaded:
    """The configuration, with other defaults for keys (`server__drain_s`) that nobody has set; `environ` gets them."""
    loaded = load(config, environ)
    unset = {value.key for value in loaded.values if value.origin == DEFAULT}
    wanted = {name: value for name, value in settings.items() if name.replace("__", ".") in unset}
    if not wanted:
        return loaded
    environ.update({f"GOLIVE_{name.upper()}": value for name, value in wanted.items()})
    return load(config, environ)


@asynccontextmanager
async def hosted(config: Path | None) -> AsyncIterator[Address]:
    """A server of this project for the time of the block: on this machine only, a free port, a key of its own."""
    environ = dict(os.environ)
    environ |= {"GOLIVE_SERVER__PORT": "0", "GOLIVE_SERVER__HOST": "127.0.0.1", "GOLIVE_SERVER__DRAIN_S": DRAIN_S}
    loaded = with_defaults(config, environ, log__level="error")
    try:
        async with simulated(loaded), serving(loaded, environ, inline=False, dev=True, errand=True) as (server, http):
            yield Address(http.url, own_key(server, "cli"), os.getpid())
    except StoreUnavailable as error:
        if "holder" in error.fields:
            error.remedy = "Ask that one: name it with --url, and a key (`golive keys create`) with GOLIVE_KEY."
        raise


def own_key(server: Server, name: str) -> str:
    """An admin's key that lives in the server's memory alone: whatever ends the server, ends it."""
    return server.security.keyring.lend(DEFAULT_TENANT, name, "admin", SystemChance())


@asynccontextmanager
async def announced(root: Path, address: Address) -> AsyncIterator[None]:
    """Leaves the address where other commands of this project look, for the owner alone; takes it away again."""
    path = root / CLIENT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(address))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _local_address(url: str) -> tuple[str, int]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "localhost")
    return ("127.0.0.1", parts.port or 0) if local else ("", 0)


def _answers(host: str, port: int) -> bool:
    import socket

    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True
