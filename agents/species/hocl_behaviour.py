"""Minds that are chemical programs: what is sensed is dropped in, and what is left when nothing reacts is done.

A species lives by one where its founders say `behaviour = "snail.hocl"`: a file of one's own, or a bundled one. Of the
stimuli those are dropped in that the program names, as tuples `"hunger":n`; tuples `"thrust":n` that are left are its
drives, several of one name added up. The numbers go from -128 to 127, 128 being 1.0. A mind starts afresh each tick and
remembers nothing. One that does not come to rest within its bound does nothing in that tick.

The integers in its rules are genes: a founder's are those of the text, in place of a net's first weights, and mutate as
those do.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from umwelt.agents.body.genome import FIRST_WEIGHT, MONSTER_GENES
from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.hocl.machine import Dice, Limits, Machine
from umwelt.agents.hocl.parser import Program
from umwelt.agents.hocl.programs import bundled_minds, read_program
from umwelt.agents.hocl.syntax import Literal, Part
from umwelt.agents.hocl.terms import Atom
from umwelt.sandbox.errors import ProgramError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE

SUFFIX = ".hocl"
LIMITS = Limits(reactions=64, tries=4096)
"""Of one thought."""
SCALE_BITS = 3
"""Stimuli and drives are 1/1024, a mind's numbers 1/128."""
MAX_GENES = MONSTER_GENES - FIRST_WEIGHT
MAX_KEPT = 4096
DRIVE_AT = {name: at for at, name in enumerate(DRIVES)}


def is_mind(reference: str) -> bool:
    """Whether a behaviour's reference is that of a program."""
    return reference.endswith(SUFFIX)


@cache
def read_mind(reference: str, place: str) -> Program:
    """The program of a mind; `WorldFileError` names the founders it was written for where it cannot be one."""
    bundled = bundled_minds().get(Path(reference).stem)
    try:
        program = read_program(str(bundled) if bundled and not Path(reference).exists() else reference)
        _ = program.start
    except ProgramError as error:
        raise WorldFileError(f"{place}: {error}") from None
    numbers = program.integers
    if len(numbers) > MAX_GENES:
        line = f"{place}: {reference}: {len(numbers)} integers in its rules: at most {MAX_GENES} are genes"
        raise WorldFileError(line)
    for number in numbers:
        if not -128 <= number <= 127:
            raise WorldFileError(f"{place}: {reference}: {number} in its rules: genes go from -128 to 127")
    return program


def with_mind(genome: np.ndarray, program: Program) -> np.ndarray:
    """The genome with the integers of a program in the place of a net's weights, `int8[genes]`."""
    found = genome.copy()
    found[FIRST_WEIGHT:] = 0
    found[FIRST_WEIGHT : FIRST_WEIGHT + len(program.integers)] = program.integers
    return found


class Mind:
    """The behaviour of a species that lives by a program."""

    columns: tuple[str, ...] = ()

    def __init__(self, program: Program, name: str):
        self.program, self.name = program, name
        words = set(_words(program.molecule))
        self.sensed = [(at, stimulus) for at, stimulus in enumerate(STIMULI) if stimulus in words]
        self._genes_count = len(program.integers)
        self._kept: OrderedDict[bytes, Program] = OrderedDict()

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Set `drives` of the given rows of the region's monsters."""
        table = region.tables["monsters"]
        genes = table["genome"][rows, FIRST_WEIGHT : FIRST_WEIGHT + self._genes_count]
        stimuli = (table["stimuli"][rows].astype(np.int64) >> SCALE_BITS).tolist()
        drives = np.zeros((len(rows), len(DRIVES)), np.int64)
        for at, identity in enumerate(table["id"][rows].tolist()):
            program = self._with_genes(genes[at])
            self._think(program, stimuli[at], Dice(region.seed, region.tick, identity), drives[at])
        table["drives"][rows] = np.clip(drives << SCALE_BITS, -ONE, ONE)

    def _think(self, program: Program, stimuli: list[int], dice: Dice, drives: np.ndarray) -> None:
        machine = Machine(program, dice, LIMITS)
        for at, name in self.sensed:
            machine.drop((name, stimuli[at]))
        try:
            machine.react()
        except ProgramError:  # endless, or too large a number: a thought that comes to nothing
            return
        for drive, value in done_by(machine.atoms):
            drives[drive] += value

    def _with_genes(self, genes: np.ndarray) -> Program:
        """The program with a being's own numbers; those of kin are the same, and kept."""
        key = genes.tobytes()
        if key not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = self.program.with_integers(tuple(genes.tolist()))
        self._kept.move_to_end(key)
        return self._kept[key]


def done_by(atoms: Iterable[Atom]) -> Iterator[tuple[int, int]]:
    """The drives that atoms stand for, by their index, each between -ONE and ONE."""
    for atom in atoms:
        if type(atom) is tuple and len(atom) == 2 and type(atom[0]) is str and type(atom[1]) is int:
            drive = DRIVE_AT.get(atom[0])
            if drive is not None:
                yield drive, min(max(atom[1], -ONE), ONE)


def _words(part: Part) -> Iterator[str]:
    """All text that stands in a program."""
    if isinstance(part, Literal) and isinstance(part.value, str):
        yield part.value
    for inner in part.inner():
        yield from _words(inner)
