"""The visible content of a region, for pictures and the terminal: ground, water, scents, and bodies with their looks.

Floats are permitted here, because no result affects the world. A region holds the state of a rectangle of cells, which
it *owns*, and a halo of copied cells around it, which is not drawn. A *field* has one value for each cell; a *table*
holds the beings of one kind, in columns. Fields and columns that a world lacks have defaults.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from umwelt.agents.earth.parameters import LEAF_FULL_COUNT
from umwelt.sandbox.laws.weather import climate_of
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import SUBCELL, TURN

WATER_DEEP_COUNT = 320
"""The water of a cell, in molecules beyond what soil holds, that is drawn as deep water."""
SCENT_STRONG_COUNT = 10
"""The molecules of a scent in a cell that are drawn at full strength."""
DETRITUS_MUCH_COUNT = 30
"""The molecules of detritus in a cell that are drawn at full strength."""
SEED_CELLS, LEAF_MIN_CELLS, LEAF_MAX_CELLS = 0.2, 0.75, 2.3
"""The sizes at which seeds, the smallest plants and the largest plants are drawn, in cells."""
GOLDEN = 0.618034
"""The fractional part of the golden ratio; hues at successive multiples of it are well separated."""
TWO_SIDED = ("price",)
"""Names of signed fields, drawn in red where positive and in green where negative (the colours of two scents)."""
MAX_OFFSET_CELLS = 0.42
"""Maximum offset, along each axis, at which a plant is drawn from the middle of its cell, to hide the grid of cells."""


@dataclass
class Beings:
    """The visible bodies of one table; all arrays have one entry per being.

    `y` and `x` are in cells from the corner of the region's owned rectangle, `size` is in cells, colours are 0 to 1.
    """

    plant: bool
    """Whether the beings are drawn as plants; otherwise, as monsters."""
    y: np.ndarray
    x: np.ndarray
    size: np.ndarray
    heading: np.ndarray
    """Direction in radians, clockwise from the x axis."""
    colour: np.ndarray
    """Main colour: `float32[n, 3]`."""
    accent: np.ndarray
    """Colour of flowers or stripes: `float32[n, 3]`."""
    looks: dict[str, np.ndarray] = field(default_factory=dict)
    """Further visible attributes by name, such as `id`, `stage`, `shape`, `pattern`, `asleep`, and organs."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass
class Scene:
    """The visible content of a region.

    Each array except `scents` is a plane, `float32[height, width]`; with a stride, it has every stride-th cell only.
    """

    height: int
    """Height of the owned rectangle, in cells; `width` likewise."""
    width: int
    elevation: np.ndarray
    """Elevation, scaled to 0 in the lowest cell and 1 in the highest."""
    depth: np.ndarray
    """Depth of open water, from 0 on land to 1 in deep water."""
    moisture: np.ndarray
    """Water relative to what soil holds, from 0 to 1."""
    cover: np.ndarray
    """First variable field of a world without climate (such as grass or sugar), scaled to 0 to 1; otherwise 0."""
    detritus: np.ndarray
    """Detritus, from 0 for none to 1 for much."""
    scents: np.ndarray
    """Scents aroma, musk and alarm, 0 to 1: `float32[3, height, width]`."""
    beings: list[Beings]


