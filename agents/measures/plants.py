"""Plants as a whole: how dense and how heavy they stand, and how many kinds live in squares."""

from collections.abc import Iterator

import numpy as np

from umwelt.agents.body.genome import P_MARKER_A, P_MARKER_C
from umwelt.agents.body.interface import MODULE, TISSUE
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

KIND_WIDTH = 42
"""Plants are of one kind if all three markers lie in the same box of this width. Kinship is 0 for markers that differ
by 128 in sum (`laws/sense.py`); within a box they differ by at most 3 * 41 = 123, so that all of a kind are kin."""
GENE_OFFSET = 128
"""Markers are int8: added, this makes them 0 to 255."""
BOXES = 8
"""More than the boxes of one marker, 256 / KIND_WIDTH: the code of a kind has a digit to this base for each marker."""
SMALLEST_SIDE = 8


def stand(world: WorldFile, region: Region) -> dict[str, float]:
    """How plants stand: their number, their tissue, and the share of cells that they cover.

    A plant is what living stems join: what shares sugar and water is one individual. `density` is plants for each cell,
    `mass_count` the mean tissue of a plant, `yield_count` the tissue for each cell, both in molecules. `sprouted` is
    the share of plants that grew from seeds of this world, and were not sown as founders.
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
    """Returns the index of the first module of each module's plant, `int64[modules]`: the one without a living stem.

    `ids` (`int64[modules]`) are the modules' ids, and `stem_ids` those of the modules that they budded from, some of
    which are dead.
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
    """Kinds of plants in squares: `kinds.SIDE` is the mean over all squares of that side that make up the world.

    Squares are nested. `placed.SIDE` is the number for random placement, where every module stands in any square with
    the same probability: the sum over kinds of 1 - (1 - share of the world)^modules (Coleman, "On random placement and
    species-area relations", Mathematical Biosciences 54, 1981). `KIND_WIDTH` tells kinds apart.
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
    """Yields the sides of squares that fill a world exactly, each twice the one before, from SMALLEST_SIDE on."""
    side = SMALLEST_SIDE
    while height % side == 0 and width % side == 0:
        yield side
        side *= 2


def _modules(region: Region) -> np.ndarray:
    """Returns the rows of all plant modules, `int64[modules]`."""
    return np.flatnonzero(region.owned_rows("plants") & (region.tables["plants"]["stage"] == MODULE))
