"""umwelt ask: a query, a task or a chemical workflow on a running world, and what comes out.

What a query or a task is given stands behind its name: values, or NAME=VALUE; a value is JSON where it can be, else a
text. `y,x,height,width` is a list.
"""

import inspect
import json as writer
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from umwelt.agents.description import one_line
from umwelt.client.api import Connection
from umwelt.client.queries import QUERIES
from umwelt.client.remote import connected
from umwelt.cluster.workflow import WITHIN_S
from umwelt.sandbox.errors import RunError

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
        from umwelt.cluster.chemical import read_workflow

        program = read_workflow(str(workflow))
        if values or named:
            raise RunError("ask --workflow: is given no values: write them into the program")
    with connected(address, keys) as world:
        if program is not None:
            from umwelt.cluster.chemical import reacted

            found: Any = world.workflow(reacted, program, within_s=within_s or WITHIN_S)
        elif what in QUERIES:
            _check(what, values, named)
            found = world.workflow(QUERIES[what], *values, within_s=within_s or world.timeout_s, **named)
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


def _check(what: str, values: list[Any], named: dict[str, Any]) -> None:
    """Whether these are what a query takes."""
    query = inspect.signature(QUERIES[what])
    own = list(query.parameters.values())[1:]
    try:
        inspect.Signature(own).bind(*values, **named)
    except TypeError as error:
        raise RunError(one_line(f"ask {what}: {error}: it takes {', '.join(map(str, own))}")) from None


def _plain(found: Any) -> Any:
    """The same without arrays."""
    if isinstance(found, dict):
        return {str(name): _plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(one) for one in found]
    return found.tolist() if isinstance(found, np.ndarray | np.generic) else found


# --- for people


def _show_census(found: dict[str, Any], world: Connection, console: Console) -> None:
    columns = list(dict.fromkeys(name for one in found["species"].values() for name in one["means"]))
    table = Table(box=None, padding=(0, 2, 0, 0), title=f"tick {found['tick']:,}", title_justify="left")
    for name in ("", "alive", *columns):
        table.add_column(name.replace("_", " "), justify="left" if not name else "right")
    for species, one in found["species"].items():
        means = (one["means"].get(name) for name in columns)
        table.add_row(species, f"{one['count']:,}", *("" if mean is None else f"{mean:,.4g}" for mean in means))
    console.print(table)
    if not found["whole"]:
        console.print("means and counts are of the first million on each node", style="dim")


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
