"""What a duel (two groups of a species in one fresh world) needs to know of Earth's founders and world files."""

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
"""What the sides of a duel take over from the group of founders whose place they take."""


def sample_genomes(world: WorldFile, region: Region, species: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids and genomes of the living of a species, in order of the ids: `int64[n]` and `int8[n, gene]`.

    Of monsters every being's; of plants each different genome once, among those of modules, since a plant has many.
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
    """Replace the founders of a species in the content of a world file by `each` founders for every side.

    `sides` gives the genomes of a side by its name; they are dealt out in turn over its founders. The sides are mixed,
    so that their places, ids, ages and matter are drawn alike. All other groups keep their index.
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
