"""The command `umwelt ask`: sends a query, a task or a workflow (a HOCL program) to a running world; prints the answer.

A query is one of `census`, `heatmap`, `nearest` and `lineage`; a task is a function that a process of the world runs on
its part of it; HOCL is a chemical programming language, whose programs can run many tasks. Arguments follow the name of
the query or task, as VALUE or NAME=VALUE. A value is parsed as JSON, and is taken as text if it is not valid JSON.
Numbers separated by commas, such as `2,3,16,16`, are a list.
"""

import json as writer
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from umwelt.client.commands.remote import connect_to
from umwelt.client.connection.answers import Census, Heatmap, Lineage, Nearest
from umwelt.client.connection.workflows import ORGANS_SUFFIX, QUERIES
from umwelt.cluster import WORKFLOW_WITHIN_S, Task
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.text import one_line

QUERY_S = 60.0
"""Default time limit of a query; the first query includes the start of a process on each node."""
SHADES = " .:-=+*#%@"
"""Characters of a printed heat map, from the lowest to the highest value."""
MAX_CHARACTERS_SHOWN = 80
"""Maximum length of a quoted argument in an error message."""
NUMBERS = re.compile(r"-?\d+(\.\d+)?(,-?\d+(\.\d+)?)+")
"""A list of numbers, as in `2,3,16,16`."""
NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
"""A named argument, NAME=VALUE."""


def ask_world(
    address: str, what: str, given: Sequence[str], keys: Path | None, workflow: Path | None, within_s: float, json: bool
) -> None:
    """Sends a query, task or workflow to a running world, and prints the answer as text or as JSON.

    Either `what` names a query or a task, and `given` are its arguments; or both are empty and `workflow` is the path
    of a HOCL file. If `within_s` is 0, the default time limit applies.
    """
    if bool(what) == (workflow is not None):
        raise RunError(f"ask: name one of {', '.join(QUERIES)}, a task, or --workflow FILE")
    values, named = read_arguments(given)
    program = None
    if workflow is not None:
        from umwelt.cluster import read_workflow

        program = read_workflow(str(workflow))
        if values or named:
            raise RunError("ask --workflow: takes no values: write them into the program")
    with connect_to(address, keys) as world:
        answer: Any
        if program is not None:
            from umwelt.cluster import run_chemical_workflow

            answer = world.workflow(run_chemical_workflow, program, within_s=within_s or WORKFLOW_WITHIN_S)
        elif what in QUERIES:
            bound = Task(what, QUERIES[what]).bind(values, named)
            answer = world.workflow(QUERIES[what], *bound.args, within_s=within_s or QUERY_S, **bound.kwargs)
        else:
            answer = world.task(what, *values, within_s=within_s, **named)
    if json:
        print(writer.dumps(_plain(answer)))
    elif what in PRINTERS:
        PRINTERS[what](answer, Console())
    else:
        print(answer if isinstance(answer, str | int | float) else writer.dumps(_plain(answer)))


def read_arguments(given: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Parses the arguments of a query or task; returns the positional values and the named ones.

    Raises RunError if a positional value follows a named one.
    """
    values: list[Any] = []
    named: dict[str, Any] = {}
    for text in given:
        if match := NAMED.fullmatch(text):
            named[match[1]] = _read_value(match[2])
        elif named:
            fix = "put it before the first NAME=VALUE, or name it too"
            raise RunError(one_line(f"ask: {text[:MAX_CHARACTERS_SHOWN]}: comes after a NAME=VALUE: {fix}"))
        else:
            values.append(_read_value(text))
    return values, named


def _read_value(text: str) -> Any:
    """Parses a value as JSON or as a list of numbers; returns `text` itself if it is neither."""
    try:
        return writer.loads(f"[{text}]" if NUMBERS.fullmatch(text) else text)
    except ValueError:
        return text


def _plain(answer: Any) -> Any:
    """Returns `answer` with lists in place of arrays and tuples, for JSON."""
    if isinstance(answer, dict):
        return {str(name): _plain(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [_plain(value) for value in answer]
    return answer.tolist() if isinstance(answer, np.ndarray | np.generic) else answer


# --- text


def _print_census(census: Census, console: Console) -> None:
    """Prints a table with a row for each species: its number of living beings, and the means of their columns."""
    names = list(dict.fromkeys(name for species in census["species"].values() for name in species["means"]))
    columns = [name for name in names if not name.endswith(ORGANS_SUFFIX)]
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"tick {census['tick']:,}", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("alive", *columns):
        table.add_column(name.rpartition("_")[0] or name, justify="right", no_wrap=True)
    table.add_column("organs")
    for species_name, species in census["species"].items():
        means = (species["means"].get(name) for name in columns)
        cells = ("" if mean is None else f"{mean:,.3g}" for mean in means)
        organs = [
            f"{mean:.2g} {name.removesuffix(ORGANS_SUFFIX)}"
            for name, mean in species["means"].items()
            if name.endswith(ORGANS_SUFFIX)
        ]
        table.add_row(species_name, f"{species['count']:,}", *cells, ", ".join(organs))
    console.print(table)
    if not census["whole"]:
        line = "a node holds more beings than it can count at once: these are a part of them, see docs/workflows.md"
        console.print(line, style="dim")


def _print_heatmap(heatmap: Heatmap, console: Console) -> None:
    """Prints the squares of a heat map as characters of `SHADES`, two per square, and the sum and maximum below."""
    values, cell = heatmap["values"], heatmap["cell"]
    highest = int(values.max(initial=0))
    scale = max(1, highest)
    steps = len(SHADES) - 1
    # a value above 0 is never blank
    shades = values * steps // scale + (values > 0) * (values * steps < scale)
    for row in shades.tolist():
        console.print(Text("".join(SHADES[shade] * 2 for shade in row)), soft_wrap=True)
    what = f"tick {heatmap['tick']:,}: {heatmap['of']}, {int(values.sum()):,} in all"
    console.print(f"{what}, at most {highest:,} in {cell} x {cell} cells", highlight=False, soft_wrap=True)


def _print_nearest(nearest: Nearest, console: Console) -> None:
    being, species = nearest["being"], nearest["species"]
    if being is None:
        line = f"no {species} lives"
    else:
        line = f"{species} {being['id']} at y {being['y']:.2f}, x {being['x']:.2f}, {being['cells']:.2f} cells away"
    console.print(f"tick {nearest['tick']:,}: {line}", highlight=False, soft_wrap=True)


def _print_lineage(lineage: Lineage, console: Console) -> None:
    lives = {True: "lives", False: "is dead"}
    line = f"tick {lineage['tick']:,}: {lineage['being']} {lives[lineage['lives']]}"
    console.print(line, highlight=False, soft_wrap=True)
    for kin, relatives in (("ancestor", lineage["ancestors"]), ("child", lineage["children"])):
        for relative in relatives:
            born = f"{relative['species'] or '?'}, born at tick {relative['tick']:,}"
            line = f"  {kin} {relative['id']}, {born}, {lives[relative['lives']]}"
            console.print(line, highlight=False, soft_wrap=True)


PRINTERS: dict[str, Callable[[Any, Console], None]] = {
    "census": _print_census,
    "heatmap": _print_heatmap,
    "lineage": _print_lineage,
    "nearest": _print_nearest,
}
"""The functions that print the answers of queries as text, by the query's name."""
