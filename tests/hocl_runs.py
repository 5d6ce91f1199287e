"""Chemical programs for tests: run them with many dice, or in every order."""

from collections.abc import Iterable

from umwelt.agents.hocl.machine import Dice, Limits, Machine
from umwelt.agents.hocl.outcomes import all_outcomes
from umwelt.agents.hocl.parser import Program, parse
from umwelt.agents.hocl.terms import Atom, text


def run_program(program: Program, seed: int = 1, drops: Iterable[Atom] = ()) -> str:
    """What a program comes to, as it is printed."""
    machine = Machine(program, Dice(seed))
    machine.react()
    for atom in drops:
        machine.drop(atom)
        machine.react()
    return text(machine.solution)


def run_text(source: str, seed: int = 1) -> str:
    """What the program of this text comes to."""
    return run_program(parse(source, "here"), seed)


def outcomes_by_dice(program: Program, seeds: Iterable[int]) -> set[str]:
    """What it comes to with many dice."""
    return {run_program(program, seed) for seed in seeds}


def outcomes_in_all_orders(program: Program, drops: Iterable[Atom] = (), limits: Limits | None = None) -> set[str]:
    """What it comes to in every order of its reactions."""
    return {text(solution) for solution in all_outcomes(program, drops, limits)}
