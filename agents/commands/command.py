"""The base classes of commands and of requests.

A *command* is a change of the world as it is journalled: plain data with all that is needed to apply it. A *request* is
what a person asks for, in cells, names and shares; `Request.compose` turns it into the command. Where both have the
same fields, the command is its own request.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from umwelt.agents.commands.matter import MatterBounds, MatterChange
from umwelt.agents.commands.tool import Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

Being = Mapping[str, Any]
"""A being as `beings.fetch` returns it: `kind`, `id`, `y_fixed`, `x_fixed` and `row`."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks for."""

    def being_id(self) -> int:
        """The id of the being that must be fetched before `compose`; 0 if none."""
        return 0

    def compose(self, world: WorldFile, being: Being | None) -> "list[Command]":
        """Return the commands to journal, not checked yet; `being` is what was fetched, None if it does not live.

        Raises CommandError if the request cannot be expressed in this world.
        """
        raise NotImplementedError


class Command(Request, tag_field="command", frozen=True):
    """A journalled change of the world; subclasses give their name as `tag`.

    Every node applies every command, and a node may hold the place or being concerned several times (as images and
    ghosts) or not at all. So `apply` must change each cell or being by what that cell or being holds alone: then all
    copies stay equal, however the world is divided.
    """

    def compose(self, world: WorldFile, being: Being | None) -> "list[Command]":
        return [self]

    def check(self, world: WorldFile) -> None:
        """Raise CommandError or WorldFileError, in one line that names the fix, if the world cannot execute this."""
        raise NotImplementedError

    def apply(self, region: Region, number: int) -> None:
        """Change all that the region's window holds of the place or being, at the start of tick `region.tick`.

        `number` is the command's place in the journal. A checked command never fails.
        """
        raise NotImplementedError

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        """By how many molecules the world's content of substances changes: name -> (minimum, maximum)."""
        return {}


class CommandKind(NamedTuple):
    """All that the registry knows of one command."""

    command: type[Command]
    request: type[Request] | None = None
    """What people send; None where it has the command's own fields."""
    tools: tuple[Tool, ...] = ()
    """The window's tools for it."""

    @property
    def name(self) -> str:
        """The command's name, in journals, requests and experiments."""
        return self.command.__struct_config__.tag  # type: ignore[return-value]
