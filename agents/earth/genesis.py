"""Genesis: makes the state of an Earth-like world at tick 0 from its world file.

This comprises the integer tables that laws read (constants), the ground, water and air of the cells, and the founders:
the beings that exist at tick 0. A world file lists them in groups; each group has its own species index.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from umwelt.agents.body.genome import (
    BIRTH_ORGANS,
    FIRST_TRAIT,
    FIRST_WEIGHT,
    GENE_MIN,
    NO_ORGAN,
    PLANT_GENES,
    TRAIT,
    mutate,
    organs_in_slots,
)
from umwelt.agents.body.interface import (
    BODY_CATALYSTS,
    MODULE,
    MONSTER_KIND,
    ORGANS,
    PLANT_KIND,
    SUBSTANCES,
)
from umwelt.agents.body.schema import MONSTERS, PLANTS, cell_fields, monster_columns, plant_columns
from umwelt.agents.earth import parameters
from umwelt.agents.earth import reactions as earthly
from umwelt.agents.earth.founders import MONSTERS as MONSTER_TEMPLATES
from umwelt.agents.earth.founders import PLANTS as PLANT_TEMPLATES
from umwelt.agents.earth.founders import given_genome, given_genomes, monster_genome, plant_genome, set_weights
from umwelt.agents.earth.laws.spore import SPORES
from umwelt.agents.earth.settings import EarthSettings, FounderSettings
from umwelt.agents.earth.terrain import draws, elevation_of
from umwelt.agents.species.behaviour import Behaviours
from umwelt.agents.species.hocl_behaviour import is_hocl_behaviour, read_hocl_behaviour, with_program_genes
from umwelt.agents.species.references import NET, behaviours_for, columns_for
from umwelt.agents.world_file import WorldFile
from umwelt.sandbox.chemistry import Chemistry, Reaction
from umwelt.sandbox.columns import Column, Schema, identity
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.errors import ChemistryError, WorldFileError
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.laws.flow import SHARE_ONE
from umwelt.sandbox.laws.weather import ENVIRONMENT
from umwelt.sandbox.region import Field, Region, Torus
from umwelt.sandbox.step import Founders
from umwelt.sandbox.text import one_of
from umwelt.sandbox.units import (
    SUBCELL,
    TURN,
    arctangent_table,
    rate_from_float,
    sine_table,
    warmth_table,
)

SCATTER = purpose("genesis.scatter")
JITTER = purpose("genesis.jitter")
DEAL = purpose("genesis.deal")
MAX_CLUMPS = 1000
CLUMP_DRAWS = 1_000_000
"""Random numbers of the purpose `SCATTER` with at least this index are used for the centres of clumps."""
SCORE_SHIFT, NEAR_SHIFT, NEAR_SCORE_SHIFT = 32, 20, 10
"""Shifts that compose the score by which cells are sorted when founders are placed.

The score holds the upper bits of a random number; with clumps, preceded by the squared distance to the nearest centre.
"""
WET_SCORE = 1 << 60
"""Added to the score of cells in deep water, so that they are used last."""
TURN_SHIFT, TURN_DRAW_SHIFT = 32, 31
"""Shifts that compose the key by which `_deal` sorts: a founder's number in its group, and 32 random bits after it."""
JITTER_PLANT, JITTER_MONSTER = 0, 1
"""Indices of the random numbers of the purpose `JITTER`: for the state of a plant founder, and of a monster founder."""
HEADING_SHIFT, AGE_SHIFT, FATIGUE_SHIFT = 8, 24, 34
"""Right shifts that extract heading, age and fatigue from the random number of a monster founder."""
VARIATION_ONE = 65536
"""Mutation rates are in units of 1/65536."""


