"""`python -m benchmarks [--quick] [--only earth,wolf]`: measure, print one table, write it to benchmarks/results.md."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Effort, Section, number
from benchmarks.sections import SECTIONS

HEAD = ("| | median | unit | target | met | note |", "| --- | ---: | --- | --- | --- | --- |")
LOAD_BEFORE = os.getloadavg()[0]
"""The load average over the minute before the start. On a busy machine, CPU times are more reliable than wall times."""
RESULTS = Path(__file__).with_name("results.md")


def processor() -> str:
    """Returns the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def surroundings() -> str:
    """Returns the processor, the versions of libraries, and the load before the run, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "mesa"))
    busy = f"load {LOAD_BEFORE:.1f} before the run"
    return f"{processor()}; Python {platform.python_version()}, {packages}; {busy}"


def verdict(reached: bool | None) -> str:
    """Returns "yes" or "no" for whether a target is met, or "" if there is no target (None)."""
    return "" if reached is None else "yes" if reached else "NO"


def as_table(sections: Sequence[Section]) -> Table:
    """Returns the measured figures of all sections as a table for the terminal."""
    table = Table(title="What Umwelt costs", caption=surroundings())
    for name, justify in (("", "left"), ("median", "right"), ("unit", "left"), ("target", "left"), ("met", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("note", style="dim", overflow="fold")
    for section in sections:
        table.add_section()
        table.add_row(f"[bold]{section.title}[/bold]")
        for figure in section.figures:
            colour = {True: "green", False: "red", None: "default"}[figure.reached]
            met = f"[{colour}]{verdict(figure.reached)}[/{colour}]"
            table.add_row(figure.what, number(figure.value), figure.unit, figure.target, met, figure.note)
    return table


def as_markdown(sections: Sequence[Section], quick: bool) -> str:
    """Returns the measured figures of all sections as a Markdown page; `quick` is whether it was a quick run."""
    lines = ["# What Umwelt costs", "", f"{surroundings()}. Medians of repeated runs after a warm-up."]
    if quick:
        lines.append("A quick run: fewer and shorter repeats.")
    for section in sections:
        lines += ["", f"## {section.title}", "", *HEAD]
        for f in section.figures:
            lines.append(f"| {f.what} | {number(f.value)} | {f.unit} | {f.target} | {verdict(f.reached)} | {f.note} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what Umwelt costs.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats")
    parser.add_argument("--only", default=",".join(SECTIONS), help=f"sections to measure, of {','.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    parser.add_argument("--to", type=Path, help="the page to write (default: benchmarks/results.md if all is measured)")
    chosen = parser.parse_args()
    names = chosen.only.split(",")
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f'--only {chosen.only}: unknown "{unknown[0]}": use some of {",".join(SECTIONS)}')
    console, sections = Console(width=max(Console().width, 140)), []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        sections.append(SECTIONS[name](Effort(chosen.quick)))
    console.print(as_table(sections))
    page = chosen.to or (RESULTS if set(names) == set(SECTIONS) else None)
    if page:
        page.write_text(as_markdown(sections, chosen.quick), "utf-8")
    if chosen.json:
        raw = {name: section.raw for name, section in zip(names, sections, strict=True)}
        chosen.json.write_text(json.dumps(raw, indent=1), "utf-8")


if __name__ == "__main__":
    main()
