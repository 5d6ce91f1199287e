"""The settings of Earth's laws: the sections of a world file that they read.

A founder is a being that exists at tick 0; the genome of a group of founders is that of a template (a named genome in
`founders.py`) with the changes in the world file, unless the file gives complete genomes.
"""

import msgspec

from umwelt.agents.earth.terrain import GroundSettings, Height
from umwelt.agents.world_file import Count
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.laws.weather import Climate
from umwelt.sandbox.units import centidegrees_from_celsius, fraction_from_float


class ClimateSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section `[climate]` of a world file.

    Temperatures are in degrees Celsius, times in ticks, counts in molecules. The other values are dimensionless.
    `sandbox/laws/weather.py` describes each of them at `Climate`, in integer units.
    """

    day_ticks: int = 600
    year_ticks: int = 9600
    light: float = 1.0
    latitude: float = 0.4
    season: float = 0.25
    temperature: float = 18.0
    latitude_celsius: float = 8.0
    season_celsius: float = 6.0
    day_celsius: float = 4.0
    lapse_celsius: float = 6.0
    saturation_count: Count = 120
    cloud: float = 0.4
    wind: float = 1.0
    tide: Height = 0
    """Amplitude of the tide, in heights of one molecule of water; water that flows slowly rises and falls by less."""
    tide_ticks: int = 600
    """Ticks from one high tide to the next."""

    def table(self, capacity_count: int) -> Climate:
        """Converts the settings to the integers of `Climate`. Raises WorldFileError for values out of range.

        `capacity_count` is the number of molecules of water that the soil of a cell holds.
        """
        if min(self.day_ticks, self.year_ticks, self.tide_ticks) < 1:
            raise WorldFileError("climate: day_ticks, year_ticks and tide_ticks must be at least 1")
        for name in ("light", "latitude", "season", "cloud", "wind"):
            if not 0 <= getattr(self, name) <= 4:
                raise WorldFileError(f"climate.{name} = {getattr(self, name)}: use 0 to 4")
        return Climate(  # type: ignore[call-arg]
            self.day_ticks,
            self.year_ticks,
            fraction_from_float(self.light),
            fraction_from_float(self.latitude),
            fraction_from_float(self.season),
            *[
                centidegrees_from_celsius(value)
                for value in (
                    self.temperature,
                    self.latitude_celsius,
                    self.season_celsius,
                    self.day_celsius,
                    self.lapse_celsius,
                )
            ],
            self.saturation_count,
            fraction_from_float(self.cloud),
            fraction_from_float(self.wind),
            capacity_count,
            self.tide,
            self.tide_ticks,
        )


class ReactionSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An entry of `chemistry.reactions`, a reaction that a world file adds; see `sandbox.chemistry.Reaction`."""

    name: str
    equation: str
    rate: float
    site: str = "cell"
    catalysts: list[str] = []
    order: dict[str, int] | int | None = None


class ChemistrySettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section `[chemistry]` of a world file: additions and changes to Earth's chemistry.

    `substances` maps names of new substances to formulas; `without` names reactions of Earth to remove.
    """

    substances: dict[str, str] = {}
    symbols: dict[str, str] = {}
    """Abbreviations that formulas can contain, and the formulas that they stand for.

    Each can contain elements and the abbreviations before it.
    """
    charges: dict[str, int] = {}
    """Electric charges of substances, in any common unit, by default 0. Reactions must conserve charge."""
    reactions: list[ReactionSettings] = []
    without: list[str] = []
    rates: dict[str, float] = {}
    """New rates of Earth's reactions, by name of the reaction."""
    initial: dict[str, Count] = {}
    """Molecules in every cell at tick 0, by name of the substance."""
    mobility: dict[str, list[float]] = {}
    """Mobility of substances, by name; replaces entries of `reactions.MOBILITY`, which explains the two values."""


class FounderSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A section `[[founders]]` of a world file: a group of founders of one species.

    `kind` is "plant" or "monster", by default that of the template. `like` names the template of the genome, by default
    the template with the name of the species. `organs` and `genes` replace organs and traits of the template. `clumps`
    is the number of clumps in which the founders stand; 0 scatters them over the world. `behaviour` is a reference to
    the behaviour of the species (see `agents/species/references.py`); "net" is the default net.
    """

    species: str
    count: int
    kind: str = ""
    like: str = ""
    organs: list[str] | None = None
    genes: dict[str, int] = {}
    wires: dict[str, dict[str, int]] = {}
    """Weights of the net to set, by hidden unit or drive and then by input; see `founders.set_weights`."""
    genome: list[int] | None = None
    """The complete genome, as recorded for births in the journal; replaces `like`, `organs`, `genes` and `wires`."""
    genomes: list[str] | None = None
    """Several complete genomes, with two hexadecimal digits for each gene; assigned to the founders in turn."""
    behaviour: str = "net"
    clumps: Count = 0
    among: str = ""
    """The species of a group to mix with; both groups together get random cells and ids, which are divided randomly."""
    spores: float = 0.0
    """Probability, per cell and tick, that a seed of this group appears without a parent; see `laws/spore.py`."""
    variation: float = 0.02
    """Mutation rate with which founders are varied from their template; `genomes` are used unchanged."""


class EarthSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The settings of Earth's laws: all sections of a world file except the keys of `CommonSettings`."""

    climate: ClimateSettings = ClimateSettings()
    ground: GroundSettings = GroundSettings()
    chemistry: ChemistrySettings = ChemistrySettings()
    founders: list[FounderSettings] = []
