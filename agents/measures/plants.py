"""Measures of all plants of a world: density, mass and cover, and the number of kinds in squares.

A plant consists of modules, one in each of its cells; each module is a being.
"""

from collections.abc import Iterator

import numpy as np

from umwelt.agents.body.genome import P_MARKER_A, P_MARKER_C
from umwelt.agents.body.interface import MODULE, TISSUE
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

KIND_WIDTH = 42
"""Plants are of the same kind if each of their three marker genes is in the same interval (box) of this width. Kinship
is 0 if the differences of the markers sum to 128 (`laws/sense.py`); within a box the sum is at most 3 * 41 = 123, so
that the kinship of two plants of a kind is above 0."""
GENE_OFFSET = 128
"""The offset that converts marker genes from int8 to the range 0 to 255."""
BOXES = 8
"""The base of the code of a kind, which has one digit for each marker: the index of its box. It is greater than the
number of boxes, 256 / KIND_WIDTH."""
SMALLEST_SIDE = 8
"""The side of the smallest squares, in cells."""


def stand(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the number of plants, their tissue, and the share of cells that they cover.

    A plant is a set of modules that living stems connect, which share sugar and water. `density` is plants per cell,
    `mass_count` the mean tissue of a plant and `yield_count` the tissue per cell, both in molecules. `cover` is the
    share of cells with modules. `sprouted` is the number of first modules that grew from a seed of this world, rather
    than being founders, divided by the number of plants.
    """
    plants, rows = region.tables["plants"], _modules(region)
    tissue, cells = plants["counts"][rows, TISSUE].astype(np.int64), region.torus.cells
    first = first_modules(plants["id"][rows], plants["stem_id"][rows])
    individuals = len(np.unique(first))
    is_from_seed = (plants["stem_id"][rows] == 0) & (plants["generation"][rows] > 0)
    numbers = {
        "stand.plants": individuals,
        "stand.density": individuals / cells,
        "stand.yield_count": tissue.sum() / cells,
        "stand.cover": len(np.unique(region.global_cells("plants", rows))) / cells,
        "stand.mass_count": tissue.sum() / individuals if individuals else np.nan,
        "stand.sprouted": np.count_nonzero(is_from_seed) / individuals if individuals else np.nan,
    }
    return {name: float(value) for name, value in numbers.items()}


def first_modules(ids: np.ndarray, stem_ids: np.ndarray) -> np.ndarray:
    """Returns for each module the index of the first module of its plant, `int64[modules]`.

    `ids` (`int64[modules]`) are the ids of the modules, and `stem_ids` the ids of the modules from which they budded,
    some of which are dead. The first module of a plant is the one whose stem module is not among `ids`.
    """
    order = np.argsort(ids)
    places = np.searchsorted(ids[order], stem_ids)
    parent = order[np.minimum(places, len(ids) - 1)] if len(ids) else order
    first = np.where(ids[parent] == stem_ids, parent, np.arange(len(ids)))
    while True:
        next_first = first[first]
        if np.array_equal(next_first, first):
            return first
        first = next_first


def kinds(world: WorldFile, region: Region) -> dict[str, float]:
    """Returns the mean number of kinds of plants in squares: `kinds.SIDE` for the squares with sides of SIDE cells.

    The squares of each size cover the world without overlap. `placed.SIDE` is the expected number for random placement,
    where every module is in any square with the same probability: the sum over kinds of 1 - (1 - 1/squares)^modules
    (Coleman, "On random placement and species-area relations", Mathematical Biosciences 54, 1981). `KIND_WIDTH` defines
    kinds.
    """
    rows = _modules(region)
    markers = region.tables["plants"]["genome"][rows, P_MARKER_A : P_MARKER_C + 1].astype(np.int64) + GENE_OFFSET
    codes = (markers // KIND_WIDTH) @ np.array([BOXES**2, BOXES, 1])
    y, x = np.divmod(region.global_cells("plants", rows), region.torus.width)
    abundances = np.unique(codes, return_counts=True)[1]
    numbers: dict[str, float] = {}
    for side in square_sides(*region.torus):
        squares = region.torus.cells // side**2
        square = (y // side) * (region.torus.width // side) + x // side
        numbers[f"kinds.{side}"] = len(np.unique(square * BOXES**3 + codes)) / squares
        numbers[f"placed.{side}"] = float((1 - (1 - 1 / squares) ** abundances).sum())
    return numbers


def square_sides(height: int, width: int) -> Iterator[int]:
    """Yields SMALLEST_SIDE, then twice that and so on, while squares with that side in cells fill the world exactly."""
    side = SMALLEST_SIDE
    while height % side == 0 and width % side == 0:
        yield side
        side *= 2


def _modules(region: Region) -> np.ndarray:
    """Returns the rows of all plant modules (not seeds) of a region, `int64[modules]`."""
    return np.flatnonzero(region.owned_rows("plants") & (region.tables["plants"]["stage"] == MODULE))
