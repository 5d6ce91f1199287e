"""Adds two organs and a stimulus, then opens a snapshot and a recording that were written without them.

`test_genome.py` runs it in a process of its own, with compilation disabled: the cached kernels were compiled for the
organs of the unchanged module. Arguments: the path of a snapshot, and of its world file.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np

INTERFACE = "umwelt.agents.body.interface"
NOTHING_ADDED = "ADDED: tuple[tuple[str, str], ...] = ()"
ADDED = 'ADDED = (("organ", "fin"), ("stimulus", "hum"), ("organ", "horn"))'


def add_organs() -> None:
    """Replaces the module `interface` by one with the added organs and stimulus, before another module imports it."""
    import umwelt.agents.body

    source = Path(umwelt.agents.body.__path__[0], "interface.py").read_text("utf-8")
    assert NOTHING_ADDED in source and INTERFACE not in sys.modules
    module = sys.modules[INTERFACE] = ModuleType(INTERFACE)
    exec(source.replace(NOTHING_ADDED, ADDED), module.__dict__)


def check_genes() -> None:
    """Asserts that the genes of version 1 keep their indices, and that the added ones follow in their order."""
    from umwelt.agents.body import genome as genes

    assert genes.MONSTER_LENGTHS == (504, 516, 524, 536) and genes.MONSTER_GENES == 536
    assert genes.INPUT_GENES[genes.INPUT_NAMES.index("hum")] == 516
    assert genes.INPUT_GENES[genes.INPUT_NAMES.index("memory_3")] == 376
    genomes = np.zeros((1, 536), np.int8)
    before = genes.organs_in_slots(genomes)[0, 2]
    genes.set_organ(genomes[0], 2, "horn")
    assert before != genes.organs_in_slots(genomes)[0, 2] == genes.organ_in_slot(genomes, 0, 2) == 9


def check_snapshot(path: Path, text: str) -> None:
    """Asserts that a snapshot opens, that its monsters have none of the added organs, and that its world can run on."""
    from umwelt.agents.earth.earth import laws
    from umwelt.agents.open_world import open_region
    from umwelt.agents.world_file import parse_world
    from umwelt.sandbox import snapshot
    from umwelt.sandbox.step import advance

    world = parse_world(text, "small.toml", "small")
    kept = snapshot.load(path, world.laws.layout(world))
    region = open_region(world, kept.pieces, kept.constants, kept.manifest.tick)
    monsters = region.tables["monsters"]
    assert monsters["organs"].shape[1] == 10 and monsters["organs"][:, :8].any() and not monsters["organs"][:, 8:].any()
    assert monsters["genome"].shape[1] == 536 and not monsters["genome"][:, 504:].any()
    stored = {int(row["id"]): row["genome"].tobytes() for row in _rows(kept.pieces[0].tables["monsters"])}
    advance(region, laws, 2)
    lives_on = [row for row in _rows(region.tables["monsters"]) if int(row["id"]) in stored]
    assert lives_on and all(row["genome"].tobytes() == stored[int(row["id"])] for row in lives_on)


def _rows(table) -> list[dict]:
    return [{"id": table["id"][row], "genome": table["genome"][row]} for row in range(len(table["id"]))]


def check_recording() -> None:
    """Asserts that the bundled recording opens, and that its organs and stimuli are found by name."""
    from umwelt.client.window.recording.demo import Demo

    monsters = Demo().core.recorded.region.tables["monsters"]
    assert monsters["organs"].shape[1] == 10 and monsters["jaw_organs"].any() and not monsters["organs"][:, 8:].any()
    assert monsters["stimuli"].shape[1] == 42
    assert (monsters["one"] > 0).mean() > 0.9 and not monsters["hum"].any()
    assert monsters["genome"].shape[1] == 536 and monsters["genome"][:, :504].any()


if __name__ == "__main__":
    add_organs()
    check_genes()
    check_snapshot(Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8"))
    check_recording()
    print("opened")
