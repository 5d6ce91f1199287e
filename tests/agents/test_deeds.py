"""Deeds: each does what it says and no more, to every image; what cannot be done is refused in one line."""

import msgspec
import numpy as np
import pytest
from carving import begin, golden, whole_elements
from deeds_script import LAST_TICK, cast, deeds_at, drives
from small import small_world

from umwelt.agents import World
from umwelt.agents.commands import deeds
from umwelt.agents.commands.deeds import Deed, Drive, Drop, Move, Paint, Rain, Rate, Remove, Spawn, Wound
from umwelt.agents.earth import parameters
from umwelt.agents.earth.laws.metabolism import reactions_of
from umwelt.agents.open_world import opened, tick_zero
from umwelt.agents.world_file import WorldFile, read_world
from umwelt.sandbox import audit
from umwelt.sandbox.chemistry import parse_formula
from umwelt.sandbox.columns import identity
from umwelt.sandbox.controls import Controls
from umwelt.sandbox.errors import CommandError
from umwelt.sandbox.region import Region
from umwelt.sandbox.step import advance, step
from umwelt.sandbox.units import ONE, SUBCELL


def ready(size: int = 32, k: int = 1) -> tuple[Region, WorldFile]:
    """A small world with its halo; the window holds nine images of every cell, and more."""
    world = golden(size, size)
    region = begin(world, k)
    region.wrap()
    return region, world


def owned(region: Region, name: str) -> np.ndarray:
    return region.owned_view(name).astype(np.int64)


def images(region: Region, name: str, being: int) -> int:
    return int(np.count_nonzero(region.tables[name]["id"] == being))


def column_by_id(region: Region, name: str) -> dict[int, list[int]]:
    """A column of the monsters that the region owns."""
    table, mine = region.tables["monsters"], region.owned_rows("monsters")
    return dict(zip(table["id"][mine].tolist(), table[name][mine].tolist(), strict=True))


def halo_is_fresh(region: Region) -> None:
    """What deeds made of the ghosts is what an exchange would bring."""

    def seen() -> tuple:
        rows = {}
        for name, table in region.tables.items():
            columns = [column.name for column in table.stored_columns()]
            order = np.lexsort((table["x_fixed"], table["y_fixed"], table["id"]))
            rows[name] = [table[column][order].tolist() for column in columns]
        return {name: array.tolist() for name, array in region.fields.items()}, rows

    before = seen()
    region.wrap()
    assert seen() == before


# --- what each does


def test_a_drop_adds_exactly_what_it_says():
    region, world = ready()
    before, elements = owned(region, "sugar"), whole_elements([region], world)
    deeds.apply(region, deeds.checked(world, Drop(31, 0, "sugar", 77)), 1)
    change = owned(region, "sugar") - before
    assert change[31, 0] == 77 and np.count_nonzero(change) == 1
    more = {element: 77 * count for element, count in parse_formula("sugar", "CH2O").items()}
    assert whole_elements([region], world) == {e: n + more.get(e, 0) for e, n in elements.items()}
    halo_is_fresh(region)


def test_what_is_dropped_reacts_in_its_cell_until_it_is_spent():
    own = {
        "chemistry.substances": {"salt": "P", "acid": "S", "crystal": "PS"},
        "chemistry.initial": {"salt": 40},
        "chemistry.reactions": [{"name": "set", "equation": "salt + acid -> crystal", "rate": 0.5, "order": 0}],
    }
    world = small_world(**own)
    region = begin(world)
    region.wrap()
    advance(region, world.laws, 2)
    assert owned(region, "crystal").sum() == 0
    deeds.apply(region, deeds.checked(world, Drop(5, 9, "acid", 25)), 1)
    deeds.apply(region, deeds.checked(world, Drop(7, 3, "acid", 55)), 2)
    advance(region, world.laws, 150)
    crystal, salt, acid = (owned(region, name) for name in ("crystal", "salt", "acid"))
    assert (crystal[5, 9], salt[5, 9], acid[5, 9]) == (25, 15, 0)
    assert (crystal[7, 3], salt[7, 3], acid[7, 3]) == (40, 0, 15)
    assert crystal.sum() == 65 and acid.sum() == 15
    before = crystal
    advance(region, world.laws, 20)
    assert (owned(region, "crystal") == before).all()


