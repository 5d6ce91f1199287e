"""The living world in the terminal: time, pace, populations, matter, and a small map in colour.

`Dashboard` draws on a terminal with rich; where there is none, `Lines` prints a plain line every few seconds.
"""

import math
import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from umwelt.client.scene import small_map
from umwelt.cluster.engine import Run
from umwelt.cluster.journal import Metrics

FRAMES_PER_S = 5
LINE_EVERY_S = 5.0
HISTORY = 600
SPARKS = "▁▂▃▄▅▆▇█"
TINTS = ("#7fd28f", "#4fb3a0", "#c6d36a", "#6f9cf0", "#f0705f", "#d58ae6", "#f2b35e", "#8fd6e8")
DIM, BRIGHT = "#6b7a86", "#dfe8ea"


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


class Trend:
    """The last moments of a run, and its recent pace."""

    def __init__(self) -> None:
        self.populations: dict[str, deque[int]] = {}
        self.latest: Metrics | None = None
        self._marks: deque[tuple[float, int]] = deque(maxlen=20)

    def note(self, metrics: Metrics) -> None:
        """Remember a moment; every other one goes when there are too many."""
        self.latest = metrics
        self._marks.append((time.monotonic(), metrics.tick))
        for table, found in metrics.populations.items():
            for name, count in found.items():
                past = self.populations.setdefault(f"{table}/{name}", deque())
                past.append(count)
                if len(past) > HISTORY:
                    self.populations[f"{table}/{name}"] = deque(list(past)[::2])

    def ticks_per_s(self) -> float:
        """Over the last few frames."""
        (first_s, first), (last_s, last) = self._marks[0], self._marks[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


class HalfBlocks:
    """A picture in a terminal: two pixels a character, as tall and wide as there is room."""

    def __init__(self, run: Run):
        self.run = run

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        owned = self.run.region.owned
        columns, lines = max(1, options.max_width), max(1, options.height or 16)
        # cells are square: fit the world's shape into the room
        wide = min(columns, max(1, round(lines * 2 * owned.width / owned.height)))
        high = min(lines, max(1, round(wide * owned.height / owned.width / 2)))
        pixels = small_map(self.run.region, high * 2, wide).tolist()
        left = " " * ((columns - wide) // 2)
        for _ in range((lines - high) // 2):
            yield Segment("\n")
        for line in range(high):
            yield Segment(left)
            for upper, lower in zip(pixels[2 * line], pixels[2 * line + 1], strict=True):
                yield Segment("▀", _style(tuple(upper), tuple(lower)))
            yield Segment("\n")


def _style(upper: tuple[int, ...], lower: tuple[int, ...]) -> Style:
    # a few bits less of colour cannot be seen, and let styles be found again
    return Style.parse(
        "#{:02x}{:02x}{:02x} on #{:02x}{:02x}{:02x}".format(*(value & 0xF8 for value in (*upper, *lower)))
    )


class Dashboard:
    """Draws a run while it goes on: use as a context, and call `show` after each tick."""

    def __init__(self, run: Run, console: Console):
        self.run, self.trend = run, Trend()
        self._drawn_at = 0.0
        self._live = Live(console=console, screen=console.is_terminal, auto_refresh=False, transient=True)

    def __enter__(self) -> "Dashboard":
        self._live.__enter__()
        self.show()
        return self

    def __exit__(self, *what: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, note: str = "") -> None:
        """Draw, if the last drawing is long enough ago."""
        now = time.monotonic()
        if now - self._drawn_at < 1 / FRAMES_PER_S and not note:
            return
        self.trend.note(self.run.measure())
        self._live.update(self.layout(note), refresh=True)
        self._drawn_at = time.monotonic()

    def layout(self, note: str = "") -> Layout:
        """The whole screen."""
        metrics = self.trend.latest
        assert metrics is not None
        side = Layout(name="side", size=36)
        species = sum(len(found) for found in metrics.populations.values())
        life = self._panel(self._populations(metrics), "life")
        if metrics.substances:
            matter = self._panel(self._matter(metrics), "matter")
            side.split_column(Layout(life, size=species + 4), Layout(matter))
        else:
            side.update(life)
        middle = Layout()
        middle.split_row(Layout(self._panel(HalfBlocks(self.run), self._place())), side)
        whole = Layout()
        whole.split_column(Layout(self._head(metrics), size=1), middle, Layout(self._foot(note), size=1))
        return whole

    def _panel(self, content: object, title: str) -> Panel:
        return Panel(content, title=Text(title, DIM), title_align="left", border_style="#2b3a42", padding=(0, 1))  # type: ignore[arg-type]

    def _place(self) -> str:
        owned = self.run.region.owned
        return f"{owned.width} × {owned.height}"

    def _head(self, metrics: Metrics) -> Table:
        living = sum(sum(found.values()) for found in metrics.populations.values())
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1)
        line.add_column(justify="right")
        left = Text.assemble((" umwelt ", "bold #0d1418 on #6fd3b4"), (f" {self.run.world.name} ", f"bold {BRIGHT}"))
        left.append(f" tick {metrics.tick:,} ", "#6fd3b4")
        right = Text(f"{short(self.trend.ticks_per_s())} ticks/s", BRIGHT).append(f" · {living:,} alive ", DIM)
        line.add_row(left, right)
        return line

    def _populations(self, metrics: Metrics) -> Group:
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(max_width=10, no_wrap=True, overflow="ellipsis")
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        tint = 0
        for table, found in metrics.populations.items():
            for name, count in found.items():
                colour = TINTS[tint % len(TINTS)]
                tint += 1
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

    def _foot(self, note: str) -> Text:
        return Text(note or f" Ctrl-C: save and stop · {self.run.store.folder}", DIM, no_wrap=True, overflow="ellipsis")


class Lines:
    """A plain line every few seconds, where there is no terminal to draw on."""

    def __init__(self, run: Run, console: Console):
        self.run, self.console, self.trend = run, console, Trend()
        self._said_at = 0.0

    def __enter__(self) -> "Lines":
        self._said_at = time.monotonic()
        self.trend.note(self.run.measure())
        return self

    def __exit__(self, *what: object) -> None:
        pass

    def show(self, note: str = "") -> None:
        """Say where the run is, if the last line is long enough ago."""
        if time.monotonic() - self._said_at < LINE_EVERY_S:
            return
        metrics = self.run.measure()
        self.trend.note(metrics)
        found = [f"{name} {n:,}" for table in metrics.populations.values() for name, n in table.items()]
        pace = short(self.trend.ticks_per_s())
        born = f"births {metrics.births:,} deaths {metrics.deaths:,}"
        line = f"tick {metrics.tick:,}  {pace} ticks/s  {', '.join(found)}  {born}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._said_at = time.monotonic()
