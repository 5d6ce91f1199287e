"""A world is the same, bit for bit, however it is divided, and for any order of rows and any width of halos."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands_script import KINDS, LAST_TICK, RUNNER, cast, commands_at, run_with_commands
from sharded_regions import (
    assert_unique_ids,
    begin,
    bundled_world,
    cut_rectangles,
    golden_world,
    halves,
    ninths,
    open_shards,
    quarters,
    reshard,
    run_together,
    torus_of,
    whole_digest,
    whole_elements,
)

from umwelt.agents.commands import fetch
from umwelt.agents.earth.parameters import DROWNING_COUNT
from umwelt.agents.open_world import generate_world, open_region
from umwelt.sandbox import audit
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Rectangle
from umwelt.sandbox.step import advance

TICKS = 48
SIZES = [(64, 64), (48, 80), (32, 32), (33, 47)]
CUTS = {"one": lambda torus: cut_rectangles(torus, [0], [[0]]), "two": halves, "four": quarters, "nine": ninths}


@pytest.fixture(scope="module")
def expected() -> dict:
    """The expected digest and elements of each world, computed in one region with an exchange each tick."""
    found = {}
    for size in SIZES:
        world = golden_world(*size)
        region = begin(world)
        advance(region, world.laws, TICKS)
        assert region.counts["births"] > 0 and region.counts["deaths"] > 0
        found[size] = (whole_digest([region]), whole_elements([region], world))
    return found


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_digest_is_the_same_for_every_cut_and_halo(expected, size, cut, k):
    world = golden_world(*size)
    regions = open_shards(generate_world(world), world, CUTS[cut](torus_of(world)), k)
    run_together(regions, world, TICKS, k, shuffle_seed=k)
    assert_unique_ids(regions)
    assert (whole_digest(regions), whole_elements(regions, world)) == expected[size]


@pytest.fixture(scope="module")
def watery() -> dict:
    """Two worlds, with the expected digest and elements: one with tides across all cuts, one divided by deep water."""
    found = {}
    for name in ("tides", "islands"):
        world = bundled_world(name, 48, 80, 1, **({"climate.tide_ticks": 60} if name == "tides" else {}))
        region = begin(world)
        before = region.owned_view("water").copy()
        advance(region, world.laws, TICKS)
        assert region.counts["births"] > 0
        assert name == "islands" or (abs(region.owned_view("water") - before) > 100).mean() > 0.1
        assert name == "tides" or (before > DROWNING_COUNT).mean() > 0.2
        found[name] = (world, whole_digest([region]), whole_elements([region], world))
    return found


@pytest.mark.parametrize("name", ["tides", "islands"])
@pytest.mark.parametrize(("cut", "k"), [("two", 4), ("nine", 1), ("nine", 2)])
def test_tides_and_deep_water_are_the_same_over_cuts(watery, name, cut, k):
    world, digest, elements = watery[name]
    regions = open_shards(generate_world(world), world, CUTS[cut](torus_of(world)), k)
    run_together(regions, world, TICKS, k, shuffle_seed=k)
    assert (whole_digest(regions), whole_elements(regions, world)) == (digest, elements)


def test_a_new_cut_in_the_middle_of_a_run_changes_nothing(expected):
    world = golden_world()
    torus = torus_of(world)
    regions = open_shards(generate_world(world), world, ninths(torus), 2)
    one = cut_rectangles(torus, [3], [[17]])
    for parts, k in ((quarters(torus), 1), (halves(torus), 4), (ninths(torus), 2), (one, 1)):
        regions = reshard(regions, world, parts, k)
        run_together(regions, world, TICKS // 4, k, shuffle_seed=k)
        assert_unique_ids(regions)
    assert (whole_digest(regions), whole_elements(regions, world)) == expected[(64, 64)]


def test_thin_rectangles_in_a_crowd_agree_tick_by_tick():
    world = golden_world(48, 48, 3)
    torus = torus_of(world)
    thin = cut_rectangles(torus, list(range(0, 48, 5)), [[(7 * i) % 48, (7 * i + 3) % 48] for i in range(10)])
    assert min(min(part.height, part.width) for part in thin) == 3
    whole = begin(world)
    regions = open_shards(generate_world(world), world, thin, 1)
    for _ in range(12):
        advance(whole, world.laws, 1)
        run_together(regions, world, 1, 1, shuffle_seed=whole.tick)
        assert whole_digest(regions) == audit.digest(whole)
        assert whole_elements(regions, world) == whole_elements([whole], world)


def test_permuted_rows_in_one_window_change_nothing(expected):
    world = golden_world()
    regions = [begin(world)]
    run_together(regions, world, TICKS, 1, shuffle_seed=99)
    assert (whole_digest(regions), whole_elements(regions, world)) == expected[(64, 64)]


def test_the_number_of_threads_changes_nothing():
    before = crew.count
    digests = []
    try:
        for count in (1, 2, 3):
            crew.resize(count)
            world = golden_world(160, 160)
            region = begin(world)
            advance(region, world.laws, 10)
            digests.append(audit.digest(region))
    finally:
        crew.resize(before)
    assert len(set(digests)) == 1


def test_a_window_wider_than_the_world_holds_many_images_of_every_being(expected):
    world = golden_world(32, 32)
    region = begin(world, ticks_per_exchange=4)
    region.wrap()
    beings = sum(int(region.owned_rows(name).sum()) for name in region.tables)
    assert sum(table.count for table in region.tables.values()) > 9 * beings
    advance(region, world.laws, TICKS)
    assert (whole_digest([region]), whole_elements([region], world)) == expected[(32, 32)]


COMMAND_TICKS = LAST_TICK + 3
COMMAND_SIZES = [(64, 64), (32, 32), (33, 47)]


def outcome(regions, world) -> tuple:
    """Returns the digest including controls, the controls, and the elements of a divided world."""
    controls = [region.controls for region in regions]
    assert all(other == controls[0] for other in controls)
    total = whole_digest(regions) + controls[0].digest() & audit.DIGEST_MASK
    return total, controls[0].to_json(), whole_elements(regions, world)


@pytest.fixture(scope="module")
def done() -> dict:
    """The expected `outcome` of each world with the script of commands, computed in one region."""
    found = {}
    for size in COMMAND_SIZES:
        world = golden_world(*size)
        regions = [begin(world)]
        run_with_commands(regions, world, COMMAND_TICKS, 1)
        assert regions[0].controls.overrides and regions[0].controls.rates
        found[size] = outcome(regions, world)
        assert found[size][0] == audit.world_digest(regions[0]) != audit.digest(regions[0])
    return found


@pytest.mark.parametrize("size", COMMAND_SIZES, ids=str)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_commands_have_the_same_result_for_every_cut_and_halo(done, size, cut, k):
    """Also for commands between two exchanges, and for commands just before an exchange instead of just after it."""
    world = golden_world(*size)
    for before_exchange in (False, True):
        regions = open_shards(generate_world(world), world, CUTS[cut](torus_of(world)), k)
        run_with_commands(regions, world, COMMAND_TICKS, k, shuffle_seed=k, before_exchange=before_exchange)
        assert_unique_ids(regions)
        assert outcome(regions, world) == done[size]


def test_a_new_division_during_commands_keeps_rates_and_overrides(done):
    world = golden_world()
    torus = torus_of(world)
    regions = open_shards(generate_world(world), world, ninths(torus), 2)
    run_with_commands(regions, world, 8, 2, shuffle_seed=1)
    first = regions[0]
    assert first.controls.overrides and first.controls.rates
    pieces = [region.cut(region.owned) for region in regions]
    regions = [
        open_region(world, pieces, first.constants, first.tick, 4, part, first.controls) for part in quarters(torus)
    ]
    run_with_commands(regions, world, COMMAND_TICKS - 8, 4, shuffle_seed=2)
    assert outcome(regions, world) == done[(64, 64)]
    assert not first.controls.overrides.keys() <= regions[0].controls.overrides.keys()  # regions do not share controls


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_digest_without_the_commands_of_a_kind_is_another(done, kind):
    world = golden_world(32, 32)
    assert any(type(command) is kind for tick in range(LAST_TICK + 1) for command in commands_at(tick, world))
    regions = [begin(world)]
    run_with_commands(regions, world, COMMAND_TICKS, 1, leave_out=kind)
    assert outcome(regions, world)[0] != done[(32, 32)][0]


def test_a_monster_with_overridden_drives_crosses_a_border_between_regions():
    world = golden_world()
    regions = open_shards(generate_world(world), world, quarters(torus_of(world)), 2)
    runner = cast(world)[0][RUNNER]["id"]
    owners = []
    for _ in range(6):
        run_with_commands(regions, world, 1, 1)
        owners.append([at for at, region in enumerate(regions) if fetch(region, runner) is not None])
    assert all(len(at) == 1 for at in owners) and owners[0] != owners[-1]


SCRIPT = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from sharded_regions import *
    from umwelt.agents.open_world import generate_world
    world = golden_world(*[int(v) for v in sys.argv[2].split("x")])
    torus = torus_of(world)
    cuts = {"one": cut_rectangles(torus, [0], [[0]]), "nine": ninths(torus), "four": quarters(torus)}
    for cut in filter(None, sys.argv[4].split(",")):
        regions = open_shards(generate_world(world), world, cuts[cut], 1)
        run_together(regions, world, int(sys.argv[3]), 1, shuffle_seed=4)
        assert_unique_ids(regions)
        print(whole_digest(regions), sorted(whole_elements(regions, world).items()))
    if len(sys.argv) > 5:
        from umwelt.sandbox.kernel import kernels
        import numba
        from umwelt.agents.world_file import read_world
        from umwelt.sandbox.step import advance
        for name in filter(None, sys.argv[5].split(",")):
            other = read_world(name, {"width": 64, "height": 64})
            advance(begin(other), other.laws, 2)
        halve = numba.njit(lambda count: count / 2)
        halve(3)
        kernels.append(halve)
        floats = set()
        for one in kernels:
            for compiled in getattr(one, "overloads", {}).values():
                annotation = compiled.type_annotation
                for name, kind in annotation.typemap.items():
                    parts = (kind, getattr(kind, "dtype", None))
                    if any(isinstance(part, (numba.types.Float, numba.types.Complex)) for part in parts):
                        floats.add(one.__name__)
        print("compiled", sum(bool(getattr(one, "overloads", {})) for one in kernels), "floats", sorted(floats))
"""


