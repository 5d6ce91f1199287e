"""Dividing the torus among nodes by weight, along the borders of blocks; and the pieces of which halos consist."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.cluster.partition import BLOCK_CELLS, MIN_SIDE_CELLS, cut, imbalance, max_parts, neighbours, overlaps
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.region import Rectangle, Torus

SIZES = [(5, 4), (17, 40), (64, 64), (100, 36), (48, 48), (33, 250), (8, 200), (1600, 1600)]
HALO_CELLS = 32


def blocks_of(torus: Torus) -> tuple[int, int]:
    """Returns the numbers of blocks along y and x."""
    return -(-torus.height // BLOCK_CELLS), -(-torus.width // BLOCK_CELLS)


def even(torus: Torus) -> np.ndarray:
    """Returns weights of blocks that are their numbers of cells; blocks at the edge may be smaller."""
    rows, columns = (np.minimum(8, size - 8 * np.arange(-(-size // 8))) for size in torus)
    return np.outer(rows, columns).astype(np.int64)


def smooth(torus: Torus, seed: int) -> np.ndarray:
    """Returns smooth random weights of blocks, between 1000 and 5000, with a few maxima a side."""
    random, (height, width) = np.random.default_rng(seed), blocks_of(torus)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.zeros((height, width))
    for _ in range(4):
        turns_y, turns_x, phase = random.integers(-2, 3), random.integers(-2, 3), random.uniform(0, 7)
        waves += np.sin(2 * np.pi * (turns_y * y / height + turns_x * x / width) + phase)
    return (1000 * (3 + waves / 2)).astype(np.int64)


def load(weights: np.ndarray, part: Rectangle) -> int:
    """Returns the total weight of the blocks in a rectangle that begins and ends at borders of blocks."""
    ends = -(-(part.y + part.height) // 8), -(-(part.x + part.width) // 8)
    return int(weights[part.y // 8 : ends[0], part.x // 8 : ends[1]].sum())


def load_with_halo(weights: np.ndarray, part: Rectangle, rim_cells: int) -> int:
    """Returns the total weight of the blocks in a rectangle and the rim around it; sizes must be multiples of 8."""
    rows = np.arange((part.y - rim_cells) // 8, (part.y + part.height + rim_cells) // 8) % weights.shape[0]
    columns = np.arange((part.x - rim_cells) // 8, (part.x + part.width + rim_cells) // 8) % weights.shape[1]
    return int(weights[np.ix_(rows, columns)].sum())


def check(torus: Torus, rectangles: list[Rectangle], parts: int) -> None:
    """Assert that `rectangles` divide the torus into `parts`, along borders of blocks, none too narrow."""
    assert len(rectangles) == parts
    cover = np.zeros(torus, np.int64)
    for y, x, height, width in rectangles:
        assert min(y, x) >= 0 and y + height <= torus.height and x + width <= torus.width
        assert y % BLOCK_CELLS == 0 and x % BLOCK_CELLS == 0
        assert height >= min(MIN_SIDE_CELLS, torus.height) and width >= min(MIN_SIDE_CELLS, torus.width)
        cover[y : y + height, x : x + width] += 1
    assert (cover == 1).all()


@st.composite
def cuts(draw, largest: int = 150):
    """Draws a torus, weights of its blocks, and a possible number of parts."""
    torus = Torus(draw(st.integers(1, largest)), draw(st.integers(1, largest)))
    parts = draw(st.integers(1, max_parts(torus)))
    seed = draw(st.integers(0, 1000))
    weights = np.random.default_rng(seed).integers(0, 100, blocks_of(torus)) ** 3
    return torus, weights, parts


@settings(max_examples=150, deadline=None)
@given(cuts(), st.sampled_from([0, 16, 32, 64, 320]))
def test_every_cell_has_one_owner(case, halo_cells):
    torus, weights, parts = case
    check(torus, cut(torus, weights, parts, halo_cells), parts)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 7, 16])
def test_sizes_of_all_kinds_are_cut_or_refused(size, parts):
    torus = Torus(*size)
    if parts <= max_parts(torus):
        check(torus, cut(torus, even(torus), parts, HALO_CELLS), parts)
    else:
        with pytest.raises(RunError):
            cut(torus, even(torus), parts, HALO_CELLS)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150))
def test_the_maximal_number_of_parts_can_be_cut(height, width):
    torus = Torus(height, width)
    room = max_parts(torus)
    check(torus, cut(torus, even(torus), room, HALO_CELLS), room)
    with pytest.raises(RunError):
        cut(torus, even(torus), room + 1, HALO_CELLS)


@pytest.mark.parametrize(
    ("size", "room"),
    [((5, 4), 1), ((31, 31), 1), ((17, 40), 2), ((32, 31), 2), ((48, 48), 9), ((100, 36), 12), ((64, 64), 16)],
)
def test_there_is_room_for_squares_of_the_narrowest_width(size, room):
    assert max_parts(Torus(*size)) == room


def test_every_number_of_parts_up_to_the_most_has_room():
    for size in [(48, 48), (56, 40), (80, 48), (112, 104)]:
        torus = Torus(*size)
        for parts in range(1, max_parts(torus) + 1):
            check(torus, cut(torus, even(torus), parts, HALO_CELLS), parts)


@settings(max_examples=60, deadline=None)
@given(st.integers(60, 130), st.integers(60, 130), st.integers(2, 16), st.integers(0, 1000))
def test_parts_weigh_about_the_same_where_weights_are_smooth(blocks_y, blocks_x, parts, seed):
    torus = Torus(8 * blocks_y, 8 * blocks_x)
    weights = smooth(torus, seed)
    rectangles = cut(torus, weights, parts, HALO_CELLS)
    assert imbalance([load(weights, part) for part in rectangles]) <= 1.3
    assert imbalance([load_with_halo(weights, part, HALO_CELLS // 2) for part in rectangles]) <= 1.3


def test_heavier_blocks_get_smaller_rectangles():
    torus, weights = Torus(64, 640), np.ones((8, 80), np.int64)
    weights[:, 60:] = 10
    left, right = cut(torus, weights, 2, 16)
    assert left == (0, 0, 64, right.x) and right == (0, right.x, 64, 640 - right.x)
    assert 520 <= right.x <= 552
    assert cut(torus, even(torus), 2, 16) == [(0, 0, 64, 320), (0, 320, 64, 320)]


def test_parts_are_compact():
    torus = Torus(512, 512)
    assert {part[2:] for part in cut(torus, even(torus), 16, 64)} == {(128, 128)}
    torus = Torus(128, 512)
    assert {part[2:] for part in cut(torus, even(torus), 4, 64)} == {(128, 128)}


def test_a_deeper_halo_avoids_thin_parts():
    """Heavy blocks in a column favour narrow strips along it; with a wide halo, such strips cost too much."""
    torus, weights = Torus(256, 256), np.ones((32, 32), np.int64)
    weights[:, :4] = 40

    def perimeter_cells(halo_cells: int) -> int:
        return sum(part.height + part.width for part in cut(torus, weights, 4, halo_cells))

    assert perimeter_cells(128) < perimeter_cells(0)


@pytest.mark.parametrize("parts", [2, 5, 16])
@pytest.mark.parametrize("corner", [(0, 0), (-1, -1), (0, -1)])
def test_all_weight_in_one_corner_is_cut_as_far_as_there_is_room(parts, corner):
    torus, weights = Torus(160, 240), np.zeros((20, 30), np.int64)
    weights[corner] = 10**12
    rectangles = cut(torus, weights, parts, HALO_CELLS)
    check(torus, rectangles, parts)
    assert sum(load(weights, part) > 0 for part in rectangles) == 1


def test_a_corner_that_weighs_is_shared_by_many():
    torus, weights = Torus(640, 640), np.zeros((80, 80), np.int64)
    weights[:20, :20] = 100
    rectangles = cut(torus, weights, 8, 16)
    assert all(load(weights, part) > 0 for part in rectangles)
    assert imbalance([load_with_halo(weights, part, 8) for part in rectangles]) <= 1.3


@pytest.mark.parametrize("parts", [2, 4, 9, 16])
def test_a_world_without_weight_is_cut_by_its_area(parts):
    torus = Torus(480, 480)
    rectangles = cut(torus, np.zeros((60, 60), np.int64), parts, HALO_CELLS)
    check(torus, rectangles, parts)
    assert imbalance([part.cells for part in rectangles]) <= 1.2


def test_the_same_weights_in_another_unit_give_the_same_cut():
    torus = Torus(400, 640)
    weights = smooth(torus, 3)
    assert cut(torus, weights, 7, HALO_CELLS) == cut(torus, weights * 1024, 7, HALO_CELLS)


def test_cutting_is_fast():
    torus = Torus(1600, 1600)
    weights = smooth(torus, 5)
    began = time.process_time()
    rectangles = cut(torus, weights, 64, HALO_CELLS)
    assert time.process_time() - began < 1
    check(torus, rectangles, 64)


def test_a_world_without_room_says_so_in_one_line():
    line = "a world of 64 x 48 cells has room for at most 12 nodes, not 20: use --nodes 12"
    with pytest.raises(RunError, match=f"^{re.escape(line)}$"):
        cut(Torus(48, 64), even(Torus(48, 64)), 20, HALO_CELLS)
    line = "a world of 4 x 5 cells has room for at most 1 node, not 2: use --nodes 1"
    with pytest.raises(RunError, match=f"^{re.escape(line)}$"):
        cut(Torus(5, 4), even(Torus(5, 4)), 2, HALO_CELLS)
    with pytest.raises(RunError, match="at least one node, not 0"):
        cut(Torus(48, 64), even(Torus(48, 64)), 0, HALO_CELLS)


@pytest.mark.parametrize("wrong", [np.ones((8, 9), np.int64), np.ones((7, 8), np.int64), -np.ones((8, 8), np.int64)])
def test_weights_that_do_not_fit_the_torus_are_refused(wrong):
    with pytest.raises(ValueError, match="8, 8"):
        cut(Torus(64, 64), wrong, 2, HALO_CELLS)


# --- halos


def shown(rectangles: list[Rectangle], taker: Rectangle, halo_cells: int, torus: Torus) -> np.ndarray:
    """Returns the global cell number at each place of the window of `taker`, `int64[height, width]`.

    Asserts that the taker's own cells and the pieces of the others cover each place exactly once.
    """
    window = taker.expand(halo_cells)
    cover = np.zeros((window.height, window.width), np.int64)
    cell = np.full((window.height, window.width), -1, np.int64)
    numbers = np.arange(torus.cells).reshape(torus)
    home = (taker, halo_cells, halo_cells)
    pieces = [piece for giver in rectangles for piece in overlaps(taker, giver, halo_cells, torus)]
    for part, y, x in [home, *pieces]:
        assert any(giver.intersect(part) == part for giver in rectangles)
        place = slice(y, y + part.height), slice(x, x + part.width)
        cover[place] += 1
        cell[place] = numbers[part.y : part.y + part.height, part.x : part.x + part.width]
    assert (cover == 1).all()
    return cell


@settings(max_examples=60, deadline=None)
@given(cuts(largest=70), st.sampled_from([0, 1, 3, 16, 40, 100]))
def test_all_images_together_cover_each_window_exactly_once(case, halo_cells):
    torus, weights, parts = case
    rectangles = cut(torus, weights, min(parts, 6), halo_cells)
    for taker in rectangles:
        window = taker.expand(halo_cells)
        rows = (window.y + np.arange(window.height)) % torus.height
        columns = (window.x + np.arange(window.width)) % torus.width
        assert np.array_equal(shown(rectangles, taker, halo_cells, torus), rows[:, None] * torus.width + columns)


def test_a_halo_wider_than_the_world_holds_many_images_of_it():
    torus = Torus(5, 4)
    whole = Rectangle(0, 0, 5, 4)
    images = overlaps(whole, whole, 16, torus)
    assert len(images) == 9 * 9 - 1 and (whole, 16, 16) not in images
    assert sum(part.cells for part, _, _ in images) == 37 * 36 - 20


def test_without_a_halo_nothing_is_needed():
    torus = Torus(64, 64)
    rectangles = cut(torus, even(torus), 4, 0)
    assert [neighbours(rectangles, i, 0, torus) for i in range(4)] == [[], [], [], []]


def test_neighbours_are_those_whose_cells_the_halo_shows():
    torus = Torus(32, 128)
    strips = [Rectangle(0, 32 * i, 32, 32) for i in range(4)]
    assert neighbours(strips, 0, 16, torus) == [0, 1, 3]
    assert neighbours(strips, 1, 32, torus) == [0, 1, 2]
    assert neighbours(strips, 1, 33, torus) == [0, 1, 2, 3]
    quarters = [Rectangle(y, x, 64, 64) for y in (0, 64) for x in (0, 64)]
    assert neighbours(quarters, 2, 16, Torus(128, 128)) == [0, 1, 3]
    assert neighbours(quarters, 2, 65, Torus(128, 128)) == [0, 1, 2, 3]


def test_imbalance_is_the_busiest_over_the_mean():
    assert imbalance([1, 2, 3]) == 1.5
    assert imbalance([4.0, 4.0]) == imbalance([]) == imbalance([0, 0, 0]) == 1.0
    assert imbalance([0, 0, 0, 8]) == 4.0
