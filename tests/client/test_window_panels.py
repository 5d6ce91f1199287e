"""Panels: their computations, and drawing them in a window without a display."""

import os
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umwelt.agents.body.genome import FIRST_OUTPUT, FIRST_RECURRENT, FIRST_WEIGHT, INPUTS, MONSTER_GENES, OUTPUTS
from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.agents.earth.brain import squash, wire
from umwelt.agents.earth.founders import MONSTERS, monster_genome
from umwelt.client.lineage.clades import IdIndex
from umwelt.client.window.panels import genes
from umwelt.client.window.panels.clades import BINS, DRIFT, Clades
from umwelt.client.window.panels.layout import Spot, places
from umwelt.client.window.panels.reasons import (
    AT_LIMIT,
    REMEMBERED,
    contributions,
    follows_net,
    sentence,
    strongest,
    why,
)
from umwelt.sandbox.units import ONE

# --- explanations of drives


def thought(genome: np.ndarray, stimuli: np.ndarray, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evaluates the integer net of the world; returns hidden units, drives, and drives before they are clamped."""
    w = genome.astype(np.int64)
    incoming = w[FIRST_WEIGHT:FIRST_RECURRENT].reshape(INPUTS, MEMORY)
    recurrent = w[FIRST_RECURRENT:FIRST_OUTPUT].reshape(MEMORY, MEMORY)
    outgoing = w[FIRST_OUTPUT:].reshape(OUTPUTS, MEMORY)
    hidden = np.array([squash(int(total)) for total in stimuli @ incoming + memory @ recurrent])
    totals = outgoing @ hidden
    return hidden, np.array([squash(int(total)) for total in totals]), totals


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 12, 127]))
def test_contributions_add_up_to_the_output_of_the_integer_net(seed, widest):
    dice = np.random.default_rng(seed)
    genome = dice.integers(-widest, widest + 1, MONSTER_GENES).astype(np.int8)
    stimuli = dice.integers(-ONE, ONE + 1, INPUTS)
    memory = dice.integers(-ONE, ONE + 1, MEMORY)
    hidden, drives, totals = thought(genome, stimuli, memory)
    for drive in range(OUTPUTS):
        given_by_net = contributions(genome.tobytes(), stimuli, hidden, drive).sum()
        assert given_by_net == pytest.approx(totals[drive] / 64 / ONE, abs=1e-9)
        if abs(drives[drive]) < ONE:
            assert given_by_net == pytest.approx(drives[drive] / ONE, abs=1 / ONE)
        told = why(genome.tobytes(), stimuli, hidden, drive)
        assert sum(share for _, share in told) == pytest.approx(given_by_net, abs=1e-9)
        assert [abs(share) for _, share in told] == sorted((abs(share) for _, share in told), reverse=True)
    assert follows_net(genome.tobytes(), hidden, drives)
    other = np.where(drives > 0, -ONE, ONE)
    assert not follows_net(genome.tobytes(), hidden, other)


def test_without_saturation_and_memory_each_stimulus_has_its_own_share():
    genome = wire([{"plant_ahead": 32, "pain": -16}], {"graze": {0: 64}})
    stimuli = np.zeros(INPUTS, int)
    stimuli[STIMULI.index("plant_ahead")], stimuli[STIMULI.index("pain")] = 1000, 512
    hidden, _, _ = thought(genome, stimuli, np.zeros(MEMORY, int))
    told = dict(why(genome.tobytes(), stimuli, hidden, "graze"))
    assert told["plant_ahead"] == pytest.approx(500 / ONE) and told["pain"] == pytest.approx(-128 / ONE)
    assert abs(told.get(REMEMBERED, 0)) < 1 / ONE and AT_LIMIT not in told


def test_a_saturated_unit_is_not_attributed_to_stimuli():
    genome = wire([{"hunger": 127}, {"thirst": 20}], {"bite": {0: 50, 1: 30}})
    stimuli = np.zeros(INPUTS, int)
    stimuli[STIMULI.index("hunger")] = stimuli[STIMULI.index("thirst")] = ONE
    hidden, _, _ = thought(genome, stimuli, np.zeros(MEMORY, int))
    told = dict(why(genome.tobytes(), stimuli, hidden, DRIVES.index("bite")))
    assert "hunger" not in told and told[AT_LIMIT] == pytest.approx(50 / 64)
    assert told["thirst"] == pytest.approx(20 / 64 * 30 / 64, abs=1 / ONE)


def test_the_memory_has_a_share_of_its_own():
    genome = wire([{"memory_0": 48, "one": 8}], {"turn": {0: 64}})
    stimuli, memory = np.zeros(INPUTS, int), np.zeros(MEMORY, int)
    stimuli[STIMULI.index("one")], memory[0] = ONE, 800
    hidden, _, _ = thought(genome, stimuli, memory)
    told = dict(why(genome.tobytes(), stimuli, hidden, "turn"))
    assert told == {REMEMBERED: pytest.approx(600 / ONE), "one": pytest.approx(128 / ONE)}


def test_reasons_become_sentences():
    assert sentence("plant_ahead", 0.412, "graze") == "plant ahead raises graze: +0.41"
    assert sentence("pain", -0.2, "rest") == "pain lowers rest: -0.20"
    assert sentence("aroma_left", -0.3, "turn") == "aroma left turns left: -0.30"
    assert sentence(AT_LIMIT, -1, "musk_drive") == "saturated units lower musk: -1.00"


def test_the_strongest_drive_has_an_effect():
    drives = dict.fromkeys(DRIVES, 0.0)
    assert DRIVES[strongest([*{**drives, "rest": -1.0, "graze": 0.2}.values()])] == "graze"
    assert DRIVES[strongest([*{**drives, "turn": -0.5, "graze": 0.2}.values()])] == "turn"


# --- genes


@pytest.mark.parametrize("name", MONSTERS)
def test_a_genome_is_read_as_it_was_written(name):
    genome = monster_genome(name, None, {}, "founders[0]").tobytes()
    organs = MONSTERS[name]["organs"]
    assert [organ for organ in genes.organ_plan(genome) if organ != "none"] == organs
    told = dict(genes.trait_values(genome))
    assert all(told[trait] == value + 128 for trait, value in MONSTERS[name]["traits"].items())
    assert set(told) <= set(genes.MONSTER_WORDS)


def test_every_gene_has_a_name_of_its_own():
    names = [genes.gene_name(at, True) for at in range(MONSTER_GENES)]
    assert len(set(names)) == MONSTER_GENES
    assert names[FIRST_WEIGHT] == f"{STIMULI[0]} to unit 1" and names[-1] == f"unit {MEMORY} to {DRIVES[-1]}"
    assert set(genes.PLANT_WORDS) == {genes.gene_name(at, False) for at in range(len(genes.PLANT_WORDS))}


# --- clades


def births(*rows: tuple) -> dict[str, np.ndarray]:
    """Returns a page of births, as columns, from rows (id, parent_id, tick, species, markers)."""
    names = ("id", "parent_id", "tick", "species")
    page = {name: np.array([row[at] for row in rows], np.int64) for at, name in enumerate(names)}
    return page | {f"marker_{one}": np.array([row[4][at] for row in rows], np.int8) for at, one in enumerate("abc")}


def drifting(count: int, seed: int = 5) -> dict[str, np.ndarray]:
    """Returns a page of births whose markers change gradually over generations."""
    dice = np.random.default_rng(seed)
    parent = np.maximum(np.arange(count) - dice.integers(1, 400, count), -1)
    markers, species = np.zeros((count, 3), np.int64), np.arange(count) % 3
    steps = np.where(dice.random((count, 3)) < 0.06, dice.integers(-14, 15, (count, 3)), 0)
    for at in range(count):
        if parent[at] >= 0:
            species[at] = species[parent[at]]
            markers[at] = np.clip(markers[parent[at]] + steps[at], -128, 127)
    ids = dice.permutation(count * 4)[:count] + 1
    page = {
        "id": ids,
        "parent_id": np.where(parent >= 0, ids[parent], 0),
        "tick": np.arange(count) // 3,
        "species": species,
    }
    return page | {f"marker_{one}": markers[:, at] for at, one in enumerate("abc")}


def test_a_clade_splits_off_where_markers_drifted_and_cousins_join_it():
    far = DRIFT + 1
    found = Clades()
    found.add(
        births(
            (1, 0, 0, 0, (0, 0, 0)),
            (2, 1, 1, 0, (DRIFT, 0, 0)),
            (3, 2, 2, 0, (far, 0, 0)),
            (4, 2, 2, 0, (far + 3, 0, 0)),
            (5, 3, 3, 0, (far, 0, 0)),
            (6, 0, 3, 1, (0, 0, 0)),
        )
    )
    first, second, *drifted, other, unknown = found.of(np.array([1, 2, 3, 4, 5, 6, 7])).tolist()
    assert first == second and len({first, drifted[0], other}) == 3 == len(found.clades) and unknown == -1
    assert drifted == [drifted[0]] * 3
    split = found.clades[drifted[0]]
    assert (split.parent, split.tick, split.births, split.last_tick) == (first, 2, 3, 3)
    assert found.clades[other].species == 1 and found.clades[other].parent == -1


def test_pages_make_no_difference_and_repeated_births_count_once():
    page = drifting(6000)
    whole, parts = Clades(), Clades()
    whole.add(page)
    for first in range(0, 6000, 500):
        parts.add({name: values[max(0, first - 40) : first + 500] for name, values in page.items()})
    sizes = [sorted(clade.births for clade in one.clades) for one in (whole, parts)]
    assert len(whole) == len(parts) == 6000 and abs(len(sizes[0]) - len(sizes[1])) <= 2
    assert whole.add(page) == 0 and whole.counts.sum() == 6000 == sum(clade.births for clade in whole.clades)
    related = parts.of(page["id"])
    assert (related >= 0).all() and len(parts.clades) > 5


def test_every_birth_is_in_a_bin_and_in_a_row_however_long_it_goes():
    found, page = Clades(), drifting(9000, seed=9)
    for first in range(0, 9000, 1000):
        found.add({name: values[first : first + 1000] for name, values in page.items()})
        assert (found.last_tick - found.first_tick) // found.bin_ticks < BINS
    order, row_of = found.rows(6)
    drawn = found.row_counts(order, row_of)
    assert found.counts.sum() == drawn.sum() == 9000 and len(order) < len(found.clades)
    at = {number: row for row, number in enumerate(order)}
    assert all(row_of[found.clades[number].parent] < at[number] for number in order if found.clades[number].parent >= 0)


def test_added_ids_are_found_in_any_order():
    found, dice = IdIndex(), np.random.default_rng(1)
    ids = dice.permutation(10_000).astype(np.int64) << 20
    for first in range(0, 9000, 300):
        found.add(ids[first : first + 300], np.arange(first, first + 300))
    assert len(found) == 9000 and len(found._runs) < 12
    assert found.find(ids).tolist() == [*range(9000), *([-1] * 1000)]


# --- layout

SPOTS = [
    ("a", Spot("left", 262, 246)),
    ("b", Spot("left", 212, 120, 250)),
    ("c", Spot("left", 218, 150)),
    ("d", Spot("right", 560, 190, 760)),
    ("e", Spot("right", 400, 200)),
    ("f", Spot("middle", 300, 140)),
    ("g", Spot("middle", 190, 110)),
]


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (1024, 640), (3840, 2160), (960, 720)])
@pytest.mark.parametrize("count", range(1, len(SPOTS) + 1))
def test_panels_lie_inside_the_window_and_not_over_each_other(size, count):
    for shown in combinations(SPOTS, count):
        found = places(shown, size, (0, 0, 0, 50))
        for x, y, width, height in found.values():
            assert (
                x >= 0 and y >= 28 and x + width <= size[0] and y + height <= size[1] - 50 and min(width, height) > 40
            )
        for one, other in combinations(found.values(), 2):
            beside = one[0] + one[2] <= other[0] + 1 or other[0] + other[2] <= one[0] + 1
            assert beside or one[1] + one[3] <= other[1] + 1 or other[1] + other[3] <= one[1] + 1


# --- drawn

DRAWN = """
import numpy as np, arcade
from imgui_bundle import imgui
from umwelt.client.window.feed.camera import Camera
from umwelt.client.window.recording.demo import Demo
from umwelt.client.window.gui import Gui
from umwelt.client.window.panels.dock import Dock
from umwelt.client.window.session import Session

world, now = Demo(), [100.0]
session = Session(world, Camera.over(world.core.known.height, world.core.known.width, (1280, 800)), lambda: now[0])
window = arcade.Window(1280, 800, antialiasing=False)
gui, dock = Gui(window), Dock()

def frame(shown=True):
    now[0] += 1 / 30
    session.update(1 / 30)
    window.switch_to()
    window.clear(color=(20, 20, 20, 255))
    gui.begin(1 / 30)
    dock.draw(session)
    gui.end()
    raw = window.ctx.screen.read(components=3)
    return np.frombuffer(raw, np.uint8).reshape(800, 1280, 3)[::-1]

def click(x, y):
    gui.on_mouse_motion(x, 800 - y); frame(); over = gui.wants_mouse
    gui.on_mouse_press(x, 800 - y, 1); frame()
    gui.on_mouse_release(x, 800 - y, 1); frame()
    return over

session.camera.look(64, 64, 20, at_once=True)
for name in dock.open:
    dock.open[name] = True
for _ in range(12):
    image = frame()
monsters = [swarm for swarm in session.feed.frame.swarms if swarm.table == "monsters"]
session.select(int(monsters[0].ids[0]), "monsters")
ctx = window.ctx
ctx.blend_func = ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA
for _ in range(30):
    image = frame()
assert session.selected.being is not None
assert tuple(ctx.blend_func) == (ctx.ONE, ctx.ONE_MINUS_SRC_ALPHA) and window.ctx.screen.scissor is None
assert (image.max(axis=2) > 200).mean() > 0.005, "there is text"
assert len(np.unique(image.reshape(-1, 3), axis=0)) > 300, "with soft edges, and colours"
assert not click(640, 790), "outside of all panels the mouse is the world's"
assert click(40, 14) and not dock.open["World"], "the bar closes a panel"
assert click(40, 14) and dock.open["World"], "and opens it"
session.reconnecting = True
for name in dock.open:
    dock.open[name] = False
dark = frame()
dock.visible = False
assert (frame() == 20).all(), "all can be hidden"
dock.visible = True
gui.resize(640, 400, 2.0)
session.select(0)
assert frame().max() > 100
gui.close()
print("drawn")
"""


def test_all_panels_are_drawn_and_can_be_clicked():
    environment = {**os.environ, "ARCADE_HEADLESS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRAWN], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    if "Library" in done.stderr and "not found" in done.stderr:
        pytest.skip("no GL here")
    assert done.stdout.strip() == "drawn", done.stderr[-3000:]
