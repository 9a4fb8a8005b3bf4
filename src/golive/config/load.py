"""Reads golive.toml, the environment and the agents' folders into one frozen `Loaded`, or says all that is wrong.

Settings come from golive.toml; environment variables stand above it (`environment.py`). Agents' settings come from
their own files alone, because they are part of a version. Secrets stay references (`secrets.py` resolves them). Nothing
of the user's code is imported.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from golive.config import environment, problems
from golive.config.access_faults import access_faults
from golive.config.addresses import endpoint_addresses
from golive.config.agents import LoadedAgent, folders, load_agent
from golive.config.auth_faults import auth_faults
from golive.config.contradictions import config_contradictions
from golive.config.environment import Overrides
from golive.config.explain import DEFAULT, Value, expand
from golive.config.files import Toml, Unreadable, read_toml
from golive.config.idle import idle_settings
from golive.config.outward_faults import outward_faults
from golive.config.problems import Problem
from golive.config.schema import GoliveConfig
from golive.config.tree import KeyPath
from golive.core.errors import AgentError, ConfigError

CONFIG_FILE = "golive.toml"


class Loaded(Struct, frozen=True):
    """Everything that was read, once.

    `root`: folder of golive.toml, absolute; paths in it are relative to this. `values`: each setting with its origin,
    the agents' as `agent.NAME.…`. `ignored`: GOLIVE_ variables of the environment that are no settings. `idle`: what
    was set and has no effect.
    """

    config: GoliveConfig
    root: Path
    agents: dict[str, LoadedAgent]
    values: list[Value]
    ignored: tuple[str, ...] = ()
    idle: tuple[Problem, ...] = ()

    @property
    def store_path(self) -> Path:
        """Where the configured SQLite file is."""
        return self.root / self.config.store.url.removeprefix("sqlite:")


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Reads the configuration.

    Args:
        path: golive.toml, or the folder it is in; None: the current folder, or the nearest above it that has one.

    Raises:
        ConfigError: golive.toml or the environment cannot be used; tells every fault, each with file and line.
        AgentError: an agent's folder cannot be used; likewise, for all agents together.
    """
    loaded, faults = _load(path, environ, {})
    problems.raise_all(AgentError, [problem for found in faults.values() for problem in found])
    return loaded


def load_around(path: Path | None, environ: Mapping[str, str], before: Loaded) -> tuple[Loaded, dict[str, ConfigError]]:
    """As `load`, but an agent's faults are its own: it stays as it was `before`, if it was; its error stands beside.

    Raises:
        ConfigError: golive.toml or the environment cannot be used.
    """
    loaded, faults = _load(path, environ, before.agents)
    return loaded, {name: problems.error_of(AgentError, found) for name, found in faults.items()}


def _load(
    path: Path | None, environ: Mapping[str, str], before: Mapping[str, LoadedAgent]
) -> tuple[Loaded, dict[str, list[Problem]]]:
    """Everything, and by the folder's name what is wrong with agents, in whose place those of `before` stand."""
    file = locate(path)
    root = file.parent
    toml, overrides, config = _read_config(file, environ)
    agents, faults = _read_agents(config, toml, overrides, root)
    agents |= {name: before[name] for name in faults if name in before}

    def origin_of(key: KeyPath) -> str:
        return _origin(key, toml, overrides)

    found = [*outward_faults(config, {*agents, *faults}, origin_of), *_store_fault(config, root, origin_of)]
    problems.raise_all(ConfigError, found)
    values = list(expand(config, origin_of))
    for name, agent in agents.items():
        values += expand(agent.config, _agent_origin(agent), ("agent", name))
    return Loaded(
        config, root, agents, values, tuple(overrides.ignored), idle_settings(config, agents, origin_of)
    ), faults  # fmt: skip


def load_config(path: Path | None, environ: Mapping[str, str]) -> tuple[Path, GoliveConfig]:
    """golive.toml and the environment alone, without the agents: the folder of golive.toml, and the configuration.

    Raises:
        ConfigError: as `load`.
    """
    file = locate(path)
    return file.parent, _read_config(file, environ)[2]


