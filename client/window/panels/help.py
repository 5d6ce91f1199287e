"""The help panel: an explanation of the picture, and a list of all keys."""

from typing import Any

from imgui_bundle import imgui

from umwelt.client.window.input.keys import BINDINGS
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.theme import ACCENT, vector
from umwelt.client.window.panels.widgets import dim, heading, text_px

KEYS: list[tuple[str, str]] = [(binding.keys, binding.words) for binding in BINDINGS]
"""The keys and their descriptions, from the table that the window uses to dispatch key presses."""

WORDS = (
    "Plants make sugar from light, water and air, and grow from it. Monsters eat, drink, fight and breed; each is "
    "steered by a small neural net of its own, which it inherits with mutations. Everything is drawn from the state of "
    "the running world: segments are organs, colours are genes, closed eyes are closed. Nothing is scripted."
)


class Help:
    """The content of the help panel."""

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        imgui.push_text_wrap_pos(0.0)
        dim(WORDS)
        imgui.pop_text_wrap_pos()
        heading("Keys")
        sides = 2 if imgui.get_content_region_avail().x > 560 else 1
        if not imgui.begin_table("keys", 2 * sides, imgui.TableFlags_.no_pad_outer_x):
            return
        half = -(-len(KEYS) // sides)
        parts = [KEYS[side * half : (side + 1) * half] for side in range(sides)]
        for part in parts:
            widest = max(text_px(keys) for keys, _ in part) + 6
            imgui.table_setup_column("", imgui.TableColumnFlags_.width_fixed, widest)
            imgui.table_setup_column("", imgui.TableColumnFlags_.width_stretch)
        for line in range(half):
            imgui.table_next_row()
            for part in parts:
                keys, words = part[line] if line < len(part) else ("", "")
                imgui.table_next_column()
                imgui.text_colored(vector(ACCENT), keys)
                imgui.table_next_column()
                imgui.text_wrapped(words)
        imgui.end_table()
