"""Prepares duels in Earth's worlds: samples genomes of a species, and makes the founders of all sides.

A duel compares groups of founders (sides), such as descendants and founders of a species, in one fresh world.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from umwelt.agents.body.interface import MODULE
from umwelt.agents.earth.genesis import founders, template_kind
from umwelt.agents.earth.settings import FounderSettings
from umwelt.agents.species.references import NET
from umwelt.agents.world_file import WorldFile, convert, one_of
from umwelt.sandbox.region import Region

KEPT = ("behaviour", "clumps", "among")
"""Keys of the replaced group of founders in a world file whose values the new groups take over."""


def sample_genomes(world: WorldFile, region: Region, species: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids and genomes of the living beings of a species: `int64[n]` and `int8[n, gene]`.

    Monsters are ordered by id. Of plants, whose modules share a genome, only modules are sampled, and each distinct
    genome is returned once, with the smallest id of its modules.
    """
    groups = founders(world)
    one_of(species, dict.fromkeys(group.species for group in groups), f"{world.source}: species")
    indices = [index for index, group in enumerate(groups) if group.species == species]
    name = groups[indices[0]].table
    table = region.tables[name]
    chosen = region.owned_rows(name) & np.isin(table["species"], indices)
    if "stage" in table:
        chosen &= table["stage"] == MODULE
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(table["id"][rows])]
    if "stage" in table:
        rows = rows[np.unique(table["genome"][rows], axis=0, return_index=True)[1]]
    return table["id"][rows], table["genome"][rows]


def replace_founders(
    content: MutableMapping[str, Any], species: str, sides: Mapping[str, Sequence[bytes]], each: int
) -> None:
    """Replaces the founders of a species in the `content` of a world file by `each` founders for every side of a duel.

    `sides` maps the name of a side, which becomes its species, to its genomes, which are assigned to its founders in
    turn. The sides are placed as one mixed group, so that their places, ids, ages and matter have the same
    distribution. All other groups keep their index.
    """
    groups = content["founders"]
    first, *others = [index for index, group in enumerate(groups) if group["species"] == species]
    kind = template_kind(convert(groups[first], FounderSettings), f"founders[{first}]")
    kept = {key: value for key, value in groups[first].items() if key in KEPT}
    for index in others:
        groups[index]["count"] = 0
    leader, *followers = [
        {"species": name, "kind": kind, "count": each, "genomes": [genome.hex() for genome in genomes]}
        for name, genomes in sides.items()
    ]
    for group in groups:
        if group.get("among") == species:
            group["among"] = leader["species"]
    groups[first] = kept | leader
    mixed = {"behaviour": kept.get("behaviour", NET), "among": kept.get("among", leader["species"])}
    groups.extend(mixed | follower for follower in followers)
