"""The command `move`: moves a being to another position."""

from umwelt.agents.commands.beings import Row, body_matter, discard_index, place_being
from umwelt.agents.commands.checks import check_being, check_id, fixed_place, kind_of_id
from umwelt.agents.commands.command import Being, Command, CommandKind, Request
from umwelt.agents.commands.matter import UNKNOWN_COUNT, MatterBounds, MatterChange
from umwelt.agents.commands.tool import Tool
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.region import Region


class Move(Command, tag="move", frozen=True):
    """The command that places a being at a position (1/1024 cell), in the state `row` (its columns by name).

    The state is that of the time when the command was made from a request; changes of the being between then and the
    execution are lost. If the being dies in between, the command creates it again, because a node at the new position
    cannot know of the death.
    """

    kind: str
    id: int
    y_fixed: int
    x_fixed: int
    row: Row

    def check(self, world: WorldFile) -> None:
        check_being(world, "move", self.kind, self.y_fixed, self.x_fixed, self.row)
        check_id("move", self.id)
        schema = kind_of_id(world.laws.layout(world)[1], self.id)
        if schema is not None and schema.name != self.kind:
            raise CommandError(f"move: id = {self.id} is one of {schema.name}, not of {self.kind}: give its own kind")

    def apply(self, region: Region, number: int) -> None:
        for name, table in region.tables.items():
            table.keep(table["id"] != self.id)
            discard_index(region, name)
        place_being(region, self.kind, self.id, self.y_fixed, self.x_fixed, self.row)

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        # the matter of the being at its old position is not in the journal
        return {name: (count - UNKNOWN_COUNT, count) for name, count in body_matter(self.row, matter.content).items()}


class MoveRequest(Request, frozen=True):
    """A request to move a being to the position `y, x`, in cells."""

    id: int
    y: float
    x: float

    def being_id(self) -> int:
        return self.id

    def compose(self, world: WorldFile, being: Being | None) -> list[Command]:
        if being is None:
            raise CommandError(f"move: id = {self.id}: no such being lives: choose another")
        return [Move(being["kind"], being["id"], *fixed_place(world, "move", self.y, self.x), being["row"])]


TOOL = Tool("move", "move", "press on a being, drag it, release it", "grab", "being {id} moved to {x:.1f}, {y:.1f}")
MOVE = CommandKind(Move, MoveRequest, (TOOL,))
