"""The command `paint`: sets a field, or a substance, in all cells of a rectangle."""

import numpy as np

from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT, rectangle_cells
from umwelt.agents.commands.checks import check_cell, check_name, check_whole
from umwelt.agents.commands.command import Command, CommandKind
from umwelt.agents.commands.matter import UNKNOWN_COUNT, MatterBounds, MatterChange
from umwelt.agents.commands.tool import Choice, Number, Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.region import Region

MAX_SIDE_CELLS = 256
MAX_ELEVATION = 30_000


class Paint(Command, tag="paint", frozen=True):
    """The command that sets a field to `value` in all cells of a rectangle with the top left cell `y, x`.

    `part` is the name of a field, or of a part of a field, such as a substance. The rectangle can extend across the
    seams of the torus.
    """

    y: int
    x: int
    height: int
    width: int
    part: str
    value: int

    def check(self, world: WorldFile) -> None:
        check_cell(world, "paint", self.y, self.x)
        check_whole("paint: height", self.height, 1, MAX_SIDE_CELLS)
        check_whole("paint: width", self.width, 1, MAX_SIDE_CELLS)
        fields = {part: field for field in world.laws.layout(world)[0] for part in field.parts or (field.name,)}
        if not fields:
            raise CommandError(f"paint: the laws of {world.laws.name} have no fields of cells: choose another command")
        field = fields[check_name("paint: part", self.part, fields)]
        if field.name == "substance":
            minimum, maximum = 0, MAX_IN_CELL_COUNT
        elif field.name == "elevation":
            minimum, maximum = 0, MAX_ELEVATION
        else:
            limits = np.iinfo(field.dtype)
            minimum, maximum = int(limits.min), int(limits.max)
        check_whole(f"paint: {self.part}", self.value, minimum, maximum)

    def apply(self, region: Region, number: int) -> None:
        region[self.part][rectangle_cells(region, self.y, self.x, self.height, self.width)] = self.value

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        if self.part not in matter.content:
            return {}
        cells = min(self.height, matter.torus.height) * min(self.width, matter.torus.width)
        return {self.part: (self.value * cells - UNKNOWN_COUNT, self.value * cells)}  # the earlier content is lost


REPORT = "painted {part} {value} on {width} x {height} cells"
TOOLS = (
    Tool(
        "water",
        "paint water",
        "set the water of cells; Shift switches between brush and rectangle",
        "area",
        REPORT,
        (Number("value", "molecules", 1200, 0, MAX_IN_CELL_COUNT),),
        {"part": "water"},
    ),
    Tool(
        "rock",
        "paint rock",
        "raise or lower the ground; Shift switches between brush and rectangle",
        "area",
        REPORT,
        (Number("value", "height", 1500, 0, MAX_ELEVATION),),
        {"part": "elevation"},
    ),
    Tool(
        "paint",
        "paint a field",
        "set any field; Shift switches between brush and rectangle",
        "area",
        REPORT,
        (
            Choice("part", "field", "mineral", "fields"),
            Number("value", "value", 100, 0, MAX_IN_CELL_COUNT, unit_of="part"),
        ),
    ),
)
PAINT = CommandKind(Paint, tools=TOOLS)