def test_no_cell_is_filled_beyond_what_its_counter_holds():
    region, world = ready()
    for number in range(300):
        deeds.apply(region, Drop(3, 4, "water", 1 << 24), number)
        deeds.apply(region, Rain(3, 4, 1, 1 << 24), number)
    assert owned(region, "water")[3, 4] == deeds.MAX_IN_CELL_COUNT == owned(region, "water").max()
    before = whole_elements([region], world)
    for _ in range(5):
        advance(region, world.laws, 1)
    assert whole_elements([region], world) == before and (region.fields["substance"] >= 0).all()


def test_rain_falls_on_a_disc_over_the_seams():
    region, world = ready()
    before = owned(region, "water")
    deeds.apply(region, deeds.checked(world, Rain(0, 31, 2, 50)), 1)
    change = owned(region, "water") - before
    wet = {(y, x) for y, x in np.argwhere(change).tolist()}
    near = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 4]
    assert wet == {(dy % 32, (31 + dx) % 32) for dy, dx in near}
    assert set(change[change > 0].tolist()) == {50}
    halo_is_fresh(region)


@pytest.mark.parametrize(("part", "value"), [("water", 0), ("mineral", 55), ("elevation", 2100)])
def test_paint_sets_a_rectangle_and_nothing_else(part, value):
    region, world = ready()
    fields = {name: array.copy() for name, array in region.fields.items()}
    deeds.apply(region, deeds.checked(world, Paint(30, 29, 4, 200 if value else 5, part, value)), 1)
    plane = owned(region, part)
    rows, columns = [30, 31, 0, 1], (list(range(32)) if value else [29, 30, 31, 0, 1])
    assert (plane[np.ix_(rows, columns)] == value).all()
    plane = region[part]
    for name, array in fields.items():
        changed = np.argwhere((array != region.fields[name]).reshape(-1, *plane.shape))
        assert {(int(y) - region.halo_cells) % 32 for _, y, _ in changed} <= set(rows)
        assert len({int(plane_at) for plane_at, _, _ in changed}) <= 1
    halo_is_fresh(region)


def test_a_spawn_appears_once_in_every_image_with_an_id_of_its_own():
    region, world = ready()
    deed = deeds.founder(world, "hunter", 31, 0)
    before = region.counts["births"]
    for number in (7, 8):
        deeds.apply(region, deeds.checked(world, deed), number)
    ids = [identity(2, region.tick + 1, number, by_hand=True) for number in (7, 8)]
    assert [images(region, "monsters", being) for being in ids] == [4, 4]  # the window is twice the world each way
    assert region.counts["births"] == before + 2
    found = deeds.fetched(region, ids[0])
    assert found == {"kind": "monsters", "id": ids[0], "y_fixed": 31 * 1024 + 512, "x_fixed": 512, "row": deed.row}
    halo_is_fresh(region)
    step(region, world.laws)
    assert deeds.fetched(region, ids[0])["row"]["age_ticks"] == deed.row["age_ticks"] + 1


@pytest.mark.parametrize("species", ["grass", "shrub", "grazer", "hunter"])
def test_a_founder_is_as_genesis_makes_them(species):
    world = golden(32, 32, **{f"founders.{at}.variation": 0 for at in range(5)})
    region = tick_zero(world)
    deed = deeds.founder(world, species, 3, 4)
    at = [group.species for group in world.settings.founders].index(species)
    table = region.tables[deed.kind]
    row = deeds.fetched(region, int(table["id"][table["species"] == at][0]))["row"]
    by_dice = {"age_ticks", "heading", "fatigue", "counts"}
    assert row.keys() == deed.row.keys()
    assert {n: v for n, v in row.items() if n not in by_dice} == {n: v for n, v in deed.row.items() if n not in by_dice}
    assert [a == b for a, b in zip(row["counts"], deed.row["counts"], strict=True)].count(False) <= 1  # sugar
    genes = np.frombuffer(row["genome"], np.int8)[::-1]
    for genome in (genes.tolist(), genes.tobytes()):
        other = deeds.checked(world, deeds.founder(world, species, 3, 4, genome))
        assert other.row["genome"] == genes.tobytes()


