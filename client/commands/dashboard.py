"""The living world in the terminal: time, pace, populations, matter, the nodes that carry it, and a map in colour.

`Dashboard` draws on a terminal with rich; where there is none, `Lines` prints a plain line every few seconds. Both are
shown what a directory reports (`cluster/coordinator/state.py`), and what happens is told as soon as it is known.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from umwelt.agents.world_file import WorldFile
from umwelt.cluster.run.journal import Metrics

FRAMES_PER_S = 5
LINE_EVERY_S = 5.0
HISTORY = 600
SPARKS = "▁▂▃▄▅▆▇█"
TINTS = ("#7fd28f", "#4fb3a0", "#c6d36a", "#6f9cf0", "#f0705f", "#d58ae6", "#f2b35e", "#8fd6e8")
DIM, BRIGHT, ALARM = "#6b7a86", "#dfe8ea", "#f2b35e"
SIDE_COLUMNS = 36
SHOWN_AS_NEWS_S = 20.0

Pixels = Callable[[int, int], np.ndarray | None]
"""A map of the world as `uint8[rows, columns, 3]`, or None where there is none yet."""


def sparkline(values: Sequence[float], width: int) -> str:
    """A row of little bars, one for each stretch of `values`, from 0 to their largest."""
    if not values or width < 1:
        return ""
    width = min(width, len(values))
    picked = [values[len(values) * (i + 1) // width - 1] for i in range(width)]
    top = max(*picked, 1e-9)
    return "".join(SPARKS[min(7, int(value / top * 7.999))] for value in picked)


def short(number: float) -> str:
    """A number in at most five characters: 950, 12.3k, 4.56M."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            scaled = number / (1e3 if unit == "k" else limit)
            return f"{scaled:.3g}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def tints_of(metrics: Metrics) -> dict[str, str]:
    """The colour of each species, by table and name: in lists and on the map."""
    names = [f"{table}/{name}" for table, found in metrics.populations.items() for name in found]
    return {name: TINTS[at % len(TINTS)] for at, name in enumerate(names)}


