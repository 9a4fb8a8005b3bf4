"""`golive sim`: the simulated provider, for trying golive (or any vendor's client) without a key."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from golive.sim.__main__ import run
from golive.sim.script import BUILT_IN
from golive.sim.server import Simulator


def sim(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 picks a free one.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="What generated text depends on; the same seed says the same.")] = 0,
    key: Annotated[list[str] | None, typer.Option(help="API key to accept; may be repeated. None: any key.")] = None,
) -> None:
    """Serve a simulated model provider until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)

    def ready(simulator: Simulator) -> None:
        url = simulator.base_url
        root = url.removesuffix("/v1")
        console.print(f"[bold green]simulated provider[/] on [bold]{url}[/] (OpenAI: Chat Completions, Responses)")
        console.print(f"  it is also [bold]{root}[/] (Anthropic: Messages) and [bold]{root}/v1beta[/] (Google: Gemini)")
        console.print(f"  models   {', '.join(BUILT_IN)}, and any sim-NAME?tokens=50&pace_ms=10")
        console.print(f"  its bill {root}/sim/bill    what it was sent {root}/sim/requests")
        console.print(f'  break it [cyan]curl -X POST {root}/sim/outage -d \'{{"kind": "refuse"}}\'[/]')
        console.print(f"  heal it  [cyan]curl -X DELETE {root}/sim/outage[/]")

    try:
        run(host=host, port=port, seed=seed, api_keys=tuple(key or ()), ready=ready)
    except OSError as error:
        sys.stderr.write(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port; 0 picks a free one.\n"
        )
        raise typer.Exit(1) from None