def test_what_is_removed_is_gone_with_all_it_holds():
    region, world = ready()
    found = cast(world)[0][0]
    before, elements = whole_elements([region], world), {}
    chemistry = world.chemistry
    elements = audit.element_totals(dict(zip(chemistry.names, found["row"]["counts"], strict=True)), chemistry)
    deeds.apply(region, deeds.checked(world, Remove(found["id"])), 1)
    assert deeds.fetched(region, found["id"]) is None and images(region, "monsters", found["id"]) == 0
    assert whole_elements([region], world) == {e: n - elements[e] for e, n in before.items()}
    assert region.counts["deaths"] == 1
    halo_is_fresh(region)


def test_who_is_moved_is_the_same_being_elsewhere():
    region, world = ready()
    region.index("monsters")
    before, counts = whole_elements([region], world), dict(region.counts)
    found = deeds.fetched(region, cast(world)[0][0]["id"])
    moved = Move(**{**found, "y_fixed": 0, "x_fixed": 32 * SUBCELL - 1})
    deeds.apply(region, deeds.checked(world, moved), 1)
    assert deeds.fetched(region, found["id"]) == {**found, "y_fixed": 0, "x_fixed": 32 * SUBCELL - 1}
    assert whole_elements([region], world) == before and region.counts == counts
    rows = region.index("monsters").rows
    assert sorted(rows.tolist()) == list(range(region.tables["monsters"].count))
    halo_is_fresh(region)


@pytest.mark.parametrize(("kind", "asked"), [("monsters", 5), ("monsters", 1 << 24), ("plants", 3)])
def test_a_wound_lets_tissue_fall_and_conserves_matter(kind, asked):
    region, world = ready()
    found = cast(world)[0 if kind == "monsters" else 1][0]
    held = found["row"]["counts"][6]
    before, ground = whole_elements([region], world), owned(region, "detritus")
    deeds.apply(region, deeds.checked(world, Wound(found["id"], asked)), 1)
    now = deeds.fetched(region, found["id"])["row"]
    lost = min(held, asked)
    assert held > 10 and now["counts"][6] == held - lost
    fell = owned(region, "detritus") - ground
    assert fell.sum() == lost == fell[found["y_fixed"] >> 10, found["x_fixed"] >> 10]
    assert whole_elements([region], world) == before
    if kind == "monsters":
        assert now["pain"] == min(ONE, lost * parameters.PAIN_PER_TISSUE)
    halo_is_fresh(region)


def test_a_held_body_does_as_it_is_driven_until_it_is_given_back():
    region, world = ready(64)
    being = cast(world)[0][0]["id"]
    wanted = drives(turn=-ONE, thrust=ONE, drink=17)
    plain = begin(world)
    advance(plain, world.laws, 1)
    deeds.apply(region, deeds.checked(world, Drive(being, wanted)), 1)
    step(region, world.laws)
    driven, free = (column_by_id(r, "drives") for r in (region, plain))
    assert driven.pop(being) == list(wanted) != free.pop(being)
    assert driven == free and len(free) > 50
    # its net went on by itself: it remembers what it would have done
    memory = [column_by_id(r, "memory")[being] for r in (region, plain)]
    assert memory[0] == memory[1] != [0] * 8
    deeds.apply(region, deeds.checked(world, Drive(being)), 2)
    assert region.controls == Controls()
    advance(region, world.laws, 1)
    assert column_by_id(region, "drives")[being] != list(wanted)


def test_a_rate_is_changed_in_one_region_and_given_back():
    region, world = ready()
    other = opened(world, [region.cut(region.owned)], region.constants, 0)
    before = {site: reactions_of(region, site).rate_q24.tolist() for site in ("cell", "plants", "monsters")}
    deeds.apply(region, deeds.checked(world, deeds.rate(world, "respiration", 0.25)), 1)
    names = [r.name for r in world.chemistry.reactions if r.site == "monsters"]
    expected = list(before["monsters"])
    expected[names.index("respiration")] = 1 << 22
    assert reactions_of(region, "monsters").rate_q24.tolist() == expected != before["monsters"]
    assert reactions_of(region, "plants").rate_q24.tolist() == before["plants"]
    assert reactions_of(other, "monsters").rate_q24.tolist() == before["monsters"]
    deeds.apply(region, deeds.rate(world, "respiration", None), 2)
    assert reactions_of(region, "monsters").rate_q24.tolist() == before["monsters"] and region.controls == Controls()