def earth_chemistry(settings: EarthSettings) -> Chemistry:
    """Returns Earth's substances and reactions with the additions and changes of a world file.

    Raises ChemistryError or WorldFileError for duplicate or unknown names, and for equations that do not balance.
    """
    own = settings.chemistry
    for name in own.substances:
        if name in SUBSTANCES:
            raise ChemistryError(f'chemistry.substances: "{name}" is one of Earth\'s: use another name')
    earth_names = [reaction.name for reaction in earthly.REACTIONS]
    for name in [*own.without, *own.rates]:
        one_of(name, earth_names, "chemistry")
    reactions = [
        Reaction(r.name, r.equation, own.rates.get(r.name, r.rate), r.site, r.catalysts, r.order)
        for r in earthly.REACTIONS
        if r.name not in own.without
    ]
    for r in own.reactions:
        one_of(r.site, earthly.SITES, f'reaction "{r.name}": site')
        reactions.append(Reaction(r.name, r.equation, r.rate, r.site, tuple(r.catalysts), r.order))
    return Chemistry({**SUBSTANCES, **own.substances}, tuple(reactions), own.symbols, own.charges)


def template_kind(founder: FounderSettings, place: str) -> str:
    """Returns the kind of a group of founders: "plant" or "monster".

    Raises WorldFileError, which names `place`, if the kind or the template is unknown.
    """
    if founder.kind:
        return one_of(founder.kind, ("plant", "monster"), f"{place}.kind")
    like = founder.like or founder.species
    if like in PLANT_TEMPLATES:
        return "plant"
    if like in MONSTER_TEMPLATES:
        return "monster"
    one_of(like, [*PLANT_TEMPLATES, *MONSTER_TEMPLATES], f"{place}.{'like' if founder.like else 'species'}")
    raise AssertionError


def species_of(settings: EarthSettings) -> list[dict[str, Any]]:
    """Returns a dict for each group of founders, in order of their species index.

    Its keys are `name`, `kind` ("plant" or "monster"), `behaviour` (a behaviour reference), `variation` (the mutation
    rate of founders), `genomes` (`int8[genome, gene]`, assigned to the founders in turn) and `genome` (the first of
    them). Raises WorldFileError if the settings of a group are invalid.
    """
    result = []
    mixed_with(settings.founders)
    for index, founder in enumerate(settings.founders):
        place = f"founders[{index}]"
        if founder.count < 0:
            raise WorldFileError(f"{place}.count = {founder.count}: use 0 or more")
        if not 0 <= founder.clumps <= MAX_CLUMPS:
            raise WorldFileError(f"{place}.clumps = {founder.clumps}: use 0 to {MAX_CLUMPS}")
        if not 0 <= founder.variation <= 1:
            raise WorldFileError(f"{place}.variation = {founder.variation}: use 0 to 1")
        kind = template_kind(founder, place)
        if kind == "plant" and founder.behaviour != NET:
            raise WorldFileError(f'{place}.behaviour = "{founder.behaviour}": plants have no behaviour: leave it out')
        if not 0 <= founder.spores <= 1 or (founder.spores and not rate_from_float(founder.spores)):
            raise WorldFileError(f"{place}.spores = {founder.spores}: use 0, or 2^-24 to 1")
        if kind == "monster" and founder.spores:
            raise WorldFileError(f"{place}.spores: only plants grow from spores: leave it out")
        if kind == "plant" and founder.organs is not None:
            raise WorldFileError(f"{place}.organs: plants have no organs: leave it out")
        if kind == "plant" and founder.wires:
            raise WorldFileError(f"{place}.wires: plants have no net: leave it out")
        like = founder.like or (founder.species if founder.species in {**PLANT_TEMPLATES, **MONSTER_TEMPLATES} else "")
        if founder.genomes is not None:
            for name in ("genome", "like", "organs", "genes", "wires"):
                if getattr(founder, name):
                    raise WorldFileError(f"{place}.{name}: genomes are given as well: leave one of them out")
            genomes = given_genomes(founder.genomes, kind, place)
        elif founder.genome is not None:
            genomes = given_genome(founder.genome, kind, place)[None]
        elif kind == "plant":
            genomes = plant_genome(like or "grass", founder.genes, place)[None]
        else:
            genome = monster_genome(like or "blank", founder.organs, founder.genes, place)
            if is_hocl_behaviour(founder.behaviour):
                if founder.wires:
                    raise WorldFileError(f"{place}.wires: its behaviour is a program, not a net: leave it out")
                genome = with_program_genes(genome, read_hocl_behaviour(founder.behaviour, f"{place}.behaviour"))
            set_weights(genome, founder.wires, f"{place}.wires")
            genomes = genome[None]
        result.append(
            {
                "name": founder.species,
                "kind": kind,
                "genome": genomes[0],
                "genomes": genomes,
                "behaviour": founder.behaviour,
                "variation": founder.variation if founder.genomes is None else 0.0,
            }
        )
    return result


