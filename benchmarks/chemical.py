"""Chemical programs (HOCL): a sieve of primes up to 1,000, and a program of three rules that is started many times.

A program is a multiset of atoms (here integers), and of rules that replace atoms by others until none applies; then the
program is inert.
"""

from dataclasses import dataclass

from benchmarks.measure import Effort, Section, median, spread, timed
from umwelt.agents.hocl.machine import Dice, Machine
from umwelt.agents.hocl.parser import parse

SIEVE = f"""let sieve = replace x::int, y::int by x if y % x == 0 in
<sieve, {", ".join(str(number) for number in range(2, 1001))}>"""
SMALL = """let wary = replace-one near::int, 0 by 1:near if near > 3 in
let add = replace x::int, y::int by x + y in
let scale = replace-one 1:x::int by x * 5 / 4 in
<wary, add, scale>"""


@dataclass(frozen=True)
class Job:
    """A program, the atoms that are added to it, and how many times one measurement starts it."""

    name: str
    source: str
    drops: tuple[int, ...]
    starts: int
    max_ms: float | None

    def run(self, seed: int) -> Machine:
        """Runs the program `starts` times until it is inert, each time with other pseudorandom numbers.

        Returns the machine that ran it last, with the atoms that are left.
        """
        program = parse(self.source, self.name)
        for start in range(self.starts):
            machine = Machine(program, Dice(seed, 0, start))
            for atom in self.drops:
                machine.drop(atom)
            machine.react()
        return machine


JOBS = (
    Job("primes up to 1,000", SIEVE, (), 1, 2000),
    Job("three rules, four integers dropped in", SMALL, (7, 0, 2, 5), 1000, None),
)


def chemical(effort: Effort) -> Section:
    """Measures the milliseconds from the start of a program until it is inert; a program is parsed once per repeat."""
    section = Section("Chemical programs")
    for job in JOBS:
        job.run(0)
        laps = [timed(lambda job=job, seed=seed: job.run(seed)) for seed in range(effort.repeats)]
        run_ms = [spent.wall_s * 1000 / job.starts for spent, _ in laps]
        last = laps[-1][1]
        note = f"{last.reactions} reactions, {last.tries} combinations tried, {len(last.solution.atoms)} atoms left"
        note += f"; repeats within {spread(run_ms):.2f}"
        section.add(f"{job.name}, a run", median(run_ms), "ms", at_most=job.max_ms, note=note)
        section.raw[job.name] = run_ms
    return section