def test_a_reaction_without_a_rate_does_not_happen():
    worlds = []
    for stopped in (False, True):
        world = golden(32, 32)
        region = begin(world)
        if stopped:
            for name in ("decay", "digestion"):
                deeds.apply(region, deeds.rate(world, name, 0), 1)
        advance(region, world.laws, 30)
        chemistry = world.chemistry
        worlds.append(audit.substance_totals(region, chemistry)["mineral"])
    assert worlds[1] < worlds[0]


def test_the_digest_of_a_world_counts_what_people_changed():
    world = World.load("golden", width=32, height=32)
    before = world.digest()
    assert before == audit.digest(world.region) == audit.world_digest(world.region)
    deeds.apply(world.region, deeds.rate(world.world_file, "decay", 0.1), 1)
    assert world.digest() != before and audit.digest(world.region) == before
    deeds.apply(world.region, deeds.rate(world.world_file, "decay", None), 2)
    assert world.digest() == before


def test_other_worlds_take_what_they_know():
    world = read_world("wolf_sheep", {"width": 32, "height": 32})
    region = begin(world)
    wolf = deeds.fetched(region, int(region.tables["wolves"]["id"][0]))
    sheep = deeds.fetched(region, int(region.tables["sheep"]["id"][0]))
    todo: list[Deed] = [
        Move(**{**wolf, "y_fixed": 5}),
        Spawn("sheep", 4, 4, sheep["row"]),
        Remove(sheep["id"]),
        Paint(0, 0, 9, 9, "ripe_tick", 1000),
    ]
    for number, deed in enumerate(todo):
        deeds.apply(region, deeds.checked(world, deed), number)
    assert deeds.fetched(region, wolf["id"])["y_fixed"] == 5 and deeds.fetched(region, sheep["id"]) is None
    assert deeds.fetched(region, identity(1, 1, 1, by_hand=True))["row"] == sheep["row"]
    advance(region, world.laws, 2)


# --- as plain data


def test_deeds_travel_as_json_and_msgpack():
    world = golden()
    kinds = set()
    for tick in range(LAST_TICK + 1):
        for deed in deeds_at(tick, world):
            kinds.add(type(deed))
            assert deeds.read(deeds.written(deed)) == deed == deeds.checked(world, deed)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(deed), type=Deed) == deed
    assert len(kinds) == 9


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"deed": "smite", "id": 1}',
        b'{"deed": "remove", "id": "x"}',
        b'{"deed": "remove"}',
        b'{"deed": "remove", "id": 1.5}',
        b'{"deed": "remove", "id": 1, "all": 1}',
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"deed": "remove", "id": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_deed_is_refused_in_one_line(content):
    with pytest.raises(CommandError) as caught:
        deeds.read(content)
    assert str(caught.value).startswith("deed: ") and "\n" not in str(caught.value)


# --- what is refused


GOLDEN = golden(32, 32)
MONSTER, PLANT = cast(GOLDEN)[0][0], cast(GOLDEN)[1][0]


def spawn(kind: str = "monsters", **columns: object) -> Spawn:
    row = {**(MONSTER if kind == "monsters" else PLANT)["row"], **columns}
    return Spawn(kind, 0, 0, {name: value for name, value in row.items() if value is not None})


