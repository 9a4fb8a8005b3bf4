"""Reads the agents' folders: agent.toml, prompt.md, schemas. Never imports tools.py, which is the user's code."""

from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from golive.config import json_schema, problems
from golive.config.contradictions import agent_contradictions
from golive.config.environment import PREFIX
from golive.config.files import Toml, Unreadable, read_text, read_toml
from golive.config.following import Follows, Unusable
from golive.config.messages import message_problems
from golive.config.problems import Problem
from golive.config.schema import AgentConfig, GoliveConfig, TierConfig
from golive.config.suggest import did_you_mean, nearest
from golive.config.tree import KeyPath, dotted

AGENT_FILE = "agent.toml"
PROMPT_FILE = "prompt.md"
TOOLS_FILE = "tools.py"


class LoadedAgent(Struct, frozen=True):
    """An agent as it was read. `output_schemas`: tier -> the JSON Schema its answers follow, where one is named."""

    name: str
    folder: Path
    config: AgentConfig
    prompt: str
    output_schemas: dict[str, dict[str, Any]]
    toml: Toml

    @property
    def tools_file(self) -> Path | None:
        """The agent's tools.py, if there is one."""
        path = self.folder / TOOLS_FILE
        return path if path.is_file() else None

    def origin(self, path: KeyPath) -> str:
        """File and line of a key of agent.toml, for messages, such as "agents/support/agent.toml:12"."""
        return self.toml.origin(path)


def folders(root: Path) -> list[Path]:
    """The folders of agents under `root`, sorted: those that hold agent.toml, or else one of its companions."""
    mine = (AGENT_FILE, PROMPT_FILE, TOOLS_FILE)
    return sorted(path for path in root.iterdir() if path.is_dir() and any((path / name).exists() for name in mine))


def load_agent(folder: Path, config: GoliveConfig, root: Path) -> tuple[LoadedAgent | None, list[Problem]]:
    """Reads one agent's folder; None together with all that is wrong with it.

    Args:
        config: the providers that chains may name.
        root: folder of golive.toml; files are named relative to it.
    """
    shown = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
    try:
        remedy = f"Write one, or move {shown} elsewhere; `golive new NAME` shows what belongs in it."
        toml = read_toml(folder / AGENT_FILE, f"{shown}/{AGENT_FILE}", remedy)
    except Unreadable as error:
        return None, [error.problem]
    found: list[Problem] = []
    agent: AgentConfig | None = None
    try:
        agent = AgentConfig.model_validate(problems.tuples(toml.data), strict=True)
    except ValidationError as error:
        found += problems.of_validation(error, AgentConfig, toml.origin)
    prompt = _prompt(folder, shown, found)
    if agent is None:
        return None, found
    found += (
        _name(agent, folder, toml)
        + _tiers(agent, toml)
        + _chains(agent, config, toml)
        + _worker_env(agent, config, toml)
        + _routing(agent, toml)
        + agent_contradictions(agent, config, toml)
        + list(message_problems(agent.messages, toml))
    )
    schemas: dict[str, dict[str, Any]] = {}
    for tier, settings in agent.models.items():
        if settings.output_schema is not None:
            schema, wrong = _schema(folder, tier, settings, toml)
            schemas[tier] = schema
            found += wrong
    if found:
        return None, found
    return LoadedAgent(agent.name, folder, agent, prompt, schemas, toml), []


def _prompt(folder: Path, shown: str, found: list[Problem]) -> str:
    name = f"{shown}/{PROMPT_FILE}"
    try:
        prompt = read_text(folder / PROMPT_FILE, name, "Write the agent's instructions into it.")
    except Unreadable as error:
        found.append(error.problem)
        return ""
    if not prompt.strip():
        found.append(Problem("", "", name, "is empty.", "Write the agent's instructions into it."))
    return prompt


def _name(agent: AgentConfig, folder: Path, toml: Toml) -> list[Problem]:
    if agent.name == folder.name:
        return []
    message = f'`name` is "{agent.name}", but the folder is {folder.name}/.'
    return [Problem("name", agent.name, toml.origin(("name",)), message, "Make the two the same.")]


def _tiers(agent: AgentConfig, toml: Toml) -> list[Problem]:
    if len(agent.models) == 1 or "default" in agent.models:
        return []
    message = "of several tiers none is called `default`."
    return [Problem("models", "", toml.origin(("models",)), message, "Call the one that answers [models.default].")]


