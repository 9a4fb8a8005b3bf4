"""Which references to secrets a configuration names, and in which settings."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from golive.config.schema import GoliveConfig
from golive.config.section import REFERENCE, Section

OWN = "secrets."
"""What golive itself is protected with: replaced by procedures of its own, and revoked by none."""

References = Mapping[str, tuple[str, ...]]
"""References to secrets, each with the settings that name it."""

_REFERENCE = re.compile(REFERENCE)


def references(config: GoliveConfig) -> dict[str, tuple[str, ...]]:
    """Each reference with the settings that name it, in the order of the configuration."""
    found: dict[str, list[str]] = {}
    for setting, reference in _all(config):
        if reference is not None:
            found.setdefault(reference, []).append(setting)
    return {reference: tuple(settings) for reference, settings in found.items()}


def joined(ones: References, others: References) -> References:
    """Both."""
    if not others:
        return ones
    return {each: (*ones.get(each, ()), *others.get(each, ())) for each in (*ones, *others)}


def of_others(config: GoliveConfig) -> dict[str, tuple[str, ...]]:
    """Those that others gave to golive: what can be rotated, revoked and shared between environments by mistake."""
    found = references(config)
    return {each: settings for each, settings in found.items() if not any(name.startswith(OWN) for name in settings)}


CLIENT_FILE = ".golive/client.json"
"""Where `golive dev` leaves its address and key for commands in the project, readable by its owner alone."""


def client_files(root: Path) -> list[Path]:
    """That file, as long as nobody else can read it: then it is where its key belongs. `root`: the project's folder."""
    path = root / CLIENT_FILE
    return [path] if path.is_file() and not path.stat().st_mode & 0o077 else []


def key_files(config: GoliveConfig, root: Path) -> list[Path]:
    """Files of private keys that the configuration names by themselves, not by a reference. `root`: its folder."""
    key = config.server.tls.key
    return [] if key is None else [root / key]


def _all(config: GoliveConfig) -> Iterator[tuple[str, str | None]]:
    sections: list[tuple[str, Section]] = [(OWN, config.secrets)]
    if config.secrets.vault.url is not None:
        sections.append((f"{OWN}vault.", config.secrets.vault))
    for name, section in sections:
        for field in type(section).model_fields:
            value = getattr(section, field)
            if isinstance(value, str) and _REFERENCE.match(value):
                yield name + field, value
    for name, provider in config.providers.items():
        yield f"providers.{name}.api_key", provider.api_key
        for reference in provider.more_api_keys:
            yield f"providers.{name}.more_api_keys", reference
    for name, webhook in config.webhooks.items():
        yield f"webhooks.{name}.secret", webhook.secret
        yield f"webhooks.{name}.old_secret", webhook.old_secret
    for name, issuer in config.auth.oidc.items():
        yield f"auth.oidc.{name}.client_secret", issuer.client_secret
