"""The sections of a world file that Earth's laws read."""

import msgspec

from umwelt.agents.earth.terrain import GroundSettings, Height
from umwelt.agents.world_file import Count
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.laws.weather import Climate
from umwelt.sandbox.units import centidegrees_from_celsius, fraction_from_float


class ClimateSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section `[climate]`. Temperatures are in degrees Celsius, times in ticks, all else plain numbers."""

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
    """The height to which the tide raises free water above the mean, and lowers it below, if it has time to follow."""
    tide_ticks: int = 600
    """The time from one high tide to the next."""

    def table(self, capacity_count: int) -> Climate:
        """The climate as integers. Raises WorldFileError for values out of range."""
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
    """A reaction that a world adds; `sandbox/chemistry.py` says what rate, catalysts and order mean."""

    name: str
    equation: str
    rate: float
    site: str = "cell"
    catalysts: list[str] = []
    order: dict[str, int] | int | None = None


class ChemistrySettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section `[chemistry]`: what a world adds to Earth's chemistry, changes or leaves out."""

    substances: dict[str, str] = {}
    symbols: dict[str, str] = {}
    """Abbreviations of formulas for use in other formulas, Earth's included; each uses elements and those before it."""
    charges: dict[str, int] = {}
    """The charges of the world's charged substances, in any unit: reactions must balance in charge, too."""
    reactions: list[ReactionSettings] = []
    without: list[str] = []
    rates: dict[str, float] = {}
    """Rates that replace those of Earth's reactions, by name."""
    initial: dict[str, Count] = {}
    """Molecules of the world's own substances in every cell at tick 0."""
    mobility: dict[str, list[float]] = {}
    """The share of a substance that spreads in a tick, and the share that a full wind carries on, by substance."""


class FounderSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A section `[[founders]]`: a group of founders of one species."""

    species: str
    count: int
    kind: str = ""
    like: str = ""
    organs: list[str] | None = None
    genes: dict[str, int] = {}
    wires: dict[str, dict[str, int]] = {}
    """Weights of its net, for each hidden unit or drive, by the name of the input; see `founders.set_weights`."""
    genome: list[int] | None = None
    """All genes in their order, as in a journalled birth; in place of `like`, `organs`, `genes` and `wires`."""
    genomes: list[str] | None = None
    """Several such genomes, each in hexadecimal digits, two a gene; dealt out in turn over the founders."""
    behaviour: str = "net"
    clumps: Count = 0
    among: str = ""
    """The group that these founders are mixed with: places and ids are drawn for both together, dice deal them out."""
    spores: float = 0.0
    """The odds per tick that such a plant appears in a cell with its matter and without plants: `laws/spore.py`."""
    variation: float = 0.02
    """The share of its genes in which a founder differs from the template; given `genomes` stay as they are."""


class EarthSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All sections of a world file that Earth's laws read."""

    climate: ClimateSettings = ClimateSettings()
    ground: GroundSettings = GroundSettings()
    chemistry: ChemistrySettings = ChemistrySettings()
    founders: list[FounderSettings] = []
