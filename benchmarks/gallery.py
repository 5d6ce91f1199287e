"""`python -m benchmarks.gallery [--only NAME]...`: run the bundled worlds, draw them, and write docs/gallery.md.

The commands under a picture draw the same picture on any machine. Runs are kept under `runs/gallery`: a run that has
reached its tick is only drawn again.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umwelt.agents.world_file import bundled_worlds, read_world
from umwelt.cluster.run.replay import restore_region
from umwelt.cluster.run.store import Store, replace_file

ROOT = Path(__file__).resolve().parents[1]
WIDE = (900, 600)
"""Width and height of all pictures, in pixels."""
HEAD = """# Gallery

The worlds that come with Umwelt after some time: the whole world, and a close-up of the place with most beings.
`make gallery` runs them and draws these pictures again; the commands below each draw the same pictures on any machine.
"""


@dataclass(frozen=True)
class View:
    """The tick at which a world is drawn, and the scale of its close-up in pixels per cell."""

    tick: int
    zoom: float = 26


PLAN: dict[str, View] = {
    "meadow": View(2400),
    "pond": View(3000),
    "desert": View(2400),
    "islands": View(4000),
    "tides": View(3000),
    "arena": View(2600),
    "particles": View(3000),
    "wolf_sheep": View(300, 20),
    "flocking": View(400, 12),
    "market": View(400, 14),
}


def umwelt(*arguments: str) -> str:
    """Runs an `umwelt` command and returns its output."""
    command = [sys.executable, "-m", "umwelt.client.commands.cli", *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"umwelt {' '.join(arguments)}: ended with {process.returncode}")
    return process.stdout


def has_reached(run: Path, tick: int) -> bool:
    """Returns whether a run has a snapshot (the saved state of its world) of a tick."""
    return (run / "world.toml").exists() and any(entry.tick == tick for entry in Store.open(run).entries())


def busiest(run: Path, tick: int, zoom: float) -> tuple[int, int]:
    """Returns the middle (x, y), in cells, of the part of the world with most beings of all kinds.

    The parts have the size of a close-up with `zoom` pixels per cell.
    """
    _, region, _ = restore_region(Store.open(run), tick)
    width, height = (max(1, round(side / zoom)) for side in WIDE)
    columns, rows = region.torus.width // width + 1, region.torus.height // height + 1
    score = np.ones(columns * rows)
    for name in region.tables:
        cells = region.global_cells(name, np.flatnonzero(region.owned_rows(name)))
        parts = cells // region.torus.width // height * columns + cells % region.torus.width // width
        score *= 1 + np.bincount(parts, minlength=len(score))
    down, across = divmod(int(score.argmax()), columns)
    x, y = across * width + width // 2, down * height + height // 2
    return min(x, region.torus.width - 1), min(y, region.torus.height - 1)


def draw_world(name: str, view: View, runs: Path, pictures: Path) -> str:
    """Runs a world up to its tick, unless it was run before; draws it, and returns its section of docs/gallery.md."""
    run = runs / name
    if not has_reached(run, view.tick):
        result = json.loads(
            umwelt("launch", name, "--ticks", str(view.tick), "--run", str(run), "--no-view", "--json").splitlines()[-1]
        )
        with replace_file(run / "gallery.json") as half:
            half.write_text(json.dumps(result["populations"]), "utf-8")
    x, y = busiest(run, view.tick, view.zoom)
    whole, close = pictures / f"{name}.jpg", pictures / f"{name}-near.jpg"
    options = {whole: (), close: ("--at", f"{x},{y}", "--zoom", f"{view.zoom:g}")}
    size = "{}x{}".format(*WIDE)
    for picture, camera in options.items():
        umwelt("picture", str(run), str(picture), "--tick", str(view.tick), "--size", size, *camera)
    populations = json.loads((run / "gallery.json").read_text("utf-8"))
    return compose_section(name, view, populations, (x, y), pictures.name)


def compose_section(name: str, view: View, populations: Mapping[str, Any], at: tuple[int, int], folder: str) -> str:
    """Returns a world's section of docs/gallery.md.

    `populations` has the number of living beings by table, then by species; `at` is the middle (x, y) of the close-up;
    `folder` is the name of the folder of the pictures.
    """
    common = read_world(name).common
    living = ", ".join(
        f"{count:,} {species}" for table in populations.values() for species, count in table.items() if count
    )
    run, size = f"runs/{name}", "{}x{}".format(*WIDE)
    close = f"--size {size} --at {at[0]},{at[1]} --zoom {view.zoom:g}"
    return f"""## {name}

{common.summary[:1].upper()}{common.summary[1:]}. {common.height} x {common.width} cells, seed {common.seed}, \
tick {view.tick:,}: {living}.

![{name}: the whole world]({folder}/{name}.jpg)
![{name}, close up]({folder}/{name}-near.jpg)

    umwelt launch {name} --ticks {view.tick} --run {run}
    umwelt picture {run} {name}.jpg --size {size}
    umwelt picture {run} {name}-near.jpg {close}
"""


def read_sections(page: Path) -> dict[str, str]:
    """Returns the sections of an existing page, by the name of the world; {} if there is no page."""
    text = page.read_text("utf-8") if page.exists() else ""
    return {part.splitlines()[0]: f"## {part.rstrip()}\n" for part in re.split(r"(?m)^## ", text)[1:]}


def make_gallery(plan: Mapping[str, View], chosen: Sequence[str], runs: Path, docs: Path) -> None:
    """Draws the chosen worlds and writes the page; the sections of other worlds remain."""
    pictures, page = docs / "gallery", docs / "gallery.md"
    pictures.mkdir(parents=True, exist_ok=True)
    runs.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        sections = read_sections(page) | {name: draw_world(name, plan[name], runs, pictures)}
        with replace_file(page) as half:
            half.write_text("\n".join([HEAD, *(sections[world] for world in plan if world in sections)]), "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=(__doc__ or "").splitlines()[0])
    plan = {name: view for name, view in PLAN.items() if name in bundled_worlds()}
    parser.add_argument("--only", action="append", choices=list(plan), help="only this world, may be repeated")
    given = parser.parse_args(arguments)
    make_gallery(plan, given.only or list(plan), ROOT / "runs" / "gallery", ROOT / "docs")


if __name__ == "__main__":
    main()
