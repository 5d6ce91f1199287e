"""The help: all keys, and what one sees."""

from typing import Any

from imgui_bundle import imgui

from umwelt.client.window.keys import BINDINGS
from umwelt.client.window.panels.theme import ACCENT, vector
from umwelt.client.window.panels.widgets import dim, heading, text_px

KEYS: list[tuple[str, str]] = [(binding.keys, binding.words) for binding in BINDINGS]
"""What is pressed, and what it does, as the window has it."""

WORDS = (
    "Plants turn light, water and air into sugar and grow of it. Monsters eat, drink, fight and breed; each is steered "
    "by a small net of its own, which it inherits and which mutates. All that is seen is read from the running world: "
    "segments are organs, colours are genes, closed eyes are closed. Nothing here is scripted."
)


class Help:
    """See the page's top."""

    def draw(self, session: Any, hooks: Any) -> None:
        """Draw the panel's inside."""
        imgui.push_text_wrap_pos(0.0)
        dim(WORDS)
        imgui.pop_text_wrap_pos()
        heading("Keys")
        width = imgui.get_content_region_avail().x
        sides = 2 if width > 560 else 1
        if not imgui.begin_table("keys", sides, imgui.TableFlags_.sizing_stretch_same):
            return
        half = -(-len(KEYS) // sides)
        for part in range(sides):
            imgui.table_next_column()
            own = KEYS[part * half : (part + 1) * half]
            indent = max(text_px(keys) for keys, _ in own) + 16
            left = imgui.get_cursor_pos_x()
            wrap = left + width / sides - 12
            for keys, words in own:
                imgui.text_colored(vector(ACCENT), keys)
                imgui.same_line(left + indent)
                imgui.push_text_wrap_pos(wrap)
                imgui.text_wrapped(words)
                imgui.pop_text_wrap_pos()
        imgui.end_table()
