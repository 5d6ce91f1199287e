"""Plants as a whole: how dense and how heavy they stand, and how many kinds live in squares."""

from collections.abc import Iterator

import numpy as np

from umwelt.agents.body.genome import P_MARKER_A, P_MARKER_C
from umwelt.agents.body.interface import MODULE, TISSUE
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.region import Region

KIND_WIDTH = 42
"""Plants are of a kind when all three markers lie in the same box of this width. Kinship falls to 0 where markers are
128 apart in sum (`laws/sense.py`): in a box they are at most 3 * 41 = 123 apart, so all of a kind are kin."""
SMALLEST_SIDE = 8


def stand(world: WorldFile, region: Region) -> dict[str, float]:
    """How plants stand: how many, their tissue, and the share of cells that they cover.

    A plant is what living stems join: what shares sugar and water is one individual, as a forester counts it. `density`
    is plants a cell, `mass_count` the mean tissue of a plant, `yield_count` the tissue a cell; `sprouted` is the share
    of plants that came of seeds here, and not of those that were sown.
    """
    plants, rows = region.tables["plants"], _modules(region)
    tissue, cells = plants["counts"][rows, TISSUE].astype(np.int64), region.torus.cells
    first = first_modules(plants["id"][rows], plants["stem_id"][rows])
    individuals = len(np.unique(first))
    of_seeds = (plants["stem_id"][rows] == 0) & (plants["generation"][rows] > 0)
    found = {
        "stand.plants": individuals,
        "stand.density": individuals / cells,
        "stand.yield_count": tissue.sum() / cells,
        "stand.cover": len(np.unique(region.global_cells("plants", rows))) / cells,
        "stand.mass_count": tissue.sum() / individuals if individuals else np.nan,
        "stand.sprouted": np.count_nonzero(of_seeds) / individuals if individuals else np.nan,
    }
    return {name: float(value) for name, value in found.items()}


def first_modules(ids: np.ndarray, stem_ids: np.ndarray) -> np.ndarray:
    """For each module the first of its plant, `int64[module]`: the one that no living stem leads on from.

    `ids: int64[module]`, and `stem_ids: int64[module]` of the modules they budded from, some of which are gone.
    """
    order = np.argsort(ids)
    at = np.searchsorted(ids[order], stem_ids)
    parent = order[np.minimum(at, len(ids) - 1)] if len(ids) else order
    first = np.where(ids[parent] == stem_ids, parent, np.arange(len(ids)))
    while True:
        further = first[first]
        if np.array_equal(further, first):
            return first
        first = further


def kinds(world: WorldFile, region: Region) -> dict[str, float]:
    """Kinds of plants in squares: `kinds.SIDE`, the mean over all squares of that side that make up the world.

    Squares lie nested in each other. `placed.SIDE` is what there would be if every module stood anywhere, as likely
    here as there: the sum over kinds of 1 - (1 - share of the world)^modules; Coleman, "On random placement and
    species-area relations", Mathematical Biosciences 54, 1981. `kind_width` tells kinds apart.
    """
    rows = _modules(region)
    markers = region.tables["plants"]["genome"][rows, P_MARKER_A : P_MARKER_C + 1].astype(np.int64) + 128
    codes = (markers // KIND_WIDTH) @ np.array([64, 8, 1])
    y, x = np.divmod(region.global_cells("plants", rows), region.torus.width)
    abundances = np.unique(codes, return_counts=True)[1]
    found: dict[str, float] = {}
    for side in square_sides(*region.torus):
        squares = region.torus.cells // side**2
        square = (y // side) * (region.torus.width // side) + x // side
        found[f"kinds.{side}"] = len(np.unique(square * 512 + codes)) / squares
        found[f"placed.{side}"] = float((1 - (1 - 1 / squares) ** abundances).sum())
    return found


def square_sides(height: int, width: int) -> Iterator[int]:
    """Sides of squares that fill a world without a rest, each twice the one before."""
    side = SMALLEST_SIDE
    while height % side == 0 and width % side == 0:
        yield side
        side *= 2


def _modules(region: Region) -> np.ndarray:
    return np.flatnonzero(region.owned_rows("plants") & (region.tables["plants"]["stage"] == MODULE))