BAD: dict[str, tuple[Deed, str]] = {
    "drop outside": (Drop(32, 0, "water", 1), "drop: y = 32: use a whole number from 0 to 31"),
    "drop left": (Drop(0, -1, "water", 1), "drop: x = -1"),
    "drop of nothing known": (Drop(0, 0, "watr", 1), 'unknown "watr": did you mean "water"'),
    "drop nothing": (Drop(0, 0, "water", 0), "drop: count = 0: use a whole number from 1"),
    "drop too much": (Drop(0, 0, "water", 1 << 25), "drop: count = 33554432"),
    "drop half": (Drop(0, 0, "water", 1.5), "drop: count = 1.5"),  # type: ignore[arg-type]
    "drop yes": (Drop(0, 0, "water", True), "drop: count = True"),
    "drop a mountain": (Drop(0, 0, "water", 10**5000), "drop: count = 0x"),
    "drop lines": (Drop(0, 0, "wa\nter", 1), 'unknown "wa ter"'),
    "rain wide": (Rain(0, 0, 129, 1), "rain: radius_cells = 129: use a whole number from 0 to 128"),
    "rain dry": (Rain(0, 0, 1, -1), "rain: count = -1"),
    "paint high": (Paint(0, 0, 257, 1, "water", 1), "paint: height = 257: use a whole number from 1 to 256"),
    "paint thin": (Paint(0, 0, 1, 0, "water", 1), "paint: width = 0"),
    "paint all": (Paint(0, 0, 1, 1, "substance", 1), 'paint: part: unknown "substance"'),
    "paint less than nothing": (Paint(0, 0, 1, 1, "water", -1), "paint: water = -1"),
    "paint the sky": (Paint(0, 0, 1, 1, "elevation", 30_001), "paint: elevation = 30001"),
    "spawn what": (Spawn("monster", 0, 0, {}), 'spawn: kind: unknown "monster": did you mean "monsters"'),
    "spawn where": (Spawn("monsters", 32 * 1024, 0, MONSTER["row"]), "spawn: y_fixed = 32768"),
    "spawn of parts": (spawn(colour=3), 'spawn: monsters: unknown "colour"'),
    "spawn without": (spawn(genome=None), 'spawn: monsters: missing column "genome": add it'),
    "spawn with few genes": (spawn(genome=[1, 2]), "spawn: monsters: genome: 2 numbers are given"),
    "spawn with odd bytes": (spawn(genome=b"abc"), "spawn: monsters: genome: 3 numbers are given"),
    "spawn with large genes": (spawn(genome=[128] * len(MONSTER["row"]["genome"])), "genome[0] = 128"),
    "spawn with one gene": (spawn(genome=7), "spawn: monsters: genome: write a list of"),
    "spawn with bytes": (spawn(counts=b"abcdefghijk"), "counts: only bytes are written as bytes"),
    "spawn in debt": (spawn(counts=[-1] * 11), "spawn: monsters: counts[0] = -1"),
    "spawn of lead": (spawn(counts=[1 << 21] * 11), "counts[0] = 2097152"),
    "spawn with a list": (spawn(fatigue=[1]), "spawn: monsters: fatigue = [1]"),
    "spawn of nobody": (spawn(species=5), "spawn: monsters: species = 5: use a whole number from 0 to 4"),
    "spawn of grass": (spawn(species=0), 'species = 0 ("grass") is a plant'),
    "spawn of a rootless": (spawn("plants", stage=3), "spawn: plants: stage = 3"),
    "spawn of a ruin": (spawn(organs=[0] * 8), "its genome has built"),
    "remove nobody": (Remove(0), "remove: id = 0"),
    "remove too much": (Remove(1 << 63), "remove: id = 9223372036854775808"),
    "move as another": (Move("plants", MONSTER["id"], 0, 0, PLANT["row"]), "is one of monsters, not of plants"),
    "move away": (Move(**{**MONSTER, "x_fixed": -1}), "move: x_fixed = -1"),
    "move nothing": (Move("monsters", MONSTER["id"], 0, 0, {}), "move: monsters: missing column"),
    "wound nothing": (Wound(MONSTER["id"], 0), "wound: tissue_count = 0"),
    "wound nobody": (Wound(-5, 1), "wound: id = -5"),
    "drive plants": (Drive(PLANT["id"], drives()), "is one of plants: only monsters have drives"),
    "drive nobody": (Drive(identity(5, 1, 1), drives()), "names no kind of being"),
    "drive little": (Drive(MONSTER["id"], (1, 2)), "drive: 2 drives are given: 11 are needed: turn, thrust"),
    "drive hard": (Drive(MONSTER["id"], drives(bite=1025)), "drive: bite = 1025: use a whole number from -1024"),
    "rate of nothing": (Rate("decai", 1), 'rate: reaction: unknown "decai": did you mean "decay"'),
    "rate beyond": (Rate("decay", (64 << 24) + 1), "rate: rate_q24 = 1073741825"),
    "rate below": (Rate("decay", -1), "rate: rate_q24 = -1"),
    "no deed": (Controls(), "is no deed: use one of drop, paint"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", BAD)
def test_bad_deeds_are_refused_in_one_line_with_the_mend(name):
    deed, line = BAD[name]
    with pytest.raises(CommandError) as caught:
        deeds.checked(GOLDEN, deed)
    assert line in str(caught.value) and "\n" not in str(caught.value) and ": " in str(caught.value)


def test_good_ones_of_the_same_kinds_pass():
    for kind in ("monsters", "plants"):
        assert deeds.checked(GOLDEN, spawn(kind)) == spawn(kind)
    listed = spawn(genome=np.frombuffer(MONSTER["row"]["genome"], np.int8).tolist())
    assert deeds.checked(GOLDEN, listed) == listed


@pytest.mark.parametrize("world", ["wolf_sheep", "flocking", "market"])
@pytest.mark.parametrize(
    ("deed", "line"),
    [
        (Drop(0, 0, "water", 1), "know no substances"),
        (Rain(0, 0, 1, 1), "know no substances"),
        (Wound(1, 1), "know no substances"),
        (Rate("decay", 1), "know no reactions"),
        (Drive(1, drives()), "know no drives"),
        (Drive(1), "know no drives"),
        (Paint(0, 0, 1, 1, "water", 1), "paint: "),
        (Spawn("monsters", 0, 0, {}), 'spawn: kind: unknown "monsters"'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_laws_that_know_no_such_thing_refuse(world, deed, line):
    with pytest.raises(CommandError, match=line):
        deeds.checked(read_world(world, {"width": 32, "height": 32}), deed)


def test_what_is_made_for_people_is_checked_at_the_border():
    other = read_world("flocking", {"width": 32, "height": 32})
    genes = [0] * len(PLANT["row"]["genome"])
    for make, line in (
        (lambda: deeds.rate(GOLDEN, "decay", 65.0), "rate: decay = 65.0: use 0 to 64"),
        (lambda: deeds.rate(GOLDEN, "decay", float("nan")), "rate: decay = nan"),
        (lambda: deeds.rate(GOLDEN, "decay", 1e-9), "below 2\\^-24"),
        (lambda: deeds.rate(GOLDEN, "dekay", 0.5), 'unknown "dekay"'),
        (lambda: deeds.founder(GOLDEN, "gras", 0, 0), 'unknown "gras"'),
        (lambda: deeds.founder(GOLDEN, "grass", 32, 0), "spawn: y = 32"),
        (lambda: deeds.founder(GOLDEN, "grass", 0, 0, [*genes, 1]), "23 genes are listed"),
        (lambda: deeds.founder(GOLDEN, "grass", 0, 0, [*genes[1:], 128]), "genome\\[21\\] = 128"),
        (lambda: deeds.founder(other, "grass", 0, 0), "flocking has no founders"),
    ):
        with pytest.raises(CommandError, match=line):
            make()


@pytest.mark.parametrize(
    "controls", [Controls({"decai": 1}), Controls({}, {MONSTER["id"]: (1, 2)}), Controls({"decay": -1})], ids=str
)
def test_a_world_is_not_opened_with_controls_it_cannot_have(controls):
    region = tick_zero(GOLDEN)
    with pytest.raises(CommandError):
        opened(GOLDEN, [region.cut(region.owned)], region.constants, 0, controls=controls)


def test_what_lives_can_be_moved_at_any_time():
    """Every natural being's row passes the check that a deed's row has to pass."""
    world = golden(48, 48)
    region = begin(world)
    advance(region, world.laws, 400)
    assert region.counts["births"] > 50
    for name, table in region.tables.items():
        for being in table["id"][region.owned_rows(name)].tolist():
            deeds.checked(world, Move(**deeds.fetched(region, being)))
