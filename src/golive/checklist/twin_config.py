"""A twin's folder: the user's own configuration, with simulated providers, a store of its own and no real secret.

Agents, tools, prompts, chains, limits, prices and timeouts stay as they are. Every provider's address leads to the
simulator and its credentials to as many that only the simulator knows; what must not touch the original (store,
pepper, port) lies in the folder.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from golive.config.agents import LoadedAgent
from golive.config.load import Loaded
from golive.config.schema import GoliveConfig, ProviderConfig
from golive.releases.digest import IGNORED, LOCKS
from golive.sim.server import PLACES

PROVIDER_KEY = "CHECK_PROVIDER_KEY"
"""Environment variable that holds the simulated providers' credential; those of further ones end in _2, _3 …"""
STORE_FILE = "golive.db"
PEPPER_FILE = "pepper"
MASTER_FILE = "master.key"

_VERSIONS = {"gemini": "/v1beta"}
"""How the simulator's addresses end, by dialect; the others' end in /v1."""
_KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH",
    "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip


def write(loaded: Loaded, folder: Path, base_url: str) -> Path:
    """Writes the twin's configuration and copies of the agents' folders; returns the path of its golive.toml."""
    for agent in loaded.agents.values():
        shutil.copytree(agent.folder, folder / "agents" / agent.name, ignore=shutil.ignore_patterns(*IGNORED))
    for name in LOCKS:
        if (loaded.root / name).is_file():
            shutil.copy(loaded.root / name, folder / name)
    (folder / "agents").mkdir(exist_ok=True)
    path = folder / "golive.toml"
    path.write_text(toml(derived(loaded.config, base_url)), encoding="utf-8")
    return path


def derived(config: GoliveConfig, base_url: str) -> dict[str, Any]:
    """The settings of the twin, as plain data for TOML."""
    data = config.model_dump(mode="json", exclude_none=True)
    data["server"] |= {"host": "127.0.0.1", "port": 0, "tls": {"min_version": config.server.tls.min_version}}
    data["store"] = {"url": f"sqlite:{STORE_FILE}"}
    own = {"pepper": PEPPER_FILE, "audit_key": "audit.key", "master_key": MASTER_FILE}
    data["secrets"] = {name: f"file:{file}" for name, file in own.items()}
    data["agents"] = {"path": "agents"}
    data["auth"]["oidc"] = {}  # no issuer outside is asked; drills bring their own
    data["webhooks"], data["schedules"] = {}, {}  # nobody outside is told of a drill, and nothing begins beside it
    first, *further = (f"env:{name}" for name in key_names(config))
    for name, provider in config.providers.items():
        address = f"{base_url.removesuffix('/v1')}{PLACES}{name}{_VERSIONS.get(provider.dialect, '/v1')}"
        keys = {"api_key": first, "more_api_keys": further[: len(provider.more_api_keys)]}
        data["providers"][name] |= {"base_url": address, **keys}
        listed = price_provider(provider)
        if listed is not None:
            data["providers"][name]["price_as"] = listed
    return data


def key_names(config: GoliveConfig) -> tuple[str, ...]:
    """The variables of the simulated providers' credentials: as many as the provider with the most of them has."""
    most = 1 + max((len(provider.more_api_keys) for provider in config.providers.values()), default=0)
    return (PROVIDER_KEY, *(f"{PROVIDER_KEY}_{number}" for number in range(2, most + 1)))


def price_provider(provider: ProviderConfig) -> str | None:
    """Under which id the price list knows the provider by its address, which the twin changes; None: it does not."""
    if provider.price_as is not None:
        return provider.price_as
    host = urlsplit(provider.base_url).hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        return None  # a machine's own address is in no list, and reading the list takes most of a second
    from genai_prices import data_snapshot

    try:
        return str(data_snapshot.get_snapshot().find_provider(None, None, provider.base_url).id)
    except LookupError:
        return None


def environment(
    environ: Mapping[str, str], agents: Mapping[str, LoadedAgent], provider_keys: Mapping[str, str]
) -> dict[str, str]:
    """What the twin's server sees: little, to keep the user's secrets out; and what workers ask for."""
    names = [*_KEPT, *(name for agent in agents.values() for name in agent.config.worker.env)]
    return {name: environ[name] for name in names if name in environ} | dict(provider_keys)


def targets(config: GoliveConfig, agents: Mapping[str, LoadedAgent]) -> list[str]:
    """Every target `provider/model` that the configuration names, chains first, each once."""
    named = [target for agent in agents.values() for tier in agent.config.models.values() for target in tier.chain]
    listed = [f"{name}/{model}" for name, provider in config.providers.items() for model in provider.models]
    return list(dict.fromkeys(named + listed))


def toml(data: Mapping[str, Any]) -> str:
    """Tables of text, numbers, booleans and lists of them as TOML, every key quoted (https://toml.io/en/v1.0.0)."""
    return "\n".join(_table(data, ()))


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(map(_value, path))}]"] if path else []
    lines += [f"{_value(key)} = {_value(value)}" for key, value in data.items() if not isinstance(value, Mapping)]
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += ["", *_table(value, (*path, key))]
    return lines


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
