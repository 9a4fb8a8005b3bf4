"""Settings of single tools, matched with the tools there are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from golive.config.schema import ToolConfig
from golive.core.errors import AgentError
from golive.core.messages import ToolSpec
from golive.tools.schema import nearest


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
            raise AgentError(
                f"{folder / 'agent.toml'}: [tools.{name}] is about a function that tools.py does not define.",
                remedy=nearest(name, names),
                key=f"tools.{name}",
            )
    default = ToolConfig()
    return {name: (settings.get(name, default).timeout_s, f"tools.{name}.timeout_s") for name in names}
