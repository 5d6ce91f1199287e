"""The legend of the layer that is drawn as a colour map: its colours, numbers and unit."""

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.draw.layers import Legend
from umwelt.client.window.panels.theme import packed

WIDTH_PX, BAR_PX, HEIGHT_PX = 250.0, 12.0, 62.0
STEPS = 48


def draw(name: str, legend: Legend, right_px: float, bottom_px: float) -> None:
    """Draws the legend of layer `name` with its lower right corner at `right_px`, `bottom_px` (logical pixels)."""
    imgui.set_next_window_pos(ImVec2(right_px - WIDTH_PX, bottom_px - HEIGHT_PX), imgui.Cond_.always)
    imgui.set_next_window_size(ImVec2(WIDTH_PX, HEIGHT_PX), imgui.Cond_.always)
    flags = imgui.WindowFlags_
    shape = flags.no_decoration | flags.no_move | flags.no_docking | flags.no_nav | flags.no_inputs
    imgui.set_next_window_bg_alpha(0.7)
    if imgui.begin("##legend", None, shape | flags.no_focus_on_appearing)[0]:
        imgui.text(f"{name.replace('_', ' ')}  {legend.unit}".rstrip())
        corner, width = imgui.get_cursor_screen_pos(), WIDTH_PX - 24
        draw_list = imgui.get_window_draw_list()
        step = width / STEPS
        for at in range(STEPS):
            red, green, blue = (float(value) for value in legend.colours[at * len(legend.colours) // STEPS])
            left = corner.x + at * step
            draw_list.add_rect_filled(
                ImVec2(left, corner.y), ImVec2(left + step + 0.5, corner.y + BAR_PX), packed((red, green, blue, 1.0))
            )
        span = (legend.high - legend.low) or 1.0
        free = corner.x
        for tick in legend.ticks:
            share = (tick - legend.low) / span
            text = f"{tick:,.4g}"
            wide = imgui.calc_text_size(text).x
            left = min(max(corner.x, corner.x + share * width - wide / 2), corner.x + width - wide)
            if 0 <= share <= 1 and left >= free:
                x = corner.x + share * width
                top, foot = ImVec2(x, corner.y + BAR_PX - 4), ImVec2(x, corner.y + BAR_PX + 2)
                draw_list.add_line(top, foot, packed((1.0, 1.0, 1.0, 0.8)))
                draw_list.add_text(ImVec2(left, corner.y + BAR_PX + 2), packed((0.8, 0.86, 0.88, 1.0)), text)
                free = left + wide + 6
    imgui.end()
