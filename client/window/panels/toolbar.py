"""The palette over the world: the tools, what the chosen one is set to, what was done, and the question that is asked.

Inside a frame of imgui; all it does is done by `tools.Toolbox`.
"""

from collections.abc import Sequence

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from umwelt.agents.commands import MAX_ELEVATION, MAX_IN_CELL_COUNT, MAX_RADIUS_CELLS, MAX_SIDE_CELLS
from umwelt.client.window.input.palette import BY_NAME, TOOLS
from umwelt.client.window.input.tools import PAST_LINE, SPECTATOR_LINE, Toolbox
from umwelt.client.window.panels.layout import LEFT_PX, RIGHT_PX
from umwelt.client.window.session import Session
from umwelt.cluster.wire.viewer_protocol import LIVE

ICONS = {
    "look": icons.ICON_FA_ARROW_POINTER,
    "drop": icons.ICON_FA_FILL_DRIP,
    "feed": icons.ICON_FA_UTENSILS,
    "water": icons.ICON_FA_WATER,
    "rock": icons.ICON_FA_MOUNTAIN,
    "paint": icons.ICON_FA_PAINTBRUSH,
    "rain": icons.ICON_FA_CLOUD_RAIN,
    "seed": icons.ICON_FA_SEEDLING,
    "monster": icons.ICON_FA_SPIDER,
    "move": icons.ICON_FA_UP_DOWN_LEFT_RIGHT,
    "wound": icons.ICON_FA_BURST,
    "remove": icons.ICON_FA_TRASH_CAN,
}
BUTTON_PX, FIELD_PX = 34.0, 96.0
TOP_PX = 10.0
COMMANDS_SHOWN = 12
FOODS = ("sugar", "detritus")
SOURCES = (("founder", "founder"), ("genome", "copied genome"), ("copy", "copy of a being"))


