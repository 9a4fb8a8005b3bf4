"""`golive dev`: a server for whoever edits: reloads agents as they change, prints a key, starts the simulator."""

import os
from typing import Annotated

import typer

from golive.cli.options import ConfigOption


def dev(
    config: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="Instead of server.port; 0 picks a free one.")] = None,
    inline: Annotated[bool, typer.Option("--inline", help="Run tools inside the server, for a debugger.")] = False,
) -> None:
    """Serve while you edit: agents are reloaded as they change; a key is printed; provider `sim` is started for you."""
    environ = dict(os.environ)
    if port is not None:
        environ["GOLIVE_SERVER__PORT"] = str(port)

    from golive.cli.client import Address
    from golive.cli.hosting import DRAIN_S, announced, own_key, serving, simulated, with_defaults
    from golive.cli.idle import tell_idle
    from golive.cli.reloading import look, reload_on_change, stopped
    from golive.config.load import load
    from golive.gateway.listen import run_loop

    seen = look(with_defaults(config, environ, log__level="warning", server__drain_s=DRAIN_S))
    loaded = load(config, environ)  # after the look, so that no edit falls in between

    async def main() -> None:
        async with simulated(loaded) as simulator, serving(loaded, environ, inline=inline, dev=True) as (server, http):
            key = own_key(server, "dev")
            async with announced(loaded.root, Address(http.url, key, os.getpid())), stopped() as stop:
                tell_idle(loaded.idle)
                _greet(http.url, key, sorted(loaded.agents), simulator)
                await reload_on_change(server, config, environ, seen, stop)

    run_loop(main())


def _greet(url: str, key: str, agents: list[str], simulator: str | None) -> None:
    typer.secho(f"golive dev answers at {url}", fg=typer.colors.GREEN, bold=True)
    typer.echo(f"  key     {key}   (void when this ends)")
    typer.echo(f"  agents  {', '.join(agents) or 'none yet: golive new NAME'}")
    if simulator:
        typer.echo(f"  sim     {simulator} (provider `sim` is simulated)")
    typer.echo(f"  API     {url}/docs (user: anything, password: the key)")
    if agents:
        typer.echo("\nIn another terminal, in this folder:")
        typer.echo(f'  golive run {agents[0]} "Hello"')
        typer.echo("\nor from anywhere:")
        typer.echo(f"  export GOLIVE_KEY={key}")
        typer.echo(f"  curl -N {url}/v1/agents/{agents[0]}/runs \\")
        typer.echo("""    -H "Authorization: Bearer $GOLIVE_KEY" -d '{"input": "Hello", "stream": true}'""")
    typer.echo("\nEdit an agent and it is reloaded. Ctrl-C ends.\n")
