"""The terminal view of a running world: tick, speed, populations, matter, nodes, and a map in colour.

`Dashboard` draws on the full screen of a terminal, by the library rich. `StatusLines` prints plain lines, for output
that is not a terminal. Both show the status that the coordinator (the process that directs the nodes, which compute
parts of the world) reports, and its events, such as a node that joined, as soon as they arrive. Plants consist of
modules, each of which is a being.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from umwelt.agents.world_file import WorldFile
from umwelt.cluster import Metrics

FRAMES_PER_S = 5
LINE_EVERY_S = 5.0
"""Seconds between two lines of status that `StatusLines` prints."""
MAX_HISTORY = 600
"""Maximum number of values in the history of a population."""
MAX_SPEED_MARKS = 20
"""Number of statuses over which the speed is averaged."""
SPARKS = "▁▂▃▄▅▆▇█"
"""Characters of a `sparkline`, from 0 to the maximum."""
SPARKLINE_COLUMNS = 14
"""Width of the history of a species, in characters."""
TINTS = ("#7fd28f", "#4fb3a0", "#c6d36a", "#6f9cf0", "#f0705f", "#d58ae6", "#f2b35e", "#8fd6e8")
"""Colours of species and nodes, assigned in this order."""
DIM, BRIGHT, ALARM, FRAME = "#6b7a86", "#dfe8ea", "#f2b35e", "#2b3a42"
BACKGROUND = (14, 20, 24)
SIDE_COLUMNS = 36
"""Maximum width of the right side of the screen, in characters."""
NEWS_S = 20.0
"""Time in seconds for which the latest event remains in the last line of the screen."""
DEFAULT_LINES = 16
"""Height of the map, in lines, if rich does not specify one."""
BAR_COLUMNS = 8
"""Width of the bar of a substance, in characters."""
COLOUR_MASK = 0xF8
"""Mask for each byte of a colour. It drops the three low bits, which nobody sees, so that rich has fewer styles to
make and can reuse those in its cache."""

Pixels = Callable[[int, int], np.ndarray | None]
"""A function of `rows, columns` that returns a picture of the world, `uint8[rows, columns, 3]`.