class Toolbar:
    """See the page's top."""

    def draw(self, session: Session, toolbox: Toolbox) -> None:
        """The palette, and the question if there is one; between the columns of panels."""
        view, flags = imgui.get_main_viewport(), imgui.WindowFlags_
        width = view.work_size.x
        left = min(LEFT_PX, width * 0.31)
        right = min(RIGHT_PX, width * 0.34) if session.selected is not None else 0.0
        place = ImVec2(view.work_pos.x + (left + width - right) / 2, view.work_pos.y + TOP_PX)
        imgui.set_next_window_pos(place, imgui.Cond_.always.value, ImVec2(0.5, 0.0))
        imgui.set_next_window_bg_alpha(0.8)
        shape = flags.no_decoration | flags.always_auto_resize | flags.no_docking | flags.no_saved_settings
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(7, 6))
        if imgui.begin("##tools", None, shape | flags.no_nav | flags.no_focus_on_appearing)[0]:
            self._buttons(toolbox)
            if toolbox.tool != "look":
                self._settings(session, toolbox)
        imgui.end()
        imgui.pop_style_var()
        self.draw_question(toolbox)

    def _buttons(self, toolbox: Toolbox) -> None:
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(3, 4))
        for at, tool in enumerate(TOOLS):
            if at:
                imgui.same_line()
            chosen = tool.name == toolbox.tool
            if chosen:
                red, green, blue, _ = tool.colour
                imgui.push_style_color(imgui.Col_.button, ImVec4(red * 0.5, green * 0.5, blue * 0.5, 1))
            if imgui.button(f"{ICONS[tool.name]}##{tool.name}", ImVec2(BUTTON_PX, 0)):
                toolbox.choose(tool.name)
            if chosen:
                imgui.pop_style_color()
            key = f"   ({at + 1})" if at < 9 else ""
            imgui.set_item_tooltip(f"{tool.words}{key}\n{tool.hint}")
        imgui.same_line(0, 10)
        if imgui.button(f"{icons.ICON_FA_ROTATE_LEFT}##undo", ImVec2(BUTTON_PX, 0)):
            toolbox.undo()
        imgui.set_item_tooltip("undo (Ctrl Z): a new run from just before what you did last")
        imgui.same_line()
        if imgui.button(f"{icons.ICON_FA_CLOCK_ROTATE_LEFT}##commands", ImVec2(BUTTON_PX, 0)):
            imgui.open_popup("commands")
        imgui.set_item_tooltip("what you did")
        self._commands(toolbox)
        imgui.pop_style_var()

    def _commands(self, toolbox: Toolbox) -> None:
        if not imgui.begin_popup("commands"):
            return
        if not toolbox.done:
            imgui.text_disabled("nothing was done from here yet")
        first = max(0, len(toolbox.done) - COMMANDS_SHOWN)
        for at, done in reversed(list(enumerate(toolbox.done[first:], first))):
            if imgui.small_button(f"{icons.ICON_FA_CODE_BRANCH}##{at}"):
                toolbox.undo(at)
                imgui.close_current_popup()
            imgui.set_item_tooltip("a new run from just before this")
            imgui.same_line()
            imgui.text_disabled(f"{done.tick:,}")
            imgui.same_line()
            imgui.text(done.words)
        imgui.end_popup()

    # --- settings

    def _settings(self, session: Session, toolbox: Toolbox) -> None:
        tool, of = BY_NAME[toolbox.tool], toolbox.settings
        imgui.align_text_to_frame_padding()
        imgui.text_colored(ImVec4(*tool.colour), tool.words)
        if not session.keeper or session.shown != LIVE:
            imgui.same_line()
            imgui.text_disabled(PAST_LINE if session.keeper else SPECTATOR_LINE)
            return
        match tool.name:
            case "drop":
                of.substance = _chosen("substance", of.substance, toolbox.substances)
                of.drop_count = _number("molecules", of.drop_count, 1, MAX_IN_CELL_COUNT)
            case "feed":
                of.food = _chosen("food", of.food, [name for name in FOODS if name in toolbox.substances])
                of.food_count = _number("molecules", of.food_count, 1, MAX_IN_CELL_COUNT)
            case "water":
                of.water_count = _number("molecules", of.water_count, 0, MAX_IN_CELL_COUNT)
            case "rock":
                of.rock_height = _number("height", of.rock_height, 0, MAX_ELEVATION)
            case "paint":
                of.part = _chosen("field", of.part, toolbox.parts)
                of.part_value = _number("value", of.part_value, 0, MAX_IN_CELL_COUNT)
                unit = session.known.units.get(of.part, "")
                if unit:
                    imgui.same_line()
                    imgui.text_disabled(unit)
            case "rain":
                of.rain_radius_cells = _number("radius", of.rain_radius_cells, 0, MAX_RADIUS_CELLS)
                of.rain_count = _number("molecules a cell", of.rain_count, 1, MAX_IN_CELL_COUNT)
            case "seed":
                self._seed(toolbox)
            case "monster":
                self._monster(session, toolbox)
            case "wound":
                of.wound_count = _number("tissue", of.wound_count, 1, 1000)
        if tool.use == "area":
            self._brush(toolbox)
        elif tool.name in ("move", "remove"):
            imgui.same_line()
            imgui.text_disabled(tool.hint)

    def _brush(self, toolbox: Toolbox) -> None:
        of = toolbox.settings
        imgui.same_line()
        _, of.rectangle = imgui.checkbox("rectangle", of.rectangle)
        imgui.set_item_tooltip("drag a rectangle instead of brushing; Shift is the other way")
        if not of.rectangle:
            of.brush_cells = _number("cells wide", of.brush_cells, 1, MAX_SIDE_CELLS)

    def _seed(self, toolbox: Toolbox) -> None:
        of = toolbox.settings
        for name, words in SOURCES[:2]:
            imgui.same_line()
            if imgui.radio_button(words, of.plant_source == name):
                of.plant_source = name
        if of.plant_source == "founder":
            of.plant = _chosen("species", of.plant, toolbox.species("plants"))
        else:
            imgui.same_line()
            imgui.text_disabled(_genome_words(toolbox, "plants"))

    def _monster(self, session: Session, toolbox: Toolbox) -> None:
        of = toolbox.settings
        for name, words in SOURCES:
            imgui.same_line()
            if imgui.radio_button(words, of.source == name):
                of.source = name
        if of.source == "founder":
            of.monster = _chosen("species", of.monster, toolbox.species("monsters"))
            return
        told = {
            "genome": f"of {toolbox.genome_species}" if toolbox.genome else "none yet",
            "copy": str(toolbox.like or "none"),
        }
        imgui.same_line()
        imgui.text_disabled(told[of.source])
        selected = session.selected
        if selected is None:
            return
        imgui.same_line()
        if imgui.button("take the selected one's"):
            if of.source == "genome":
                toolbox.copy_genome(selected.being)
            else:
                toolbox.copy_being(selected.id)

    # --- the question

    def draw_question(self, toolbox: Toolbox) -> None:
        """The question that waits for an answer, in the middle of the window."""
        question = toolbox.asking
        if question is None:
            return
        view, flags = imgui.get_main_viewport(), imgui.WindowFlags_
        middle = ImVec2(view.pos.x + view.size.x / 2, view.pos.y + view.size.y / 2)
        title = f"{question.title}##question"
        if not imgui.is_popup_open(title):
            imgui.open_popup(title)
        imgui.set_next_window_pos(middle, imgui.Cond_.always.value, ImVec2(0.5, 0.5))
        imgui.set_next_window_size(ImVec2(420, 0))
        if imgui.begin_popup_modal(title, None, flags.always_auto_resize | flags.no_saved_settings)[0]:
            imgui.text_wrapped(question.text)
            imgui.spacing()
            answer = None
            if imgui.button(question.yes):
                answer = True
            imgui.same_line()
            if imgui.button(question.no) or imgui.is_key_pressed(imgui.Key.escape):
                answer = False
            if answer is not None:
                toolbox.answer(answer)
            if toolbox.asking is not question:
                imgui.close_current_popup()
            imgui.end_popup()


def _genome_words(toolbox: Toolbox, table: str) -> str:
    return f"of {toolbox.genome_species}" if toolbox.genome and toolbox.genome_table == table else "none yet"


def _chosen(words: str, now: str, names: Sequence[str]) -> str:
    """One of several names."""
    imgui.same_line()
    imgui.set_next_item_width(FIELD_PX + 24)
    found = now if now in names else next(iter(names), "")
    if imgui.begin_combo(f"##{words}", found):
        for name in names:
            if imgui.selectable(name, name == found)[0]:
                found = name
        imgui.end_combo()
    imgui.set_item_tooltip(words)
    return found


def _number(words: str, now: int, least: int, most: int) -> int:
    """A number: dragged, faster where it is large, or typed after a double click."""
    imgui.same_line()
    imgui.set_next_item_width(FIELD_PX)
    speed = max(0.15, abs(now) / 80)
    found = imgui.drag_int(f"##{words}", now, speed, least, most, flags=imgui.SliderFlags_.always_clamp)[1]
    imgui.set_item_tooltip(f"{words}: drag, or double click to type")
    imgui.same_line(0, 4)
    imgui.text_disabled(words)
    return min(most, max(least, found))