def run_script(arguments: list[str], **environment: str) -> list[str]:
    """Runs `SCRIPT` in another process; returns the lines that it prints."""
    script = textwrap.dedent(SCRIPT)
    command = [sys.executable, "-c", script, str(Path(__file__).parent), *arguments]
    surroundings = {**os.environ, **environment}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()


def test_plain_python_and_compiled_kernels_agree():
    arguments = ["32x32", "3", "one"]
    with ThreadPoolExecutor() as side_by_side:
        plain = side_by_side.submit(run_script, arguments, NUMBA_DISABLE_JIT="1")
        assert run_script(arguments) == plain.result()


@pytest.mark.slow
def test_ties_do_not_depend_on_rows_and_no_kernel_uses_floats(tmp_path):
    """With dice of two bits, ties are common; with an empty cache, every kernel compiles, and its types can be read."""

    def compiled_anew(cache: str, *arguments: str) -> list[str]:
        folder = str(tmp_path / cache)
        return run_script([*arguments], UMWELT_DICE_BITS="2", UMWELT_CACHE=folder, NUMBA_CACHE_DIR="")

    with ThreadPoolExecutor() as side_by_side:
        earth = side_by_side.submit(compiled_anew, "earth", "40x56", "24", "one,nine,four", "particles")
        others = side_by_side.submit(compiled_anew, "others", "40x56", "0", "", "wolf_sheep,flocking,market")
    lines = earth.result()
    assert lines[0] == lines[1] == lines[2]
    for line, least in ((lines[3], 25), (others.result()[0], 15)):
        assert line.startswith("compiled ") and int(line.split()[1]) >= least
        assert line.endswith("floats ['<lambda>']"), line  # only the function that the script itself adds has floats


def test_only_owned_cells_can_be_cut_out():
    world = golden_world(32, 32)
    region = begin(world)
    with pytest.raises(Exception, match="only the owned rectangle can be cut"):
        region.cut(Rectangle(-1, 0, 4, 4))