def mixed_with(founders: Sequence[FounderSettings]) -> list[list[int]]:
    """Returns lists of the indices of founder groups that are placed together because of their key `among`.

    Each list begins with the index of a group without `among`; the groups that name its species follow. Raises
    WorldFileError for groups that cannot be mixed.
    """
    mixed: dict[int, list[int]] = {index: [index] for index, founder in enumerate(founders) if not founder.among}
    leaders = {founders[index].species: index for index in reversed(mixed)}
    for index, founder in enumerate(founders):
        if not founder.among:
            continue
        place = f"founders[{index}]"
        leader = leaders[one_of(founder.among, leaders, f"{place}.among")]
        if founder.clumps:
            raise WorldFileError(f'{place}.clumps: they stand where "{founder.among}" do: leave it out')
        kinds = template_kind(founders[leader], f"founders[{leader}]"), template_kind(founder, place)
        if kinds[0] != kinds[1]:
            raise WorldFileError(f'{place}.among: "{founder.among}" is a {kinds[0]}, this a {kinds[1]}: use another')
        mixed[leader].append(index)
    return list(mixed.values())


def own_columns(settings: EarthSettings) -> tuple[Column, ...]:
    """Returns the species-defined columns: those that the behaviours of the world's species declare."""
    return columns_for([species["behaviour"] for species in species_of(settings)])


def behaviours_of(settings: EarthSettings) -> Behaviours:
    """Returns the behaviours of the world's species."""
    return behaviours_for([species["behaviour"] for species in species_of(settings)])


def constants_of(settings: EarthSettings, chemistry: Chemistry) -> dict[str, np.ndarray]:
    """Returns the constants of a region: integer tables by name, made once at genesis and stored with the run."""
    constants = {
        "sine": sine_table(),
        "arctangent": arctangent_table(),
        "warmth": warmth_table(),
        "climate": np.array(settings.climate.table(settings.ground.soil_holds), np.int64),
    }
    mobility = {**earthly.MOBILITY}
    for name, shares in settings.chemistry.mobility.items():
        one_of(name, chemistry.names, "chemistry.mobility")
        if len(shares) != 2 or min(shares) < 0 or sum(shares) > 1:
            raise WorldFileError(f"chemistry.mobility.{name}: write two shares, as in [0.4, 0.3], together at most 1")
        mobility[name] = (shares[0], shares[1])
    constants["mobile"] = np.array([chemistry.index(name) for name in mobility], np.int64)
    constants["share_q12"] = np.array([round(share * SHARE_ONE) for share, _ in mobility.values()], np.int64)
    constants["gust_q12"] = np.array([round(gust * SHARE_ONE) for _, gust in mobility.values()], np.int64)
    for site in earthly.SITES:
        table = chemistry.compile(site, ENVIRONMENT if site == "cell" else BODY_CATALYSTS)
        constants |= {f"{site}.{name}": array for name, array in table._asdict().items()}
    return constants | _spores(settings)


def _spores(settings: EarthSettings) -> dict[str, np.ndarray]:
    """Returns the constants of the law `spore` by name (see `SPORES`); empty for a world without spores."""
    groups = [index for index, founder in enumerate(settings.founders) if founder.spores]
    if not groups:
        return {}
    species = species_of(settings)
    odds_q24 = [rate_from_float(settings.founders[group].spores) for group in groups]
    genomes = np.array([species[group]["genome"] for group in groups])
    tables = np.array(groups, np.int64), np.array(odds_q24, np.int64), genomes
    return dict(zip(SPORES, tables, strict=True))


