"""The inspector panel: all data of the selected being, and buttons to act on it.

`being` is the data of the selected being as fetched: `columns` by name, and for a monster its stimuli (what it senses)
and drives (what it decides). Many values are integers in units of 1/1024 (`ONE`). A plant consists of modules, each of
which is a being. `hooks` are the functions and objects of the window that panels use.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.agents.body.genome import FIRST_WEIGHT
from umwelt.agents.body.interface import ANTENNA_SENSES, ANTENNAE, DRIVES, ORGANS, OTHER_SENSES, SELF_SENSES, STAGES
from umwelt.client.window.draw.colours import SENSE_COLOURS
from umwelt.client.window.panels import genes
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.reasons import in_words
from umwelt.client.window.panels.theme import (
    ACCENT,
    BAD,
    DIM,
    FRAME,
    GOOD,
    TEXT,
    WARN,
    packed,
    species_colour,
    substance_colour,
    vector,
)
from umwelt.client.window.panels.widgets import (
    LINE_PX,
    chip,
    dim,
    flow,
    heading,
    may_command,
    meter,
    short,
    text_px,
    tile_button,
)
from umwelt.cluster import LIVE
from umwelt.sandbox.units import ONE, SUBCELL, TURN

ICON = icons_fontawesome_6
ORGAN_ICONS = {
    "jaw": ICON.ICON_FA_TOOTH,
    "gut": ICON.ICON_FA_BOWL_FOOD,
    "leg": ICON.ICON_FA_SHOE_PRINTS,
    "eye": ICON.ICON_FA_EYE,
    "armour": ICON.ICON_FA_SHIELD_HALVED,
    "spike": ICON.ICON_FA_BURST,
    "store": ICON.ICON_FA_JAR,
    "gland": ICON.ICON_FA_SPRAY_CAN_SPARKLES,
    "none": ICON.ICON_FA_MINUS,
}
ORGAN_COLOURS = {
    "jaw": (0.95, 0.80, 0.62, 1.0),
    "gut": (0.93, 0.55, 0.60, 1.0),
    "leg": (0.75, 0.66, 0.95, 1.0),
    "eye": (0.60, 0.85, 1.0, 1.0),
    "armour": (0.70, 0.76, 0.82, 1.0),
    "spike": (1.0, 0.55, 0.45, 1.0),
    "store": (0.98, 0.85, 0.50, 1.0),
    "gland": (0.70, 0.90, 0.50, 1.0),
    "none": DIM,
}
STATES = (("fatigue", "fatigue", WARN), ("pain", "pain", BAD), ("dryness", "dry eyes", (0.6, 0.8, 0.95, 1.0)))
"""Columns that hold states of the body, in 1/1024, with their labels and colours."""
FAMILY_PERIOD_S = 10.0
"""Time in seconds after which ancestors and children are fetched again."""
MAX_STRONGEST = 14
"""Number of stimuli in the list of the strongest."""
WOUND_COUNT = 4
"""Number of tissue molecules that the button "wound" removes."""
MAX_RELATIVES = 24
"""Number of ancestors, and of children, that are listed."""


class Inspector:
    """The content of the inspector panel."""

    def __init__(self) -> None:
        self.by_strength = False
        self._family_of, self._family_s = 0, -1e9
        self._weights: tuple[int, np.ndarray] = (0, np.empty(0, np.float32))
        """A hash of the displayed genome, and the genes that are the weights of its net."""

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        selected = session.selected
        if selected is None:
            dim("click a being to inspect it")
            return
        being = selected.being
        if being is None:
            dim("it has died or was removed" if selected.gone else f"loading {selected.id} ...")
            return
        self._name(session, selected, being)
        self._buttons(session, selected, being, hooks)
        if not imgui.begin_child("all"):
            imgui.end_child()
            return
        opened = imgui.TreeNodeFlags_.default_open
        if imgui.collapsing_header("Body", opened):
            self._body(session, being)
        if "stimuli" in being and imgui.collapsing_header("Drives", opened):
            self._drives(being["drives"])
        if "stimuli" in being and imgui.collapsing_header("Senses", opened):
            self._senses(being["stimuli"])
        if imgui.collapsing_header("Genome"):
            self._genome(bytes(being["row"]["genome"]))
        if imgui.collapsing_header("Family"):
            self._family(session, selected)
        imgui.end_child()

    # --- identity and actions

    def _name(self, session: Any, selected: Any, being: dict[str, Any]) -> None:
        """Draws species, generation, age, position and id of the being, and labels such as "asleep"."""
        columns = being["columns"]
        species = being.get("species") or being["kind"]
        imgui.text_colored(vector(species_colour(session.known, species)), species.capitalize())
        imgui.same_line()
        imgui.text(f"generation {columns.get('generation', 0)}")
        imgui.same_line()
        dim(f"age {columns.get('age_ticks', 0):,}")
        place = f"at {being['y_fixed'] / SUBCELL:.1f}, {being['x_fixed'] / SUBCELL:.1f}"
        if "heading" in columns:
            turned, speed = columns["heading"] % TURN * 360 // TURN, columns.get("speed_fixed", 0) / ONE
            place += f"   heading {turned}°   {speed:.2f} cells per tick"
        dim(place)
        dim(f"id {being['id']}")
        notes = [
            ("gone: this is its last state", WARN, selected.gone),
            ("steered by a viewer", ACCENT, being.get("held") is not None),
            (f"{ICON.ICON_FA_MOON} asleep", (0.62, 0.68, 0.98, 1.0), bool(columns.get("asleep"))),
            (f"{ICON.ICON_FA_EYE_SLASH} eyes shut", DIM, bool(columns.get("eyes_shut"))),
        ]
        first = True
        for text, colour, applies in notes:
            if applies:
                flow(text_px(text) + 14, first)
                chip(text, colour)
                first = False

    def _buttons(self, session: Any, selected: Any, being: dict[str, Any], hooks: Hooks) -> None:
        """Draws the buttons: follow, steer, copy the genome, wound, remove."""
        able = may_command(session) and session.shown == LIVE and not selected.gone
        toolbox = hooks.toolbox
        width = (imgui.get_content_region_avail().x - 4 * 6) / 5
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(6, 6))
        if tile_button(
            f"{ICON.ICON_FA_LOCATION_CROSSHAIRS}##follow",
            "follow it with the camera (F)",
            True,
            session.following,
            width,
        ):
            session.following = not session.following
        imgui.same_line()
        inhabit, held = hooks.inhabit, being.get("held") is not None
        steers = able and "stimuli" in being and inhabit is not None
        pressed = tile_button(f"{ICON.ICON_FA_GAMEPAD}##inhabit", "steer it by the keyboard (I)", steers, held, width)
        if pressed and inhabit is not None:
            inhabit(selected.id)
        imgui.same_line()
        if tile_button(f"{ICON.ICON_FA_DNA}##copy", "copy its genome, for the tools that place beings", width=width):
            imgui.set_clipboard_text(" ".join(str(gene) for gene in np.frombuffer(being["row"]["genome"], np.int8)))
            if toolbox is not None:
                toolbox.copy_genome(being)
        imgui.same_line()
        can_change = able and toolbox is not None
        hint = f"wound it: {WOUND_COUNT} of its tissue fall to the ground"
        if tile_button(f"{ICON.ICON_FA_HEART_CRACK}##wound", hint, can_change, width=width) and toolbox is not None:
            toolbox.use("wound", id=selected.id, tissue_count=WOUND_COUNT)
        imgui.same_line()
        if tile_button(f"{ICON.ICON_FA_TRASH}##remove", "remove it from the world", can_change, width=width):
            imgui.open_popup("sure")
        imgui.pop_style_var()
        if toolbox is not None and imgui.begin_popup("sure"):
            imgui.text("Remove it from the world, with all matter in it?")
            if imgui.button("Remove"):
                toolbox.use("remove", id=selected.id)
                imgui.close_current_popup()
            imgui.same_line()
            if imgui.button("Keep"):
                imgui.close_current_popup()
            imgui.end_popup()

    # --- body

    def _body(self, session: Any, being: dict[str, Any]) -> None:
        """Draws the substances and states of the body, and its stage (plants) or organs (monsters)."""
        columns = being["columns"]
        substances = session.known.substances or [n.removesuffix("_count") for n in columns if n.endswith("_count")]
        counts = [(name, int(columns.get(f"{name}_count", 0))) for name in substances]
        held = [(name, count) for name, count in counts if count]
        largest = max([count for _, count in held], default=1)
        for name, count in held:
            meter(in_words(name), (count / max(64, largest)) ** 0.5, short(count), substance_colour(name))
        if not held:
            dim("it contains nothing")
        for column, name, colour in STATES:
            if column in columns:
                meter(name, columns[column] / ONE, f"{columns[column] / ONE:.0%}", colour)
        if "stage" in columns:
            self._plant(columns)
        if "organs_built" in columns:
            self._organs(columns)

    def _plant(self, columns: dict[str, Any]) -> None:
        """Draws the stage and the activities of a module of a plant."""
        stage = STAGES[columns["stage"]] if 0 <= columns["stage"] < len(STAGES) else "unknown stage"
        chip(f"{ICON.ICON_FA_SEEDLING} {stage}", GOOD)
        if columns.get("stem_direction"):
            flow(120, False)
            chip("on a stem", (0.75, 0.66, 0.5, 1.0))
        if "leaf_catalyst" in columns:
            for name, words in (("leaf", "leaf activity"), ("builder", "growth"), ("hunger", "starvation")):
                value = columns.get(f"{name}_catalyst", 0) / 64
                meter(words, min(1.0, value / 8), f"{value:.1f}", BAD if name == "hunger" else GOOD)

    def _organs(self, columns: dict[str, Any]) -> None:
        """Draws the organs of a monster with their numbers."""
        first = True
        for name in ORGANS:
            count = int(columns.get(f"{name}_organs", 0))
            if count:
                text = f"{ORGAN_ICONS[name]} {name} {count}" if count > 1 else f"{ORGAN_ICONS[name]} {name}"
                flow(text_px(text) + 14, first)
                chip(text, ORGAN_COLOURS[name])
                first = False
        if first:
            dim("no organs yet")

    # --- drives and senses

    def _drives(self, drives: dict[str, int]) -> None:
        """Draws the drives, given in 1/1024, as bars."""
        for name in DRIVES:
            value = drives.get(name, 0) / ONE
            meter(in_words(name), value, f"{value:+.2f}", ACCENT)

    def _senses(self, stimuli: dict[str, int]) -> None:
        """Draws the stimuli, given in 1/1024: by antenna, or the strongest first."""
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(3, 1))
        _, self.by_strength = imgui.checkbox("strongest first", self.by_strength)
        imgui.pop_style_var()
        if self.by_strength:
            strongest = sorted(stimuli.items(), key=lambda item: -abs(item[1]))[:MAX_STRONGEST]
            for name, value in strongest:
                sense = name.rsplit("_", 1)[0]
                colour = (*SENSE_COLOURS[sense], 1.0) if sense in SENSE_COLOURS else ACCENT
                meter(in_words(name), value / ONE, f"{value / ONE:+.2f}", colour, name_px=112)
            return
        self._antennae(stimuli)
        for name in (*OTHER_SENSES, *SELF_SENSES):
            if name != "one":
                share = stimuli.get(name, 0) / ONE
                signed = name in ("other_bearing", "warmth")
                text = f"{share:+.2f}" if signed else f"{share:.2f}"
                meter(in_words(name), share, text, ACCENT, name_px=112)

    def _antennae(self, stimuli: dict[str, int]) -> None:
        """Draws a table of bars: one row for each sense, one column for each of the three antennae."""
        width = imgui.get_content_region_avail().x
        corner = imgui.get_cursor_screen_pos()
        name_px, gap = 64.0, 8.0
        column = (width - name_px - 2 * gap) / 3
        imgui.dummy(ImVec2(width, (len(ANTENNA_SENSES) + 1) * (LINE_PX - 2)))
        if not imgui.is_item_visible():
            return
        draw_list, tone, background = imgui.get_window_draw_list(), packed(DIM), packed(FRAME)
        lefts = [corner.x + name_px + at * (column + gap) for at in range(3)]
        for left, antenna in zip(lefts, ANTENNAE, strict=True):
            draw_list.add_text(ImVec2(left + (column - text_px(antenna)) / 2, corner.y - 1), tone, antenna)
        mouse, hovered = imgui.get_mouse_pos(), imgui.is_item_hovered()
        for line, sense in enumerate(ANTENNA_SENSES):
            y = corner.y + (line + 1) * (LINE_PX - 2)
            draw_list.add_text(ImVec2(corner.x, y - 1), tone, sense)
            colour = (*SENSE_COLOURS[sense], 1.0)
            for left, antenna in zip(lefts, ANTENNAE, strict=True):
                value = stimuli.get(f"{sense}_{antenna}", 0) / ONE
                low, high = ImVec2(left, y + 4), ImVec2(left + column, y + 13)
                draw_list.add_rect_filled(low, high, background, 4.0)
                if abs(value) > 0.004:
                    end = ImVec2(left + max(3.0, column * min(1.0, abs(value))), y + 13)
                    draw_list.add_rect_filled(low, end, packed(colour if value > 0 else BAD, 0.92), 4.0)
                if hovered and low.x <= mouse.x < high.x and low.y - 3 <= mouse.y < high.y + 3:
                    imgui.set_tooltip(f"{sense} {antenna}: {value:.3f}")

    # --- genome

    def _genome(self, genome: bytes) -> None:
        """Draws the traits of a genome; for a monster, also its organs and the weights of its net."""
        monster = genes.is_monster(genome)
        if monster:
            self._plan(genome)
        words = genes.MONSTER_WORDS if monster else genes.PLANT_WORDS
        for name, value in genes.trait_values(genome):
            signed = name in genes.SIGNED_GENES and not monster
            share, text = (value / 128, f"{value:+d}") if signed else (value / 255, str(value))
            if meter(in_words(name), share, text, (0.55, 0.68, 0.98, 1.0), name_px=104, value_px=38):
                imgui.set_tooltip(f"{name}: {words.get(name, '')}")
        if monster:
            self._net_genes(genome)

    def _plan(self, genome: bytes) -> None:
        """Draws the organs of a genome as icons, in the order in which they grow."""
        dim("organs, in the order in which they grow")
        first = True
        for name in genes.organ_plan(genome):
            flow(text_px(ORGAN_ICONS[name]) + 14, first)
            chip(ORGAN_ICONS[name], ORGAN_COLOURS[name])
            first = False
            if imgui.is_item_hovered():
                imgui.set_tooltip(name)

    def _net_genes(self, genome: bytes) -> None:
        """Draws the weights of a genome's net as bars, one for each weight in the order of the genome."""
        if self._weights[0] != hash(genome):
            values = np.frombuffer(genome, np.int8)[FIRST_WEIGHT:].astype(np.float32)
            self._weights = hash(genome), np.ascontiguousarray(values)
        values = self._weights[1]
        dim(f"{len(values)} weights of its neural net")
        size = ImVec2(imgui.get_content_region_avail().x, 58)
        imgui.push_style_color(imgui.Col_.plot_histogram, vector((0.45, 0.58, 0.92, 1.0)))
        corner = imgui.get_cursor_screen_pos()
        imgui.plot_histogram("##weights", values, 0, None, -128, 127, size)
        imgui.pop_style_color()
        if imgui.is_item_hovered():
            at = int((imgui.get_mouse_pos().x - corner.x) / size.x * len(values))
            at = min(max(at, 0), len(values) - 1)
            imgui.set_tooltip(f"{genes.gene_name(FIRST_WEIGHT + at, True)}: {values[at] / 64:+.2f}")

    # --- family

    def _family(self, session: Any, selected: Any) -> None:
        """Draws the ancestors and children of the selected being."""
        self._ask_family(session, selected)
        family = selected.family
        if family is None:
            dim("loading ...")
            parent = selected.being["columns"].get("parent_id") if selected.being else 0
            if parent:
                dim("parent")
                imgui.same_line(72)
                _link(session, parent, "")
            return
        for title, key in (("ancestors", "ancestors"), ("children", "children")):
            heading(title)
            relatives = list(family.get(key) or ())
            if not relatives:
                imgui.text_colored(vector(TEXT), "none: it is a founder" if key == "ancestors" else "none so far")
            for relative in relatives[:MAX_RELATIVES]:
                number, words = _describe_relative(relative)
                _link(session, number, words)
            if len(relatives) > MAX_RELATIVES:
                dim(f"and {len(relatives) - MAX_RELATIVES} more")

    def _ask_family(self, session: Any, selected: Any) -> None:
        """Fetches the ancestors and children of the selected being, at most every `FAMILY_PERIOD_S` seconds."""
        now_s = session.clock()
        if self._family_of == selected.id and now_s - self._family_s < FAMILY_PERIOD_S:
            return
        self._family_of, self._family_s = selected.id, now_s

        def receive(family: Any) -> None:
            selected.family = family if isinstance(family, dict) else {}

        session.ask(session.world.family(selected.id), receive, lambda _: None)


def _describe_relative(relative: Any) -> tuple[int, str]:
    """Returns the id of a relative, and its species and tick of birth as text, as far as known.

    `relative` is a birth with these fields by name, or only an id.
    """
    if not isinstance(relative, Mapping):
        return int(relative), ""
    words = [str(relative["species"])] if relative.get("species") not in (None, "") else []
    words += [f"born at tick {relative['tick']:,}"] if relative.get("tick") is not None else []
    return int(relative["id"]), ", ".join(words)


def _link(session: Any, number: int, words: str) -> None:
    """Draws the id of a being as a link that selects it, followed by `words`."""
    if imgui.text_link(str(number)):
        session.select(number)
    if words:
        imgui.same_line()
        dim(words)
