"""Workflows as HOCL programs.

HOCL (Higher-Order Chemical Language) programs consist of data and rules, the *atoms*, in a multiset, the *solution*; an
atom can be a solution itself. Rules *react*: they replace elements of the solution by others, until no rule applies;
the solution is then *inert*. Here a program states tasks and their dependencies, and reactions determine the order of
execution.

    <"TASK":"far":<"SRC":<>, "DST":<"both">, "SRV":"own.look", "IN":<3>>,
     "TASK":"near":<"SRC":<>, "DST":<"both">, "SRV":"own.look", "IN":<1>>,
     "TASK":"both":<"SRC":<"far", "near">, "DST":<>, "SRV":"own.add", "IN":<>>>

The vocabulary is GinFlow's (Rojas Balderrama, Simonin and Tedeschi, "GinFlow: a decentralised adaptive workflow
execution manager", IPDPS 2016): `SRC` lists the tasks whose results a task needs; `DST` lists the tasks that need its
result; `SRV` is the name of the function that it runs (registry.py); `IN` holds its arguments; `PAR` holds the same
once all of them are present; `RES` holds its result: `"OK":<value>`, or `"FAILED"` and the error message. No rule calls
a function: when the solution is inert, `run_program` sends the tasks whose call the rules have requested to nodes, and
adds each result to the solution when it arrives.

`"SPARE"` in place of `"TASK"` marks a replacement, and `"ADAPT":"one":"other"` names the task that it replaces: if task
`one` fails, the rule that passes its result on is moved to `other`, together with its arguments.
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
from umwelt.sandbox.errors import RunError, UmweltError
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
"""The rules that are added to every program.

    setup       when no `SRC` is left, a task is ready and its arguments are complete
    call        a ready task requests the call of its function
    pass        a task that has a result sends it to every task in its `DST`
    dress       gives each `TASK` the three rules above
    spare       gives each `SPARE` the rules `setup` and `call`, but not `pass`
    place       takes a call out of its task, as `PLACED`: `run_program` then executes it
    answer      puts the outcome of a call, which `run_program` adds as `DONE`, into its task
    carry       delivers a sent result to the receiving task, and removes its sender from the receiver's `SRC`
    adapt       gives the arguments, the `DST` and the rule `pass` of a failed task to its replacement
    instead     replaces the failed task by its replacement in the `SRC` of other tasks
