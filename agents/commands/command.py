"""The base classes of commands and of requests.

A *command* is a change of the world as it is written to the journal: plain data that suffices to apply the change. A
*request* is what a user sends, in cells, names and shares; `Request.compose` converts it to commands. If both have the
same fields, the command class also serves as the request.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from umwelt.agents.commands.matter import MatterBounds, MatterChange
from umwelt.agents.commands.tool import Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

Being = Mapping[str, Any]
"""A being as plain data, as `beings.fetch` returns it: `kind`, `id`, `y_fixed`, `x_fixed` and `row`."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base class of requests, which users send to change the world."""

    def being_id(self) -> int:
        """Returns the id of the being whose state `compose` needs; 0 if it needs none."""
        return 0

    def compose(self, world: WorldFile, being: Being | None) -> "list[Command]":
        """Returns the commands for the journal, not checked yet.

        `being` is the being with the id `being_id()`, or None if it is dead or not needed. Raises CommandError if the
        request is not valid in this world.
        """
        raise NotImplementedError


class Command(Request, tag_field="command", frozen=True):
    """The base class of commands: changes of the world that are written to the journal. `tag` is the command's name.

    Every node (process) applies every command. Besides its own part of the world, a node computes copies of the cells
    and beings around it, so that it can have several copies of the cell or being concerned, or none. Therefore `apply`
    must change each copy depending only on the content of that copy: all copies then stay equal, however the torus is
    divided.
    """

    def compose(self, world: WorldFile, being: Being | None) -> "list[Command]":
        return [self]

    def check(self, world: WorldFile) -> None:
        """Raises CommandError or WorldFileError if the command is not valid in this world; the line names the fix."""
        raise NotImplementedError

    def apply(self, region: Region, number: int) -> None:
        """Changes all copies of the cells or being in the region's window, at the start of tick `region.tick`.

        `number` is the number of the command's entry in the journal. Never fails for a checked command.
        """
        raise NotImplementedError

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        """Returns bounds of the change of the world's molecules: `(minimum, maximum)` by name of the substance.

        `matter` gives the size of the world and the content of its molecules. Substances that do not change are left
        out.
        """
        return {}


class CommandKind(NamedTuple):
    """The registry's entry for a command."""

    command: type[Command]
    request: type[Request] | None = None
    """The class of the command's requests; None if requests have the command's fields."""
    tools: tuple[Tool, ...] = ()
    """The tools in the window that send this command."""

    @property
    def name(self) -> str:
        """The command's name in journals, requests and experiments."""
        return self.command.__struct_config__.tag  # type: ignore[return-value]
