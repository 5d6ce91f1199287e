"""From a checked description to tick 0: tables of integers, ground, water, air, and the founders."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from umwelt.agents.body.genome import (
    BIRTH_ORGANS,
    FIRST_TRAIT,
    FIRST_WEIGHT,
    MONSTER_GENES,
    ORGAN_CODES,
    ORGAN_SLOTS,
    PLANT_GENES,
    mutate,
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
from umwelt.agents.earth.founders import given_genome, monster_genome, plant_genome
from umwelt.agents.earth.laws.spore import SPORES
from umwelt.agents.earth.settings import EarthSettings, FounderSettings
from umwelt.agents.earth.terrain import draws, elevation_of
from umwelt.agents.earth.wires import wire
from umwelt.agents.species.behaviour import NET, Behaviours, behaviours_for, columns_for
from umwelt.agents.species.hocl_behaviour import is_mind, read_mind, with_mind
from umwelt.agents.world_file import WorldFile, one_of
from umwelt.sandbox.chemistry import Chemistry, Reaction
from umwelt.sandbox.columns import Column, Schema, identity
from umwelt.sandbox.dice import purpose
from umwelt.sandbox.errors import ChemistryError, WorldFileError
from umwelt.sandbox.kernel import call, kernel
from umwelt.sandbox.laws.flow import SHARE_ONE
from umwelt.sandbox.laws.weather import ENVIRONMENT
from umwelt.sandbox.region import Field, Region, Torus
from umwelt.sandbox.units import (
    arctangent_table,
    rate_from_float,
    sine_table,
    warmth_table,
)

SCATTER = purpose("genesis.scatter")
JITTER = purpose("genesis.jitter")
DEAL = purpose("genesis.deal")
MAX_CLUMPS = 1000
VARIATION_ONE = 65536


def earth_chemistry(settings: EarthSettings) -> Chemistry:
    """Earth's substances and reactions with what the world adds, changes or leaves out."""
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
    """Whether founders are plants or monsters."""
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
    """The world's species in order of their index: name, kind, genomes and behaviour reference.

    `genomes: int8[genome, gene]` are dealt out in turn over the founders; `genome` is the first of them.
    """
    found = []
    mixed_with(settings.founders)
    for at, founder in enumerate(settings.founders):
        place = f"founders[{at}]"
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
            raise WorldFileError(f"{place}.spores: only plants come of spores: leave it out")
        if kind == "plant" and founder.organs is not None:
            raise WorldFileError(f"{place}.organs: plants have none: leave it out")
        if kind == "plant" and founder.wires:
            raise WorldFileError(f"{place}.wires: plants have no net: leave it out")
        like = founder.like or (founder.species if founder.species in {**PLANT_TEMPLATES, **MONSTER_TEMPLATES} else "")
        if founder.genomes is not None:
            for name in ("genome", "like", "organs", "genes", "wires"):
                if getattr(founder, name):
                    raise WorldFileError(f"{place}.{name}: genomes are given in its place: leave one of them out")
            genomes = given_genomes(founder.genomes, kind, place)
        elif founder.genome is not None:
            genomes = given_genome(founder.genome, kind, place)[None]
        elif kind == "plant":
            genomes = plant_genome(like or "grass", founder.genes, place)[None]
        else:
            genome = monster_genome(like or "blank", founder.organs, founder.genes, place)
            if is_mind(founder.behaviour):
                if founder.wires:
                    raise WorldFileError(f"{place}.wires: it lives by a program, and has no net: leave it out")
                genome = with_mind(genome, read_mind(founder.behaviour, f"{place}.behaviour"))
            wire(genome, founder.wires, f"{place}.wires")
            genomes = genome[None]
        found.append(
            {
                "name": founder.species,
                "kind": kind,
                "genome": genomes[0],
                "genomes": genomes,
                "behaviour": founder.behaviour,
                "variation": founder.variation if founder.genomes is None else 0.0,
            }
        )
    return found


def given_genomes(genomes: list[str], kind: str, place: str) -> np.ndarray:
    """Genomes written out in hexadecimal digits, two a gene as its bits are, `int8[genome, gene]`."""
    if not genomes:
        raise WorldFileError(f"{place}.genomes: none is listed: list at least one, or leave it out")
    wanted = len(PLANT_GENES) if kind == "plant" else MONSTER_GENES
    rows = []
    for at, text in enumerate(genomes):
        try:
            row = np.frombuffer(bytes.fromhex(text), np.int8)
        except ValueError:
            line = f"{place}.genomes[{at}]: is not written in hexadecimal digits: write two a gene, as in 0aff"
            raise WorldFileError(line) from None
        if len(row) != wanted:
            raise WorldFileError(f"{place}.genomes[{at}]: {len(row)} genes are listed: a {kind} has {wanted}")
        rows.append(row)
    return np.array(rows)