@kernel
def vary(genomes, rate_65536, first_trait, last_trait, seed, keys):
    """Mutates the genome of each founder in place, as at a birth in tick 0.

    `genomes` is `int8[founder, gene]`; `keys` are the keys of the founders' random numbers.
    """
    for i in range(len(keys)):
        mutate(genomes, i, rate_65536, first_trait, last_trait, seed, 0, keys[i])


def chemistry(world: WorldFile) -> Chemistry:
    """Returns the substances and reactions of a world."""
    return earth_chemistry(world.settings)


def species(world: WorldFile) -> list[str]:
    """Returns the names of a world's species in order of their index."""
    return [founder.species for founder in world.settings.founders]


def founders(world: WorldFile) -> list[Founders]:
    """Returns the groups of founders of a world in order of their species index."""
    groups = zip(world.settings.founders, species_of(world.settings), strict=True)
    return [
        Founders(
            group.species,
            f"{species['kind']}s",
            group.count,
            species["genomes"],
            species["behaviour"] if species["kind"] == "monster" else "",
            int(species["genome"][PLANT_GENES.index("hue") if species["kind"] == "plant" else TRAIT["hue"]]),
        )
        for group, species in groups
    ]


def founder(world: WorldFile, species: str, key: int, genome: bytes | None = None) -> tuple[str, dict[str, Any]]:
    """Makes a being like the founders of a `species`; returns its table's name, and its columns except id and position.

    `key` is used in place of the id as the key of the being's random numbers. `genome` replaces the genome of the
    founders. Raises WorldFileError if the species is unknown or the genome is invalid for it.
    """
    names = [group.species for group in world.settings.founders]
    index = names.index(one_of(species, names, "species"))
    template = species_of(world.settings)[index]
    if genome is not None:
        genes = given_genome(np.frombuffer(genome, np.int8).tolist(), template["kind"], species)
        template |= {"genomes": genes[None], "variation": 0.0}
    return f"{template['kind']}s", founder_columns(template, index, world.common.seed, np.array([key]))


def check_row(world: WorldFile, table: str, row: Mapping[str, Any]) -> None:
    """Raises ValueError if `row`, the columns of a being of `table`, is inconsistent.

    This is the case if its species belongs to another table, or if `organs` has fewer organs than the genome builds in
    the first `organs_built` slots.
    """
    if "species" in row and (group := founders(world)[row["species"]]).table != table:
        line = f'species = {row["species"]} ("{group.species}") is of the table {group.table}: use another'
        raise ValueError(line)
    if {"organs", "organs_built", "genome"} <= row.keys():
        genome = np.array(
            row["genome"] if not isinstance(row["genome"], bytes) else memoryview(row["genome"]).cast("b")
        )
        asked = organs_in(genome[None].astype(np.int8), np.array([row["organs_built"]]))[0].tolist()
        if any(have < needed for have, needed in zip(row["organs"], asked, strict=True)):
            raise ValueError(f"organs = {list(row['organs'])}: its genome has built {asked}: have at least these")


def climate(world: WorldFile) -> dict[str, int]:
    """Returns the climate as integers, by the field names of `weather.Climate`."""
    return world.settings.climate.table(world.settings.ground.soil_holds)._asdict()