Returns None until the first picture is available.
"""


def sparkline(values: Sequence[float], width: int) -> str:
    """Returns a bar chart of at most `width` characters, scaled from 0 to the maximum of `values`."""
    if not values or width < 1:
        return ""
    width = min(width, len(values))
    samples = [values[len(values) * (i + 1) // width - 1] for i in range(width)]
    top = max(*samples, 1e-9)
    return "".join(SPARKS[min(len(SPARKS) - 1, int(value / top * (len(SPARKS) - 1e-3)))] for value in samples)


def format_short(number: float) -> str:
    """Formats a number in at most five characters, such as 950, 12.3k or 4.56M."""
    for limit, divisor, unit in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(number) >= limit:
            scaled = number / divisor
            return f"{scaled:.3g}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def species_tints(metrics: Metrics) -> dict[str, str]:
    """Returns the colour ("#rrggbb") of each species, keyed by "table/species"."""
    names = [f"{table}/{species}" for table, counts in metrics.populations.items() for species in counts]
    return {name: TINTS[number % len(TINTS)] for number, name in enumerate(names)}


def colour_parts(tint: str) -> np.ndarray:
    """Returns red, green and blue of a colour "#rrggbb", as `float32[3]` from 0 to 1."""
    return np.array([int(tint[start : start + 2], 16) for start in (1, 3, 5)], np.float32) / 255


class Trend:
    """The data that both views show: the latest status, populations over time, the speed, and new events.

    `first_metrics` are the world's measurements before the first status.
    """

    def __init__(self, first_metrics: Metrics) -> None:
        self.populations: dict[str, deque[int]] = {}
        """Counts over time, keyed by "table/species". Beyond `MAX_HISTORY` values, every second one is dropped."""
        self.latest = first_metrics
        self.tick = first_metrics.tick
        self.status: Mapping[str, Any] = {}
        self._marks: deque[tuple[float, int]] = deque(maxlen=MAX_SPEED_MARKS)
        """The monotonic time and the tick of each of the last statuses, for `ticks_per_s`."""
        self._events: list[Any] = []
        self._shown_messages = 0
        self._add_metrics(first_metrics)

    def note(self, status: Mapping[str, Any], messages: Sequence[str] = ()) -> list[str]:
        """Updates the data with a status, and returns the texts of new events and messages.

        `messages` are all messages so far of the engine (which starts the processes of the run).
        """
        lines = list(messages[self._shown_messages :])
        self._shown_messages = len(messages)
        if not status or status is self.status:
            return lines
        before, self.status, self.tick = self.status, status, status["tick"]
        if status["epoch"] != before.get("epoch") or status["phase"] not in ("running", "settling"):
            self._marks.clear()
        self._marks.append((time.monotonic(), self.tick))
        metrics = status["metrics"]
        if metrics is not None and metrics["tick"] != self.latest.tick:
            past, present = self.latest.populations, metrics["populations"]
            # an extinct species is missing from the status: its count is 0
            populations = {
                table: {**dict.fromkeys(past.get(table, ()), 0), **present.get(table, {})}
                for table in {**past, **present}
            }
            totals = metrics["births"], metrics["deaths"]
            self._add_metrics(Metrics(metrics["tick"], *totals, populations, metrics["substances"]))
        return [event["line"] for event in self._new_events(status["events"])] + lines

    def _new_events(self, events: list[Any]) -> list[Any]:
        """Returns those of `events` that were not in the previous status.

        The coordinator drops old events, so the list can also get shorter at its beginning.
        """
        past, self._events = self._events, events
        for fresh_count in range(len(events) + 1):
            known_count = len(events) - fresh_count
            if known_count <= len(past) and past[len(past) - known_count :] == events[:known_count]:
                return events[known_count:]
        return events

    def _add_metrics(self, metrics: Metrics) -> None:
        """Makes `metrics` the latest measurements, and adds their counts to the population history."""
        self.latest = metrics
        for table, counts in metrics.populations.items():
            for species, count in counts.items():
                history = self.populations.setdefault(f"{table}/{species}", deque())
                history.append(count)
                if len(history) > MAX_HISTORY:
                    self.populations[f"{table}/{species}"] = deque(list(history)[::2])

    def ticks_per_s(self) -> float:
        """Returns the mean speed over the last `MAX_SPEED_MARKS` statuses; 0 if there are fewer than two."""
        if len(self._marks) < 2:
            return 0.0
        (first_s, first_tick), (last_s, last_tick) = self._marks[0], self._marks[-1]
        return max(0.0, (last_tick - first_tick) / (last_s - first_s)) if last_s > first_s else 0.0

    def living_count(self) -> int:
        """Returns the number of living beings; each module of a plant counts as one."""
        return sum(sum(counts.values()) for counts in self.latest.populations.values())


class HalfBlocks:
    """A rich renderable that shows a picture of the world with two pixels per character, scaled to the available space.

    While `pixels` returns None, it shows the nodes' rectangles instead, those with more beings brighter.
    """

    def __init__(self, shape: tuple[int, int], pixels: Pixels, nodes: Sequence[Mapping[str, Any]]):
        self.shape, self.pixels, self.nodes = shape, pixels, nodes

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height, width = self.shape
        max_columns, max_lines = max(1, options.max_width), max(1, options.height or DEFAULT_LINES)
        # a character is twice as high as wide, so that cells come out square
        columns = min(max_columns, max(1, round(max_lines * 2 * width / height)))
        lines = min(max_lines, max(1, round(columns * height / width / 2)))
        drawing = self.pixels(lines * 2, columns)
        letters: dict[tuple[int, int], str] = {}
        if drawing is None:
            drawing, letters = draw_rectangles(self.shape, self.nodes, lines * 2, columns)
        pixels = drawing.tolist()
        left = " " * ((max_columns - columns) // 2)
        for _ in range((max_lines - lines) // 2):
            yield Segment("\n")
        for line in range(lines):
            yield Segment(left)
            for column, (upper, lower) in enumerate(zip(pixels[2 * line], pixels[2 * line + 1], strict=True)):
                letter = letters.get((line, column))
                yield Segment(letter or "▀", _pixel_style(tuple(upper), tuple(lower), letter is not None))
            yield Segment("\n")


def draw_rectangles(
    shape: tuple[int, int], nodes: Sequence[Mapping[str, Any]], rows: int, columns: int
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """Draws the nodes' rectangles; returns the picture and the characters of the nodes' names.

    The picture is `uint8[rows, columns, 3]`; the characters are keyed by (line, column) in the terminal, where a line
    is two rows.
    """
    drawing = np.zeros((rows, columns, 3), np.uint8) + np.array(BACKGROUND, np.uint8)
    letters: dict[tuple[int, int], str] = {}
    owners = [node for node in nodes if node["rectangle"]]
    max_entities = max((node["entities"] for node in owners), default=0) or 1
    for number, node in enumerate(owners):
        y, x, height, width = node["rectangle"]
        top, bottom = y * rows // shape[0], max(y * rows // shape[0] + 1, (y + height) * rows // shape[0])
        left, right = x * columns // shape[1], max(x * columns // shape[1] + 1, (x + width) * columns // shape[1])
        colour = colour_parts(TINTS[number % len(TINTS)]) * 255
        brightness = 0.18 + 0.22 * node["entities"] / max_entities
        drawing[top:bottom, left:right] = colour * brightness * 0.6
        drawing[top + 1 : bottom - 1, left + 1 : right - 1] = colour * brightness
        line, first = (top + bottom) // 4, left + max(1, (right - left - len(node["name"])) // 2)
        if (bottom - top) >= 2:
            letters |= {(line, first + i): letter for i, letter in enumerate(node["name"]) if first + i < right}
    return drawing, letters


def _pixel_style(upper: tuple[int, ...], lower: tuple[int, ...], is_letter: bool = False) -> Style:
    """Returns the style of a character that shows two pixels, or one letter over the lower pixel's colour."""
    above, below = ("#{:02x}{:02x}{:02x}".format(*(part & COLOUR_MASK for part in pixel)) for pixel in (upper, lower))
    return Style.parse(f"{BRIGHT if is_letter else above} on {below}")