def parts_of(tint: str) -> np.ndarray:
    """A colour as red, green and blue from 0 to 1."""
    return np.array([int(tint[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / 255


class Trend:
    """The last moments of a run, its recent pace, and what happened to it."""

    def __init__(self, begun: Metrics) -> None:
        self.populations: dict[str, deque[int]] = {}
        self.latest = begun
        self.tick = begun.tick
        self.status: Mapping[str, Any] = {}
        self._marks: deque[tuple[float, int]] = deque(maxlen=20)
        self._events: list[Any] = []
        self._told = 0
        self._remember(begun)

    def note(self, status: Mapping[str, Any], told: Sequence[str] = ()) -> list[str]:
        """Take in a report, and what an engine told of its processes; gives a line for all that is new."""
        lines = list(told[self._told :])
        self._told = len(told)
        if not status or status is self.status:
            return lines
        before, self.status, self.tick = self.status, status, status["tick"]
        if status["epoch"] != before.get("epoch") or status["phase"] not in ("running", "settling"):
            self._marks.clear()
        self._marks.append((time.monotonic(), self.tick))
        metrics = status["metrics"]
        if metrics is not None and metrics["tick"] != self.latest.tick:
            past, present = self.latest.populations, metrics["populations"]  # who died out is told with 0
            found = {t: {**dict.fromkeys(past.get(t, ()), 0), **present.get(t, {})} for t in {**past, **present}}
            self._remember(Metrics(metrics["tick"], metrics["births"], metrics["deaths"], found, metrics["substances"]))
        return [event["line"] for event in self._new(status["events"])] + lines

    def _new(self, events: list[Any]) -> list[Any]:
        """Those that were not there before; the oldest are forgotten now and then."""
        past, self._events = self._events, events
        for fresh in range(len(events) + 1):
            known = len(events) - fresh
            if known <= len(past) and past[len(past) - known :] == events[:known]:
                return events[known:]
        return events

    def _remember(self, metrics: Metrics) -> None:
        """Remember a moment; every other one goes when there are too many."""
        self.latest = metrics
        for table, found in metrics.populations.items():
            for name, count in found.items():
                past = self.populations.setdefault(f"{table}/{name}", deque())
                past.append(count)
                if len(past) > HISTORY:
                    self.populations[f"{table}/{name}"] = deque(list(past)[::2])

    def ticks_per_s(self) -> float:
        """Over the last few reports."""
        if len(self._marks) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else 0.0

    def living(self) -> int:
        """Beings of every kind."""
        return sum(sum(found.values()) for found in self.latest.populations.values())


class HalfBlocks:
    """A picture in a terminal: two pixels a character, as tall and wide as there is room.

    Without a map of what lives there, the nodes' rectangles are shown: the busier, the brighter.
    """

    def __init__(self, shape: tuple[int, int], pixels: Pixels, nodes: Sequence[Mapping[str, Any]]):
        self.shape, self.pixels, self.nodes = shape, pixels, nodes

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height, width = self.shape
        columns, lines = max(1, options.max_width), max(1, options.height or 16)
        # cells are square: fit the world's shape into the room
        wide = min(columns, max(1, round(lines * 2 * width / height)))
        high = min(lines, max(1, round(wide * height / width / 2)))
        drawn = self.pixels(high * 2, wide)
        names: dict[tuple[int, int], str] = {}
        if drawn is None:
            drawn, names = rectangles(self.shape, self.nodes, high * 2, wide)
        pixels = drawn.tolist()
        left = " " * ((columns - wide) // 2)
        for _ in range((lines - high) // 2):
            yield Segment("\n")
        for line in range(high):
            yield Segment(left)
            for column, (upper, lower) in enumerate(zip(pixels[2 * line], pixels[2 * line + 1], strict=True)):
                letter = names.get((line, column))
                yield Segment(letter or "▀", _style(tuple(upper), tuple(lower), letter is not None))
            yield Segment("\n")


def rectangles(
    shape: tuple[int, int], nodes: Sequence[Mapping[str, Any]], rows: int, columns: int
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """The nodes' rectangles, `uint8[rows, columns, 3]`, and the letters of their names by line and column."""
    drawn = np.zeros((rows, columns, 3), np.uint8) + np.array([14, 20, 24], np.uint8)
    names: dict[tuple[int, int], str] = {}
    held = [node for node in nodes if node["rectangle"]]
    most = max((node["entities"] for node in held), default=0) or 1
    for at, node in enumerate(held):
        y, x, height, width = node["rectangle"]
        top, bottom = y * rows // shape[0], max(y * rows // shape[0] + 1, (y + height) * rows // shape[0])
        left, right = x * columns // shape[1], max(x * columns // shape[1] + 1, (x + width) * columns // shape[1])
        tint = TINTS[at % len(TINTS)]
        colour = parts_of(tint) * 255
        load = 0.18 + 0.22 * node["entities"] / most
        drawn[top:bottom, left:right] = colour * load * 0.6
        drawn[top + 1 : bottom - 1, left + 1 : right - 1] = colour * load
        line, begin = (top + bottom) // 4, left + max(1, (right - left - len(node["name"])) // 2)
        if (bottom - top) >= 2:
            names |= {(line, begin + i): letter for i, letter in enumerate(node["name"]) if begin + i < right}
    return drawn, names


def _style(upper: tuple[int, ...], lower: tuple[int, ...], letter: bool = False) -> Style:
    # a few bits less of colour cannot be seen, and let styles be found again
    above, below = ("#{:02x}{:02x}{:02x}".format(*(value & 0xF8 for value in pixel)) for pixel in (upper, lower))
    return Style.parse(f"{BRIGHT if letter else above} on {below}")


class Dashboard:
    """Draws a run while it goes on: use as a context, and call `show` again and again."""

    def __init__(
        self,
        world: WorldFile,
        folder: Path,
        begun: Metrics,
        console: Console,
        pixels: Pixels = lambda rows, columns: None,
    ):
        self.world, self.folder, self.console, self.pixels = world, folder, console, pixels
        self.trend = Trend(begun)
        self.note = ""
        self._news: tuple[float, str] = (-1e9, "")
        self._drawn_at = 0.0
        self._live = Live(console=console, screen=console.is_terminal, auto_refresh=False, transient=True)

    def __enter__(self) -> "Dashboard":
        self._live.__enter__()
        self.show({})
        return self

    def __exit__(self, *what: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, status: Mapping[str, Any], told: Sequence[str] = (), note: str = "") -> None:
        """Take in a report, and draw if the last drawing is long enough ago."""
        lines = self.trend.note(status, told)
        if lines:
            self._news = (time.monotonic(), lines[-1])
        now = time.monotonic()
        if now - self._drawn_at < 1 / FRAMES_PER_S and note == self.note:
            return
        self.note = note
        self._live.update(self.layout(), refresh=True)
        self._drawn_at = time.monotonic()

    def layout(self) -> Layout:
        """The whole screen."""
        metrics, nodes = self.trend.latest, by_name(self.trend.status.get("nodes", []))
        side = Layout(name="side", size=min(SIDE_COLUMNS, self.console.width // 2 + 4))
        species = sum(len(found) for found in metrics.populations.values())
        life = self._panel(self._populations(metrics), "life")
        if metrics.substances:
            matter = self._panel(self._matter(metrics), "matter")
            side.split_column(Layout(life, size=species + 4), Layout(matter))
        else:
            side.update(life)
        room = max(1, (self.console.height - 8) // 3)
        shown = nodes[: room if len(nodes) <= room else room - 1]
        wide = self.console.width - side.size - 4 if side.size else self.console.width
        common = self.world.common
        left, rows = Layout(), len(shown) + (len(nodes) > len(shown)) + 1 if nodes else 1
        left.split_column(
            Layout(self._panel(self._map(nodes), f"{common.width} × {common.height}")),
            Layout(self._panel(self._nodes(shown, len(nodes) - len(shown), wide), "nodes"), size=rows + 2),
        )
        middle = Layout()
        middle.split_row(left, side)
        whole = Layout()
        whole.split_column(Layout(self._head(), size=1), middle, Layout(self._foot(), size=1))
        return whole

    def _map(self, nodes: Sequence[Mapping[str, Any]]) -> HalfBlocks:
        return HalfBlocks((self.world.common.height, self.world.common.width), self.pixels, nodes)

    def _panel(self, content: object, title: str) -> Panel:
        return Panel(content, title=Text(title, DIM), title_align="left", border_style="#2b3a42", padding=(0, 1))  # type: ignore[arg-type]

    def _head(self) -> Table:
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1, no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        left = Text.assemble((" umwelt ", "bold #0d1418 on #6fd3b4"), (f" {self.world.name} ", f"bold {BRIGHT}"))
        left.append(f" tick {self.trend.tick:,} ", "#6fd3b4")
        status = self.trend.status
        if status.get("paused"):
            left.append(" paused ", f"bold #0d1418 on {ALARM}")
        elif status.get("speed"):
            left.append(f" held to {short(status['speed'])} ticks/s", DIM)
        right = Text(f"{short(self.trend.ticks_per_s())} ticks/s", BRIGHT)
        right.append(f" · {self.trend.living():,} alive ", DIM)
        line.add_row(left, right)
        return line

    def _populations(self, metrics: Metrics) -> Group:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(max_width=10, no_wrap=True, overflow="ellipsis")
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        colours = tints_of(metrics)
        for table, found in metrics.populations.items():
            for name, count in found.items():
                colour = colours[f"{table}/{name}"]
                past = list(self.trend.populations[f"{table}/{name}"])
                grid.add_row(Text(name, colour), Text(sparkline(past, 14), colour), Text(f"{count:,}", BRIGHT))
        events = Text.assemble(
            ("births ", DIM),
            (short(metrics.births), "#7fd28f"),
            ("   deaths ", DIM),
            (short(metrics.deaths), "#f0705f"),
        )
        return Group(grid, Text(), events)

    def _matter(self, metrics: Metrics) -> Table:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        most = max(metrics.substances.values(), default=1) or 1
        for name, count in sorted(metrics.substances.items(), key=lambda item: -item[1]):
            filled = 0 if count <= 0 else max(1, round(8 * (math.log10(1 + count) / math.log10(1 + most)) ** 3))
            bar = Text("━" * filled, "#4fb3a0").append("─" * (8 - filled), "#24323a")
            grid.add_row(Text(name.replace("_", " "), DIM), bar, Text(short(count), BRIGHT))
        return grid

    def _nodes(self, nodes: Sequence[Mapping[str, Any]], more: int, wide: int) -> Table:
        """A row a node; on narrow screens only what matters most."""
        grid = Table.grid(expand=True, padding=(0, 1))
        columns = [name for name, least in NODE_COLUMNS.items() if wide >= least]
        for name in columns:
            left = name in ("node", "rectangle", "state")
            grid.add_column(
                no_wrap=True, overflow="ellipsis", justify="left" if left else "right", ratio=2 if left else 1
            )
        if not nodes:
            grid.add_row(Text("waiting for nodes", DIM))
            return grid
        grid.add_row(*[Text(name, "#4a5862") for name in columns])
        for at, node in enumerate(nodes):
            cells = node_cells(node)
            tint = TINTS[at % len(TINTS)] if cells["state"] == "ready" else ALARM
            styles = {"node": tint, "state": DIM if cells["state"] == "ready" else ALARM}
            grid.add_row(*[Text(cells[name], styles.get(name, BRIGHT)) for name in columns])
        if more:
            grid.add_row(Text(f"{more} more", DIM))
        return grid

    def _foot(self) -> Text:
        said_s, news = self._news
        if self.note:
            return Text(f" {self.note}", ALARM, no_wrap=True, overflow="ellipsis")
        keys = f" Ctrl-C: save and stop · {self.folder}"
        if time.monotonic() - said_s > SHOWN_AS_NEWS_S:
            return Text(keys, DIM, no_wrap=True, overflow="ellipsis")
        return Text(" Ctrl-C: save and stop · ", DIM, no_wrap=True, overflow="ellipsis").append(news, ALARM)


NODE_COLUMNS = {"node": 0, "rectangle": 64, "holds": 36, "ticks/s": 0, "waits": 30, "memory": 42, "state": 54}
"""What is told of a node, and how many columns wide the room must be for it; it holds beings of its halo too."""


def node_cells(node: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a node, as people read it."""
    y, x, height, width = node["rectangle"] or (0, 0, 0, 0)
    return {
        "node": node["name"],
        "rectangle": f"{width} × {height} at {x},{y}" if node["rectangle"] else "none yet",
        "holds": short(node["entities"]),
        "ticks/s": short(node["ticks_per_s"]),
        "waits": f"{node['waiting_share']:.0%}",
        "memory": f"{node['resident_bytes'] / 2**20:,.0f} MiB",
        "state": node["state"],
    }


def by_name(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Nodes in the order of their names, node-2 before node-10."""
    return sorted(nodes, key=lambda node: (len(node["name"]), node["name"]))


class Lines:
    """A plain line every few seconds, where there is no terminal to draw on; and one for what happens, at once."""

    def __init__(self, begun: Metrics, console: Console):
        self.console, self.trend, self.note = console, Trend(begun), ""
        self._said_at = 0.0

    def __enter__(self) -> "Lines":
        self._said_at = time.monotonic()
        return self

    def __exit__(self, *what: object) -> None:
        pass

    def show(self, status: Mapping[str, Any], told: Sequence[str] = (), note: str = "") -> None:
        """Say what happened, and where the run is if the last line is long enough ago."""
        for line in self.trend.note(status, told):
            self._say(line)
        if note != self.note:
            self.note = note
            self._say(note)
        if time.monotonic() - self._said_at < LINE_EVERY_S:
            return
        self._said_at = time.monotonic()
        metrics, nodes = self.trend.latest, len(status.get("nodes", ()))
        found = [f"{name} {n:,}" for table in metrics.populations.values() for name, n in table.items()]
        pace = short(self.trend.ticks_per_s())
        born = f"births {metrics.births:,} deaths {metrics.deaths:,}"
        self._say(f"tick {self.trend.tick:,}  {pace} ticks/s  {', '.join(found)}  {born}  nodes {nodes}")

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