def make_scene(region: Region, stride: int = 1) -> Scene:
    """Returns the visible content of the owned rectangle of `region`; planes have every `stride`-th cell."""
    shape = (
        region.owned_view(region.field_list[0].name)[..., ::stride, ::stride].shape[-2:]
        if region.field_list
        else (-(-region.owned.height // stride), -(-region.owned.width // stride))
    )
    parts = {part for layer in region.field_list for part in (layer.name, *layer.parts)}

    def plane(name: str) -> np.ndarray:
        """Returns every `stride`-th cell of a field or a part of one, zeros if the region lacks it: `float32`."""
        if name not in parts:
            return np.zeros(shape, np.float32)
        return region.owned_view(name)[..., ::stride, ::stride].astype(np.float32)

    has_climate = "water" in parts and "climate" in region.constants
    capacity = float(climate_of(region).capacity_count) if has_climate else 1.0
    water = plane("water")
    scents = np.stack([np.clip(plane(name) / SCENT_STRONG_COUNT, 0, 1) for name in ("aroma", "musk", "alarm")])
    name = "" if has_climate else next((layer.name for layer in region.field_list if not layer.fixed), "")
    other = plane(name) if name else np.zeros(shape, np.float32)
    other = other.sum(axis=0) if other.ndim == 3 else other
    if name in TWO_SIDED:
        scents[0], scents[2], other = _scale_positive(-other), _scale_positive(other), np.zeros_like(other)
    return Scene(
        region.owned.height,
        region.owned.width,
        _scale_to_range(plane("elevation")),
        np.clip((water - capacity) / WATER_DEEP_COUNT, 0, 1) if has_climate else np.zeros(shape, np.float32),
        np.clip(water / max(1.0, capacity), 0, 1) if has_climate else np.full(shape, 0.3, np.float32),
        _scale_to_range(other),
        np.clip(plane("detritus") / DETRITUS_MUCH_COUNT, 0, 1),
        scents,
        [_make_beings(region, name) for name in region.tables],
    )


def _scale_to_range(plane: np.ndarray) -> np.ndarray:
    """Returns `plane` scaled linearly to 0 to 1; the range also includes 0 and is at least 1."""
    low, high = float(plane.min(initial=0)), float(plane.max(initial=0))
    return (plane - low) / max(1.0, high - low)


def _scale_positive(plane: np.ndarray) -> np.ndarray:
    """Returns `plane` clipped to 0 to 1, after division by the 95th percentile of its positive values (at least 1)."""
    above = plane[plane > 0]
    return np.clip(plane / max(1.0, float(np.percentile(above, 95))), 0, 1) if len(above) else np.zeros_like(plane)


def _make_beings(region: Region, name: str) -> Beings:
    """Returns the visible bodies of the owned beings in the table `name` of a region."""
    table, own = region.tables[name], np.flatnonzero(region.owned_rows(name))
    rim = region.halo_cells

    def column(wanted: str, default: float = 0.0) -> np.ndarray:
        """Returns a column of the owned beings, or `default` if the table lacks it: `float32[n]`."""
        if wanted not in table:
            return np.full(len(own), default, np.float32)
        return table[wanted][own].astype(np.float32)

    plant = "stage" in table
    y, x = column("y_fixed") / SUBCELL - rim, column("x_fixed") / SUBCELL - rim
    ids = table["id"][own]
    heading = column("heading") * (2 * np.pi / TURN) if "heading" in table else random_shares(ids, 3) * (2 * np.pi)
    tissue = column("tissue_count", 30.0)
    looks: dict[str, np.ndarray] = {"id": ids}
    if plant:
        grown = np.clip(tissue / LEAF_FULL_COUNT, 0, 1)
        size = np.where(column("stage") < 2, SEED_CELLS, LEAF_MIN_CELLS + (LEAF_MAX_CELLS - LEAF_MIN_CELLS) * grown)
        offset = cell_offsets(looks["id"]) * (column("stage") == 2)
        y, x = y + offset[0], x + offset[1]
        hue = leaf_hue(column("gene_hue"))
        colour = hsv(hue, 0.64 - 0.15 * column("gene_leaf") / 128, 0.66 + 0.16 * grown)
        if "stem_id" in table:
            alive = np.isin(table["stem_id"][own], looks["id"])
            looks["stem"] = column("stem_direction").astype(np.int64) * alive
            looks["stem_id"] = table["stem_id"][own]
        accent = hsv(0.98 + column("gene_flower_hue") / 128 * 0.2, 0.62, 1.0)
        looks["shape"] = (column("gene_shape") + 128) / 255
        looks["stage"] = column("stage")
        looks["flowers"] = np.clip((column("sugar_count") - 70) / 60, 0, 1) * (grown > 0.4)
        return Beings(True, y, x, size.astype(np.float32), heading, colour, accent, looks)
    size = body_cells(tissue).astype(np.float32)
    if "genome" in table and table["genome"].shape[1] > 24:
        hue_gene, shade, pattern, glow = (
            _gene(table["genome"][own], trait) for trait in ("hue", "shade", "pattern", "glow")
        )
    else:
        hue_gene, shade, pattern, glow = (species_hue(column("species")), *(np.full(len(own), 0.5, np.float32),) * 3)
    colour = hsv(hue_gene, 0.68 + 0.2 * (shade - 0.5), 1.0 - 0.15 * shade)
    accent = hsv(hue_gene + 0.09, 0.38, 1.0)
    looks |= {"pattern": pattern, "glow": glow, "asleep": column("asleep"), "eyes_shut": column("eyes_shut")}
    for organ in ("jaw", "leg", "eye", "armour", "spike", "gland"):
        looks[organ] = column(f"{organ}_organs", 2.0 if organ in ("leg", "eye") else 0.0)
    return Beings(False, y, x, size, heading, colour, accent, looks)


def hash_ids(ids: np.ndarray) -> np.ndarray:
    """Returns a hash of each id, `uint32[n]`; only for appearance, never for laws."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(32)).astype(np.uint32)


def random_shares(ids: np.ndarray, salt: int) -> np.ndarray:
    """Returns a pseudorandom number from 0 to 1 for each id, `float32[n]`, that depends only on the id and `salt`.

    Only for appearance, never for laws.
    """
    return (hash_ids(ids.astype(np.uint64) + np.uint64(salt)) >> np.uint32(8)).astype(np.float32) / (1 << 24)


def cell_offsets(ids: np.ndarray) -> np.ndarray:
    """Returns the offsets (y, x) of drawn plants from the middles of their cells, in cells: `float32[2, n]`."""
    return np.stack([(random_shares(ids, salt) - 0.5) * (2 * MAX_OFFSET_CELLS) for salt in (5, 6)])


def _gene(genome: np.ndarray, name: str) -> np.ndarray:
    """Returns the trait `name` from the genomes of monsters, scaled to 0 to 1: `float32[n]`."""
    from umwelt.agents.body.genome import TRAIT

    return (genome[:, TRAIT[name]].astype(np.float32) + 128) / 255


def species_hue(species: Any, plant: bool = False) -> Any:
    """Returns the hue, in turns, of a species by its index; successive indices have clearly different hues.

    Plants have green hues. Other species have hues from cyan through blue, violet and red to yellow; index 0 is blue.
    """
    if plant:
        return 0.225 + 0.25 * ((species * GOLDEN + 0.45) % 1.0)
    return (0.50 + 0.68 * ((species * GOLDEN + 0.1) % 1.0)) % 1.0


def leaf_hue(hue_gene: np.ndarray) -> np.ndarray:
    """Returns the hue of leaves, in turns (about green), from the gene `hue` (-128 to 127)."""
    return 0.375 + hue_gene / 128 * 0.15


def body_cells(tissue: Any) -> Any:
    """Returns the size, in cells, at which monsters with `tissue` molecules of tissue are drawn."""
    return np.clip(0.6 + 0.16 * np.sqrt(tissue), 0.9, 3.0)


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Returns the three channels as `float32[3]`."""
    return np.array([red, green, blue], np.float32)


def hsv(hue: Any, saturation: np.ndarray | float, value: np.ndarray | float) -> np.ndarray:
    """Returns RGB colours, `float32[..., 3]`, from hue (in turns), saturation and value (0 to 1)."""
    hue = np.asarray(hue, np.float32)[..., None]
    saturation = np.broadcast_to(np.asarray(saturation, np.float32), hue.shape[:-1])[..., None]
    value = np.broadcast_to(np.asarray(value, np.float32), hue.shape[:-1])[..., None]
    wheel = np.abs((hue + np.array([0, 2 / 3, 1 / 3], np.float32)) % 1 * 6 - 3) - 1
    return (value * (1 - saturation + saturation * np.clip(wheel, 0, 1))).astype(np.float32)


def ground_colour(
    depth: np.ndarray,
    moisture: np.ndarray,
    detritus: np.ndarray,
    elevation: np.ndarray,
    cover: np.ndarray,
    scents: np.ndarray,
) -> np.ndarray:
    """Returns the unshaded colour of ground and water, `float32[height, width, 3]`, mostly 0 to 1.

    The parameters are planes as in `Scene`.
    """

    def mix(a: tuple | np.ndarray, b: tuple, share: np.ndarray) -> np.ndarray:
        """Returns colours between `a` (share 0) and `b` (share 1): `float32[height, width, 3]`."""
        return np.asarray(a, np.float32) + (np.asarray(b, np.float32) - np.asarray(a, np.float32)) * share[..., None]

    land = mix((0.105, 0.070, 0.082), (0.030, 0.058, 0.052), np.clip(moisture * 1.3 - 0.25, 0, 1))
    land = mix(land, (0.150, 0.135, 0.150), np.clip(elevation - 0.60, 0, 1) * 1.4)
    land = mix(land, (0.105, 0.040, 0.120), detritus * 0.85)
    land = mix(land, (0.13, 0.36, 0.20), cover * 0.85)
    sea = mix((0.028, 0.150, 0.200), (0.011, 0.030, 0.092), np.sqrt(np.clip(depth * 1.4, 0, 1)))
    shallow = np.clip(depth * 14, 0, 1)
    colour = land + (sea - land) * shallow[..., None]
    glow = np.array([[0.05, 0.17, 0.10], [0.20, 0.05, 0.22], [0.34, 0.08, 0.05]], np.float32)
    return colour + np.tensordot(scents.transpose(1, 2, 0), glow, axes=1) * 0.55


@dataclass
class Crowd:
    """Beings to draw on a small map, all plants or all others (`plant`).

    `y` and `x` are places from 0 to 1 across the map, `weight` is the share of a cell that each being covers, and
    colours are 0 to 1.
    """

    plant: bool
    y: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    colour: np.ndarray
    """Colours `float32[n, 3]`, or one colour `float32[3]` for all beings."""


def draw_crowds(ground: np.ndarray, crowds: list[Crowd], cells_a_pixel: float) -> np.ndarray:
    """Returns a picture of `crowds` drawn over `ground`, later crowds over earlier ones.

    `ground` is `float32[rows, columns, 3]`; the result is `uint8` of the same shape. `cells_a_pixel` is the number of
    cells that one pixel represents.
    """
    colour = 1.35 * ground
    rows, columns = ground.shape[:2]
    for crowd in crowds:
        at = (crowd.y * rows).astype(np.int64).clip(0, rows - 1) * columns
        at += (crowd.x * columns).astype(np.int64).clip(0, columns - 1)
        total = np.bincount(at, crowd.weight, rows * columns)
        tints = np.broadcast_to(crowd.colour, (len(at), 3))
        paint = np.stack([np.bincount(at, crowd.weight * tints[:, i], rows * columns) for i in range(3)], axis=-1)
        tint = (paint / np.maximum(total, 1e-6)[:, None]).reshape(rows, columns, 3)
        # a monster covers more of a pixel than its area, so that it is visible among many plants
        share = 1 - np.exp(-total / cells_a_pixel * (0.9 if crowd.plant else 6.0))
        solid = np.minimum(share, 0.75 if crowd.plant else 1.0).reshape(rows, columns, 1)
        colour = colour + (tint - colour) * solid
    return (np.clip(colour, 0, 1) ** 0.8 * 255).astype(np.uint8)