def mixed_with(founders: Sequence[FounderSettings]) -> list[list[int]]:
    """The groups that are scattered as one, for each that leads such: it and those that stand among it, by index."""
    led: dict[int, list[int]] = {at: [at] for at, founder in enumerate(founders) if not founder.among}
    leaders = {founders[at].species: at for at in reversed(led)}
    for at, founder in enumerate(founders):
        if not founder.among:
            continue
        place = f"founders[{at}]"
        leader = leaders[one_of(founder.among, leaders, f"{place}.among")]
        if founder.clumps:
            raise WorldFileError(f'{place}.clumps: they stand where "{founder.among}" do: leave it out')
        kinds = template_kind(founders[leader], f"founders[{leader}]"), template_kind(founder, place)
        if kinds[0] != kinds[1]:
            raise WorldFileError(f'{place}.among: "{founder.among}" is a {kinds[0]}, this a {kinds[1]}: use another')
        led[leader].append(at)
    return list(led.values())


def own_columns(settings: EarthSettings) -> tuple[Column, ...]:
    """The columns that the world's species declare for themselves."""
    return columns_for([one["behaviour"] for one in species_of(settings)])


def behaviours_of(settings: EarthSettings) -> Behaviours:
    """How each of the world's species behaves."""
    return behaviours_for([one["behaviour"] for one in species_of(settings)])


def constants_of(settings: EarthSettings, chemistry: Chemistry) -> dict[str, np.ndarray]:
    """The integer tables that a world keeps from genesis on."""
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
    """What the law of spores needs; nothing where a world has none."""
    groups = [at for at, founder in enumerate(settings.founders) if founder.spores]
    if not groups:
        return {}
    found = species_of(settings)
    odds_q24 = [rate_from_float(settings.founders[at].spores) for at in groups]
    tables = np.array(groups, np.int64), np.array(odds_q24, np.int64), np.array([found[at]["genome"] for at in groups])
    return dict(zip(SPORES, tables, strict=True))


@kernel
def vary(genomes, rate_65536, first_trait, last_trait, seed, keys):
    """Mutate each founder's genome, as if it were born at tick 0."""
    for i in range(len(keys)):
        mutate(genomes, i, rate_65536, first_trait, last_trait, seed, 0, keys[i])


def chemistry(world: WorldFile) -> Chemistry:
    """The substances and reactions of a world."""
    return earth_chemistry(world.settings)


def species(world: WorldFile) -> list[str]:
    """The names of a world's species by their index."""
    return [founder.species for founder in world.settings.founders]


def layout(world: WorldFile) -> tuple[tuple[Field, ...], list[Schema]]:
    """Fields, and plants and monsters with columns for every substance and those that species declare."""
    names = chemistry(world).names
    own = own_columns(world.settings)
    plants = Schema("plants", PLANT_KIND, plant_columns(names), PLANTS.module, PLANTS.record)
    monsters = Schema("monsters", MONSTER_KIND, monster_columns(names), MONSTERS.module, MONSTERS.record)
    return cell_fields(names), [plants, monsters.extend(own)]


def genesis(world: WorldFile, region: Region) -> None:
    """Fill an empty torus: tables of integers, ground, water and air, then the founders."""
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
    """Set up the behaviours of the world's species."""
    region.derived["behaviours"] = behaviours_of(world.settings)


def place_founders(region: Region, settings: EarthSettings) -> None:
    """Scatter the founders over cells drawn by dice, mixed groups as one; ids are numbered through each kind."""
    dry = region["water"].ravel() <= parameters.DROWNING_COUNT
    numbers = {"plant": 0, "monster": 0}
    found = species_of(settings)
    for together in mixed_with(settings.founders):
        counts = [settings.founders[at].count for at in together]
        kind, count, torus = found[together[0]]["kind"], sum(counts), region.torus
        cells = _scatter(region, settings.founders[together[0]].clumps, count, together[0], dry)
        numbered = np.arange(numbers[kind], numbers[kind] + count)
        ids = identity(PLANT_KIND if kind == "plant" else MONSTER_KIND, 0, numbered, by_hand=True)
        for at, theirs in zip(together, _dealt(ids, counts, region.seed), strict=True):
            being = founder_columns(found[at], at, region.seed, ids[theirs])
            columns = {"id": ids[theirs], **being, **middles(torus, cells[theirs])}
            region.tables[f"{kind}s"].append(len(theirs), columns)
        numbers[kind] += count


