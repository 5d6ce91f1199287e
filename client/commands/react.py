"""`umwelt react`: a chemical program runs until it is inert, and what is left is printed."""

import json as writer
from collections.abc import Sequence
from dataclasses import dataclass

from umwelt.agents.hocl.machine import Dice, Limits, Machine, Reaction
from umwelt.agents.hocl.outcomes import all_outcomes
from umwelt.agents.hocl.parser import Program
from umwelt.agents.hocl.programs import read_program
from umwelt.agents.hocl.terms import Atom, Rest, text
from umwelt.agents.world_file import one_line
from umwelt.sandbox.errors import ProgramError

LONGEST_SHOWN = 40
TRIES_PER_REACTION = 20
"""Who allows more reactions also allows more combinations to be tried."""


@dataclass(frozen=True)
class Wish:
    """What is asked of `umwelt react`."""

    program: str
    drops: Sequence[str]
    seed: int
    trace: bool
    every: bool
    max_reactions: int


def reacted(wish: Wish, json: bool) -> None:
    """Run a program and print what it comes to, or all that it may come to."""
    if wish.trace and wish.every:
        raise ProgramError("--trace --all: all outcomes have no single way to show: leave one of them out")
    program = read_program(wish.program)
    drops = [program.atom(given, one_line(f"--drop {_short(given)}")) for given in wish.drops]
    limits = Limits(wish.max_reactions, max(Limits.tries, TRIES_PER_REACTION * wish.max_reactions))
    told = _all(program, drops, limits, json) if wish.every else _one(program, drops, wish, limits, json)
    if json:
        print(writer.dumps({"program": program.source, **told}))


def _all(program: Program, drops: list[Atom], limits: Limits, json: bool) -> dict:
    outcomes = [text(solution) for solution in all_outcomes(program, drops, limits)]
    if not outcomes:
        raise ProgramError(f"{program.source}: never comes to rest: give a rule a condition")
    if not json:
        print(*outcomes, sep="\n")
    return {"outcomes": outcomes}


def _one(program: Program, drops: list[Atom], wish: Wish, limits: Limits, json: bool) -> dict:
    machine = Machine(program, Dice(wish.seed), limits, _show if wish.trace else None)
    machine.react()
    for atom in drops:
        if wish.trace:
            print(f"{text(machine.solution)}: {text(atom)} drops in")
        machine.drop(atom)
        machine.react()
    solution = text(machine.solution)
    if not json:
        print(solution)
    return {"solution": solution, "reactions": machine.reactions, "seed": wish.seed}


def _show(reacted: Reaction) -> None:
    name = reacted.rule.name or "a rule"
    print(f"{'  ' * reacted.depth}{name}: {text(Rest(reacted.taken))} -> {text(Rest(reacted.made))}")


def _short(given: str) -> str:
    return given if len(given) <= LONGEST_SHOWN else f"{given[: LONGEST_SHOWN - 3]}..."
