"""The toolbar over the world: tools, settings of the chosen tool, past commands, and the fork dialog.

The fork dialog asks the user before a new run is started from a past tick (a fork). The toolbar changes a
`tools.Toolbox`. Settings are drawn from their descriptions; only tools that paint areas or place beings (the gestures
"area" and "spawn") have additional controls.
"""

from collections.abc import Sequence

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from umwelt.agents.commands.paint import MAX_SIDE_CELLS
from umwelt.agents.commands.tool import Choice, Number, Tool
from umwelt.client.window.input.fork_dialog import SPECTATOR_LINE, ForkDialog
from umwelt.client.window.input.icons import look_of
from umwelt.client.window.input.palette import BY_NAME, LOOK, TOOLS
from umwelt.client.window.input.tools import PAST_LINE, Toolbox
from umwelt.client.window.panels.layout import LEFT_PX, RIGHT_PX
from umwelt.client.window.session import Session
from umwelt.cluster import LIVE

BUTTON_PX, FIELD_PX, CHOICE_PX = 34.0, 96.0, 120.0
TOP_PX = 10.0
MAX_DONE_SHOWN = 12
"""Number of commands in the list of past commands."""
SOURCE_LABELS = {"founder": "founder", "genome": "copied genome", "copy": "copy of a being"}
"""Labels of what a being that is placed can be made from; "founder" is a being like the first ones of its species."""


