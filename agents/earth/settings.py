"""What a world file says to Earth's laws: its sections, as they are written there."""

import msgspec

from umwelt.agents.earth.terrain import GroundSettings, Height
from umwelt.agents.world_file import Count
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.laws.weather import Climate
from umwelt.sandbox.units import centidegrees_from_celsius, fraction_from_float


class ClimateSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Sun, wind and air. Temperatures in degrees Celsius, times in ticks, shares and factors as plain numbers."""

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
    """How high the pull raises free water that has time to follow it, above the mean and below."""
    tide_ticks: int = 600
    """From one high water to the next."""

    def table(self, capacity_count: int) -> Climate:
        """The climate as integers."""
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
    """A reaction of a world's own; see `sandbox/chemistry.py` for what rate, catalysts and order mean."""

    name: str
    equation: str
    rate: float
    site: str = "cell"
    catalysts: list[str] = []
    order: dict[str, int] | int | None = None


class ChemistrySettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a world adds to Earth's chemistry or leaves out of it."""

    substances: dict[str, str] = {}
    symbols: dict[str, str] = {}
    """What stands for a formula in others, Earth's own among them, by symbol; each over elements and those above it."""
    charges: dict[str, int] = {}
    """Charges of the charged among the world's substances, in a unit of its own: reactions balance in them, too."""
    reactions: list[ReactionSettings] = []
    without: list[str] = []
    rates: dict[str, float] = {}
    """Other rates for Earth's reactions, by name."""
    initial: dict[str, Count] = {}
    """Molecules of a world's own substances in every cell at tick 0."""
    mobility: dict[str, list[float]] = {}
    """Share that spreads, and share that a full wind carries on, in a tick, by substance."""


class FounderSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A group of founders."""

    species: str
    count: int
    kind: str = ""
    like: str = ""
    organs: list[str] | None = None
    genes: dict[str, int] = {}
    wires: dict[str, dict[str, int]] = {}
    """Weights of its net set anew: for each hidden unit or drive, what it hears and how strongly; see `wires.py`."""
    genome: list[int] | None = None
    """All genes in their order, as a journalled birth has them; in place of `like`, `organs`, `genes` and `wires`."""
    genomes: list[str] | None = None
    """Several such genomes, each as hexadecimal digits, two a gene; dealt out in turn over the group's founders."""
    behaviour: str = "net"
    clumps: Count = 0
    among: str = ""
    """Another group that these are mixed with: their places and ids are drawn as one, and dice deal them out."""
    spores: float = 0.0
    """The odds a tick that such a plant comes to be in a cell with the matter for it and no plant: see `spore.py`."""
    variation: float = 0.02
    """Share of its genes in which a founder differs from the others; given `genomes` stay as they are."""


class EarthSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The sections of a world file that Earth's laws read."""

    climate: ClimateSettings = ClimateSettings()
    ground: GroundSettings = GroundSettings()
    chemistry: ChemistrySettings = ChemistrySettings()
    founders: list[FounderSettings] = []
