"""The command `rain`: adds water to each cell of a disc."""

from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT, count_disc_cells, disc_cells, pour
from umwelt.agents.commands.checks import check_cell, check_chemistry, check_whole
from umwelt.agents.commands.command import Command, CommandKind
from umwelt.agents.commands.matter import MatterBounds, MatterChange
from umwelt.agents.commands.tool import Number, Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

MAX_RADIUS_CELLS = 128


class Rain(Command, tag="rain", frozen=True):
    """The command that adds `count` molecules of water, at most up to `MAX_IN_CELL_COUNT`, to each cell of a disc."""

    y: int
    x: int
    radius_cells: int
    count: int

    def check(self, world: WorldFile) -> None:
        check_cell(world, "rain", self.y, self.x)
        check_chemistry(world, "rain", "water")
        check_whole("rain: radius_cells", self.radius_cells, 0, MAX_RADIUS_CELLS)
        check_whole("rain: count", self.count, 1, MAX_IN_CELL_COUNT)

    def apply(self, region: Region, number: int) -> None:
        pour(region["water"], disc_cells(region, self.y, self.x, self.radius_cells), self.count)

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        cells = count_disc_cells(matter.torus, self.radius_cells)
        return {"water": matter.pour_bounds("water", self.count, cells)}


TOOL = Tool(
    "rain",
    "make rain",
    "water on each cell of a disc",
    "stroke",
    "made rain: {count} water on each cell within {radius_cells} cells",
    (
        Number("radius_cells", "radius", 6, 0, MAX_RADIUS_CELLS),
        Number("count", "molecules a cell", 200, 1, MAX_IN_CELL_COUNT),
    ),
    radius="radius_cells",
)
RAIN = CommandKind(Rain, tools=(TOOL,))
