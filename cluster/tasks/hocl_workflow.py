"""Workflows as chemistry: a program in HOCL says which tasks there are and whom each serves, and their order comes out.

    <"TASK":"far":<"SRC":<>, "DST":<"both">, "SRV":"own.look", "IN":<3>>,
     "TASK":"near":<"SRC":<>, "DST":<"both">, "SRV":"own.look", "IN":<1>>,
     "TASK":"both":<"SRC":<"far", "near">, "DST":<>, "SRV":"own.add", "IN":<>>>

The vocabulary is GinFlow's: `SRC`, whom a task waits for; `DST`, whom it serves; `SRV`, the task of `tasks.py` that it
runs; `IN`, what it is given; `PAR`, the same once all is there; `RES`, what came out: `"OK":<value>`, or `"FAILED"` and
why. No list of tasks is kept in order anywhere: rules react. Guards stay pure; where a solution has come to rest with a
`CALL` in it, the task is placed on a node, and its result is dropped in when it comes.

`"SPARE"` in the place of `"TASK"` stands by, and `"ADAPT":"one":"other"` says for whom: where the one fails, the rule
by which it would have passed its result on is taken out of it and put into the other, with all that it was given.
"""

import asyncio
import math
from importlib import resources
from pathlib import Path
from typing import Any

from umwelt.agents.hocl.machine import Dice, Limits, Machine
from umwelt.agents.hocl.parser import Program, parse
from umwelt.agents.hocl.programs import read_program
from umwelt.agents.hocl.terms import MAX_BITS, MAX_LETTERS, Atom, Solution, key, text
from umwelt.cluster.tasks.workflow import Flow
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.text import one_line

RULES = """
let setup = replace-one "SRC":<>, "IN":<?i>, "PAR":<?p> by "SRC":<>, "IN":<>, "PAR":<i, p>, "READY" in
let call = replace-one "READY", "SRV":s::string, "PAR":<?p> by "SRV":s, "PAR":<p>, "CALL":s:<p> in
let pass = replace "RES":<"OK":<?r>>, "DST":<to::string, ?d> by "RES":<"OK":<r>>, "DST":<d>, "SEND":to:<r> in
let dress = replace "TASK":t::string:<?w> by t:<setup, call, pass, "PAR":<>, "RES":<>, w> in
let spare = replace "SPARE":t::string:<?w> by t:<setup, call, "PAR":<>, "RES":<>, w> in
let place = replace t::string:<"CALL":s::string:<?p>, ?w> by t:<w>, "PLACED":t:s:<p> in
let answer = replace "DONE":t::string:<?r>, "PLACED":t::string:s::string:<?p>, t::string:<"RES":<>, ?w>
    by t:<"RES":<r>, w> in
let carry = replace t::string:<"SEND":to::string:<?r>, ?w>, to::string:<"SRC":<t::string, ?s>, "IN":<?i>, ?v>
    by t:<w>, to:<"SRC":<s>, "IN":<t:<r>, i>, v> in
let adapt = replace "ADAPT":t::string:other::string,
        t::string:<"RES":<"FAILED":why::string>, "DST":<?d>, "PAR":<?p>, pass=hand, ?w>,
        other::string:<"SRC":<?s>, "DST":<?e>, "IN":<?i>, ?v>
    by t:<"RES":<"FAILED":why>, "DST":<>, "PAR":<p>, w>,
        other:<"SRC":<>, "DST":<d>, "IN":<p, i>, hand, v>, "INSTEAD":t:other in
let instead = replace "INSTEAD":t::string:other::string, to::string:<"SRC":<t::string, ?s>, ?v>
    by "INSTEAD":t:other, to:<"SRC":<other, s>, v> in
<dress, spare, place, answer, carry, adapt, instead>
"""
LIMITS = Limits(reactions=100_000, tries=2_000_000)
"""Where a workflow is stopped that reacts without end, all its reactions counted."""


