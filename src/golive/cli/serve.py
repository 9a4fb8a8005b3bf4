"""`golive serve`: production."""

import os
import sys
from functools import partial
from typing import Annotated, Literal

import msgspec
import typer

from golive.cli.lifeline import LifelineOption, end_with_stdin
from golive.cli.options import ConfigOption


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
) -> None:
    """Serve in production: tools run in worker processes, SIGTERM drains, a second signal does not wait."""
    if until_stdin_closes:
        end_with_stdin()
    environ = dict(os.environ)
    if host is not None:
        environ["GOLIVE_SERVER__HOST"] = host
    if port is not None:
        environ["GOLIVE_SERVER__PORT"] = str(port)
    if store is not None:
        environ["GOLIVE_STORE__URL"] = store

    from golive.app import Server
    from golive.config.load import load
    from golive.core.clock import FastClock, SystemClock
    from golive.gateway.listen import HttpServer, bind, run_loop
    from golive.workers.environment import close_to_peers

    loaded = load(config, environ)
    close_to_peers()
    fast = FastClock(speed) if speed > 1 else None

    async def main() -> None:
        listener = bind(loaded.config.server.host, loaded.config.server.port)
        server = Server(loaded, environ, clock=fast or SystemClock())
        try:
            for idle in loaded.idle:
                server.log.warning(
                    "setting.without_effect", setting=idle.key, origin=idle.origin, message=idle.message,
                    remedy=idle.remedy,
                )  # fmt: skip
            await server.start()
            http = HttpServer(server.gateway, listener)

            def ready() -> None:
                if fast is not None:  # only now: workers start as slowly as they are
                    fast.hurry()
                server.log.info("server.started", url=http.url, agents=sorted(loaded.agents), pid=os.getpid())
                if announce == "json":
                    sys.stdout.write(msgspec.json.encode({"url": http.url, "pid": os.getpid()}).decode() + "\n")
                    sys.stdout.flush()

            await http.run(server.drain, ready, server.hurry)
            server.log.info("server.stopped")
        finally:
            listener.close()
            await server.close()

    if fast is None:
        run_loop(main())
    else:
        from golive.core.fast_loop import FastLoop

        run_loop(main(), partial(FastLoop, fast))