def constants(world: WorldFile) -> dict[str, np.ndarray]:
    """Returns the constants of a region of this world, as genesis makes them; see `constants_of`."""
    return constants_of(world.settings, chemistry(world))


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Returns the fields of a world's cells, and the schemas of its tables of plants and monsters.

    They contain the substances that the world file adds, and the species-defined columns.
    """
    names = chemistry(world).names
    own = own_columns(world.settings)
    plants = Schema("plants", PLANT_KIND, plant_columns(names), PLANTS.module, PLANTS.record)
    monsters = Schema("monsters", MONSTER_KIND, monster_columns(names), MONSTERS.module, MONSTERS.record)
    return cell_fields(names), [plants, monsters.extend(own)]


def genesis(world: WorldFile, region: Region) -> None:
    """Fills an empty region that owns the full torus: constants, ground, water and air, then the founders."""
    settings: EarthSettings = world.settings
    substances = chemistry(world)
    region.constants = constants_of(settings, substances)
    ground = settings.ground
    elevation = elevation_of(region.torus, region.seed, ground)
    region["elevation"][:] = elevation
    for name in ("vapour", "oxygen", "carbon_dioxide", "mineral", "detritus"):
        region[name][:] = getattr(ground, name)
    region["water"][:] = ground.soil_water + np.maximum(0, ground.sea_level - elevation)
    for name, count in settings.chemistry.initial.items():
        region[one_of(name, substances.names, "chemistry.initial")][:] = count
    place_founders(region, settings)


def prepare(world: WorldFile, region: Region) -> None:
    """Loads the behaviours of the world's species into `region.derived`, where the law `respond` reads them."""
    region.derived["behaviours"] = behaviours_of(world.settings)


def place_founders(region: Region, settings: EarthSettings) -> None:
    """Adds the founders to the region, in random cells; groups mixed by their key `among` are placed together.

    The ids of plants, and those of monsters, are numbered consecutively over all groups.
    """
    dry = region["water"].ravel() <= parameters.DROWNING_COUNT
    numbers = {"plant": 0, "monster": 0}
    species = species_of(settings)
    for mixed in mixed_with(settings.founders):
        counts = [settings.founders[group].count for group in mixed]
        leader = mixed[0]
        kind, count, torus = species[leader]["kind"], sum(counts), region.torus
        cells = _scatter(region, settings.founders[leader].clumps, count, leader, dry)
        numbered = np.arange(numbers[kind], numbers[kind] + count)
        ids = identity(PLANT_KIND if kind == "plant" else MONSTER_KIND, 0, numbered, by_hand=True)
        for group, members in zip(mixed, _deal(ids, counts, region.seed), strict=True):
            being = founder_columns(species[group], group, region.seed, ids[members])
            columns = {"id": ids[members], **being, **middles(torus, cells[members])}
            region.tables[f"{kind}s"].append(len(members), columns)
        numbers[kind] += count


def _deal(ids: np.ndarray, counts: list[int], seed: int) -> list[np.ndarray]:
    """Divides `ids` randomly among mixed groups of `counts` founders; returns the indices into `ids` for each group.

    The groups are spread evenly over `ids`: with two groups of equal size, each consecutive pair of ids has one founder
    of each group, in random order.
    """
    turns = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    shares = ((turns << TURN_SHIFT) + (draws(ids, seed, DEAL) >> TURN_DRAW_SHIFT)) // np.repeat(counts, counts)
    groups = np.repeat(np.arange(len(counts)), counts)[np.argsort(shares, kind="stable")]
    return [np.flatnonzero(groups == group) for group in range(len(counts))]


