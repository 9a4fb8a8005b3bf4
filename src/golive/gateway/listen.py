"""Serving an application over HTTP with uvicorn: the socket, the settings, and an end that lets work finish.

Owns the listening socket (so that a port in use is told before anything else is built) and the order of shutting down.
On SIGTERM or SIGINT the server goes on listening while `drain` runs: /health/ready says no, new runs are refused, open
ones finish. A second signal ends them where they are, and the server as soon as their streams have told so.
SIGHUP reads the certificate again, where there is one.
"""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import uvicorn
import uvloop

from golive.config.schema import ServerConfig
from golive.core.errors import ConfigError, PortInUse
from golive.core.open_files import connections_that_fit, raise_limit
from golive.core.tasks import Tasks
from golive.gateway.cors import with_cors
from golive.gateway.protocol import BoundedProtocol, Bounds
from golive.gateway.secure_headers import constant_headers, with_secure_headers
from golive.gateway.tls import Certificates
from golive.telemetry.edge import EdgeMetrics

T = TypeVar("T")

CLOSE_S = 3
"""After draining, how long answers may still take to leave."""
HURRY_S = 1.0
"""After a second signal, how long ending what is open and telling it may take together."""
BACKLOG = 2_048
"""Connections the system holds until they are accepted."""


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one.

    Raises:
        PortInUse: something listens there already.
        ConfigError: the address is not this machine's, or the port is reserved.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(
            f"server.host {host!r} cannot be resolved ({error.strerror}).",
            remedy="Use an address of this machine, such as 127.0.0.1 or 0.0.0.0.",
            key="server.host",
            value=host,
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two servers with SO_REUSEADDR may bind one address; only one of them can listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from None
    listener.setblocking(False)
    return listener


def _refused(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"Port {port} on {host} is in use.",
            remedy="Stop what listens there, or choose another with server.port or --port (0 takes a free one).",
            key="server.port",
            value=port,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(
            f"Port {port} may not be used by this user.", remedy="Use a port above 1023.", key="server.port", value=port
        )
    return ConfigError(
        f"Cannot listen on {host} ({error.strerror}).",
        remedy="Use an address of this machine, such as 127.0.0.1 or 0.0.0.0.",
        key="server.host",
        value=host,
    )


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where the socket can be reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read here, never bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Uvicorn(uvicorn.Server):
    """Without its own signal handlers: they would close before the runs are drained."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, handshake_s: float) -> None:
        super().__init__(config)
        self._listener = listener
        self._handshake_s = handshake_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        """In the place of uvicorn's own, which has no limit for a handshake but the loop's 60 s."""
        made: Any = self.config.http_protocol_class
        protocol = partial(made, config=self.config, server_state=self.server_state, app_state={})
        server = await asyncio.get_running_loop().create_server(
            protocol,
            sock=self._listener,
            ssl=self.config.ssl,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if self.config.ssl is None else self._handshake_s,
        )
        self.servers = [server]
        self.started = True


class HttpServer:
    """One application on one socket."""

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        settings: ServerConfig | None = None,
        *,
        certificates: Certificates | None = None,
        metrics: EdgeMetrics | None = None,
    ) -> None:
        """
        Args:
            settings: whose limits, CORS and HSTS count; the defaults when absent.
            certificates: None for plain HTTP, whatever `settings` say.
        """
        settings = settings or ServerConfig()
        metrics = metrics or EdgeMetrics()
        limits = settings.limits
        self.url = url_of(listener, "http" if certificates is None else "https")
        self._listener = listener
        self._certificates = certificates
        bounds = Bounds(limits, limits.connections or connections_that_fit(), metrics.refused)
        metrics.follow(lambda: bounds.open)
        config = uvicorn.Config(
            with_secure_headers(with_cors(app, settings.cors)),
            loop="none",
            http=partial(BoundedProtocol, bounds=bounds),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            headers=constant_headers(settings.tls if certificates is not None else None),
            timeout_keep_alive=limits.idle_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=CLOSE_S,
        )
        config.load()
        if certificates is not None:
            config.ssl = certificates.context
        self._server = _Uvicorn(config, listener, limits.header_s)
        self._tasks = Tasks("http")
        self._serving: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None

    async def start(self) -> None:
        """Begins to answer; returns once connections are accepted."""
        self._serving = self._tasks.start(self._server.serve(sockets=[self._listener]), "serve")
        if self._certificates is not None:
            self._tasks.start(self._certificates.keep(), "certificates")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Closes the socket, lets answers leave for `CLOSE_S`, and ends."""
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait([self._serving])
        await self._tasks.close()

    async def run(
        self,
        drain: Callable[[], Coroutine[Any, Any, None]],
        on_ready: Callable[[], None] | None = None,
        hurry: Callable[[], None] | None = None,
    ) -> None:
        """Serves until SIGTERM or SIGINT, then drains while still listening, then stops.

        Args:
            drain: refuses new work and lets open work finish, bounded in time.
            on_ready: called once connections are accepted and a signal would drain: the moment to announce the address.
            hurry: called at a second signal: ends open work at once, so that `drain` returns. What is not over, and its
                answers sent, after `HURRY_S` is broken off.
        """
        loop = asyncio.get_running_loop()
        asked, hurried = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (hurried if asked.is_set() else asked).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        if self._certificates is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload, self._certificates)
        try:
            if self._serving is None:
                await self.start()
            if on_ready is not None:
                on_ready()
            await asked.wait()
            draining = self._tasks.start(drain(), "drain")
            second = self._tasks.start(hurried.wait(), "second signal")
            await asyncio.wait([draining, second], return_when=asyncio.FIRST_COMPLETED)
            if hurried.is_set():
                await self._hurry(draining, hurry)
            elif draining.done():
                draining.result()
            await self.stop()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            loop.remove_signal_handler(signal.SIGHUP)

    def _reload(self, certificates: Certificates) -> None:
        self._tasks.start(certificates.reload(), "certificates again")

    async def _hurry(self, draining: "asyncio.Task[None]", hurry: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + HURRY_S
        if hurry is not None:
            hurry()
            await asyncio.wait([draining], timeout=HURRY_S)
            self._server.should_exit = True
            assert self._serving is not None
            await asyncio.wait([self._serving], timeout=max(0.0, until - loop.time()))
        self._server.force_exit = True


def run_loop(
    main: Coroutine[Any, Any, T], new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
) -> T:
    """Runs `main` to its end on a new loop, with as many open files as the system lets this process have."""
    raise_limit()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
