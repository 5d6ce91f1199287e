"""The layout of genomes: version 1 is fixed, and a ninth organ and a new stimulus only append genes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import small_world

from umwelt.agents.body import genome as genes
from umwelt.agents.body.interface import DRIVES, FIRST_ORGANS, FIRST_STIMULI, MEMORY, ORGANS, STIMULI
from umwelt.agents.earth.founders import given_genome, lengthened
from umwelt.agents.open_world import generate_world
from umwelt.sandbox import snapshot
from umwelt.sandbox.errors import WorldFileError

SCRIPT = Path(__file__).parent.parent / "ninth_organ.py"


def test_the_genes_of_version_1_are_where_they_were():
    assert FIRST_ORGANS == ("jaw", "gut", "leg", "eye", "armour", "spike", "store", "gland")
    assert ORGANS[: len(FIRST_ORGANS)] == FIRST_ORGANS and STIMULI[: len(FIRST_STIMULI)] == FIRST_STIMULI
    assert (genes.FIRST_TRAIT, genes.FIRST_WEIGHT, genes.FIRST_RECURRENT) == (12, 24, 352)
    assert (genes.FIRST_OUTPUT, genes.FIRST_ADDED) == (416, 504)
    for name, gene in (
        ("light_left", 24),
        ("water_ahead", 104),
        ("other_bearing", 248),
        ("one", 344),
        ("memory_3", 376),
    ):
        assert genes.INPUT_GENES[genes.INPUT_NAMES.index(name)] == gene, name
    assert genes.DRIVE_GENES[DRIVES.index("breed")] == 416 + 6 * MEMORY


def test_every_gene_of_a_slot_asks_for_the_organ_that_it_always_asked_for():
    genomes = np.zeros((256, genes.MONSTER_GENES), np.int8)
    genomes[:, 5] = np.arange(-128, 128)
    asked = [FIRST_ORGANS[code] if (code := value % 9) < 8 else "none" for value in range(256)]
    for row, name in enumerate(asked):
        organ = genes.organ_in_slot(genomes, row, 5)
        assert (ORGANS[organ] if organ != genes.NO_ORGAN else "none") == name
        assert genes.organs_in_slots(genomes)[row, 5] == organ


@pytest.mark.parametrize("name", [*ORGANS, "none"])
def test_a_slot_is_set_to_any_organ(name):
    genome = np.zeros(genes.MONSTER_GENES, np.int8)
    genes.set_organ(genome, 3, name)
    organ = int(genes.organs_in_slots(genome[None])[0, 3])
    assert (ORGANS[organ] if organ != genes.NO_ORGAN else "none") == name


def test_older_genomes_are_lengthened_and_unknown_lengths_refused():
    assert lengthened(np.ones(genes.FIRST_ADDED, np.int8), "monster").shape == (genes.MONSTER_GENES,)
    assert given_genome([1] * genes.FIRST_ADDED, "monster", "x")[: genes.FIRST_ADDED].sum() == genes.FIRST_ADDED
    with pytest.raises(WorldFileError, match=r"x.genome: 503 genes are listed: a monster has"):
        given_genome([1] * 503, "monster", "x")


def test_snapshots_and_recordings_open_after_organs_and_stimuli_were_added(tmp_path):
    world = small_world(width=32, height=32)
    snapshot.save(tmp_path / "before", generate_world(world), world.text, world.name)
    (tmp_path / "small.toml").write_text(world.text, "utf-8")
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "before"), str(tmp_path / "small.toml")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert ran.stdout.strip() == "opened", ran.stderr
