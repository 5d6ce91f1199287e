"""Runs chemical programs (HOCL) for tests: with many seeds, or in every order of their reactions."""

from collections.abc import Iterable

from umwelt.agents.hocl.machine import Dice, Limits, Machine
from umwelt.agents.hocl.outcomes import all_outcomes
from umwelt.agents.hocl.parser import Program, parse
from umwelt.agents.hocl.terms import Atom, text


def run_program(program: Program, seed: int = 1, drops: Iterable[Atom] = ()) -> str:
    """Returns the text of the inert solution of a program.

    `drops` are added one by one, each when the solution is inert.
    """
    machine = Machine(program, Dice(seed))
    machine.react()
    for atom in drops:
        machine.drop(atom)
        machine.react()
    return text(machine.solution)


def run_text(source: str, seed: int = 1) -> str:
    """Returns the text of the inert solution of a program, which is given as text."""
    return run_program(parse(source, "here"), seed)


def outcomes_by_seed(program: Program, seeds: Iterable[int]) -> set[str]:
    """Returns the set of outcomes (inert solutions as text) of a program with these seeds."""
    return {run_program(program, seed) for seed in seeds}


def outcomes_in_all_orders(program: Program, drops: Iterable[Atom] = (), limits: Limits | None = None) -> set[str]:
    """Returns the set of outcomes (inert solutions as text) of a program in every order of its reactions."""
    return {text(solution) for solution in all_outcomes(program, drops, limits)}
