"""The law `flow`: diffusion by Fick's law, wind, and water that flows downhill until it is level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded_regions import whole_elements

from umwelt.agents.open_world import begin
from umwelt.agents.world_file import parse_world
from umwelt.sandbox import audit
from umwelt.sandbox.laws.flow import choose_downhill, run_downhill, spread
from umwelt.sandbox.region import Field, Rectangle, Region, Torus
from umwelt.sandbox.step import advance

SIDE = 96
STILL = np.zeros(SIDE + 2, np.int64)
NO_PULL = np.zeros(32 + 4, np.int64)


def air(share: float, gust: float = 0.0, substances: int = 1, seed: int = 5) -> Region:
    """Returns a region of an empty torus with mobile substances and a halo of one cell."""
    names = tuple(f"gas_{i}" for i in range(substances))
    fields = [Field("substance", "int32", parts=names)]
    region = Region(Torus(SIDE, SIDE), Rectangle(0, 0, SIDE, SIDE), 1, fields, [], seed)
    region.constants = {
        "mobile": np.arange(substances),
        "share_q12": np.full(substances, round(share * 4096)),
        "gust_q12": np.full(substances, round(gust * 4096)),
    }
    return region


def blow(region: Region, ticks: int, wind_x: np.ndarray = STILL, wind_y: np.ndarray = STILL) -> None:
    """Runs `flow` on a region for some ticks, with these winds."""
    for _ in range(ticks):
        region.wrap()
        region.margin_cells -= 1
        spread(region, wind_x, wind_y)
        region.tick += 1


def spread_of(count: np.ndarray) -> tuple[float, float, float, float]:
    """Returns mean y, mean x, variance along y and along x of counts, relative to the middle of the torus."""
    at = np.arange(SIDE) - SIDE // 2
    by_y, by_x = count.sum(axis=1) / count.sum(), count.sum(axis=0) / count.sum()
    mean_y, mean_x = (by_y * at).sum(), (by_x * at).sum()
    return mean_y, mean_x, (by_y * at**2).sum() - mean_y**2, (by_x * at**2).sum() - mean_x**2


@pytest.mark.parametrize(("share", "molecules", "ticks"), [(0.4, 1_000_000, 100), (0.8, 200_000, 60), (0.05, 40, 400)])
def test_variance_grows_as_2_d_t_along_each_axis(share, molecules, ticks):
    variances, seeds = [], 24 if molecules < 1000 else 3
    for seed in range(seeds):
        region = air(share, seed=seed)
        region.owned_view("gas_0")[SIDE // 2, SIDE // 2] = molecules
        blow(region, ticks)
        count = region.owned_view("gas_0")
        assert count.sum() == molecules and count.min() >= 0
        variances.append(spread_of(count)[2:])
    coefficient = round(share * 4096) / 4096 / 4
    expected = 2 * coefficient * ticks
    # the relative error of a variance of n molecules is about sqrt(2 / n); two axes and several seeds reduce it
    error = expected * np.sqrt(2 / (molecules * seeds * 2)) + (0.003 * expected if molecules > 1000 else 0)
    assert abs(np.mean(variances) - expected) < 4.5 * error


def test_wind_carries_with_its_strength_and_direction():
    region = air(0.2, gust=0.4)
    region.owned_view("gas_0")[SIDE // 2, SIDE // 2] = 500_000
    blow(region, 40, wind_x=np.full(SIDE + 2, 768), wind_y=np.full(SIDE + 2, -256))
    mean_y, mean_x, _, _ = spread_of(region.owned_view("gas_0"))
    assert mean_x == pytest.approx(40 * 0.4 * 0.75, rel=0.05) and mean_y == pytest.approx(-40 * 0.4 * 0.25, rel=0.08)


@settings(max_examples=40)
@given(
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
    most=st.sampled_from([1, 3, 100, 1_000_000]),
    substances=st.integers(1, 5),
)
def test_nothing_is_lost_and_nothing_falls_below_zero(share, seed, most, substances):
    region = air(share, gust=max(0, 0.99 - share), substances=substances, seed=seed)
    random = np.random.default_rng(seed)
    region.owned_view("substance")[:] = random.integers(0, most + 1, (substances, SIDE, SIDE))
    before = region.owned_view("substance").sum(axis=(1, 2))
    wind = random.integers(-1024, 1025, (2, SIDE))[:, (np.arange(SIDE + 2) - 1) % SIDE]  # the same in every image
    blow(region, 3, wind[0], wind[1])
    assert (region.owned_view("substance").sum(axis=(1, 2)) == before).all()
    assert region.owned_view("substance").min() >= 0


def test_water_runs_downhill_until_it_is_level():
    torus = Torus(32, 32)
    fields = [Field("substance", "int32", parts=("water",)), Field("elevation", "int16")]
    region = Region(torus, Rectangle(0, 0, 32, 32), 2, fields, [], 1)
    y, x = np.indices(torus)
    region.owned_view("elevation")[:] = np.maximum(abs(y - 16), abs(x - 16)) * 40
    region.owned_view("water")[:] = 160
    total = int(region.owned_view("water").sum())
    outflow = region.scratch("outflow")
    for _ in range(3000):
        region.wrap()
        region.margin_cells -= 2
        region.run(choose_downhill, 100, NO_PULL, region["elevation"], region["water"], outflow)
        region.run(run_downhill, region["water"], outflow)
        region.tick += 1
        assert int(region.owned_view("water").sum()) == total
    water, level = region.owned_view("water"), region.owned_view("water") + region.owned_view("elevation")
    lake = water > 110
    assert water.min() >= 100 and 20 < lake.sum() < 900
    assert level[lake].max() - level[lake].min() <= 12
    assert lake[16, 16] and not lake[0, 0]


TIDAL = """
width = 64
height = 32
seed = 2
[climate]
tide = 900
tide_ticks = 400
[ground]
hills = 100
sea_level = 900
"""


def test_tides_travel_around_the_world_and_conserve_water():
    world = parse_world(TIDAL, "tidal", "tidal")
    region = begin(world)
    before, levels = whole_elements([region], world), []
    for _ in range(20):
        advance(region, world.laws, 40)
        assert whole_elements([region], world) == before
        levels.append((region.owned_view("water") + region.owned_view("elevation")).mean(axis=0))
    seen = np.array(levels[10:]) - np.mean(levels[10:])  # one period of the tide, in ten steps
    waves = np.fft.fft2(seen)
    strongest = np.unravel_index(np.abs(waves).argmax(), waves.shape)
    assert strongest in [(1, 62), (9, 2)]  # one oscillation in a period; two waves that travel along x
    assert seen.max() - seen.min() > 200


def test_without_a_tide_a_climate_older_than_tides_is_the_same():
    world = parse_world(TIDAL.replace("tide = 900", "tide = 0"), "still", "still")
    new, old = begin(world), begin(world)
    old.constants["climate"] = old.constants["climate"][:14]
    for region in (new, old):
        advance(region, world.laws, 30)
    assert audit.digest(new) == audit.digest(old)


def test_evaporation_and_rain_keep_vapour_near_the_capacity_of_the_air():
    text = "width = 64\nheight = 64\nseed = 2\n[ground]\nvapour = 900\n"
    world = parse_world(text, "wet", "wet")
    region = begin(world)
    advance(region, world.laws, 200)
    assert 5 < region.owned_view("vapour").mean() < 160
