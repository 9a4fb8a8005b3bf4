"""`golive serve`: production."""

import asyncio
import os
import signal
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from golive.cli.lifeline import LifelineOption, end_with_stdin
from golive.cli.options import ConfigOption

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from golive.config.load import Loaded
    from golive.core.clock import Clock
    from golive.core.errors import StoreUnavailable
    from golive.gateway.listen import HttpServer
    from golive.gateway.starting import Starting
    from golive.telemetry.edge import EdgeMetrics
    from golive.telemetry.logs import Log


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Instead of server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of server.port; 0 picks a free one.")] = None,
    store: Annotated[
        str | None, typer.Option(help="Instead of store.url: sqlite:PATH or postgresql://USER@HOST/DATABASE.")
    ] = None,
    announce: Annotated[
        Literal["json"] | None,
        typer.Option(help="Print one line with url and pid when it answers."),
    ] = None,
    until_stdin_closes: LifelineOption = False,
    speed: Annotated[float, typer.Option(hidden=True, help="How fast time goes, for drills.", min=1, max=1_000)] = 1.0,
    since: Annotated[float | None, typer.Option(hidden=True, help="Since when, seconds since the epoch.")] = None,
) -> None:
    """Serve in production: tools run in worker processes, SIGTERM drains, a second signal does not wait."""
    if until_stdin_closes:
        end_with_stdin()
    given = {"GOLIVE_SERVER__HOST": host, "GOLIVE_SERVER__PORT": port, "GOLIVE_STORE__URL": store}
    environ = os.environ | {name: str(value) for name, value in given.items() if value is not None}

    from golive.app import Server
    from golive.cli.edge import application
    from golive.config.load import load
    from golive.core.clock import FastClock, SystemClock
    from golive.gateway.listen import run_loop
    from golive.gateway.starting import Starting
    from golive.workers.environment import close_to_peers

    loaded = load(config, environ)
    close_to_peers()
    fast = FastClock(speed, since) if speed > 1 else None

    async def main() -> None:
        server = Server(loaded, environ, clock=(clock := fast or SystemClock()))
        front = Starting()
        http, listener, edge = _listen(front, loaded, environ, server.log, clock)
        try:
            for idle in loaded.idle:
                server.log.warning(
                    "setting.without_effect", setting=idle.key, origin=idle.origin, message=idle.message,
                    remedy=idle.remedy,
                )  # fmt: skip
            await server.start(partial(_wait, front, http, server.log))
            edge.join(server.metrics.registry)
            front.hand_over(application(server))

            def ready() -> None:
                if fast is not None:  # only now: workers start as slowly as they are
                    fast.hurry()
                server.log.info("server.started", url=http.url, agents=sorted(loaded.agents), pid=os.getpid())
                warn_of_root(server.log.warning)
                if announce == "json":
                    typer.echo(msgspec.json.encode({"url": http.url, "pid": os.getpid()}))

            await http.run(server.drain, ready, server.hurry)
            server.log.info("server.stopped")
        except asyncio.CancelledError:  # a signal while it waited for its database: there is nothing to drain
            server.log.info("server.stopped")
        finally:
            await http.stop()
            listener.close()
            await server.close()

    if fast is None:
        run_loop(main())
    else:
        from golive.core.fast_loop import FastLoop

        run_loop(main(), partial(FastLoop, fast))


def _listen(
    front: "Starting", loaded: "Loaded", environ: Mapping[str, str], log: "Log", clock: "Clock"
) -> "tuple[HttpServer, socket.socket, EdgeMetrics]":
    """The socket and what answers on it, with TLS where it is set up; nothing is answered yet."""
    from golive.config.secrets import Secrets
    from golive.gateway.listen import HttpServer, bind
    from golive.gateway.tls import certificates_of
    from golive.telemetry.edge import EdgeMetrics

    settings, edge = loaded.config.server, EdgeMetrics()
    resolve = Secrets(loaded.root, environ, log.warning).resolve
    certificates = certificates_of(settings.tls, loaded.root, resolve=resolve, clock=clock, log=log, metrics=edge)
    listener = bind(settings.host, settings.port)
    return HttpServer(front, listener, settings, certificates=certificates, metrics=edge), listener, edge


def warn_of_root(warn: "Callable[..., None]") -> None:
    """Says so where the server is root's: what keeps tools from other processes' memory does not keep root."""
    if os.geteuid() == 0:
        warn(
            "server.runs_as_root", message="The server runs as root: nothing keeps its tools from the whole machine.",
            remedy="Serve as a user of its own (User= of the unit, USER of the image, runAsUser of the pod).",
        )  # fmt: skip


async def _wait(
    front: "Starting", http: "HttpServer", log: "Log", error: "StoreUnavailable", tries: int, wait_s: float
) -> None:
    """The database is away: says so to whoever asks and in the log, and lets a signal end the waiting."""
    front.tries = tries
    if tries == 1:
        waiting = asyncio.current_task()
        assert waiting is not None
        for number in (signal.SIGTERM, signal.SIGINT):  # as process 1 of a container it would not end otherwise
            asyncio.get_running_loop().add_signal_handler(number, waiting.cancel)
        await http.start()
    log.warning(
        "store.awaited", tries=tries, next_in_s=round(wait_s, 2), url=http.url, message=error.message,
        remedy=error.remedy,
    )  # fmt: skip