class Toolbar:
    """Draws the tools of a toolbox; has no state."""

    def draw(self, session: Session, toolbox: Toolbox) -> None:
        """Draws the toolbar between the columns of panels, and the fork dialog's question if there is one."""
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
            if toolbox.tool != LOOK.name:
                self._settings(session, toolbox)
        imgui.end()
        imgui.pop_style_var()
        self.draw_question(toolbox.fork_dialog)

    def _buttons(self, toolbox: Toolbox) -> None:
        """Draws the buttons of all tools, of undo, and of the list of past commands."""
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(3, 4))
        for index, tool in enumerate(TOOLS):
            if index:
                imgui.same_line()
            look, chosen = look_of(tool.name), tool.name == toolbox.tool
            if chosen:
                red, green, blue, _ = look.colour
                imgui.push_style_color(imgui.Col_.button, ImVec4(red * 0.5, green * 0.5, blue * 0.5, 1))
            if imgui.button(f"{look.icon}##{tool.name}", ImVec2(BUTTON_PX, 0)):
                toolbox.choose(tool.name)
            if chosen:
                imgui.pop_style_color()
            key = f"   ({index + 1})" if index < 9 else ""
            imgui.set_item_tooltip(f"{tool.label}{key}\n{tool.hint}")
        imgui.same_line(0, 10)
        if imgui.button(f"{icons.ICON_FA_ROTATE_LEFT}##undo", ImVec2(BUTTON_PX, 0)):
            toolbox.fork_dialog.offer_undo()
        imgui.set_item_tooltip("undo (Ctrl Z): a new run from just before your last command")
        imgui.same_line()
        if imgui.button(f"{icons.ICON_FA_CLOCK_ROTATE_LEFT}##done", ImVec2(BUTTON_PX, 0)):
            imgui.open_popup("done")
        imgui.set_item_tooltip("what you did")
        self._done(toolbox)
        imgui.pop_style_var()

    def _done(self, toolbox: Toolbox) -> None:
        """Draws the list of past commands, while it is open."""
        if not imgui.begin_popup("done"):
            return
        done = toolbox.sender.done
        if not done:
            imgui.text_disabled("nothing was done from this window yet")
        first = max(0, len(done) - MAX_DONE_SHOWN)
        for index, entry in reversed(list(enumerate(done[first:], first))):
            if imgui.small_button(f"{icons.ICON_FA_CODE_BRANCH}##{index}"):
                toolbox.fork_dialog.offer_undo(index)
                imgui.close_current_popup()
            imgui.set_item_tooltip("a new run from just before this")
            imgui.same_line()
            imgui.text_disabled(f"{entry.tick:,}")
            imgui.same_line()
            imgui.text(entry.words)
        imgui.end_popup()

    # --- settings

    def _settings(self, session: Session, toolbox: Toolbox) -> None:
        """Draws the settings of the chosen tool, or the reason why it cannot be used."""
        tool = BY_NAME[toolbox.tool]
        imgui.align_text_to_frame_padding()
        imgui.text_colored(ImVec4(*look_of(tool.name).colour), tool.label)
        if not session.keeper or session.shown != LIVE:
            imgui.same_line()
            imgui.text_disabled(PAST_LINE if session.keeper else SPECTATOR_LINE)
            return
        for setting in tool.settings:
            if tool.gesture == "spawn":
                self._spawn_setting(toolbox, tool, setting)
            else:
                self._setting(session, toolbox, tool, setting)
        if tool.gesture == "spawn":
            self._copied(session, toolbox, tool)
        elif tool.gesture == "area":
            self._brush(toolbox)
        elif not tool.settings:
            imgui.same_line()
            imgui.text_disabled(tool.hint)

    def _setting(self, session: Session, toolbox: Toolbox, tool: Tool, setting: Number | Choice) -> None:
        """Draws one setting of a tool, and stores its edited value."""
        values = toolbox.settings[tool.name]
        if isinstance(setting, Choice):
            values[setting.name] = _choose(setting.label, values[setting.name], toolbox.choices(setting))
            return
        values[setting.name] = _edit_number(setting.label, values[setting.name], setting.minimum, setting.maximum)
        unit = session.known.units.get(values[setting.unit_of], "") if setting.unit_of else ""
        if unit:
            imgui.same_line()
            imgui.text_disabled(unit)

    def _brush(self, toolbox: Toolbox) -> None:
        """Draws the settings of the brush."""
        brush = toolbox.brush
        imgui.same_line()
        _, brush.rectangle = imgui.checkbox("rectangle", brush.rectangle)
        imgui.set_item_tooltip("drag a rectangle instead of brushing; Shift switches between both")
        if not brush.rectangle:
            brush.side_cells = _edit_number("cells wide", brush.side_cells, 1, MAX_SIDE_CELLS)

    def _spawn_setting(self, toolbox: Toolbox, tool: Tool, setting: Number | Choice) -> None:
        """Draws a setting of a tool that places beings, and stores its edited value.

        The source is drawn as radio buttons, the species only if the source is "founder".
        """
        values = toolbox.settings[tool.name]
        if isinstance(setting, Choice) and setting.name == "source":
            for name in setting.only:
                imgui.same_line()
                if imgui.radio_button(SOURCE_LABELS[name], values["source"] == name):
                    values["source"] = name
        elif isinstance(setting, Choice) and values["source"] == "founder":
            values[setting.name] = _choose(setting.label, values[setting.name], toolbox.choices(setting))

    def _copied(self, session: Session, toolbox: Toolbox, tool: Tool) -> None:
        """Draws which genome or being was chosen to be copied, and a button to choose that of the selected being."""
        source = toolbox.settings[tool.name]["source"]
        if source == "founder":
            return
        imgui.same_line()
        if source == "copy":
            imgui.text_disabled(str(toolbox.like or "none chosen"))
        else:
            imgui.text_disabled(f"of {toolbox.genome_species}" if toolbox.genome else "none copied")
        selected = session.selected
        if selected is None:
            return
        imgui.same_line()
        if imgui.button("from the selected being"):
            if source == "genome":
                toolbox.copy_genome(selected.being)
            else:
                toolbox.copy_being(selected.id)

    # --- the fork dialog

    def draw_question(self, dialog: ForkDialog) -> None:
        """Draws the question that the fork dialog asks, if there is one, in the middle of the window."""
        question = dialog.question
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
                dialog.answer(answer)
            if dialog.question is not question:
                imgui.close_current_popup()
            imgui.end_popup()


def _choose(label: str, value: str, names: Sequence[str]) -> str:
    """Draws a list of names and returns the chosen one: at first `value`, or the first name if it is not listed."""
    imgui.same_line()
    imgui.set_next_item_width(CHOICE_PX)
    chosen = value if value in names else next(iter(names), "")
    if imgui.begin_combo(f"##{label}", chosen):
        for name in names:
            if imgui.selectable(name, name == chosen)[0]:
                chosen = name
        imgui.end_combo()
    imgui.set_item_tooltip(label)
    return chosen


def _edit_number(label: str, value: int, minimum: int, maximum: int) -> int:
    """Draws a number field, changed by dragging (faster for large values) or typing; returns the number."""
    imgui.same_line()
    imgui.set_next_item_width(FIELD_PX)
    speed = max(0.15, abs(value) / 80)
    edited = imgui.drag_int(f"##{label}", value, speed, minimum, maximum, flags=imgui.SliderFlags_.always_clamp)[1]
    imgui.set_item_tooltip(f"{label}: drag, or double click to type")
    imgui.same_line(0, 4)
    imgui.text_disabled(label)
    return min(maximum, max(minimum, edited))