def _routing(agent: AgentConfig, toml: Toml) -> list[Problem]:
    """What [routing] names that is no tier of the agent, or twice the same; and work for a supervisor that it lacks."""
    routing, found = agent.routing, []
    if routing.supervisor is None:
        return [
            Problem(
                dotted(path),
                str(getattr(routing, key)),
                toml.origin(path),
                f"`{dotted(path)}` is work of the supervisor's tier, and there is no `routing.supervisor`.",
                "Name a cheap tier as `routing.supervisor`, or remove the setting.",
            )
            for key in ("judge", "summarise_over")
            if getattr(routing, key) and (path := ("routing", key))
        ]
    for key, tier in (("supervisor", routing.supervisor), ("strong", routing.strong)):
        if tier not in agent.models:
            path = ("routing", key)
            message = f"`{dotted(path)}` names the tier `{tier}`, which the agent does not have."
            found.append(Problem(dotted(path), tier, toml.origin(path), message, did_you_mean(tier, agent.models)))
    if routing.supervisor == routing.strong:
        path = ("routing", "supervisor")
        message = f"`routing.supervisor` and `routing.strong` are the same tier, `{routing.strong}`."
        found.append(Problem(dotted(path), routing.strong, toml.origin(path), message, "Name a cheaper tier."))
    return found


def _chains(agent: AgentConfig, config: GoliveConfig, toml: Toml) -> list[Problem]:
    """What the chains name that is not configured."""
    found = []
    named = [
        (("models", tier, name), target)
        for tier, settings in agent.models.items()
        for name in ("chain", "chain_context_too_long", "chain_content_refused")
        for target in getattr(settings, name)
    ]
    for path, target in named:
        provider, _, model = target.partition("/")
        if provider in config.providers:
            continue
        message = f"`{dotted(path)}` names the provider `{provider}`, which golive.toml does not have."
        near = nearest(provider, config.providers)
        remedy = f"Did you mean `{near}/{model}`?" if near else f"Add [providers.{provider}] to golive.toml."
        if near is None and config.providers:
            remedy += " " + did_you_mean(provider, config.providers)
        found.append(Problem(dotted(path), target, toml.origin(path), message, remedy))
    return found


def _worker_env(agent: AgentConfig, config: GoliveConfig, toml: Toml) -> list[Problem]:
    """Variables that tools are to see and that are golive's own settings, or hold a secret of the server's."""
    keys = [key for one in config.providers.values() for key in (one.api_key, *one.more_api_keys)]
    references = [config.secrets.pepper, *keys]
    secrets = {reference.removeprefix("env:") for reference in references if reference and reference.startswith("env:")}
    path = ("worker", "env")
    settings = [
        Problem(
            dotted(path),
            name,
            toml.origin(path),
            f"`{dotted(path)}` names {name}: golive's own settings never reach users' code.",
            "Remove it, or pass the tool a variable of its own.",
        )
        for name in agent.worker.env
        if name.startswith(PREFIX)
    ]
    return settings + [
        Problem(
            dotted(path), name, toml.origin(path),
            f"`{dotted(path)}` would show tools the variable {name}, which golive.toml uses as a secret.",
            "Give tools a credential of their own, under another name.",
        )
        for name in agent.worker.env
        if name in secrets and not name.startswith(PREFIX)
    ]  # fmt: skip


def _schema(folder: Path, tier: str, settings: TierConfig, toml: Toml) -> tuple[dict[str, Any], list[Problem]]:
    """The tier's JSON Schema; it must lie in the agent's folder, because it is part of the version."""
    path = ("models", tier, "output_schema")
    key, origin, name = dotted(path), toml.origin(path), settings.output_schema or ""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        message = f"`{key}` leaves the agent's folder: {name}."
        return {}, [Problem(key, name, origin, message, "Put the file into the folder: it is part of the version.")]
    try:
        schema = json_schema.parse(read_text(file, name, "Write it, or remove the setting."))
    except Unreadable as error:
        return {}, [Problem(key, name, origin, f"`{key}`: {error.problem.line()}")]
    except (ValueError, RecursionError) as error:
        message = f"`{key}`: {name} is not JSON: {error}."
        return {}, [Problem(key, name, origin, message, "Make it a JSON Schema.")]
    if not isinstance(schema, dict):
        message = f"`{key}`: {name} does not hold a JSON object."
        return {}, [Problem(key, name, origin, message, "Make it a JSON Schema.")]
    fault = json_schema.first_fault(schema)
    if fault is not None:
        message = f"`{key}`: {name} is no JSON Schema: at {fault.pointer}, {fault.message}"
        return {}, [Problem(key, name, origin, message, "Correct it there.")]
    try:
        Follows(schema)
    except Unusable as error:
        message = f"`{key}`: answers cannot be held against {name}: {error}."
        return {}, [Problem(key, name, origin, message, "Correct the schema.")]
    return schema, []
