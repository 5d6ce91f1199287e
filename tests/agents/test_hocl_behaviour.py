"""Species whose behaviour is a HOCL program: it turns stimuli into drives, and its integers are genes."""

from pathlib import Path

import numpy as np
import pytest

from umwelt.agents.body.genome import FIRST_WEIGHT
from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.hocl.programs import bundled_behaviours
from umwelt.agents.open_world import begin
from umwelt.agents.species.behaviour import set_checking
from umwelt.agents.species.hocl_behaviour import HoclBehaviour, read_hocl_behaviour
from umwelt.agents.world_file import read_world
from umwelt.cluster.fingerprint import seals_of
from umwelt.cluster.launch.local import begin_run
from umwelt.cluster.run.replay import digest_shards, load_shards, step_shards
from umwelt.cluster.run.store import Entry
from umwelt.sandbox import audit
from umwelt.sandbox.errors import WorldFileError
from umwelt.sandbox.step import advance

SNAIL = {"founders.5.genes.mutation": 127, "founders.5.variation": 0}
SMALL = {
    "width": 48,
    "height": 48,
    "founders.0.count": 400,
    "founders.3.count": 0,
    "founders.4.count": 0,
    "founders.5.count": 60,
}


def snails(**more):
    return read_world("pond", {**SMALL, **SNAIL, **more})


def drives_of(region, program, **stimuli):
    """Returns the drives (other than 0) of one being with these stimuli and this program."""
    table = region.tables["monsters"]
    rows = np.flatnonzero(region.owned_rows("monsters"))[:1]
    table["stimuli"][rows] = 0
    for name, value in stimuli.items():
        table["stimuli"][rows, STIMULI.index(name)] = value
    HoclBehaviour(program, "tried").respond(region, rows)
    return {name: int(value) for name, value in zip(DRIVES, table["drives"][rows[0]], strict=True) if value}


@pytest.fixture
def region():
    return begin(snails())


def program_of(tmp_path, text):
    """Writes a text to a file and reads it as the program of a behaviour."""
    path = tmp_path / "own.hocl"
    path.write_text(text)
    read_hocl_behaviour.cache_clear()
    return read_hocl_behaviour(str(path), "founders[5].behaviour")


def test_stimuli_are_added_as_atoms_and_the_inert_solution_holds_the_drives(region):
    snail = read_hocl_behaviour("snail.hocl", "founders[5].behaviour")
    assert drives_of(region, snail, hunger=400) == {"thrust": 18 << 3, "graze": 1024}
    assert drives_of(region, snail, thirst=80) == {
        "graze": 40 << 3,
        "drink": 240,
        "breed": 100 << 3,
        "grow": 90 << 3,
        "thrust": 9 << 3,
    }
    assert drives_of(region, snail, hunger=400, plant_right=80, carrion_left=40)["turn"] == (10 * 4 - 5 * 6) << 3


def test_founders_have_the_integers_of_the_text_and_each_being_runs_with_its_own(region):
    snail = read_hocl_behaviour("snail.hocl", "founders[5].behaviour")
    table = region.tables["monsters"]
    rows = np.flatnonzero(region.owned_rows("monsters"))
    count = len(snail.integers)
    assert (table["genome"][rows, FIRST_WEIGHT : FIRST_WEIGHT + count] == snail.integers).all()
    assert not table["genome"][rows, FIRST_WEIGHT + count :].any()
    before = drives_of(region, snail, hunger=160)
    table["genome"][rows[0], FIRST_WEIGHT] = 1  # an integer of the rule that sets graze
    assert before["graze"] == 60 << 3 and drives_of(region, snail, hunger=160)["graze"] == 20 << 3


@pytest.mark.parametrize(
    "text",
    [
        "<replace x::int, y::int by x, y, 1, <replace-one 1 by 2, 1>, 3, 4>",
        'let again = replace "hunger":h::int by "hunger":h + 1 in <again>',
        'let grow = replace "hunger":h::int by "hunger":h, "hunger":h in <grow>',
    ],
)
def test_a_program_that_does_not_become_inert_gives_no_drives(region, tmp_path, text):
    assert drives_of(region, program_of(tmp_path, text), hunger=500) == {}


def test_drives_of_one_name_are_summed_and_clamped_and_other_atoms_ignored(region, tmp_path):
    text = '<"turn":100, "turn":90, "thrust":-500000000000000000000, "fly":7, 5, "graze":1.5, "bite":2:3, "drink":9>'
    assert drives_of(region, program_of(tmp_path, text)) == {"turn": 1024, "thrust": -1024, "drink": 72}


@pytest.mark.slow
def test_integers_evolve_and_any_partition_gives_the_same_world(tmp_path):
    world = snails()
    region = begin(world)
    set_checking(region)  # respond is also called in another order and one by one, and must agree
    advance(region, world.laws, 4)
    straight = begin(world)
    first = begin_run(world, tmp_path / "run").load(Entry(0, True), world.laws.layout(world))
    one, three = load_shards(world, first, 1), load_shards(world, first, 3)
    for _ in range(8):
        for portions in (one, three):
            step_shards(portions, [])
    advance(straight, world.laws, 8)
    assert digest_shards(one) == digest_shards(three)
    assert audit.digest(straight) + straight.controls.digest() & audit.DIGEST_MASK == digest_shards(one)
    advance(straight, world.laws, 240)
    table = straight.tables["monsters"]
    born = straight.owned_rows("monsters") & (table["generation"] > 0)
    numbers = read_hocl_behaviour("snail.hocl", "founders[5].behaviour").integers
    assert (table["genome"][born, FIRST_WEIGHT : FIRST_WEIGHT + len(numbers)] != numbers).any()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere.hocl", "nowhere.hocl: cannot be read: No such file or directory"),
        ("wide.hocl", "wide.hocl: 300 in its rules: use -128 to 127, it is a gene"),
        ("bad.hocl", "bad.hocl:1:"),
    ],
)
def test_invalid_programs_are_refused_in_one_line(tmp_path, monkeypatch, reference, said):
    monkeypatch.chdir(tmp_path)
    read_hocl_behaviour.cache_clear()
    Path("wide.hocl").write_text('<replace-one "hunger":h::int by "thrust":300>')
    Path("bad.hocl").write_text("<replace x")
    with pytest.raises(WorldFileError, match=r"founders\[5\].behaviour: ") as refused:
        begin(read_world("pond", {**SMALL, "founders.5.behaviour": reference}))
    assert said in str(refused.value) and "\n" not in str(refused.value)
    read_hocl_behaviour.cache_clear()


def test_a_node_with_another_text_of_a_program_has_another_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = set()
    for number in (5, 6, 5):
        Path("own.hocl").write_text(f'<replace-one "hunger":h::int by "thrust":{number}>')
        read_hocl_behaviour.cache_clear()
        found.add(seals_of(read_world("pond", {**SMALL, "founders.5.behaviour": "own.hocl"}))["species"])
    read_hocl_behaviour.cache_clear()
    assert len(found) == 2


def test_every_bundled_behaviour_can_be_read():
    assert "snail" in bundled_behaviours()
    for name in bundled_behaviours():
        assert read_hocl_behaviour(f"{name}.hocl", "founders[0].behaviour").integers