def _scatter(region: Region, clumps: int, count: int, group: int, dry: np.ndarray) -> np.ndarray:
    """Chooses random cells for `count` founders; returns their global indices in ascending order, `int64[count]`.

    Dry cells (`dry: bool[cell]`, without deep water) are used first, and each cell once until all are used. With
    `clumps`, the cells are those nearest to as many random centres. `group` is the index of the group of founders.
    """
    torus = region.torus
    cells = np.arange(torus.cells, dtype=np.int64)
    score = draws(cells, region.seed, SCATTER, group) >> SCORE_SHIFT
    if clumps:
        centres = draws(np.arange(clumps, dtype=np.int64), region.seed, SCATTER, group + CLUMP_DRAWS) % torus.cells
        nearest = np.full(torus.cells, torus.height**2 + torus.width**2, np.int64)
        y, x = cells // torus.width, cells % torus.width
        for centre in centres.tolist():
            dy, dx = np.abs(y - centre // torus.width), np.abs(x - centre % torus.width)
            dy, dx = np.minimum(dy, torus.height - dy), np.minimum(dx, torus.width - dx)
            nearest = np.minimum(nearest, dy * dy + dx * dx)
        score = (nearest << NEAR_SHIFT) + (score >> NEAR_SCORE_SHIFT)
    score = score + (~dry).astype(np.int64) * WET_SCORE
    order = np.argsort(score, kind="stable")
    return np.sort(order[np.arange(count) % torus.cells])


def middles(torus: Torus, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns `y_fixed` and `x_fixed` of beings in the middles of `cells`, given as global indices."""
    return {
        "y_fixed": (cells // torus.width * SUBCELL + SUBCELL // 2).astype(np.int32),
        "x_fixed": (cells % torus.width * SUBCELL + SUBCELL // 2).astype(np.int32),
    }


def founder_columns(species: dict[str, Any], index: int, seed: int, keys: np.ndarray) -> dict[str, Any]:
    """Returns the columns, except id and position, of founders of a species, one for each entry of `keys`.

    `species` is an entry of `species_of` and `index` its index. `keys` are the keys of the founders' random numbers.
    The genomes of the species are assigned to the founders in turn.
    """
    columns = _plant_columns if species["kind"] == "plant" else _monster_columns
    genomes = species["genomes"][np.arange(len(keys)) % len(species["genomes"])]
    traits = (0, len(PLANT_GENES)) if species["kind"] == "plant" else (FIRST_TRAIT, FIRST_WEIGHT)
    call(vary, genomes, round(species["variation"] * VARIATION_ONE), *traits, seed, np.asarray(keys, np.int64))
    return {"species": index, "genome": genomes, **columns(genomes, seed, keys)}


def _plant_columns(genomes: np.ndarray, seed: int, keys: np.ndarray) -> dict[str, Any]:
    """Returns the columns of matter and state of plant founders: modules of random age.

    A module is the part of a plant in one cell. Each column is a number for all founders, or an array with one for
    each.
    """
    ages = draws(keys, seed, JITTER, JITTER_PLANT) % (parameters.PLANT_OLD_TICKS // 2)
    return {**parameters.PLANT_FOUNDER_COUNTS, "stage": MODULE, "age_ticks": ages}


def _monster_columns(genomes: np.ndarray, seed: int, keys: np.ndarray) -> dict[str, Any]:
    """Returns the columns of matter and state of monster founders, with random sugar, heading, age and fatigue.

    Each column is a number for all founders, or an array with an entry for each.
    """
    birth_organs = (genomes[:, BIRTH_ORGANS].astype(np.int64) - GENE_MIN) >> parameters.BIRTH_ORGANS_SHIFT
    built = np.minimum(parameters.FOUNDER_ORGANS_MAX, parameters.FOUNDER_ORGANS_MIN + birth_organs)
    tissue = parameters.CORE_TISSUE_COUNT + built * parameters.ORGAN_TISSUE_COUNT
    jitter = draws(keys, seed, JITTER, JITTER_MONSTER)
    matter: dict[str, Any] = {
        "tissue_count": tissue,
        "sugar_count": parameters.FOUNDER_SUGAR_COUNT + jitter % parameters.FOUNDER_SUGAR_RANGE,
        "water_count": parameters.FOUNDER_WATER_COUNT,
        "oxygen_count": parameters.OXYGEN_HELD_COUNT,
        "mineral_count": parameters.MINERAL_KEPT_COUNT,
    }
    state: dict[str, Any] = {
        "organs": organs_in(genomes, built),
        "organs_built": built,
        "heading": (jitter >> HEADING_SHIFT) % TURN,
        "age_ticks": (jitter >> AGE_SHIFT) % parameters.FOUNDER_AGE_RANGE_TICKS,
        "fatigue": (jitter >> FATIGUE_SHIFT) % parameters.FOUNDER_FATIGUE_RANGE,
    }
    return {**matter, **state}


def organs_in(genomes: np.ndarray, built: np.ndarray) -> np.ndarray:
    """Counts the organs of each sort in the first `built` (`int64[n]`) slots of each genome: `int8[n, organ]`."""
    organs = organs_in_slots(genomes)
    organs = np.where(np.arange(organs.shape[1]) < built[:, None], organs, NO_ORGAN)
    return (organs[:, :, None] == np.arange(len(ORGANS))).sum(axis=1).astype(np.int8)
