"""What hands can do in the window: tools that drop, paint, spawn, move, wound; and an undo that says what it is.

The window tells where the mouse is, in cells; `Hands` makes of it what `api.Connection` knows, and says where marks
belong. Strokes are held back so that no more than ten commands a second leave, each with all cells passed since.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from umwelt.agents.body.interface import SUBSTANCES
from umwelt.agents.commands import deeds
from umwelt.agents.commands.deeds import MAX_ELEVATION, MAX_IN_CELL_COUNT, MAX_RADIUS_CELLS, MAX_SIDE_CELLS
from umwelt.agents.commands.requests import MAX_DEEDS
from umwelt.client.window.draw.marks import Line, Ring
from umwelt.client.window.feed.feed import nearest, place_of
from umwelt.client.window.feed.torus import cell_of, inside, shortest
from umwelt.client.window.input.palette import (
    BY_NAME,
    TOOLS,
    Done,
    Question,
    Settings,
    Tool,
    outline,
    pieces,
)
from umwelt.client.window.session import Session
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import UmweltError

COMMAND_EVERY_S = 0.1
REACH_PIXELS, REACH_CELLS = 26.0, 0.8
"""How far from the mouse a being may be and yet be meant: whichever is more."""
DONE_KEPT = 500
SPECTATOR_LINE = "you may look, not change the world: come with a keeper's key"
PAST_LINE = "this is the past: fork it to change it"


@dataclass
class Stroke:
    """A press until its release: what is still to be sent, and what came of what was sent."""

    made: Callable[[int, int], Any]
    """The deed for a cell."""
    words: Callable[[int], str]
    """Told at the end, from how many deeds."""
    spacing: int
    waiting: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0
    settled: int = 0
    commands: int = 0
    released: bool = False
    failed: bool = False
    tick: int = -1
    record: Done | None = None


class Hands:
    """See the page's top. `tool` is the chosen tool's name, `asking` a question that waits for `answer`.

    `genome` (of one of `genome_species`, in `genome_table`) and `like` are what is copied by the tools that put beings.
    """

    def __init__(self, session: Session):
        self.session = session
        self.tool = "look"
        self.settings = Settings(
            plant=next(iter(self.species("plants")), ""), monster=next(iter(self.species("monsters")), "")
        )
        self.genome: list[int] | None = None
        self.genome_species = self.genome_table = ""
        self.like = 0
        self.asking: Question | None = None
        self._at: tuple[float, float] | None = None
        """Where the mouse is."""
        self._from: tuple[float, float] | None = None
        """Where it was pressed; `_way` is how far it has come since, which a torus does not tell by itself."""
        self._way = (0.0, 0.0)
        self._stroke: Stroke | None = None
        self._carried = 0
        self._area = False
        self._sent_s = -1e9
        self._last = (0, 0)
        """The cell that was sent last."""

    # --- what there is to choose from

    @property
    def done(self) -> list[Done]:
        """What was done from here, oldest first."""
        return self.session.done

    def species(self, table: str) -> list[str]:
        """The species of a table, as far as the server told them apart."""
        known = self.session.known
        return [name for name in known.species if known.kinds.get(name, table) == table]

    @property
    def substances(self) -> list[str]:
        """What can be dropped."""
        return list(self.session.known.substances or SUBSTANCES)

    @property
    def parts(self) -> list[str]:
        """What can be painted: fields and substances; the sky follows from the climate."""
        known, sky = self.session.known, ("light", "temperature", "rain")
        return [name for name in known.layers[1:] if name not in sky]

    def choose(self, tool: int | str) -> None:
        """Take a tool, by its name or its number; an unknown number is passed over."""
        names = [one.name for one in TOOLS]
        name = tool if isinstance(tool, str) else names[tool] if 0 <= tool < len(names) else self.tool
        if name in names and name != self.tool:
            self._let_go()
            self.tool = name

    def copy_genome(self, being: dict[str, Any] | None) -> bool:
        """Keep the genome of a fetched being, for monsters to come; gives whether it has one."""
        genome = ((being or {}).get("row") or {}).get("genome")
        if being is None or genome is None:
            self.session.say("no genome to copy: select a being first", bad=True)
            return False
        genes = genome if isinstance(genome, bytes) else bytes(int(gene) % 256 for gene in genome)
        self.genome = [gene - 256 if gene > 127 else gene for gene in genes]
        at = being["row"].get("species", 0)
        names = self.session.known.species
        self.genome_species = names[at] if 0 <= at < len(names) else ""
        self.genome_table = self.session.known.kinds.get(self.genome_species) or str(being.get("kind", ""))
        if self.genome_table == "plants":
            self.settings.plant_source = "genome"
            self.choose("seed")
        else:
            self.settings.source = "genome"
            self.choose("monster")
        self.session.say(f"genome of {self.genome_species or 'the being'} {being.get('id', 0)} copied")
        return True

    def copy_being(self, being: int) -> None:
        """Let the monster tool make copies of a living being."""
        self.like, self.settings.source = being, "copy"
        self.choose("monster")

    # --- the mouse

    def press(self, y: float, x: float, being_id: int = 0, table: str = "", modifiers: int = 0) -> None:
        """Begin; `being_id` is who is under the mouse, 0 if nobody."""
        self._at = self._from = (y, x)
        self._way = (0.0, 0.0)
        if self.tool == "look":
            self.session.select(being_id, table)
            return
        if not self._may():
            return
        shift = bool(modifiers & 1)
        self._area = BY_NAME[self.tool].use == "area" and self.settings.rectangle != shift
        getattr(self, f"_press_{self.tool}")(being_id, table)

    def drag(self, y: float, x: float) -> None:
        """Go on with the button held."""
        before, self._at = self._at, (y, x)
        if self._from is None or before is None:
            return
        torus = self.session.torus
        step = shortest(y - before[0], torus.height), shortest(x - before[1], torus.width)
        self._way = (self._way[0] + step[0], self._way[1] + step[1])
        if self._stroke is not None:
            self._pass(before, step)
            self._flush()

    def release(self, y: float, x: float) -> None:
        """Let go: what was dragged is done."""
        self.drag(y, x)
        if self._from is not None and self._area:
            self._paint_rectangle()
        elif self._carried:
            self._put_down(y, x)
        self._let_go()

    def hover(self, y: float, x: float) -> None:
        """The mouse moves with no button held."""
        self._at = (y, x)

    def cancel(self) -> None:
        """Put down what is held and take the look tool; or close the question."""
        if self.asking is not None:
            self.asking = None
        elif self._from is not None and (self._area or self._carried):
            self._area, self._carried = False, 0
            self._let_go()
        else:
            self.choose("look")

    def turn(self, now_s: float) -> None:
        """Once a frame: what of a stroke was held back goes; what is poured, goes on being poured."""
        stroke = self._stroke
        if stroke is None:
            return
        still = self._at is not None and not stroke.waiting and self.tool == "drop"
        if still and now_s - self._sent_s >= COMMAND_EVERY_S:
            assert self._at is not None
            stroke.waiting.append(self._cell(*self._at))
        self._flush()

    def _let_go(self) -> None:
        stroke, self._stroke = self._stroke, None
        self._from, self._carried, self._area = None, 0, False
        if stroke is not None:
            self._flush(stroke, last=True)
            stroke.released = True
            self._ended(stroke)

    def _may(self) -> bool:
        """Whether the world may be touched now; if not, why, once."""
        if not self.session.keeper:
            self._say_once(SPECTATOR_LINE)
            return False
        if self.session.shown != LIVE:
            self._say_once(PAST_LINE)
            self.ask_to_fork(self.session.tick)
            return False
        return True

    def _say_once(self, line: str) -> None:
        if not any(notice.line == line for notice in self.session.fresh_notices):
            self.session.say(line, bad=True)

    def _cell(self, y: float, x: float) -> tuple[int, int]:
        return cell_of(y, x, self.session.torus)

    # --- what is done at once

    def do(self, words: str, name: str, *arguments: Any, **named: Any) -> None:
        """One command by its name in `api.Connection`, for panels too; it is said and remembered when it is done."""

        def then(tick: Any) -> None:
            self._remember(Done(int(tick), words))

        try:
            self.session.command(name, *arguments, done=words, then=then, **named)
        except UmweltError as error:
            self.session.say(str(error), bad=True)

    def wound(self, being: int, count: int) -> None:
        """Let so much tissue of a body fall."""
        self.do(f"being {being} lost {count} tissue", "wound", being, count)

    def remove(self, being: int) -> None:
        """Take a being out of the world."""
        self.do(f"being {being} taken out of the world", "remove", being)

    def _remember(self, done: Done) -> None:
        self.done.append(done)
        del self.done[:-DONE_KEPT]

    def _press_feed(self, being: int, table: str) -> None:
        assert self._at is not None
        place = place_of(self.session.feed.frame, being, self.session.torus) if being else None
        y, x = self._cell(*(place[:2] if place is not None else self._at))
        food, count = self.settings.food, self.settings.food_count
        self.do(f"fed {count} {food} at {x}, {y}", "drop", y, x, food, count)

    def _press_seed(self, being: int, table: str) -> None:
        if self.settings.plant_source == "genome":
            self._spawn_copied("plants")
        else:
            self._spawn(self.settings.plant, None, "no plants")

    def _press_monster(self, being: int, table: str) -> None:
        source = self.settings.source
        if source == "copy":
            if not self.like:
                self.session.say("nobody to copy yet: select a being, then choose to copy it", bad=True)
                return
            assert self._at is not None
            y, x = inside(*self._at, self.session.torus)
            self.do(f"copied being {self.like} to {x:.0f}, {y:.0f}", "spawn", y=y, x=x, like=self.like)
        elif source == "genome":
            self._spawn_copied("monsters")
        else:
            self._spawn(self.settings.monster, None, "no monsters")

    def _spawn_copied(self, table: str) -> None:
        if self.genome is None:
            self.session.say("no genome copied yet: select a being, then copy its genome", bad=True)
        elif self.genome_table != table:
            self.session.say(f"the copied genome is one of {self.genome_table}: copy one of {table}", bad=True)
        else:
            self._spawn(self.genome_species, self.genome, f"no {table}")

    def _spawn(self, species: str, genome: Sequence[int] | None, none: str) -> None:
        if not species:
            self.session.say(f"{self.session.known.world}: this world has {none} to begin with", bad=True)
            return
        assert self._at is not None
        y, x = self._cell(*self._at)
        words = f"{species} at {x}, {y}" + (" with the copied genome" if genome is not None else "")
        self.do(words, "spawn", species, y, x, genome=genome)

    def _press_wound(self, being: int, table: str) -> None:
        if self._is_one(being):
            self.wound(being, self.settings.wound_count)

    def _press_remove(self, being: int, table: str) -> None:
        if self._is_one(being):
            self.remove(being)

    def _press_move(self, being: int, table: str) -> None:
        if self._is_one(being):
            self._carried = being

    def _put_down(self, y: float, x: float) -> None:
        if math.hypot(*self._way) < 0.05:
            self._say_once("drag the being to where it should go")
            return
        y, x = inside(y, x, self.session.torus)
        self.do(f"being {self._carried} moved to {x:.1f}, {y:.1f}", "move", self._carried, y, x)

    def _is_one(self, being: int) -> bool:
        if not being:
            self._say_once("nobody is here: press on a being; nearer, single beings are seen")
        return bool(being)

    # --- strokes

    def _press_drop(self, being: int, table: str) -> None:
        substance, count = self.settings.substance, self.settings.drop_count
        self._begin(
            lambda y, x: deeds.Drop(y, x, substance, count),
            lambda times: f"dropped {times * count} {substance}",
            1,
        )

    def _press_rain(self, being: int, table: str) -> None:
        radius, count = min(MAX_RADIUS_CELLS, self.settings.rain_radius_cells), self.settings.rain_count
        self._begin(
            lambda y, x: deeds.Rain(y, x, radius, count),
            lambda times: "made rain" if times == 1 else f"made {times} rains",
            max(1, radius),
        )

    def _press_water(self, being: int, table: str) -> None:
        self._begin_paint()

    def _press_rock(self, being: int, table: str) -> None:
        self._begin_paint()

    def _press_paint(self, being: int, table: str) -> None:
        self._begin_paint()

    def _painted(self) -> tuple[str, int]:
        """Which part is painted with what value."""
        settings = self.settings
        return {
            "water": ("water", min(MAX_IN_CELL_COUNT, settings.water_count)),
            "rock": ("elevation", min(MAX_ELEVATION, settings.rock_height)),
            "paint": (settings.part, settings.part_value),
        }[self.tool]

    def _begin_paint(self) -> None:
        if self._area:
            return
        part, value = self._painted()
        side = self._brush()
        torus = self.session.torus
        high, wide = min(side, torus.height), min(side, torus.width)

        def made(y: int, x: int) -> deeds.Paint:
            corner = (y - (high - 1) // 2) % torus.height, (x - (wide - 1) // 2) % torus.width
            return deeds.Paint(*corner, high, wide, part, value)

        self._begin(made, lambda times: f"painted {part} {value}", max(1, side // 2))

    def _brush(self) -> int:
        return min(MAX_SIDE_CELLS, max(1, self.settings.brush_cells))

    def _begin(self, made: Callable[[int, int], Any], words: Callable[[int], str], spacing: int) -> None:
        assert self._at is not None
        self._stroke = Stroke(made, words, spacing, [self._cell(*self._at)])
        self._sent_s = -1e9
        self._flush()

    def _pass(self, start: tuple[float, float], step: tuple[float, float]) -> None:
        """Note the cells from a place on, each once in a row and no nearer to each other than the brush asks for."""
        stroke, torus = self._stroke, self.session.torus
        assert stroke is not None
        count = max(1, math.ceil(max(abs(step[0]), abs(step[1])) * 2))
        for at in range(1, count + 1):
            share = at / count
            y, x = self._cell(start[0] + step[0] * share, start[1] + step[1] * share)
            last = stroke.waiting[-1] if stroke.waiting else self._last
            away = max(abs(shortest(y - last[0], torus.height)), abs(shortest(x - last[1], torus.width)))
            if away >= stroke.spacing:
                stroke.waiting.append((y, x))

    def _flush(self, stroke: Stroke | None = None, last: bool = False) -> None:
        """Send what a stroke holds back, ten times a second; at its end all of it."""
        stroke = stroke or self._stroke
        now_s = self.session.clock()
        if stroke is None or not stroke.waiting or (now_s - self._sent_s < COMMAND_EVERY_S and not last):
            return
        self._sent_s = now_s
        while stroke.waiting and not stroke.failed:
            cells, stroke.waiting = stroke.waiting[:MAX_DEEDS], stroke.waiting[MAX_DEEDS:]
            self._last = cells[-1]
            self._send(stroke, cells)
            if not last:
                break

    def _send(self, stroke: Stroke, cells: Sequence[tuple[int, int]]) -> None:
        def then(tick: Any) -> None:
            stroke.settled += 1
            stroke.sent += len(cells)
            stroke.tick = int(tick) if stroke.tick < 0 else min(stroke.tick, int(tick))
            if stroke.record is None:
                stroke.record = Done(stroke.tick, "")
                self._remember(stroke.record)
            stroke.record.tick, stroke.record.words = stroke.tick, stroke.words(stroke.sent)
            self._ended(stroke)

        def failed(line: str) -> None:
            stroke.settled += 1
            if not stroke.failed:  # one line for a stroke, not ten a second
                self.session.say(line, bad=True)
            stroke.failed, stroke.waiting = True, []
            self._ended(stroke)

        stroke.commands += 1
        try:
            self.session.command("do", *[stroke.made(*cell) for cell in cells], then=then, failed=failed)
        except UmweltError as error:
            failed(str(error))

    def _ended(self, stroke: Stroke) -> None:
        """Say what a stroke did, when all of it is done."""
        if stroke.released and stroke.settled == stroke.commands and stroke.record is not None:
            self.session.say(f"{stroke.record.words} (tick {stroke.tick})")

    # --- rectangles

    def rectangle(self) -> tuple[int, int, int, int] | None:
        """The rectangle that is being drawn: y, x, height, width in cells; it may reach over the seams."""
        if self._from is None or not self._area:
            return None
        torus, spans = self.session.torus, []
        for start, way, size in zip(self._from, self._way, torus, strict=True):
            low, high = sorted((math.floor(start), math.floor(start + way)))
            most = min(MAX_SIDE_CELLS, size)
            if high - low >= most:  # what is too large is cut where the mouse is, not where it was pressed
                low, high = (low, low + most - 1) if way > 0 else (high - most + 1, high)
            spans.append((low % size, high - low + 1))
        (y, height), (x, width) = spans
        return y, x, height, width

    def _paint_rectangle(self) -> None:
        found = self.rectangle()
        assert found is not None
        part, value = self._painted()
        self.do(f"painted {part} {value} on {found[3]} x {found[2]} cells", "paint", *found, part, value)

    # --- marks

    def marks(self) -> tuple[list[Ring], list[Line]]:
        """Rings (y, x, radius in cells, colour) and lines (y, x, y, x, colour, width in pixels) for the overlay."""
        if self._at is None or self.tool == "look":
            return [], []
        tool = BY_NAME[self.tool]
        (y, x), torus = self._at, self.session.torus
        if tool.use == "area":
            found = self.rectangle()
            if found is None:
                side = self._brush()
                cell = self._cell(y, x)
                high, wide = min(side, torus.height), min(side, torus.width)
                found = (cell[0] - (high - 1) // 2, cell[1] - (wide - 1) // 2, high, wide)
            return [], outline(found, tool.colour)
        if tool.use == "grab" and self._carried and self._from is not None:
            faint = (*tool.colour[:3], 0.4)
            way = pieces(self._from[0], self._from[1], self._way[0], self._way[1], faint, 1.5)
            return [(*self._from, 0.8, faint), (y, x, 0.9, tool.colour)], way
        if tool.use in ("being", "grab") or self.tool == "feed":
            return self._mark_being(tool), []
        radius = float(self.settings.rain_radius_cells) + 0.5 if self.tool == "rain" else 0.6
        row, column = self._cell(y, x)
        return [(row + 0.5, column + 0.5, radius, tool.colour)], []

    def _mark_being(self, tool: Tool) -> list[Ring]:
        """A ring about whoever a click would mean."""
        assert self._at is not None
        frame, torus = self.session.feed.frame, self.session.torus
        reach = max(REACH_CELLS, REACH_PIXELS / self.session.camera.scale)
        being, _ = nearest(frame, *self._at, torus, reach)
        place = place_of(frame, being, torus) if being else None
        if place is None:
            return [(*self._at, 0.4, (*tool.colour[:3], 0.45))]
        return [(place[0], place[1], 1.2, tool.colour)]

    # --- undo

    def undo(self, at: int = -1) -> None:
        """Offer what can honestly be offered: a run of its own from just before a deed of ours, by default the last."""
        if not self.session.keeper:
            self._say_once(SPECTATOR_LINE)
            return
        if not -len(self.done) <= at < len(self.done):
            self.session.say("nothing was done from here yet")
            return
        deed = self.done[at]
        # a deed takes effect at the start of its tick, and a fork begins with the state that its tick begins with
        self.asking = Question(
            "Undo?",
            f'"{deed.words}" was done at tick {deed.tick}. Others share this world, and it does not go back. But a new '
            f"run can begin from tick {deed.tick}, just before it: without this deed, and without all that came after.",
            "fork it there",
            "leave it as it is",
            lambda: fork(self.session, deed.tick, f'without "{deed.words}"'),
        )

    def ask_to_fork(self, tick: int) -> None:
        """Offer a new run from a tick of the past, which can then be changed."""
        self.asking = Question(
            "Change the past?",
            f"Tick {tick} has been and stays as it was. A new run can begin from it, to be changed at will; this one "
            "goes on as it does.",
            "fork it there",
            "leave it",
            lambda: fork(self.session, tick),
        )

    def answer(self, yes: bool) -> None:
        """Answer the question that is asked."""
        question, self.asking = self.asking, None
        if question is not None and yes:
            question.then()


def fork(session: Session, tick: int, why: str = "", then: Callable[[str, int], None] | None = None) -> None:
    """Begin a new run from a tick and say where it is and how to open it; `then` is told its folder and tick.

    Ticks are journalled a few at a time: what is not yet, is begun from the last one that is.
    """
    if not session.keeper:
        session.say("only keepers may fork a run: come with a keeper's key", bad=True)
        return
    metrics = session.status.get("metrics") or {}
    reached = max(int(metrics.get("tick", 0)), int(session.status.get("snapshot_tick", 0)))
    tick = max(0, min(tick, reached))

    def made(folder: Any) -> None:
        session.say(f"a new run from tick {tick}{' ' + why if why else ''}: umwelt resume {folder}")
        if then is not None:
            then(str(folder), tick)

    session.say(f"forking the run from tick {tick} ...")
    try:
        session.command("fork", tick, then=made)
    except UmweltError as error:
        session.say(str(error), bad=True)