"""
LIMITS = Limits(reactions=100_000, tries=2_000_000)
"""Limits on the reactions of a workflow in total, which stop a program that reacts forever."""


def bundled_workflows() -> dict[str, Path]:
    """Returns the paths of the HOCL workflows that are distributed with Umwelt, by name."""
    folder = Path(str(resources.files("umwelt.worlds"))) / "workflows"
    return {path.stem: path for path in sorted(folder.glob("*.hocl"))}


def read_workflow(name_or_path: str) -> Program:
    """Reads and checks a workflow, given as a bundled name or as the path of a .hocl file."""
    return read_program(str(bundled_workflows().get(name_or_path, name_or_path)))


async def run_program(flow: Flow, program: Program, seed: int = 1) -> dict[str, Any]:
    """Runs a workflow until it is inert and no task is open. Returns the results of the tasks by name.

    Raises RunError if a task without a replacement fails, or if a task waits for an argument that never arrives. Raises
    ProgramError if the program does not become inert within `LIMITS`.
    """
    machine = Machine(program, Dice(seed), LIMITS)
    for rule in parse(RULES, "the rules of workflows").start.atoms:
        machine.drop(rule)
    open_calls: dict[asyncio.Task[Atom], str] = {}
    begun: set[str] = set()
    try:
        while True:
            machine.react()
            for _, name, service, arguments in _select(machine.solution, "PLACED", 4):
                if name not in begun:
                    begun.add(name)
                    atoms = sorted(arguments.atoms, key=key)
                    values = [_to_value(atom[1] if type(atom) is tuple else atom) for atom in atoms]
                    open_calls[asyncio.ensure_future(_call(flow, service, values))] = name
            if not open_calls:
                return _results(machine.solution, program.source)
            done, _ = await asyncio.wait(open_calls, return_when=asyncio.FIRST_COMPLETED)
            for call in done:
                machine.drop(("DONE", open_calls.pop(call), Solution([call.result()])))
    finally:
        for call in open_calls:
            call.cancel()


async def _call(flow: Flow, service: str, values: list[Any]) -> Atom:
    """Executes a task and returns its outcome as an atom: "OK" and a solution with the result, or "FAILED" and a text.

    Raises the error instead if the workflow has requested more tasks than it may.
    """
    try:
        return "OK", Solution([_to_atom(await flow.run(service, *values), service)])
    except UmweltError as error:
        if flow.is_exhausted:
            raise
        return "FAILED", str(error)[:MAX_LETTERS]


def _select(solution: Solution, word: str, size: int) -> list[tuple[Any, ...]]:
    """Returns the tuples in `solution` that have `size` elements and whose first element is `word`."""
    return [atom for atom in solution.atoms if type(atom) is tuple and len(atom) == size and atom[0] == word]


def _results(solution: Solution, source: str) -> dict[str, Any]:
    """Returns the results in an inert solution, as plain values by the names of the tasks.

    Raises RunError if a task without a replacement has failed, a task never began, or there are no tasks. `source` is
    the program's name for messages.
    """
    results: dict[str, Any] = {}
    failures: dict[str, Any] = {}
    incomplete = {name for _, name, _, _ in _select(solution, "PLACED", 4)}
    replaced = {name for _, name, _ in _select(solution, "INSTEAD", 3)}
    replacements = {other for _, _, other in _select(solution, "ADAPT", 3)}
    for atom in solution.atoms:
        if type(atom) is not tuple or len(atom) != 2 or type(atom[0]) is not str or type(atom[1]) is not Solution:
            continue
        name, inside = atom
        for _, outcome in [pair for pair in _select(inside, "RES", 2) if type(pair[1]) is Solution]:
            for _, value in _select(outcome, "OK", 2):
                results[name] = value
            for _, line in _select(outcome, "FAILED", 2):
                failures[name] = line
            if not outcome.atoms and name not in replacements:
                incomplete.add(name)
    for name, line in failures.items():
        if name not in replaced:
            raise RunError(one_line(f'{source}: task "{name}" failed: {line}: correct it, or give it an "ADAPT"'))
    if incomplete:
        name = min(incomplete)
        line = f'{source}: task "{name}" never begins: see that its "SRC" and the "DST" of other tasks match'
        raise RunError(one_line(f"{line}, and that no other task has its name"))
    if not results:
        raise RunError(f'{source}: holds no tasks: write "TASK":"name":<"SRC":<>, "DST":<>, "SRV":"spin", "IN":<1>>')
    return {name: _to_value(results[name]) for name in sorted(results)}


# --- atoms and values


def _to_atom(value: Any, service: str) -> Atom:
    """Converts a value to an atom: a list to a solution of index:value, a dict to a solution of name:value.

    Raises RunError for other types and for values that are too large. `service` names the task in the message.
    """
    if isinstance(value, list):
        return Solution([(index, _to_atom(one, service)) for index, one in enumerate(value)], inert=True)
    if isinstance(value, dict):
        return Solution([(str(name), _to_atom(one, service)) for name, one in value.items()], inert=True)
    if value is None:
        return Solution((), inert=True)
    is_atom = (
        isinstance(value, bool)
        or (isinstance(value, int) and value.bit_length() <= MAX_BITS)
        or (isinstance(value, float) and math.isfinite(value))
        or (isinstance(value, str) and len(value) <= MAX_LETTERS)
    )
    if not is_atom:
        raise RunError(f'task "{service}": its result is not an atom: return numbers, texts, lists or dicts')
    return value


def _to_value(atom: Atom) -> Any:
    """Converts an atom to a value. Raises RunError if the atom is a rule.

    A tuple becomes a list. A solution of index:value becomes a list, one of name:value a dict, one with a single atom
    the value of this atom, an empty one None, and any other one a list.
    """
    if type(atom) is tuple:
        return [_to_value(one) for one in atom]
    if type(atom) is not Solution:
        if not isinstance(atom, bool | int | float | str):
            raise RunError(one_line(f"{text(atom)[:80]}: a rule cannot be an argument of a task: give values"))
        return atom
    pairs = [one for one in sorted(atom.atoms, key=key) if type(one) is tuple and len(one) == 2]
    if len(pairs) == len(atom.atoms) and pairs:
        if [name for name, _ in pairs] == list(range(len(pairs))):
            return [_to_value(one) for _, one in pairs]
        if all(type(name) is str for name, _ in pairs):
            return {name: _to_value(one) for name, one in pairs}
    values = [_to_value(one) for one in sorted(atom.atoms, key=key)]
    return values[0] if len(values) == 1 else values or None