class Dashboard:
    """A context manager that shows a run on the full screen of a terminal; its owner calls `show` with each status.

    `first_metrics` are the world's measurements before the first status; `pixels` draws the map.
    """

    def __init__(
        self,
        world: WorldFile,
        folder: Path,
        first_metrics: Metrics,
        console: Console,
        pixels: Pixels = lambda rows, columns: None,
    ):
        self.world, self.folder, self.console, self.pixels = world, folder, console, pixels
        self.trend = Trend(first_metrics)
        self.note = ""
        self._news: tuple[float, str] = (-1e9, "")
        self._drawn_s = 0.0
        self._live = Live(console=console, screen=console.is_terminal, auto_refresh=False, transient=True)

    def __enter__(self) -> "Dashboard":
        self._live.__enter__()
        self.show({})
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, status: Mapping[str, Any], messages: Sequence[str] = (), note: str = "") -> None:
        """Updates the data, and redraws the screen at most `FRAMES_PER_S` times per second, or if `note` has changed.

        `messages` are all messages so far of the engine, which starts the processes of the run; `note` is shown in the
        last line.
        """
        lines = self.trend.note(status, messages)
        if lines:
            self._news = (time.monotonic(), lines[-1])
        if time.monotonic() - self._drawn_s < 1 / FRAMES_PER_S and note == self.note:
            return
        self.note = note
        self._live.update(self.layout(), refresh=True)
        self._drawn_s = time.monotonic()

    def layout(self) -> Layout:
        """Returns the layout of the full screen."""
        metrics, nodes = self.trend.latest, sort_nodes(self.trend.status.get("nodes", []))
        side = Layout(name="side", size=min(SIDE_COLUMNS, self.console.width // 2 + 4))
        species_count = sum(len(counts) for counts in metrics.populations.values())
        life = _panel(self._populations(metrics), "life")
        if metrics.substances:
            side.split_column(Layout(life, size=species_count + 4), Layout(_panel(_matter(metrics), "matter")))
        else:
            side.update(life)
        room = max(1, (self.console.height - 8) // 3)
        shown = nodes[: room if len(nodes) <= room else room - 1]
        columns = self.console.width - side.size - 4 if side.size else self.console.width
        common = self.world.common
        left, rows = Layout(), len(shown) + (len(nodes) > len(shown)) + 1 if nodes else 1
        left.split_column(
            Layout(_panel(self._map(nodes), f"{common.width} × {common.height}")),
            Layout(_panel(_nodes(shown, len(nodes) - len(shown), columns), "nodes"), size=rows + 2),
        )
        middle = Layout()
        middle.split_row(left, side)
        whole = Layout()
        whole.split_column(Layout(self._head(), size=1), middle, Layout(self._foot(), size=1))
        return whole

    def _map(self, nodes: Sequence[Mapping[str, Any]]) -> HalfBlocks:
        """Returns the map of the world, or of its nodes."""
        return HalfBlocks((self.world.common.height, self.world.common.width), self.pixels, nodes)

    def _head(self) -> Table:
        """Returns the first line of the screen: the world's name, tick, speed, and number of living beings."""
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1, no_wrap=True)
        line.add_column(justify="right", no_wrap=True)
        left = Text.assemble((" umwelt ", "bold #0d1418 on #6fd3b4"), (f" {self.world.name} ", f"bold {BRIGHT}"))
        left.append(f" tick {self.trend.tick:,} ", "#6fd3b4")
        status = self.trend.status
        if status.get("paused"):
            left.append(" paused ", f"bold #0d1418 on {ALARM}")
        elif status.get("speed"):
            left.append(f" limited to {format_short(status['speed'])} ticks/s", DIM)
        right = Text(f"{format_short(self.trend.ticks_per_s())} ticks/s", BRIGHT)
        right.append(f" · {self.trend.living_count():,} alive ", DIM)
        line.add_row(left, right)
        return line

    def _populations(self, metrics: Metrics) -> Group:
        """Returns a table of species, with a bar chart of past counts and the present count of each.

        Below the table are the totals of births and deaths.
        """
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(max_width=10, no_wrap=True, overflow="ellipsis")
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        tints = species_tints(metrics)
        for table, counts in metrics.populations.items():
            for species, count in counts.items():
                tint = tints[f"{table}/{species}"]
                history = list(self.trend.populations[f"{table}/{species}"])
                bars = sparkline(history, SPARKLINE_COLUMNS)
                grid.add_row(Text(species, tint), Text(bars, tint), Text(f"{count:,}", BRIGHT))
        totals = Text.assemble(
            ("births ", DIM),
            (format_short(metrics.births), "#7fd28f"),
            ("   deaths ", DIM),
            (format_short(metrics.deaths), "#f0705f"),
        )
        return Group(grid, Text(), totals)

    def _foot(self) -> Text:
        """Returns the last line of the screen: the note, or else the help and the latest event."""
        news_s, news = self._news
        if self.note:
            return Text(f" {self.note}", ALARM, no_wrap=True, overflow="ellipsis")
        if time.monotonic() - news_s > NEWS_S:
            help_line = f" Ctrl-C: save and stop · {self.folder}"
            return Text(help_line, DIM, no_wrap=True, overflow="ellipsis")
        return Text(" Ctrl-C: save and stop · ", DIM, no_wrap=True, overflow="ellipsis").append(news, ALARM)


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=Text(title, DIM), title_align="left", border_style=FRAME, padding=(0, 1))


def _matter(metrics: Metrics) -> Table:
    """Returns a table of substances, most abundant first, with bars on a logarithmic scale."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    max_count = max(metrics.substances.values(), default=1) or 1
    for name, count in sorted(metrics.substances.items(), key=lambda item: -item[1]):
        share = math.log10(1 + count) / math.log10(1 + max_count) if count > 0 else 0.0
        filled = 0 if count <= 0 else max(1, round(BAR_COLUMNS * share**3))
        bar = Text("━" * filled, "#4fb3a0").append("─" * (BAR_COLUMNS - filled), "#24323a")
        grid.add_row(Text(name.replace("_", " "), DIM), bar, Text(format_short(count), BRIGHT))
    return grid


NODE_COLUMNS = {"node": 0, "rectangle": 64, "holds": 36, "ticks/s": 0, "waits": 30, "memory": 42, "state": 54}
"""The columns of the table of nodes, each with the minimum width of the table (in characters) at which it is shown.

"holds" is the number of a node's beings, including those in its halo, the copies of the cells around its rectangle;
"waits" is the share of time that it waits for its neighbours.
"""


def _nodes(nodes: Sequence[Mapping[str, Any]], more_count: int, room_columns: int) -> Table:
    """Returns a table with a row for each node, and a last row for `more_count` nodes that are left out.

    `room_columns` is the available width in characters; it selects the columns (see `NODE_COLUMNS`).
    """
    grid = Table.grid(expand=True, padding=(0, 1))
    names = [name for name, min_columns in NODE_COLUMNS.items() if room_columns >= min_columns]
    for name in names:
        is_text = name in ("node", "rectangle", "state")
        grid.add_column(
            no_wrap=True, overflow="ellipsis", justify="left" if is_text else "right", ratio=2 if is_text else 1
        )
    if not nodes:
        grid.add_row(Text("waiting for nodes", DIM))
        return grid
    grid.add_row(*[Text(name, "#4a5862") for name in names])
    for number, node in enumerate(nodes):
        cells = describe_node(node)
        is_ready = cells["state"] == "ready"
        styles = {"node": TINTS[number % len(TINTS)] if is_ready else ALARM, "state": DIM if is_ready else ALARM}
        grid.add_row(*[Text(cells[name], styles.get(name, BRIGHT)) for name in names])
    if more_count:
        grid.add_row(Text(f"{more_count} more", DIM))
    return grid


def describe_node(node: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values of a node as text, keyed by the names of `NODE_COLUMNS`."""
    y, x, height, width = node["rectangle"] or (0, 0, 0, 0)
    return {
        "node": node["name"],
        "rectangle": f"{width} × {height} at {x},{y}" if node["rectangle"] else "none yet",
        "holds": format_short(node["entities"]),
        "ticks/s": format_short(node["ticks_per_s"]),
        "waits": f"{node['waiting_share']:.0%}",
        "memory": f"{node['resident_bytes'] / 2**20:,.0f} MiB",
        "state": node["state"],
    }


def sort_nodes(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns `nodes` sorted by name, node-2 before node-10."""
    return sorted(nodes, key=lambda node: (len(node["name"]), node["name"]))


class StatusLines:
    """A context manager that prints the status as a line every `LINE_EVERY_S` seconds, and each event as it arrives."""

    def __init__(self, first_metrics: Metrics, console: Console):
        self.console, self.trend, self.note = console, Trend(first_metrics), ""
        self._printed_s = 0.0

    def __enter__(self) -> "StatusLines":
        self._printed_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, status: Mapping[str, Any], messages: Sequence[str] = (), note: str = "") -> None:
        """Prints new events, `note` if it has changed, and a line of status if one is due.

        `messages` are all messages so far of the engine, which starts the processes of the run.
        """
        for line in self.trend.note(status, messages):
            self._print(line)
        if note != self.note:
            self.note = note
            self._print(note)
        if time.monotonic() - self._printed_s < LINE_EVERY_S:
            return
        self._printed_s = time.monotonic()
        metrics, node_count = self.trend.latest, len(status.get("nodes", ()))
        counts = [f"{name} {n:,}" for table in metrics.populations.values() for name, n in table.items()]
        speed = format_short(self.trend.ticks_per_s())
        totals = f"births {metrics.births:,} deaths {metrics.deaths:,}"
        self._print(f"tick {self.trend.tick:,}  {speed} ticks/s  {', '.join(counts)}  {totals}  nodes {node_count}")

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
