"""The command `drop`: adds molecules of a substance to a cell."""

from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT, pour, rectangle_cells
from umwelt.agents.commands.checks import check_cell, check_chemistry, check_name, check_whole
from umwelt.agents.commands.command import Command, CommandKind
from umwelt.agents.commands.matter import MatterBounds, MatterChange
from umwelt.agents.commands.tool import Choice, Number, Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region


class Drop(Command, tag="drop", frozen=True):
    """The command that adds `count` molecules to a cell, but at most up to `MAX_IN_CELL_COUNT`."""

    y: int
    x: int
    substance: str
    count: int

    def check(self, world: WorldFile) -> None:
        check_cell(world, "drop", self.y, self.x)
        check_name("drop: substance", self.substance, check_chemistry(world, "drop").names)
        check_whole("drop: count", self.count, 1, MAX_IN_CELL_COUNT)

    def apply(self, region: Region, number: int) -> None:
        pour(region[self.substance], rectangle_cells(region, self.y, self.x), self.count)

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        return {self.substance: matter.pour_bounds(self.substance, self.count, 1)}


TOOLS = (
    Tool(
        "drop",
        "drop",
        "pour a substance into the cells passed; goes on while the button is held",
        "stroke",
        "dropped {count} {substance}",
        (
            Choice("substance", "substance", "sugar", "substances"),
            Number("count", "molecules", 200, 1, MAX_IN_CELL_COUNT),
        ),
        repeats=True,
    ),
    Tool(
        "feed",
        "feed",
        "put food into the cell of a being",
        "target",
        "fed {count} {substance} at {x}, {y}",
        (
            Choice("substance", "food", "sugar", "substances", ("sugar", "detritus")),
            Number("count", "molecules", 400, 1, MAX_IN_CELL_COUNT),
        ),
    ),
)
DROP = CommandKind(Drop, tools=TOOLS)
