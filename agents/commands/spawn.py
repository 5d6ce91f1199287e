"""The command `spawn`: adds a new being to the world."""

import numpy as np

from umwelt.agents.commands.beings import NUMBER_MASK, Row, body_matter, discard_index, place_being, row_of
from umwelt.agents.commands.checks import check_being, check_cell, check_name, check_whole, fixed_place
from umwelt.agents.commands.command import Being, Command, CommandKind, Request
from umwelt.agents.commands.matter import MatterBounds, MatterChange
from umwelt.agents.commands.tool import Choice, Tool
from umwelt.agents.earth.founders import GENE_MAX, GENE_MIN, given_genome
from umwelt.agents.earth.genesis import founder_columns, species_of
from umwelt.agents.earth.settings import EarthSettings
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.columns import Table, identity
from umwelt.sandbox.errors import CommandError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL, SUBCELL_BITS


class Spawn(Command, tag="spawn", frozen=True):
    """The command that adds a being to the table `kind` at a position (1/1024 cell), with the columns in `row`.

    The being's id is computed from the tick and from the number of the command's entry in the journal.
    """

    kind: str
    y_fixed: int
    x_fixed: int
    row: Row

    def check(self, world: WorldFile) -> None:
        check_being(world, "spawn", self.kind, self.y_fixed, self.x_fixed, self.row)

    def apply(self, region: Region, number: int) -> None:
        kind = region.tables[self.kind].schema.kind
        being_id = identity(kind, region.tick + 1, number & NUMBER_MASK, by_hand=True)
        rows = place_being(region, self.kind, being_id, self.y_fixed, self.x_fixed, self.row)
        region.record_births(self.kind, rows)
        discard_index(region, self.kind)

    def matter_change(self, matter: MatterBounds) -> MatterChange:
        return {name: (count, count) for name, count in body_matter(self.row, matter.content).items()}


class SpawnRequest(Request, frozen=True):
    """A request for a new being at `y, x`, in cells: a founder of `species`, or a copy of the living being `like`.

    `genome` replaces the genome of a founder; `like` is an id, 0 for a founder.
    """

    y: float
    x: float
    species: str = ""
    genome: list[int] | None = None
    like: int = 0

    def being_id(self) -> int:
        return self.like

    def compose(self, world: WorldFile, being: Being | None) -> list[Command]:
        if self.like and being is None:
            raise CommandError(f"spawn: like = {self.like}: no such being lives: choose another")
        y_fixed, x_fixed = fixed_place(world, "spawn", self.y, self.x)
        if being is None:
            cell = y_fixed >> SUBCELL_BITS, x_fixed >> SUBCELL_BITS
            return [compose_founder(world, self.species, *cell, self.genome)]
        if self.genome is not None or self.species:
            raise CommandError("spawn: a copy has its own genome and species: leave them out, or leave out like")
        return [Spawn(being["kind"], y_fixed, x_fixed, being["row"])]


def compose_founder(world: WorldFile, species: str, y: int, x: int, genome: bytes | list[int] | None = None) -> Spawn:
    """Returns the command that adds a founder of a species, as genesis makes it, in the middle of a cell.

    `genome` replaces the genome of the species. Random numbers that genesis draws with the founder's id as key are
    drawn with the index of the cell instead. Raises CommandError for an unknown species, an invalid genome, or a cell
    outside the world.
    """
    settings = world.settings
    if not isinstance(settings, EarthSettings):
        raise CommandError(f"spawn: {world.laws.name} has no founders: write the being's row")
    check_cell(world, "spawn", y, x)
    try:
        names = [group.species for group in settings.founders]
        index = names.index(check_name("spawn: species", species, names))
        founder = species_of(settings)[index]
        if genome is not None:
            genes = np.frombuffer(genome, np.int8).tolist() if isinstance(genome, bytes) else list(genome)
            for number, gene in enumerate(genes):
                check_whole(f"spawn: genome[{number}]", gene, GENE_MIN, GENE_MAX)
            founder |= {"genomes": given_genome(genes, founder["kind"], "spawn")[None], "variation": 0.0}
    except WorldFileError as error:
        raise CommandError(str(error)) from None
    kind = f"{founder['kind']}s"
    table = Table(next(schema for schema in world.laws.layout(world)[1] if schema.name == kind))
    key = np.array([y * world.common.width + x])
    table.append(1, founder_columns(founder, index, world.common.seed, key))
    middle = SUBCELL // 2
    return Spawn(kind, (y << SUBCELL_BITS) + middle, (x << SUBCELL_BITS) + middle, row_of(table, 0))


TOOLS = (
    Tool(
        "seed",
        "plant a seed",
        "put a plant here: a founder, or one with the copied genome",
        "spawn",
        "{species} at {x:.0f}, {y:.0f}",
        (
            Choice("source", "source", "founder", only=("founder", "genome")),
            Choice("species", "species", known="plants"),
        ),
    ),
    Tool(
        "monster",
        "spawn a monster",
        "put a monster here: a founder, one with the copied genome, or a copy of a being",
        "spawn",
        "{species} at {x:.0f}, {y:.0f}",
        (
            Choice("source", "source", "founder", only=("founder", "genome", "copy")),
            Choice("species", "species", known="monsters"),
        ),
    ),
)
SPAWN = CommandKind(Spawn, SpawnRequest, TOOLS)
