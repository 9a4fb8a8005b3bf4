"""Settings of single tools, matched with the tools there are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from golive.config.schema import ToolConfig
from golive.core.errors import AgentError
from golive.core.messages import ToolSpec
from golive.tools.effects import Named, Role, declared_at, setting
from golive.tools.schema import nearest
from golive.tools.toolset import EffectRules


def named_functions(settings: Mapping[str, ToolConfig], folder: Path) -> tuple[Named, ...]:
    """What the settings name as functions about calls, of each tool that has one.

    Raises:
        AgentError: a function is to be a tool with settings of its own as well, or both to tell of calls and to take
            them back.
    """
    named = tuple(Named(tool, each.status, each.undo) for tool, each in settings.items() if each.status or each.undo)
    roles: dict[str, tuple[str, Role]] = {}
    for each in named:
        for role, function in each.each():
            key = setting(each.tool, role)
            origin = declared_at(folder, "tools", each.tool, role)
            if function in settings:
                raise AgentError(
                    f"{origin}: {key} names {function}, which has settings of its own as a tool. A function that tells "
                    "of calls, or takes them back, is not offered to the model.",
                    remedy=f"Name another function, or remove [tools.{function}].", origin=origin, key=key,
                    value=function,
                )  # fmt: skip
            other, other_role = roles.setdefault(function, (each.tool, role))
            if other_role != role:
                raise AgentError(
                    f"{origin}: {key} names {function}, and so does {setting(other, other_role)}: to ask about a call "
                    "would be to take one back.",
                    remedy="Name two functions.", origin=origin, key=key, value=function,
                )  # fmt: skip
    return named


def effect_rules(specs: Sequence[ToolSpec], settings: Mapping[str, ToolConfig]) -> dict[str, EffectRules]:
    """What is declared of each tool's effects."""
    default = ToolConfig()
    return {spec.name: _rules(settings.get(spec.name, default)) for spec in specs}


def _rules(tool: ToolConfig) -> EffectRules:
    return EffectRules(
        idempotent=tool.idempotent,
        status=tool.status is not None,
        undo=tool.undo is not None,
        on_unknown=tool.on_unknown,
        timeout_s=tool.timeout_s,
    )


def tool_timeouts(
    specs: Sequence[ToolSpec], settings: Mapping[str, ToolConfig], folder: Path
) -> dict[str, tuple[float, str]]:
    """For each tool its timeout in seconds, and the name of the setting.

    Raises:
        AgentError: agent.toml has settings for a tool that tools.py does not define.
    """
    names = [spec.name for spec in specs]
    for name in settings:
        if name not in names:
            origin = declared_at(folder, "tools", name)
            raise AgentError(
                f"{origin}: [tools.{name}] is about a function that tools.py does not define.",
                remedy=nearest(name, names),
                origin=origin,
                key=f"tools.{name}",
            )
    default = ToolConfig()
    return {name: (settings.get(name, default).timeout_s, f"tools.{name}.timeout_s") for name in names}