def bundled_workflows() -> dict[str, Path]:
    """The chemical workflows that come with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds"))) / "workflows"
    return {path.stem: path for path in sorted(folder.glob("*.hocl"))}


def read_workflow(name_or_path: str) -> Program:
    """Read and check a chemical workflow: a bundled name, or the path of a .hocl file."""
    return read_program(str(bundled_workflows().get(name_or_path, name_or_path)))


async def reacted(flow: Flow, program: Program, seed: int = 1) -> dict[str, Any]:
    """Let a workflow react, and its tasks run, until all is at rest; gives the result of each task by its name.

    Raises `RunError` where a task fails that nothing stands in for, or one waits for what never comes, and
    `ProgramError` for reactions without end.
    """
    machine = Machine(program, Dice(seed), LIMITS)
    for rule in parse(RULES, "the rules of workflows").start.atoms:
        machine.drop(rule)
    under_way: dict[asyncio.Task[Atom], str] = {}
    begun: set[str] = set()
    try:
        while True:
            machine.react()
            for _, name, service, given in found_in(machine.solution, "PLACED", 4):
                if name not in begun:
                    begun.add(name)
                    values = [_value(atom[1] if type(atom) is tuple else atom) for atom in sorted(given.atoms, key=key)]
                    under_way[asyncio.ensure_future(_called(flow, service, values))] = name
            if not under_way:
                return _results(machine.solution, program.source)
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                machine.drop(("DONE", under_way.pop(one), Solution([one.result()])))
    finally:
        for one in under_way:
            one.cancel()


async def _called(flow: Flow, service: str, values: list[Any]) -> Atom:
    """What is dropped in for a task."""
    try:
        return "OK", Solution([_atom(await flow.run(service, *values), service)])
    except RunError as error:
        if flow.exhausted:
            raise
        return "FAILED", str(error)[:MAX_LETTERS]


def found_in(solution: Solution, word: str, size: int) -> list[tuple[Any, ...]]:
    """The tuples of a size that begin with a word."""
    return [atom for atom in solution.atoms if type(atom) is tuple and len(atom) == size and atom[0] == word]


def _results(solution: Solution, source: str) -> dict[str, Any]:
    """What the tasks of a solution at rest came to."""
    found: dict[str, Any] = {}
    left = {name for _, name, _, _ in found_in(solution, "PLACED", 4)}
    failed: dict[str, Any] = {}
    adapted = {name for _, name, _ in found_in(solution, "INSTEAD", 3)}
    spare = {other for _, _, other in found_in(solution, "ADAPT", 3)}
    for atom in solution.atoms:
        if type(atom) is not tuple or len(atom) != 2 or type(atom[0]) is not str or type(atom[1]) is not Solution:
            continue
        name, inside = atom
        for _, outcome in [one for one in found_in(inside, "RES", 2) if type(one[1]) is Solution]:
            for kind, what in found_in(outcome, "OK", 2) + found_in(outcome, "FAILED", 2):
                (found if kind == "OK" else failed)[name] = what
            if not outcome.atoms and name not in spare:
                left.add(name)
    for name, why in failed.items():
        if name not in adapted:
            raise RunError(one_line(f'{source}: task "{name}" failed: {why}: mend it, or give it an "ADAPT"'))
    if left:
        line = f'{source}: task "{min(left)}" never comes to its turn: see that its "SRC" and the "DST" of others fit'
        raise RunError(one_line(f"{line}, and that its name is its own"))
    if not found:
        raise RunError(f'{source}: holds no tasks: write "TASK":"name":<"SRC":<>, "DST":<>, "SRV":"spin", "IN":<1>>')
    return {name: _value(found[name]) for name in sorted(found)}


# --- atoms and values


def _atom(value: Any, service: str) -> Atom:
    """A value as an atom: lists are solutions of index:value, dicts of name:value."""
    if isinstance(value, list):
        return Solution([(at, _atom(one, service)) for at, one in enumerate(value)], inert=True)
    if isinstance(value, dict):
        return Solution([(str(name), _atom(one, service)) for name, one in value.items()], inert=True)
    if value is None:
        return Solution((), inert=True)
    small = (
        isinstance(value, bool)
        or (isinstance(value, int) and value.bit_length() <= MAX_BITS)
        or (isinstance(value, float) and math.isfinite(value))
        or (isinstance(value, str) and len(value) <= MAX_LETTERS)
    )
    if not small:
        raise RunError(f'task "{service}": gives what is no atom: let it give numbers, texts, lists or dicts')
    return value


def _value(atom: Atom) -> Any:
    """An atom as a value."""
    if type(atom) is tuple:
        return [_value(one) for one in atom]
    if type(atom) is not Solution:
        if not isinstance(atom, bool | int | float | str):
            raise RunError(one_line(f"{text(atom)[:80]}: a rule cannot be given to a task: give values"))
        return atom
    pairs = [one for one in sorted(atom.atoms, key=key) if type(one) is tuple and len(one) == 2]
    if len(pairs) == len(atom.atoms) and pairs:
        if [name for name, _ in pairs] == list(range(len(pairs))):
            return [_value(one) for _, one in pairs]
        if all(type(name) is str for name, _ in pairs):
            return {name: _value(one) for name, one in pairs}
    values = [_value(one) for one in sorted(atom.atoms, key=key)]
    return values[0] if len(values) == 1 else values or None