def _dealt(ids: np.ndarray, counts: list[int], seed: int) -> list[np.ndarray]:
    """Which of some founders belong to each of the groups that are mixed.

    Of every stretch each group has its share, for two of a size one of each two; which of them, dice say.
    """
    turns = np.concatenate([np.arange(count, dtype=np.int64) for count in counts])
    shares = ((turns << 32) + (draws(ids, seed, DEAL) >> 31)) // np.repeat(counts, counts)
    groups = np.repeat(np.arange(len(counts)), counts)[np.argsort(shares, kind="stable")]
    return [np.flatnonzero(groups == group) for group in range(len(counts))]


def _scatter(region: Region, clumps: int, count: int, at: int, dry: np.ndarray) -> np.ndarray:
    """Distinct cells on dry ground as long as there are enough; clumped founders stand around few centres."""
    torus = region.torus
    cells = np.arange(torus.cells, dtype=np.int64)
    score = draws(cells, region.seed, SCATTER, at) >> 32
    if clumps:
        centres = draws(np.arange(clumps, dtype=np.int64), region.seed, SCATTER, at + 1_000_000) % torus.cells
        nearest = np.full(torus.cells, 1 << 30, np.int64)
        y, x = cells // torus.width, cells % torus.width
        for centre in centres.tolist():
            dy, dx = np.abs(y - centre // torus.width), np.abs(x - centre % torus.width)
            dy, dx = np.minimum(dy, torus.height - dy), np.minimum(dx, torus.width - dx)
            nearest = np.minimum(nearest, dy * dy + dx * dx)
        score = (nearest << 20) + (score >> 10)
    score = score + (~dry).astype(np.int64) * (1 << 60)
    order = np.argsort(score, kind="stable")
    return np.sort(order[np.arange(count) % torus.cells])


def middles(torus: Torus, cells: np.ndarray) -> dict[str, np.ndarray]:
    """The middles of cells, as columns."""
    return {
        "y_fixed": (cells // torus.width * 1024 + 512).astype(np.int32),
        "x_fixed": (cells % torus.width * 1024 + 512).astype(np.int32),
    }


def founder_columns(species: dict[str, Any], at: int, seed: int, keys: np.ndarray) -> dict[str, Any]:
    """What founders of a species (as `species_of` has it, with its index `at`) are besides who and where.

    Their dice are thrown with a key for each; its genomes are dealt out in turn, and each builds its own body.
    """
    columns = _plant_columns if species["kind"] == "plant" else _monster_columns
    genomes = species["genomes"][np.arange(len(keys)) % len(species["genomes"])]
    traits = (0, len(PLANT_GENES)) if species["kind"] == "plant" else (FIRST_TRAIT, FIRST_WEIGHT)
    call(vary, genomes, round(species["variation"] * VARIATION_ONE), *traits, seed, np.asarray(keys, np.int64))
    return {"species": at, "genome": genomes, **columns(genomes, seed, keys)}


def _plant_columns(genomes: np.ndarray, seed: int, keys: np.ndarray) -> dict[str, Any]:
    ages = draws(keys, seed, JITTER, 0) % (parameters.PLANT_OLD_TICKS // 2)
    matter = {"tissue_count": 14, "sugar_count": 30, "water_count": 24, "oxygen_count": 4, "mineral_count": 2}
    return {**matter, "stage": MODULE, "age_ticks": ages}


def _monster_columns(genomes: np.ndarray, seed: int, keys: np.ndarray) -> dict[str, Any]:
    built = np.minimum(8, 3 + (genomes[:, BIRTH_ORGANS].astype(np.int64) + 128 >> 5))
    tissue = parameters.CORE_TISSUE_COUNT + built * parameters.ORGAN_TISSUE_COUNT
    jitter = draws(keys, seed, JITTER, 1)
    matter: dict[str, Any] = {
        "tissue_count": tissue,
        "sugar_count": 70 + jitter % 60,
        "water_count": 80,
        "oxygen_count": parameters.OXYGEN_HELD_COUNT,
        "mineral_count": parameters.MINERAL_KEPT_COUNT,
    }
    state: dict[str, Any] = {
        "organs": organs_in(genomes, built),
        "organs_built": built,
        "heading": (jitter >> 8) % 65536,
        "age_ticks": (jitter >> 24) % 800,
        "fatigue": (jitter >> 34) % 500,
    }
    return {**matter, **state}


def organs_in(genomes: np.ndarray, built: np.ndarray) -> np.ndarray:
    """How many organs of each sort the first `built: int64[n]` slots of each genome ask for, `int8[n, organ]`."""
    slots = genomes[:, :ORGAN_SLOTS].astype(np.int64)
    codes = np.where(np.arange(ORGAN_SLOTS) < built[:, None], (slots + 128) % ORGAN_CODES, -1)
    return (codes[:, :, None] == np.arange(len(ORGANS))).sum(axis=1).astype(np.int8)
