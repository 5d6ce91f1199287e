"""The command `remove`: removes a being from the world, with all its matter."""

from umwelt.agents.commands.checks import check_id
from umwelt.agents.commands.command import Command, CommandKind
from umwelt.agents.commands.matter import UNKNOWN_COUNT, MatterBounds, MatterChange
from umwelt.agents.commands.tool import Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


class Remove(Command, tag="remove", frozen=True):
    """The command that removes a being from the world, with all its matter."""

    id: int

    def check(self, world: WorldFile) -> None:
        check_id("remove", self.id)

    def apply(self, region: Region, number: int) -> None:
        for name, table in region.tables.items():
            region.remove_dead(name, table["id"] == self.id)

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        return dict.fromkeys(matter.content, (-UNKNOWN_COUNT, 0))


TOOL = Tool("remove", "remove", "press on a being to take it out of the world", "being", "being {id} removed")
REMOVE = CommandKind(Remove, tools=(TOOL,))
