"""umwelt ask: a query, a task or a chemical workflow on a running world, and what comes out.

What a query or a task is given stands behind its name: values, or NAME=VALUE; a value is JSON where it can be, else a
text. `y,x,height,width` is a list.
"""

import json as writer
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from umwelt.agents.world_file import one_line
from umwelt.client.commands.remote import connected
from umwelt.client.connection.api import Connection
from umwelt.client.connection.queries import ORGANS, QUERIES
from umwelt.cluster.tasks.registry import Task
from umwelt.cluster.tasks.workflow import WITHIN_S
from umwelt.sandbox.errors import RunError

QUERY_S = 60.0
"""How long a query may take if nothing is said: with the first one, each node begins a process."""
SHADES = " .:-=+*#%@"
NUMBERS = re.compile(r"-?\d+(\.\d+)?(,-?\d+(\.\d+)?)+")
NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def asked(
    address: str, what: str, given: Sequence[str], keys: Path | None, workflow: Path | None, within_s: float, json: bool
) -> None:
    """Ask a running world, and print the answer for people or as JSON."""
    if bool(what) == (workflow is not None):
        raise RunError(f"ask: name one of {', '.join(QUERIES)}, a task, or --workflow FILE")
    values, named = arguments_of(given)
    program = None
    if workflow is not None:
        from umwelt.cluster.tasks.hocl_workflow import read_workflow

        program = read_workflow(str(workflow))
        if values or named:
            raise RunError("ask --workflow: is given no values: write them into the program")
    with connected(address, keys) as world:
        if program is not None:
            from umwelt.cluster.tasks.hocl_workflow import run_program

            found: Any = world.workflow(run_program, program, within_s=within_s or WITHIN_S)
        elif what in QUERIES:
            bound = Task(what, QUERIES[what]).bind(values, named)
            found = world.workflow(QUERIES[what], *bound.args, within_s=within_s or QUERY_S, **bound.kwargs)
        else:
            found = world.task(what, *values, within_s=within_s, **named)
        if json:
            print(writer.dumps(_plain(found)))
        elif what in SHOWN:
            SHOWN[what](found, world, Console())
        else:
            print(found if isinstance(found, str | int | float) else writer.dumps(_plain(found)))


def arguments_of(given: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Values, and those with names."""
    values, named = [], {}
    for one in given:
        if match := NAMED.fullmatch(one):
            named[match[1]] = _value(match[2])
        elif named:
            raise RunError(one_line(f"ask: {one[:80]}: stands behind a NAME=VALUE: put it before, or name it too"))
        else:
            values.append(_value(one))
    return values, named


def _value(text: str) -> Any:
    try:
        return writer.loads(f"[{text}]" if NUMBERS.fullmatch(text) else text)
    except ValueError:
        return text


def _plain(found: Any) -> Any:
    """The same without arrays."""
    if isinstance(found, dict):
        return {str(name): _plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(one) for one in found]
    return found.tolist() if isinstance(found, np.ndarray | np.generic) else found


# --- for people


def _show_census(found: dict[str, Any], world: Connection, console: Console) -> None:
    names = list(dict.fromkeys(name for one in found["species"].values() for name in one["means"]))
    columns = [name for name in names if not name.endswith(ORGANS)]
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"tick {found['tick']:,}", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("alive", *columns):
        table.add_column(name.rpartition("_")[0] or name, justify="right", no_wrap=True)
    table.add_column("organs")
    for species, one in found["species"].items():
        means = (one["means"].get(name) for name in columns)
        parts = {name.removesuffix(ORGANS): mean for name, mean in one["means"].items() if name.endswith(ORGANS)}
        organs = [f"{mean:.2g} {name}" for name, mean in parts.items()]
        numbers = ("" if mean is None else f"{mean:,.3g}" for mean in means)
        table.add_row(species, f"{one['count']:,}", *numbers, ", ".join(organs))
    console.print(table)
    if not found["whole"]:
        console.print("of more than a node hands over at once, only those: see docs/workflows.md", style="dim")


def _show_heatmap(found: dict[str, Any], world: Connection, console: Console) -> None:
    values = found["values"]
    most = int(values.max(initial=0))
    shades = values * (len(SHADES) - 1) // max(1, most) + (values > 0) * (values * (len(SHADES) - 1) < max(1, most))
    for line in shades.tolist():
        console.print(Text("".join(SHADES[shade] * 2 for shade in line)), soft_wrap=True)
    cell = found["cell"]
    what = f"tick {found['tick']:,}: {found['of']}, {int(values.sum()):,} in all"
    console.print(f"{what}, at most {most:,} in {cell} x {cell} cells", highlight=False, soft_wrap=True)


def _show_nearest(found: dict[str, Any], world: Connection, console: Console) -> None:
    being, species = found["being"], found["species"]
    if being is None:
        line = f"no {species} lives"
    else:
        line = f"{species} {being['id']} at y {being['y']:.2f}, x {being['x']:.2f}, {being['cells']:.2f} cells away"
    console.print(f"tick {found['tick']:,}: {line}", highlight=False, soft_wrap=True)


def _show_lineage(found: dict[str, Any], world: Connection, console: Console) -> None:
    lives = {True: "lives", False: "is dead"}
    console.print(f"tick {found['tick']:,}: {found['being']} {lives[found['lives']]}", highlight=False, soft_wrap=True)
    for kin in ("ancestors", "children"):
        for one in found[kin]:
            species = world.species[one["species"]] if 0 <= one["species"] < len(world.species) else "?"
            line = f"{kin[:-1] if kin == 'ancestors' else 'child'} {one['id']}, {species}, born at tick {one['tick']:,}"
            console.print(f"  {line}, {lives[one['lives']]}", highlight=False, soft_wrap=True)


SHOWN = {"census": _show_census, "heatmap": _show_heatmap, "lineage": _show_lineage, "nearest": _show_nearest}
