"""Each setting with its value, its origin and its default: what `golive config explain` and GET /v1/config show.

Secrets are shown as the references they are (`env:NAME`); their values never come this way.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from golive.config.section import Section
from golive.config.suggest import did_you_mean
from golive.config.tree import KeyPath, dotted, is_secret
from golive.core.errors import ConfigError

DEFAULT = "default"
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]+(?=@)|([?&][a-z]*password=)[^&]+")
"""Of an address that carries one, such as a database's."""
_QUERY = re.compile(r"^(https?://[^?]*)\?.*$", re.DOTALL)


class Value(Struct, frozen=True, kw_only=True):
    """One setting as it stands.

    `origin`: "golive.toml:7", "environment GOLIVE_SERVER__PORT" or "default". `required`: there is no default, and
    `default` is None. `secret`: the value is a reference to a secret.
    """

    key: str
    value: Any
    origin: str
    default: Any
    required: bool
    secret: bool
    description: str


def expand(config: Section, origin_of: Callable[[KeyPath], str], prefix: KeyPath = ()) -> Iterator[Value]:
    """Every setting of a section and those below it, in the schema's order.

    Args:
        origin_of: where a path (without the prefix) was set; `DEFAULT` when nowhere.
        prefix: put before each key, such as ("agent", "support") for an agent's settings.
    """
    yield from _section(config, (), origin_of, prefix)


def _section(config: Section, path: KeyPath, origin_of: Callable[[KeyPath], str], prefix: KeyPath) -> Iterator[Value]:
    for name, field in type(config).model_fields.items():
        value, here = getattr(config, name), (*path, name)
        if isinstance(value, Section):
            yield from _section(value, here, origin_of, prefix)
        elif isinstance(value, dict):
            for entry, inner in value.items():
                yield from _entry(inner, (*here, entry), origin_of, prefix, field.description or "")
        else:
            required = field.is_required()
            yield Value(
                key=dotted(prefix + here),
                value=shown(value) if isinstance(value, str) else value,
                origin=origin_of(here),
                default=None if required else field.default,
                required=required,
                secret=is_secret(field),
                description=field.description or "",
            )


def shown(text: str) -> str:
    """A setting's text without the password of an address, and an address of the web without its query, which may be
    one."""
    return _QUERY.sub(r"\1", _PASSWORD.sub(r"\1\2***", text))


def _entry(
    value: Any, path: KeyPath, origin_of: Callable[[KeyPath], str], prefix: KeyPath, meaning: str
) -> Iterator[Value]:
    """An entry of a table with free names: a section, a table of such entries, or a text, which has no default."""
    if isinstance(value, Section):
        yield from _section(value, path, origin_of, prefix)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _entry(inner, (*path, name), origin_of, prefix, meaning)
    else:
        yield Value(
            key=dotted(prefix + path), value=value, origin=origin_of(path), default=None, required=False, secret=False,
            description=meaning,
        )  # fmt: skip


def select(values: Sequence[Value], key: str | None) -> list[Value]:
    """The settings at or below the key ("server", "server.port"); all of them for None.

    Raises:
        ConfigError: there is no such key; names the nearest.
    """
    if key is None:
        return list(values)
    chosen = [value for value in values if value.key == key or value.key.startswith(f"{key}.")]
    if not chosen:
        known = {value.key for value in values}
        known |= {name.rsplit(".", 1)[0] for name in known}
        remedy = did_you_mean(key, known)
        raise ConfigError(f"there is no setting `{key}`.", remedy=remedy, key=key, value="", origin="command line")
    return chosen


def as_json(values: Sequence[Value]) -> bytes:
    """The settings as a JSON array of objects with the fields of `Value`."""
    return msgspec.json.encode(values)
