"""Behaviours that are HOCL programs: stimuli are added to the solution as atoms, and drives are read from its result.

A species uses a program if its founders have `behaviour = "snail.hocl"`: the path of a file, or a bundled program. In
each tick and for each being, the program starts from its initial solution, to which a tuple `"hunger":n` is added for
each stimulus that the text of the program names. The program runs until it is inert: no rule can react any more. Then
each tuple `"thrust":n` in the solution is a drive; the numbers of several tuples with the same name are summed. Numbers
are in units of 1/128. A program keeps no state from tick to tick. If it fails or is not inert within `LIMITS`, all
drives of the being are 0 in that tick.

The integers in the program's rules are genes: founders have the integers of the program text, stored in place of the
first weights of a net, and they mutate as weights do.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from umwelt.agents.body.genome import FIRST_ADDED, FIRST_WEIGHT
from umwelt.agents.body.interface import DRIVES, STIMULI
from umwelt.agents.hocl.machine import Dice, Limits, Machine
from umwelt.agents.hocl.parser import Program
from umwelt.agents.hocl.programs import bundled_behaviours, read_program
from umwelt.agents.hocl.syntax import Literal, Part
from umwelt.agents.hocl.terms import Atom
from umwelt.sandbox.errors import ProgramError, WorldFileError
from umwelt.sandbox.region import Region
from umwelt.sandbox.units import ONE

SUFFIX = ".hocl"
LIMITS = Limits(reactions=64, tries=4096)
"""The limits for the program of one being in one tick."""
SCALE_BITS = 3
"""Right shift that converts units of 1/1024 (stimuli, drives) to units of 1/128 (numbers in a program)."""
MIN_GENE, MAX_GENE = -128, 127
MAX_GENES = FIRST_ADDED - FIRST_WEIGHT
"""The maximum number of integers in the rules of a program: the number of weights in a genome of version 1."""
MAX_CACHED_PROGRAMS = 4096
DRIVE_INDEX = {name: index for index, name in enumerate(DRIVES)}


def is_hocl_behaviour(reference: str) -> bool:
    """Returns whether the reference of a behaviour names a HOCL program."""
    return reference.endswith(SUFFIX)


@cache
def read_hocl_behaviour(reference: str, place: str) -> Program:
    """Reads the program of a behaviour; `reference` is the path of a file or the name of a bundled program.

    Raises WorldFileError, whose message begins with `place`, if the program cannot be read, or if the integers in its
    rules exceed `MAX_GENES` in number or do not fit a gene.
    """
    bundled = bundled_behaviours().get(Path(reference).stem)
    try:
        program = read_program(str(bundled) if bundled and not Path(reference).exists() else reference)
        _ = program.start  # evaluates the initial solution, which may fail too
    except ProgramError as error:
        raise WorldFileError(f"{place}: {error}") from None
    numbers = program.integers
    if len(numbers) > MAX_GENES:
        line = f"{place}: {reference}: {len(numbers)} integers in its rules: use at most {MAX_GENES}, they are genes"
        raise WorldFileError(line)
    for number in numbers:
        if not MIN_GENE <= number <= MAX_GENE:
            line = f"{place}: {reference}: {number} in its rules: use {MIN_GENE} to {MAX_GENE}, it is a gene"
            raise WorldFileError(line)
    return program


def with_program_genes(genome: np.ndarray, program: Program) -> np.ndarray:
    """Returns a copy of `genome` (`int8[genes]`) with the integers of `program` in place of the weights of the net."""
    result = genome.copy()
    result[FIRST_WEIGHT:FIRST_ADDED] = 0
    result[FIRST_WEIGHT : FIRST_WEIGHT + len(program.integers)] = program.integers
    return result


class HoclBehaviour:
    """The behaviour of a species that uses a HOCL program; `name` is the program's reference, for error messages."""

    columns: tuple[str, ...] = ()
    is_vectorised = False

    def __init__(self, program: Program, name: str):
        self.program, self.name = program, name
        texts = set(_texts(program.molecule))
        self.used_stimuli = [(index, stimulus) for index, stimulus in enumerate(STIMULI) if stimulus in texts]
        self._gene_count = len(program.integers)
        self._cache: OrderedDict[bytes, Program] = OrderedDict()

    def respond(self, region: Region, rows: np.ndarray) -> None:
        """Writes `drives` of the region's monsters at `rows` (`int64[n]`)."""
        table = region.tables["monsters"]
        genes = table["genome"][rows, FIRST_WEIGHT : FIRST_WEIGHT + self._gene_count]
        stimuli = (table["stimuli"][rows].astype(np.int64) >> SCALE_BITS).tolist()
        drives = np.zeros((len(rows), len(DRIVES)), np.int64)
        for being, identity in enumerate(table["id"][rows].tolist()):
            program = self._with_genes(genes[being])
            self._run(program, stimuli[being], Dice(region.seed, region.tick, identity), drives[being])
        table["drives"][rows] = np.clip(drives << SCALE_BITS, -ONE, ONE)

    def _run(self, program: Program, stimuli: list[int], dice: Dice, drives: np.ndarray) -> None:
        """Runs the program of one being and adds the resulting drives to `drives` (`int64[drives]`), in 1/128.

        If the program fails or exceeds the limits, `drives` remains unchanged.
        """
        machine = Machine(program, dice, LIMITS)
        for index, name in self.used_stimuli:
            machine.drop((name, stimuli[index]))
        try:
            machine.react()
        except ProgramError:  # not inert within the limits, or a number too large
            return
        for drive, value in drives_in(machine.atoms):
            drives[drive] += value

    def _with_genes(self, genes: np.ndarray) -> Program:
        """Returns the program with the integers `genes` (`int8[integers]`) of one being.

        Related beings often have equal genes, therefore programs are cached.
        """
        key = genes.tobytes()
        if key not in self._cache:
            if len(self._cache) >= MAX_CACHED_PROGRAMS:
                self._cache.popitem(last=False)
            self._cache[key] = self.program.with_integers(tuple(genes.tolist()))
        self._cache.move_to_end(key)
        return self._cache[key]


def drives_in(atoms: Iterable[Atom]) -> Iterator[tuple[int, int]]:
    """Yields, for each tuple `"name of a drive":n` among `atoms`, the index of the drive and the number.

    The number is in units of 1/128, clamped to -1024 .. 1024.
    """
    for atom in atoms:
        if type(atom) is tuple and len(atom) == 2 and type(atom[0]) is str and type(atom[1]) is int:
            drive = DRIVE_INDEX.get(atom[0])
            if drive is not None:
                yield drive, min(max(atom[1], -ONE), ONE)


def _texts(part: Part) -> Iterator[str]:
    """Yields every string literal in `part`."""
    if isinstance(part, Literal) and isinstance(part.value, str):
        yield part.value
    for inner in part.inner():
        yield from _texts(inner)
