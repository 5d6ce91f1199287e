"""Regions: halos hold every periodic image, and pasted pieces must cover each cell exactly once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.sandbox.columns import Column, Schema
from umwelt.sandbox.errors import LawError
from umwelt.sandbox.region import Field, Rectangle, Region, Torus, exchange_halos, images

THINGS = Schema("things", 1, (Column("mark", "int32"),))
FIELDS = (Field("stuff", "int32", parts=("a", "b")), Field("ground", "int16"))


def filled(torus: Torus, owned: Rectangle, halo: int, beings: np.ndarray) -> Region:
    """Returns a region whose cells hold their global index, with the `beings` (global positions) that lie in it."""
    region = Region(torus, owned, halo, FIELDS, [THINGS], seed=1)
    y = (np.arange(owned.height) + owned.y) % torus.height
    x = (np.arange(owned.width) + owned.x) % torus.width
    cells = y[:, None] * torus.width + x[None, :]
    region.owned_view("a")[:], region.owned_view("b")[:], region.owned_view("ground")[:] = cells, -cells, cells % 100
    at = (beings - np.array([owned.y, owned.x]) * 1024) % (np.array(torus) * 1024)
    inside = (at[:, 0] < owned.height * 1024) & (at[:, 1] < owned.width * 1024)
    at, number = at[inside] + halo * 1024, np.flatnonzero(inside)
    region.tables["things"].append(len(at), {"id": number, "mark": number, "y_fixed": at[:, 0], "x_fixed": at[:, 1]})
    return region


@settings(max_examples=60)
@given(
    height=st.integers(4, 12),
    width=st.integers(4, 12),
    halo=st.integers(0, 17),
    y_cut=st.integers(1, 3),
    x_cut=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_halos_hold_every_periodic_image_exactly(height, width, halo, y_cut, x_cut, seed):
    torus = Torus(height, width)
    beings = np.random.default_rng(seed).integers(0, [height * 1024, width * 1024], (20, 2))
    parts = [Rectangle(0, 0, y_cut, width), Rectangle(y_cut, x_cut, height - y_cut, width - x_cut)]
    parts.append(Rectangle(y_cut, width, height - y_cut, x_cut))
    regions = [filled(torus, part, halo, beings) for part in parts]
    exchange_halos(regions)
    for region in regions:
        y, x = np.indices(region["a"].shape)
        y, x = y + region.window.y, x + region.window.x
        expected = (y % height) * width + x % width
        assert (region["a"] == expected).all() and (region["b"] == -expected).all()
        assert (region["ground"] == expected % 100).all()
        things = region.tables["things"]
        found = zip(things["id"], things["y_fixed"], things["x_fixed"], strict=True)
        places = {(int(i), int(v), int(u)) for i, v, u in found}
        wanted = set()
        for number, (v, u) in enumerate(beings.tolist()):
            for i in range(-6, 7):
                for j in range(-6, 7):
                    at = (v + (i * height - region.window.y) * 1024, u + (j * width - region.window.x) * 1024)
                    if 0 <= at[0] < region.window.height * 1024 and 0 <= at[1] < region.window.width * 1024:
                        wanted.add((number, *at))
        assert places == wanted and len(things) == len(wanted)


def test_images_of_a_source_in_a_window_wider_than_the_torus():
    found = list(images(Rectangle(-3, -3, 10, 10), Rectangle(0, 0, 4, 4), Torus(4, 4)))
    assert sum(part.cells for part, _, _ in found) == 100 and len(found) == 9


def test_a_halo_that_is_not_covered_or_covered_twice_is_refused():
    torus = Torus(8, 8)
    beings = np.zeros((0, 2), np.int64)
    regions = [filled(torus, Rectangle(0, 0, 4, 8), 2, beings), filled(torus, Rectangle(4, 0, 4, 8), 2, beings)]
    with pytest.raises(LawError, match="not covered exactly once"):
        regions[0].paste([])
    whole = filled(torus, Rectangle(0, 0, 8, 8), 2, beings)
    pieces = [(whole.cut(part), y, x) for part, y, x in images(whole.window, whole.owned, torus) if (y, x) != (2, 2)]
    with pytest.raises(LawError, match="not covered exactly once"):
        whole.paste([*pieces, pieces[0]])
    with pytest.raises(LawError, match="owns the whole torus"):
        regions[0].wrap()


def test_pieces_that_do_not_cover_a_region_are_refused():
    torus = Torus(8, 8)
    beings = np.zeros((0, 2), np.int64)
    half = filled(torus, Rectangle(0, 0, 4, 8), 0, beings)
    with pytest.raises(LawError, match="not covered exactly once"):
        filled(torus, Rectangle(2, 0, 4, 8), 0, beings).load([half.cut(half.owned)])
