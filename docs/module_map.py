"""Draws docs/modules.svg, a picture of the packages and modules of the code, from their imports.

    make map                                write the picture
    python docs/module_map.py --check       exit with status 1 if the picture is not up to date

Each band is a top-level folder; a band imports only from the bands below it. Within a band each box is a sub-package or
module; it stands above everything in its band that it imports. Lines show the imports within a band, without those that
follow from others (if A imports B and B imports C, A needs no line to C). A cycle of boxes is an error. One more band,
at the top, shows the inside of client/window.
"""

import argparse
import sys
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

PICTURE = Path(__file__).with_name("modules.svg")
BANDS = (
    ("client", "umwelt.client", "client: command line, Python API, experiments, pictures"),
    ("cluster", "umwelt.cluster", "cluster: nodes, coordinator, gateway, runs on disk"),
    ("worlds", "umwelt.worlds", "worlds: models that bring their own laws"),
    ("agents", "umwelt.agents", "agents: living beings, Earth's laws, Mesa"),
    ("sandbox", "umwelt.sandbox", "sandbox: matter, space, dice, kernels, snapshots"),
)
"""The top-level folders from top to bottom: the name of the band, its package, and its title in the picture."""
INSIDE = (("window", "umwelt.client.window", "inside client/window: the graphical viewer"),)
"""The further band, in the same form as those of `BANDS`."""
PACKAGES = ("umwelt.agents", "umwelt.client", "umwelt.cluster", "umwelt.sandbox", "umwelt.worlds")
COLOURS = {
    "window": "#e8e3f5",
    "client": "#dfe9f7",
    "cluster": "#fdeedb",
    "worlds": "#f3f0df",
    "agents": "#e2f1e1",
    "sandbox": "#eceff1",
}
BOX_HEIGHT, ROW_HEIGHT, GAP, MARGIN, CHARACTER_WIDTH, WIDTH = 26, 52, 14, 18, 7.2, 1080


@dataclass
class Band:
    """One folder: its boxes with what each imports in the same band, and the names of the bands that it imports from.

    `bands_below` has these names, which in a correct program are those of lower bands.
    """

    name: str
    title: str
    imports: dict[str, set[str]] = field(default_factory=dict)
    """By the name of each box: the names of the boxes in the same band that it imports."""
    bands_below: set[str] = field(default_factory=set)


def read_bands() -> list[Band]:
    """Returns the bands from top to bottom; raises SystemExit if a folder imports from one that stands above it."""
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    bands = {name: Band(name, title) for name, _, title in (*INSIDE, *BANDS)}
    for module in sorted(graph.modules):
        for group in (BANDS, INSIDE):
            place = place_of(module, group)
            if place is None:
                continue
            band, box = place
            bands[band].imports.setdefault(box, set())
            for imported in graph.find_modules_directly_imported_by(module):
                target = place_of(imported, group)
                if target is None:
                    continue
                if target[0] != band:
                    bands[band].bands_below.add(target[0])
                elif target[1] != box:
                    bands[band].imports[box].add(target[1])
    order = [name for name, _, _ in BANDS]
    for band in bands.values():
        if band.name not in order:
            continue
        wrong = [name for name in band.bands_below if order.index(name) < order.index(band.name)]
        if wrong:
            raise SystemExit(
                f"{band.name} imports from {', '.join(wrong)}, which stands above it: turn the import round"
            )
    return list(bands.values())


def place_of(module: str, group: tuple[tuple[str, str, str], ...]) -> tuple[str, str] | None:
    """Returns the name of the band and of the box to which a module belongs; None if it belongs to none.

    `module` is its full name, such as "umwelt.client.window.gui"; `group` is `BANDS` or `INSIDE`.
    """
    for name, package, _ in group:
        if module.startswith(package + "."):
            return name, module.removeprefix(package + ".").split(".")[0]
    return None


def levels_of(band: Band) -> dict[str, int]:
    """Returns the row of each box, counted from 0 at the bottom: one above the highest box that it imports.

    Raises SystemExit if boxes import each other in a cycle.
    """
    levels: dict[str, int] = {}
    try:
        for box in TopologicalSorter(band.imports).static_order():
            levels[box] = max((levels[below] + 1 for below in band.imports[box]), default=0)
    except CycleError as error:
        raise SystemExit(
            f"{band.name}: {' -> '.join(error.args[1])}: these import each other: cut one import"
        ) from None
    return levels


