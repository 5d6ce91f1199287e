"""The command `wound`: turns tissue of a being's body into detritus of its cell."""

import numpy as np

from umwelt.agents.commands.cells import MAX_IN_CELL_COUNT
from umwelt.agents.commands.checks import check_chemistry, check_id, check_whole
from umwelt.agents.commands.command import Command, CommandKind
from umwelt.agents.commands.tool import Number, Tool
from umwelt.agents.earth import parameters
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE, SUBCELL_BITS


class Wound(Command, tag="wound", frozen=True):
    """The command that turns tissue of a being's body into detritus of its cell; the being feels pain.

    It takes `tissue_count` molecules, or as many as the body has and the cell can take (up to `MAX_IN_CELL_COUNT`).
    Tissue and detritus must have the same formula.
    """

    id: int
    tissue_count: int

    def check(self, world: WorldFile) -> None:
        check_id("wound", self.id)
        chemistry = check_chemistry(world, "wound", "tissue", "detritus")
        tissue, detritus = (chemistry.substances[name] for name in ("tissue", "detritus"))
        if tissue != detritus:
            raise CommandError(f"wound: tissue is {tissue}, detritus {detritus}: matter would be lost: use remove")
        check_whole("wound: tissue_count", self.tissue_count, 1, MAX_IN_CELL_COUNT)

    def apply(self, region: Region, number: int) -> None:
        ground = region["detritus"]
        for table in region.tables.values():
            if "tissue_count" not in table:
                continue
            for row in np.flatnonzero(table["id"] == self.id).tolist():
                y, x = int(table["y_fixed"][row]) >> SUBCELL_BITS, int(table["x_fixed"][row]) >> SUBCELL_BITS
                if not (0 <= y < region.window.height and 0 <= x < region.window.width):
                    continue  # a row that has left the window is removed at the next reindexing
                room = MAX_IN_CELL_COUNT - int(ground[y, x])
                lost = max(0, min(self.tissue_count, int(table["tissue_count"][row]), room))
                table["tissue_count"][row] -= lost
                ground[y, x] += lost
                if "pain" in table:
                    table["pain"][row] = min(ONE, int(table["pain"][row]) + lost * parameters.PAIN_PER_TISSUE)


TOOL = Tool(
    "wound",
    "wound",
    "press on a being: tissue of it falls to the ground",
    "being",
    "being {id} lost {tissue_count} tissue",
    (Number("tissue_count", "tissue", 10, 1, 1000),),
)
WOUND = CommandKind(Wound, tools=(TOOL,))
