"""`golive new NAME`: writes an agent that runs at once, and the project around it where there is none yet.

What it writes stands in `templates/`. Nothing that exists is changed, but for lines added to .gitignore.
"""

import os
import re
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from golive.config.load import CONFIG_FILE, load_config
from golive.config.schema import GoliveConfig
from golive.config.section import NAME, PATTERN_WORDS
from golive.core.errors import ConfigError

_SIM_TARGET = "sim/sim-agent"
_PLACEHOLDER = "@NAME@"


def new(
    name: Annotated[str, typer.Argument(help="The agent's name: lower-case letters, digits, - and _.")],
    path: Annotated[
        Path | None,
        typer.Option(help="The project's folder. Default: that of the nearest golive.toml, or the current folder."),
    ] = None,
) -> None:
    """Write a new agent that runs without any key, and golive.toml if there is none."""
    root, written = write(name, path)
    typer.secho(f"agent {name} is ready", fg=typer.colors.GREEN, bold=True)
    for file in written:
        typer.echo(f"  wrote {os.path.relpath(file)}")
    typer.echo("\nNext:")
    if root != Path.cwd():
        typer.echo(f"  cd {os.path.relpath(root)}")
    typer.echo("  golive dev")
    typer.echo(f'  golive run {name} "Are you open on Sunday?"   # in another terminal')


def write(name: str, path: Path | None) -> tuple[Path, list[Path]]:
    """Writes the files; returns the project's folder and what was written.

    Args:
        path: the project's folder; None: that of the nearest golive.toml above, or the current folder.

    Raises:
        ConfigError: the name cannot be used, the folder exists, golive.toml is broken or has no provider to begin with,
            or the disk refuses. Then no part of the agent is left behind.
    """
    if not re.fullmatch(NAME, name):
        message = f'"{name}" cannot be the name of an agent.'
        raise ConfigError(message, remedy=f"Use {PATTERN_WORDS[NAME]}.", key="name", value=name, origin="command line")
    root = _project(path)
    templates = resources.files("golive.cli") / "templates"
    try:
        existing = (root / CONFIG_FILE).exists()
        config = load_config(root, os.environ)[1] if existing else None
        folder = root / (config.agents.path if config else "agents") / name
        _refuse_existing(folder)
        target = _target(config, root)
        written = [] if existing else [_copy(templates / "golive.toml", root / CONFIG_FILE, name)]
        if not (root / "README.md").exists():
            written.append(_copy(templates / "README.md", root / "README.md", name))
        written += _ignore(templates / "gitignore", root / ".gitignore")
        written += _write_agent(templates / "agent", folder, name, target)
    except OSError as error:
        message = f"cannot write {error.filename or root}: {error.strerror or error}."
        remedy = "Make the folder writable, or choose another with --path."
        raise ConfigError(message, remedy=remedy, key="path", value=str(root), origin="command line") from None
    return root, written


def _project(path: Path | None) -> Path:
    if path is not None:
        return path.absolute()
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / CONFIG_FILE).is_file()), here)


def _refuse_existing(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        message = f"{folder} exists already."
        remedy = "Choose another name, or remove the folder first."
        raise ConfigError(message, remedy=remedy, key="name", value=folder.name, origin="command line")


def _target(config: GoliveConfig | None, root: Path) -> str:
    """The first target of the new agent: the simulator, or else the first model that a provider lists."""
    if config is None or "sim" in config.providers:
        return _SIM_TARGET
    for provider, settings in config.providers.items():
        if settings.models:
            return f"{provider}/{settings.models[0]}"
    message = f"{root / CONFIG_FILE} has no [providers.sim], and no provider that lists `models`."
    remedy = 'Add [providers.sim] with base_url = "http://127.0.0.1:8090/v1", or models = ["…"] to a provider.'
    raise ConfigError(message, remedy=remedy, key="providers", value="", origin=CONFIG_FILE)


def _copy(source: Traversable, to: Path, name: str) -> Path:
    """Writes one template; never over a file that exists."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with to.open("x", encoding="utf-8") as file:
        file.write(source.read_text("utf-8").replace(_PLACEHOLDER, name))
    return to


def _write_agent(templates: Traversable, folder: Path, name: str, target: str) -> list[Path]:
    """Writes the agent beside its place and moves it there whole, so that a failure leaves no half of one."""
    fresh = folder.with_name(f".{name}.new")
    files = sorted(source.name for source in templates.iterdir() if source.is_file())
    try:
        for file in files:
            _copy(templates / file, fresh / file, name)
        settings = fresh / "agent.toml"
        settings.write_text(settings.read_text("utf-8").replace(f'chain = ["{_SIM_TARGET}"]', f'chain = ["{target}"]'))
        fresh.rename(folder)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return [folder / file for file in files]


def _ignore(template: Traversable, file: Path) -> list[Path]:
    """Adds the lines that are not in .gitignore yet."""
    before = file.read_text("utf-8", "surrogateescape") if file.exists() else ""
    present = {line.strip() for line in before.splitlines()}
    missing = [line for line in template.read_text("utf-8").splitlines() if line not in present]
    if not missing:
        return []
    joint = "" if not before or before.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as out:
        out.write(joint + "\n".join(missing) + "\n")
    return [file]
