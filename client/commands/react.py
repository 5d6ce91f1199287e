"""The command `umwelt react`: runs a chemical program (HOCL) until it is inert, and prints the resulting solution.

A program is a *solution*: a multiset of atoms (numbers, texts and other values) and rules. In a reaction, a rule takes
atoms out of the solution and puts others in. The solution is inert when no rule applies.
"""

import json as writer
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from umwelt.agents.hocl.machine import Dice, Limits, Machine, Reaction
from umwelt.agents.hocl.outcomes import all_outcomes
from umwelt.agents.hocl.parser import Program
from umwelt.agents.hocl.programs import read_program
from umwelt.agents.hocl.terms import Atom, Rest, text
from umwelt.sandbox.errors import ProgramError
from umwelt.sandbox.text import one_line

MAX_CHARACTERS_SHOWN = 40
"""Maximum length of a quoted argument in an error message."""
TRIES_PER_REACTION = 20
"""The limit of tried combinations of atoms is at least this many times the limit of reactions."""


@dataclass(frozen=True)
class ReactOptions:
    """The options of `umwelt react`; `seed` determines the choice among possible reactions."""

    program: str
    """Path of a .hocl file, or the name of a bundled program."""
    drops: Sequence[str]
    """Atoms, as text, that are added one after another, each when the program is inert."""
    seed: int
    trace: bool
    """Whether each reaction is printed."""
    every: bool
    """Whether all possible outcomes are printed instead of one."""
    max_reactions: int


def run_program(options: ReactOptions, json: bool) -> None:
    """Runs a program and prints its outcome, or with `options.every` all possible outcomes.

    Raises ProgramError if the program is invalid or exceeds its limits.
    """
    if options.trace and options.every:
        raise ProgramError("--trace --all: all outcomes have no single order of reactions: leave one of them out")
    program = read_program(options.program)
    drops = [program.atom(given, one_line(f"--drop {_shorten(given)}")) for given in options.drops]
    limits = Limits(options.max_reactions, max(Limits.tries, TRIES_PER_REACTION * options.max_reactions))
    if options.every:
        result = _run_all(program, drops, limits, json)
    else:
        result = _run_once(program, drops, options, limits, json)
    if json:
        print(writer.dumps({"program": program.source, **result}))


def _run_all(program: Program, drops: list[Atom], limits: Limits, json: bool) -> dict[str, Any]:
    """Prints all possible outcomes (unless `json`), and returns them as an object for JSON."""
    outcomes = [text(solution) for solution in all_outcomes(program, drops, limits)]
    if not outcomes:
        raise ProgramError(f"{program.source}: never becomes inert: give a rule a condition")
    if not json:
        print(*outcomes, sep="\n")
    return {"outcomes": outcomes}


def _run_once(program: Program, drops: list[Atom], options: ReactOptions, limits: Limits, json: bool) -> dict[str, Any]:
    """Runs the program once, prints the outcome (unless `json`), and returns it as an object for JSON."""
    machine = Machine(program, Dice(options.seed), limits, _print_reaction if options.trace else None)
    machine.react()
    for atom in drops:
        if options.trace:
            print(f"{text(machine.solution)}: {text(atom)} drops in")
        machine.drop(atom)
        machine.react()
    solution = text(machine.solution)
    if not json:
        print(solution)
    return {"solution": solution, "reactions": machine.reactions, "seed": options.seed}


def _print_reaction(reaction: Reaction) -> None:
    """Prints the rule of a reaction, the atoms taken and the atoms made; indented in a solution inside another."""
    name = reaction.rule.name or "a rule"
    print(f"{'  ' * reaction.depth}{name}: {text(Rest(reaction.taken))} -> {text(Rest(reaction.made))}")


def _shorten(given: str) -> str:
    """Returns `given`, cut to `MAX_CHARACTERS_SHOWN` characters for error messages."""
    return given if len(given) <= MAX_CHARACTERS_SHOWN else f"{given[: MAX_CHARACTERS_SHOWN - 3]}..."