def reduced(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Returns the imports that do not follow from others, as pairs of a box and a box that it imports.

    They are the transitive reduction of the acyclic graph `imports`, which has the boxes that each box imports.
    """
    reach: dict[str, set[str]] = {}
    for box in TopologicalSorter(imports).static_order():
        reach[box] = set(imports[box]).union(*(reach[below] for below in imports[box]))
    return [
        (box, below)
        for box, all_below in sorted(imports.items())
        for below in sorted(all_below)
        if not any(below in reach[other] for other in all_below if other != below)
    ]


def draw(bands: list[Band]) -> str:
    """Returns the picture as SVG text."""
    parts: list[str] = []
    top = MARGIN
    for band in bands:
        levels = levels_of(band)
        rows = [sorted(box for box, level in levels.items() if level == row) for row in range(max(levels.values()) + 1)]
        lines = wrap(rows)
        height = 34 + len(lines) * ROW_HEIGHT
        parts.append(
            f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="8" '
            f'fill="{COLOURS[band.name]}"/>'
            f'<text x="{MARGIN + 12}" y="{top + 20}" class="title">{escape(band.title)}</text>'
        )
        centres: dict[str, tuple[float, float]] = {}
        boxes: list[str] = []
        for number, line in enumerate(reversed(lines)):
            widths = [len(box) * CHARACTER_WIDTH + 18 for box in line]
            x = (WIDTH - sum(widths) - GAP * (len(line) - 1)) / 2
            y = top + 36 + number * ROW_HEIGHT
            for box, width in zip(line, widths, strict=True):
                centres[box] = (x + width / 2, y + BOX_HEIGHT / 2)
                boxes.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX_HEIGHT}" rx="5" class="box"/>'
                    f'<text x="{x + width / 2:.1f}" y="{y + 17}" class="name">{escape(box)}</text>'
                )
                x += width + GAP
        for box, below in reduced(band.imports):
            (x1, y1), (x2, y2) = centres[box], centres[below]
            parts.append(
                f'<path d="M{x1:.1f} {y1 + BOX_HEIGHT / 2:.1f} C{x1:.1f} {y1 + 34:.1f} {x2:.1f} {y2 - 34:.1f} '
                f'{x2:.1f} {y2 - BOX_HEIGHT / 2:.1f}" class="line"/>'
            )
        parts += boxes
        top += height + 10
    style = (
        "text{font-family:sans-serif;fill:#222}.title{font-size:14px;font-weight:bold}"
        ".name{font-size:12px;font-family:monospace;text-anchor:middle}.box{fill:#fff;stroke:#667}"
        ".line{fill:none;stroke:#8890a0;stroke-width:1}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN - 10}" width="{WIDTH}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def wrap(rows: list[list[str]]) -> list[list[str]]:
    """Returns rows of boxes' names that fit into the picture's width; a row that does not fit becomes several."""
    lines = []
    for row in rows:
        line: list[str] = []
        used = 0.0
        for box in row:
            width = len(box) * CHARACTER_WIDTH + 18 + GAP
            if line and used + width > WIDTH - 4 * MARGIN:
                lines.append(line)
                line, used = [], 0.0
            line.append(box)
            used += width
        lines.append(line)
    return lines


def main() -> None:
    """Writes the picture, or with --check compares it with the file and exits with status 1 if they differ."""
    parser = argparse.ArgumentParser(description="Draw docs/modules.svg from the imports of the code.")
    parser.add_argument("--check", action="store_true", help="only compare; exit with status 1 if it is out of date")
    arguments = parser.parse_args()
    picture = draw(read_bands())
    if not arguments.check:
        PICTURE.write_text(picture, "utf-8")
    elif not PICTURE.exists() or PICTURE.read_text("utf-8") != picture:
        sys.exit("docs/modules.svg: out of date: run make map")


if __name__ == "__main__":
    main()
