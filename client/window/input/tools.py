"""The tools of the window: the chosen tool, the settings of all tools, and the translation of mouse input to commands.

A command changes the world, such as rain over some cells; its values are its fields. The window reports the mouse's
position in cells. The description of the chosen tool (`umwelt.agents.commands.tool`) specifies its command and its
gesture, the way in which the mouse is used:

- "stroke": press and drag; one command for each cell passed (`sending.Stroke`);
- "area": the same with a square brush, or drag a rectangle;
- "point": press on a cell; "target": press on a cell or on a being, which stands for its cell;
- "being": press on a being; "grab": drag a being to another place;
- "spawn": press where a new being is to be placed. Only these tools need more code than their description.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from umwelt.agents.body.interface import SUBSTANCES
from umwelt.agents.commands import Command
from umwelt.agents.commands.paint import MAX_SIDE_CELLS
from umwelt.agents.commands.tool import Choice, Number, Tool
from umwelt.client.window.draw.marks import Line, Ring
from umwelt.client.window.feed.feed import nearest, place_of
from umwelt.client.window.feed.torus import cell_of, inside, shortest
from umwelt.client.window.input.fork_dialog import SPECTATOR_LINE, ForkDialog, say_once
from umwelt.client.window.input.icons import look_of
from umwelt.client.window.input.marks import outline, pieces
from umwelt.client.window.input.palette import BY_NAME, KIND_BY_TOOL, LOOK, TOOLS, Brush, default_settings
from umwelt.client.window.input.sending import CommandSender, Stroke
from umwelt.client.window.session import Session
from umwelt.cluster import LIVE

REACH_PIXELS, REACH_CELLS = 26.0, 0.8
"""Maximum distance between the mouse and a being that it points at, in pixels and in cells; the larger applies."""
MIN_DRAG_CELLS = 0.05
"""Minimum distance of a drag that moves a being."""
SHIFT = 1
"""The bit of `modifiers` for the Shift key."""
SKY_LAYERS = ("light", "temperature", "rain")
"""Layers that are computed from the climate and cannot be painted."""
PAST_LINE = "this is the past: fork it to change it"
"""The notice if the user tries to change a past tick."""
NO_BEING_LINE = "no being is here: press on a being; zoom in to see single beings"

Fields = dict[str, Any]
"""The fields of a command, by name."""


class Toolbox:
    """The tools of one window, their settings, and the state of the gesture in progress.

    `tool` is the name of the chosen tool; `settings[tool][setting]` is the value of a setting. What tools with the
    gesture "spawn" place can have the genome `genome` (genes from -128 to 127, copied from a being of `genome_species`,
    in the table `genome_table`) or be a copy of the being with the id `like`; None and 0 if none has been chosen.
    `sender` sends the commands; `fork_dialog` asks the user before undo and before changes of the past.
    """

    def __init__(self, session: Session):
        self.session = session
        self.sender = CommandSender(session)
        self.fork_dialog = ForkDialog(session, self.sender.done)
        self.tool = LOOK.name
        self.settings = default_settings()
        self.brush = Brush()
        self.genome: list[int] | None = None
        self.genome_species = self.genome_table = ""
        self.like = 0
        self._mouse: tuple[float, float] | None = None
        self._pressed: tuple[float, float] | None = None
        """The position (y, x) in cells at which the button was pressed; None while it is up."""
        self._moved = (0.0, 0.0)
        """The movement (y, x) in cells since the press; on a torus, positions alone do not determine it."""
        self._stroke: Stroke | None = None
        self._stroke_spacing = 1
        """Minimum distance in cells between the cells of two commands of a stroke."""
        self._grabbed = 0
        """The id of the being that is being dragged; 0 if none."""
        self._draws_rectangle = False

    # --- choices and settings

    def species(self, table: str) -> list[str]:
        """Returns the names of the species of a table (kind of being).

        Species whose table is not known are included.
        """
        known = self.session.known
        return [name for name in known.species if known.kinds.get(name, table) == table]

    def choices(self, setting: Choice) -> list[str]:
        """Returns the names that can be chosen for a setting in this world."""
        match setting.known:
            case "substances":
                names = list(self.session.known.substances or SUBSTANCES)
            case "fields":
                names = [name for name in self.session.known.layers[1:] if name not in SKY_LAYERS]
            case "plants" | "monsters":
                names = self.species(setting.known)
            case "":
                names = list(setting.only)
        return [name for name in names if not setting.only or name in setting.only]

    def value(self, tool: Tool, setting: Number | Choice) -> Any:
        """Returns the value of a tool's setting: a number within its bounds, or the chosen name.

        If no name was chosen, it is the first that can be; "" if there is none.
        """
        value = self.settings[tool.name][setting.name]
        if isinstance(setting, Number):
            return min(setting.maximum, max(setting.minimum, value))
        return value or next(iter(self.choices(setting)), "")

    def choose(self, tool: int | str) -> None:
        """Chooses a tool by its name or its index in `TOOLS`; ignores unknown ones. Ends the gesture in progress."""
        names = [one.name for one in TOOLS]
        name = tool if isinstance(tool, str) else names[tool] if 0 <= tool < len(names) else self.tool
        if name in names and name != self.tool:
            self._end_gesture()
            self.tool = name

    def copy_genome(self, being: dict[str, Any] | None) -> bool:
        """Copies the genome of a being and chooses the tool that places beings with it.

        `being` is the being's data as fetched. Returns False, and displays an error, if it contains no genome.
        """
        genome = ((being or {}).get("row") or {}).get("genome")
        if being is None or genome is None:
            self.session.say("no genome to copy: select a being first", bad=True)
            return False
        genes = genome if isinstance(genome, bytes) else bytes(int(gene) % 256 for gene in genome)
        self.genome = [gene - 256 if gene > 127 else gene for gene in genes]
        index = being["row"].get("species", 0)
        names = self.session.known.species
        self.genome_species = names[index] if 0 <= index < len(names) else ""
        self.genome_table = self.session.known.kinds.get(self.genome_species) or str(being.get("kind", ""))
        self._choose_source("genome", self.genome_table)
        self.session.say(f"genome of {self.genome_species or 'the being'} {being.get('id', 0)} copied")
        return True

    def copy_being(self, being_id: int) -> None:
        """Chooses the tool that places copies of the living being with the id `being_id`."""
        self.like = being_id
        self._choose_source("copy")

    def _choose_source(self, source: str, table: str = "") -> None:
        """Chooses the tool that places beings of `table` made from `source` ("genome" or "copy").

        If there is no such tool for the table, chooses another one with this source.
        """
        tools = [tool for tool in TOOLS if tool.gesture == "spawn" and source in self._source(tool).only]
        tool = next((tool for tool in tools if _table_of(tool) == table), tools[-1])
        self.settings[tool.name]["source"] = source
        self.choose(tool.name)

    def _source(self, tool: Tool) -> Choice:
        """Returns the setting `source` of a tool with the gesture "spawn": what the placed being is made from."""
        return next(setting for setting in tool.settings if isinstance(setting, Choice) and setting.name == "source")

    # --- the mouse

    def press(self, y: float, x: float, being_id: int = 0, table: str = "", modifiers: int = 0) -> None:
        """Handles a press of the mouse button at (y, x) in cells: begins or performs the gesture of the chosen tool.

        `being_id` and `table` are the id and table of the being under the mouse, 0 and "" if there is none. `modifiers`
        are the bits of the modifier keys.
        """
        self._mouse = self._pressed = (y, x)
        self._moved = (0.0, 0.0)
        if self.tool == LOOK.name:
            self.session.select(being_id, table)
            return
        if not self._may_change():
            return
        tool = BY_NAME[self.tool]
        match tool.gesture:
            case "stroke":
                self._begin_stroke(tool, {}, self._spacing(tool))
            case "area":
                self._draws_rectangle = self.brush.rectangle != bool(modifiers & SHIFT)
                if not self._draws_rectangle:
                    self._begin_stroke(tool, self._brush_size(), max(1, self._brush_side() // 2))
            case "point":
                y, x = self._cell(y, x)
                self.use(tool.name, y=y, x=x)
            case "target":
                place = place_of(self.session.feed.frame, being_id, self.session.torus) if being_id else None
                y, x = self._cell(*(place[:2] if place is not None else (y, x)))
                self.use(tool.name, y=y, x=x)
            case "spawn":
                self._spawn(tool, y, x)
            case "being" if being_id:
                self.use(tool.name, id=being_id)
            case "grab" if being_id:
                self._grabbed = being_id
            case "being" | "grab":
                say_once(self.session, NO_BEING_LINE)

    def drag(self, y: float, x: float) -> None:
        """Handles a mouse movement with the button down: extends the stroke, rectangle or drag to (y, x)."""
        before, self._mouse = self._mouse, (y, x)
        if self._pressed is None or before is None:
            return
        torus = self.session.torus
        step = shortest(y - before[0], torus.height), shortest(x - before[1], torus.width)
        self._moved = (self._moved[0] + step[0], self._moved[1] + step[1])
        if self._stroke is not None:
            self._extend_stroke(self._stroke, before, step)
            self._stroke.flush(self.session.clock())

    def release(self, y: float, x: float) -> None:
        """Handles the release of the mouse button: sends the command of a rectangle or a drag, and ends the gesture."""
        self.drag(y, x)
        if self._pressed is not None and self._draws_rectangle:
            rectangle = self.rectangle()
            assert rectangle is not None
            self.use(self.tool, **dict(zip(("y", "x", "height", "width"), rectangle, strict=True)))
        elif self._grabbed:
            self._put_down(y, x)
        self._end_gesture()

    def hover(self, y: float, x: float) -> None:
        """Handles a mouse movement with the button up: remembers the position (y, x), in cells, for `marks`."""
        self._mouse = (y, x)

    def cancel(self) -> None:
        """Handles the Esc key: closes an open question, else aborts a drag, else chooses the tool "look"."""
        if self.fork_dialog.question is not None:
            self.fork_dialog.answer(False)
        elif self._pressed is not None and (self._draws_rectangle or self._grabbed):
            self._draws_rectangle, self._grabbed = False, 0
            self._end_gesture()
        else:
            self.choose(LOOK.name)

    def update(self, now_s: float) -> None:
        """Sends the waiting cells of a stroke, and repeats its command while the mouse is held still.

        The window calls this once per frame.
        """
        stroke = self._stroke
        if stroke is None:
            return
        if BY_NAME[self.tool].repeats and self._mouse is not None and not stroke.waiting and stroke.is_due(now_s):
            stroke.waiting.append(self._cell(*self._mouse))
        stroke.flush(self.session.clock())

    def _end_gesture(self) -> None:
        """Ends the gesture in progress; a stroke sends its remaining cells."""
        stroke, self._stroke = self._stroke, None
        self._pressed, self._grabbed, self._draws_rectangle = None, 0, False
        if stroke is not None:
            stroke.release(self.session.clock())

    def _may_change(self) -> bool:
        """Returns whether the user can change the world now; if not, displays the reason.

        If a past tick is displayed, also asks whether to fork the run there.
        """
        if not self.session.keeper:
            say_once(self.session, SPECTATOR_LINE)
            return False
        if self.session.shown != LIVE:
            say_once(self.session, PAST_LINE)
            self.fork_dialog.offer_fork(self.session.tick)
            return False
        return True

    def _cell(self, y: float, x: float) -> tuple[int, int]:
        """Returns the cell (y, x) that contains a position."""
        return cell_of(y, x, self.session.torus)

    # --- requests

    def use(self, tool: str, **fields: Any) -> None:
        """Sends the command of the tool named `tool`.

        Its fields are the tool's settings and `fields`, which take precedence. Panels also call this.
        """
        description = BY_NAME[tool]
        fields = {**self._fields(description), **fields}
        self.sender.send(description.report.format_map(fields), KIND_BY_TOOL[tool].name, **fields)

    def _fields(self, tool: Tool) -> Fields:
        """Returns the fields of a tool's command that do not depend on the mouse: constants and settings."""
        return {**tool.fixed, **{setting.name: self.value(tool, setting) for setting in tool.settings}}

    def _spawn(self, tool: Tool, y: float, x: float) -> None:
        """Sends the command that places a being at a position (in cells); the setting `source` is what it is made from.

        Displays an error if that genome or being has not been chosen, or does not suit the tool.
        """
        fields, table = self._fields(tool), _table_of(tool)
        source = fields.pop("source")
        fields |= dict(zip(("y", "x"), self._cell(y, x), strict=True))
        words = tool.report
        if source == "copy":
            if not self.like:
                self.session.say("no being to copy yet: select a being, then choose to copy it", bad=True)
                return
            y, x = inside(y, x, self.session.torus)
            fields = {"y": y, "x": x, "like": self.like}
            words = "copied being {like} to {x:.0f}, {y:.0f}"
        elif source == "genome":
            if self.genome is None:
                self.session.say("no genome copied yet: select a being, then copy its genome", bad=True)
                return
            if self.genome_table != table:
                line = f"the copied genome is one of {self.genome_table}: copy one of {table}"
                self.session.say(line, bad=True)
                return
            fields |= {"species": self.genome_species, "genome": self.genome}
            words += " with the copied genome"
        if fields.get("species") == "":
            self.session.say(f"{self.session.known.world}: this world has no founders among {table}", bad=True)
            return
        self.sender.send(words.format_map(fields), KIND_BY_TOOL[tool.name].name, **fields)

    def _put_down(self, y: float, x: float) -> None:
        """Sends the command that moves the dragged being to a position (in cells), unless it was hardly dragged."""
        if math.hypot(*self._moved) < MIN_DRAG_CELLS:
            say_once(self.session, "drag the being to its new place")
            return
        y, x = inside(y, x, self.session.torus)
        self.use(self.tool, id=self._grabbed, y=y, x=x)

    # --- strokes

    def _spacing(self, tool: Tool) -> int:
        """Returns the minimum distance in cells between two commands of a stroke: the tool's radius, at least 1.

        It is 1 for a tool whose commands change one cell each.
        """
        return max(1, self._fields(tool)[tool.radius]) if tool.radius else 1

    def _brush_side(self) -> int:
        """Returns the side of the square brush in cells, from 1 to `MAX_SIDE_CELLS`."""
        return min(MAX_SIDE_CELLS, max(1, self.brush.side_cells))

    def _brush_size(self) -> Fields:
        """Returns the fields `height` and `width` of the brush in cells, at most those of the world."""
        torus, side = self.session.torus, self._brush_side()
        return {"height": min(side, torus.height), "width": min(side, torus.width)}

    def _begin_stroke(self, tool: Tool, size: Mapping[str, int], spacing: int) -> None:
        """Begins a stroke at the mouse's cell.

        If `size` has `height` and `width`, each command is for a rectangle of that size around its cell; if it is
        empty, for the cell. `spacing` is the minimum distance in cells between two commands.
        """
        command_type, torus = KIND_BY_TOOL[tool.name].command, self.session.torus
        fields = {**self._fields(tool), **size}

        def compose(y: int, x: int) -> Command:
            if size:
                y, x = _corner(y, x, size)
            return command_type(**fields, y=y % torus.height, x=x % torus.width)

        def describe(times: int) -> str:
            return tool.report.format_map(fields) + (f" ({times} times)" if times > 1 else "")

        assert self._mouse is not None
        self._stroke_spacing = spacing
        self._stroke = Stroke(self.sender, compose, describe, self._cell(*self._mouse))
        self._stroke.flush(self.session.clock())

    def _extend_stroke(self, stroke: Stroke, start: tuple[float, float], step: tuple[float, float]) -> None:
        """Adds cells on the way from `start` to `start + step` to a stroke, at least `_stroke_spacing` cells apart.

        Both are (y, x) in cells.
        """
        torus = self.session.torus
        count = max(1, math.ceil(max(abs(step[0]), abs(step[1])) * 2))
        for index in range(1, count + 1):
            share = index / count
            y, x = self._cell(start[0] + step[0] * share, start[1] + step[1] * share)
            last = stroke.waiting[-1] if stroke.waiting else stroke.last_cell
            distance = max(abs(shortest(y - last[0], torus.height)), abs(shortest(x - last[1], torus.width)))
            if distance >= self._stroke_spacing:
                stroke.waiting.append((y, x))

    # --- rectangles

    def rectangle(self) -> tuple[int, int, int, int] | None:
        """Returns the rectangle that the user is dragging (y, x, height, width in cells), or None.

        It can extend across the edges of the world, which is a torus.
        """
        if self._pressed is None or not self._draws_rectangle:
            return None
        torus, spans = self.session.torus, []
        for start, moved, size in zip(self._pressed, self._moved, torus, strict=True):
            low, high = sorted((math.floor(start), math.floor(start + moved)))
            maximum = min(MAX_SIDE_CELLS, size)
            if high - low >= maximum:  # keep the end at which the mouse was pressed
                low, high = (low, low + maximum - 1) if moved > 0 else (high - maximum + 1, high)
            spans.append((low % size, high - low + 1))
        (y, height), (x, width) = spans
        return y, x, height, width

    # --- marks

    def marks(self) -> tuple[list[Ring], list[Line]]:
        """Returns the rings and lines that mark what the chosen tool would change at the mouse."""
        if self._mouse is None or self.tool == LOOK.name:
            return [], []
        tool, (y, x) = BY_NAME[self.tool], self._mouse
        colour = look_of(tool.name).colour
        match tool.gesture:
            case "area":
                return [], outline(self.rectangle() or self._brush_rectangle(y, x), colour)
            case "grab" if self._grabbed and self._pressed is not None:
                faint = (*colour[:3], 0.4)
                way = pieces(*self._pressed, *self._moved, faint, 1.5)
                return [(*self._pressed, 0.8, faint), (y, x, 0.9, colour)], way
            case "being" | "grab" | "target":
                return self._mark_being(colour), []
        radius = self._fields(tool)[tool.radius] + 0.5 if tool.radius else 0.6
        row, column = self._cell(y, x)
        return [(row + 0.5, column + 0.5, radius, colour)], []

    def _brush_rectangle(self, y: float, x: float) -> tuple[int, int, int, int]:
        """Returns the rectangle (y, x, height, width) that the brush covers at a position."""
        size = self._brush_size()
        return *_corner(*self._cell(y, x), size), size["height"], size["width"]

    def _mark_being(self, colour: tuple[float, float, float, float]) -> list[Ring]:
        """Returns a ring around the being that the mouse points at, else a small faint ring at the mouse."""
        assert self._mouse is not None
        frame, torus = self.session.feed.frame, self.session.torus
        reach = max(REACH_CELLS, REACH_PIXELS / self.session.camera.scale)
        being_id, _ = nearest(frame, *self._mouse, torus, reach)
        place = place_of(frame, being_id, torus) if being_id else None
        if place is None:
            return [(*self._mouse, 0.4, (*colour[:3], 0.45))]
        return [(place[0], place[1], 1.2, colour)]


def _corner(y: int, x: int, size: Mapping[str, int]) -> tuple[int, int]:
    """Returns the upper left cell of a rectangle centred on a cell; its coordinates can be outside the world."""
    return y - (size["height"] - 1) // 2, x - (size["width"] - 1) // 2


def _table_of(tool: Tool) -> str:
    """Returns the table ("plants" or "monsters") whose species a tool lets the user choose; "" if none."""
    known: Sequence[str] = [setting.known for setting in tool.settings if isinstance(setting, Choice)]
    return next((name for name in known if name in ("plants", "monsters")), "")