def locate(path: Path | None) -> Path:
    """The absolute path of golive.toml, searched as `load` says.

    Raises:
        ConfigError: there is none.
    """
    if path is not None:
        file = (path / CONFIG_FILE if path.is_dir() else path).absolute()
        if not file.exists():
            message = f"there is no {file}."
            raise ConfigError(message, remedy=_REMEDY_NONE, key="", value=str(path), origin="command line")
        return file
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    message = f"there is no {CONFIG_FILE} in {here} or above it."
    raise ConfigError(message, remedy=_REMEDY_NONE, key="", value=str(here), origin="current folder")


_REMEDY_NONE = "Begin with `golive new NAME`, or name the file with --config PATH."


def _read_config(file: Path, environ: Mapping[str, str]) -> tuple[Toml, Overrides, GoliveConfig]:
    try:
        toml = read_toml(file, file.name)
    except Unreadable as error:
        problems.raise_all(ConfigError, [error.problem])
        raise
    overrides = environment.apply(GoliveConfig, environ, toml.data)
    found = list(overrides.problems)
    config: GoliveConfig | None = None
    try:
        config = GoliveConfig.model_validate(problems.tuples(toml.data), strict=True)
    except ValidationError as error:

        def origin_of(path: KeyPath) -> str:
            return _set_at(path, toml, overrides) or toml.origin(path)

        found += problems.of_validation(error, GoliveConfig, origin_of)
    if config is not None:
        found += config_contradictions(config, lambda path: _origin(path, toml, overrides))
        found += endpoint_addresses(config, lambda path: _origin(path, toml, overrides))
        found += auth_faults(config, lambda path: _origin(path, toml, overrides))
        found += access_faults(config, lambda path: _origin(path, toml, overrides))
    problems.raise_all(ConfigError, found)
    assert config is not None
    return toml, overrides, config


def _read_agents(
    config: GoliveConfig, toml: Toml, overrides: Overrides, root: Path
) -> tuple[dict[str, LoadedAgent], dict[str, list[Problem]]]:
    place = root / config.agents.path
    if not place.is_dir():
        origin = _set_at(("agents", "path"), toml, overrides)
        if origin is None:
            return {}, {}  # a plain gateway has no agents
        message = f"`agents.path` is no folder: {place}."
        problem = Problem("agents.path", config.agents.path, origin, message, "Create it, or correct the path.")
        problems.raise_all(ConfigError, [problem])
    agents: dict[str, LoadedAgent] = {}
    faults: dict[str, list[Problem]] = {}
    for folder in folders(place):
        agent, wrong = load_agent(folder, config, root)
        if agent is not None:
            agents[agent.name] = agent
        else:
            faults[folder.name] = wrong
    return agents, faults


def _store_fault(config: GoliveConfig, root: Path, origin_of: Callable[[KeyPath], str]) -> Iterator[Problem]:
    """A database in an agent's folder: a server reads all of that, and would lose its locks on the database."""
    url = config.store.url
    if not url.startswith("sqlite:"):
        return
    path = (root / url.removeprefix("sqlite:")).resolve()
    place = (root / config.agents.path).resolve()
    inside = [folder for folder in (folders(place) if place.is_dir() else ()) if folder in path.parents]
    if inside:
        message = f"`store.url` lies in the agent's folder {inside[0].name}, all of which is part of its version."
        yield Problem("store.url", url, origin_of(("store", "url")), message, "Keep the database elsewhere.")


def _set_at(path: KeyPath, toml: Toml, overrides: Overrides) -> str | None:
    """Where exactly this path was set; None: nowhere."""
    if path in overrides.origins:
        return f"environment {overrides.origins[path]}"
    if path in toml.lines:
        return toml.origin(path)
    return next(
        (f"environment {name}" for key, name in overrides.origins.items() if key[: len(path)] == path),
        None,
    )


def _origin(path: KeyPath, toml: Toml, overrides: Overrides) -> str:
    return _set_at(path, toml, overrides) or _inline(path, toml) or DEFAULT


def _inline(path: KeyPath, toml: Toml) -> str | None:
    """The line of a key inside an inline table, which is that of the table."""
    here: Any = toml.data
    for part in path:
        if not isinstance(here, dict) or part not in here:
            return None
        here = here[part]
    return toml.origin(path)


def _agent_origin(agent: LoadedAgent) -> Any:
    def origin_of(path: KeyPath) -> str:
        return _inline(path, agent.toml) or DEFAULT

    return origin_of
