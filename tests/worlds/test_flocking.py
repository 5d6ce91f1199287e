"""The world `flocking`: boids align, and the result does not depend on sharding or on the order of rows."""

import numpy as np
import pytest
from sharded_regions import (
    assert_several_images_change_nothing,
    assert_thin_shards_agree,
    assert_unique_ids,
    halves,
    ninths,
    open_shards,
    quarters,
    run_together,
    torus_of,
    whole,
    whole_digest,
)

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import read_world
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import advance
from umwelt.worlds.flocking import MAX_VISION_CELLS


def world(height=48, width=64, count=200, **more):
    return read_world("flocking", {"height": height, "width": width, "boids.count": count, **more})


def headings(region):
    """Returns the headings of the owned boids in radians."""
    return region.tables["boids"]["heading"][region.owned_rows("boids")] * (2 * np.pi / 65536)


def alignment(region):
    """Returns Vicsek's order parameter: 1 if all headings are equal, about 1 / sqrt(count) if they are random.

    Vicsek et al., "Novel type of phase transition in a system of self-driven particles", Phys. Rev. Lett. 75 (1995).
    """
    return abs(np.exp(1j * headings(region)).mean())


def positions(region):
    """Returns positions of the owned boids by id, in cells on the torus."""
    table, rows = region.tables["boids"], region.owned_rows("boids")
    order = np.argsort(table["id"][rows])
    y, x = (table[name][rows][order] / 1024 - region.halo_cells for name in ("y_fixed", "x_fixed"))
    return np.stack([y, x], 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_boids_align_their_headings(seed):
    described = world(64, 64, 150, seed=seed)
    region = begin(described)
    assert alignment(region) < 0.3
    advance(region, described.laws, 500)
    assert alignment(region) > 0.8
    assert region.owned_rows("boids").sum() == 150


def test_boids_without_matching_do_not_align():
    described = world(64, 64, 150, **{"boids.match": 0.0, "boids.cohere": 0.0, "boids.separate": 0.0})
    region = begin(described)
    before = alignment(region)
    advance(region, described.laws, 50)
    assert alignment(region) == pytest.approx(before)


def test_cohesion_draws_together_and_separation_keeps_apart():
    def nearest(separate):
        """Returns the median distance to the nearest other boid, in cells."""
        described = world(64, 64, 60, **{"boids.separate": separate})
        region = begin(described)
        advance(region, described.laws, 200)
        gap = np.abs(positions(region)[:, None] - positions(region)[None])
        distance = np.hypot(*np.minimum(gap, 64 - gap).transpose(2, 0, 1)) + 1000 * np.eye(60)
        return np.median(distance.min(0))

    assert nearest(0.0) < 1.0 < nearest(1.0)


def test_a_boid_flies_as_far_as_its_speed_whatever_its_heading():
    described = world(count=1, **{"boids.speed": 0.75})
    for seed in range(20):
        region = begin(read_world("flocking", {"boids.count": 1, "boids.speed": 0.75, "seed": seed}))
        before = positions(region)
        advance(region, described.laws, 1)
        moved = np.abs(positions(region) - before)
        assert np.hypot(*np.minimum(moved, 256 - moved)[0]) == pytest.approx(0.75, abs=0.002)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("cut", [halves, quarters, ninths])
def test_the_digest_does_not_depend_on_the_cut_or_on_the_order_of_rows(cut, k):
    described = world()
    alone, parts = whole(described), open_shards(begin(described), described, cut(torus_of(described)), k)
    for seed in range(3):
        run_together(alone, described, 4, 1)
        run_together(parts, described, 4, k, shuffle_seed=seed)
        assert whole_digest(parts) == whole_digest(alone)
        assert_unique_ids(parts)


@pytest.mark.parametrize("upright", [False, True])
def test_vision_reaches_no_further_than_the_law_says(upright):
    described = world(32, 32, 400, **{"boids.vision": float(MAX_VISION_CELLS), "boids.match": 1.0})
    assert_thin_shards_agree(described, upright, 5)


def test_a_small_world_that_sees_itself_several_times():
    assert_several_images_change_nothing(world(32, 32, 50), 44)


@pytest.mark.parametrize(("key", "value"), [("boids.vision", 11.0), ("boids.speed", 2.0), ("boids.count", -1)])
def test_settings_beyond_the_light_speed_are_refused(key, value):
    with pytest.raises(WorldFileError, match=key):
        world(**{key: value})
