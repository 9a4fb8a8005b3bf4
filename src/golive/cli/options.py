"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="golive.toml or its folder.", show_default="the nearest golive.toml, here or above"),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Server to talk to (--ca FILE: whom to trust).",
        show_default="GOLIVE_URL; a running `golive dev`; one of its own",
    ),
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="API key.", show_default="GOLIVE_KEY, or the one of `golive dev`")
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Tenant to act in.", show_default="`default`, or that of the key")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
