"""The list of the window's tools, and their settings.

Each kind of command in `agents/commands` (a change of the world, such as rain) describes the tools that send it.
"""

from dataclasses import dataclass
from typing import Any

from umwelt.agents.commands import KINDS, CommandKind
from umwelt.agents.commands.tool import Tool

LOOK = Tool("look", "look", "click a being to select it; drag to move the view", "being", "")
"""The tool that selects beings; the only one that sends no command."""

KIND_BY_TOOL: dict[str, CommandKind] = {tool.name: kind for kind in KINDS for tool in kind.tools}
"""The kind of command that each tool sends, by the tool's name."""
TOOLS: tuple[Tool, ...] = (LOOK, *(tool for kind in KINDS for tool in kind.tools))
BY_NAME = {tool.name: tool for tool in TOOLS}


@dataclass
class Brush:
    """The settings of the brush, shared by all tools with which the user paints areas of cells."""

    side_cells: int = 3
    """Side of the square brush, in cells."""
    rectangle: bool = False
    """Whether the user drags a rectangle in place of painting with the brush; Shift inverts this."""


def default_settings() -> dict[str, dict[str, Any]]:
    """Returns the default value of each setting of each tool: tool name -> setting name -> value."""
    return {tool.name: {setting.name: setting.default for setting in tool.settings} for tool in TOOLS}
