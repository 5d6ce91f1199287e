"""The window's tools, as the commands describe them, and what the tools are set to. Pure."""

from dataclasses import dataclass
from typing import Any

from umwelt.agents.commands import KINDS, CommandKind
from umwelt.agents.commands.tool import Tool

LOOK = Tool("look", "look", "click a being to select it; drag to move the view", "being", "")
"""The only tool that gives no command."""

KIND_BY_TOOL: dict[str, CommandKind] = {tool.name: kind for kind in KINDS for tool in kind.tools}
TOOLS: tuple[Tool, ...] = (LOOK, *(tool for kind in KINDS for tool in kind.tools))
BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass
class Brush:
    """How areas are painted, by all tools with that gesture."""

    side_cells: int = 3
    """The side of the square that is painted."""
    rectangle: bool = False
    """Whether areas are drawn as rectangles instead; Shift switches between both."""


def default_settings() -> dict[str, dict[str, Any]]:
    """Return what every tool is set to at first: tool -> setting -> value."""
    return {tool.name: {setting.name: setting.default for setting in tool.settings} for tool in TOOLS}
