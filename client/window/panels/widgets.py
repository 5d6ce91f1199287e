"""Small widgets that several panels use. They draw into imgui's draw lists, so a meter takes only microseconds."""

from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, FRAME, TEXT, Colour, packed, vector

LINE_PX = 19.0
"""Height of a line in logical pixels; `METER_PX` is the height of the bar of a meter."""
METER_PX = 9.0
HINT_FLAGS = imgui.HoveredFlags_.allow_when_disabled | imgui.HoveredFlags_.delay_short
_TEXT, _DIM, _FRAME = packed(TEXT), packed(DIM), packed(FRAME)
MIDDLE = packed((0.6, 0.8, 0.8, 0.35))
"""The colour of the middle line of a signed meter."""


def dim(text: str) -> None:
    """Draws dimmed text."""
    imgui.text_colored(vector(DIM), text)


def heading(text: str) -> None:
    """Draws a separator with a title."""
    imgui.push_style_color(imgui.Col_.text, vector(DIM))
    imgui.separator_text(text)
    imgui.pop_style_color()


def pair(name: str, value: str, at_px: float = 96.0, colour: Colour = TEXT) -> None:
    """Draws a name and a value in two columns; the value starts at `at_px`."""
    imgui.text_colored(vector(DIM), name)
    imgui.same_line(at_px)
    imgui.text_colored(vector(colour), value)


def meter(
    name: str,
    share: float,
    value_text: str,
    colour: Colour = ACCENT,
    name_px: float = 92.0,
    value_px: float = 46.0,
    signed: bool | None = None,
) -> bool:
    """Draws a bar between its name and its value; returns whether the mouse is over it.

    `share` is the bar's length as a share of its full length. A signed bar grows from its middle to either side, a
    negative one in another colour; the `share` of other bars counts without its sign. If `signed` is None, the
    bar is signed if `value_text` starts with a sign.
    """
    corner = imgui.get_cursor_screen_pos()
    x, y = corner.x, corner.y
    width = imgui.get_content_region_avail().x
    imgui.dummy(ImVec2(width, LINE_PX - 4))
    if not imgui.is_item_visible():
        return False
    draw_list = imgui.get_window_draw_list()
    draw_list.add_text(ImVec2(x, y - 1), _DIM, name)
    left, right = x + name_px, x + width - value_px
    top = y + (LINE_PX - 4 - METER_PX) / 2 + 1
    draw_list.add_rect_filled(ImVec2(left, top), ImVec2(right, top + METER_PX), _FRAME, 4.0)
    if signed is None:
        signed = value_text[:1] in ("+", "-")
    size = min(1.0, abs(share))
    if signed:
        middle, half = (left + right) / 2, (right - left) / 2
        if size > 0.004:
            ends = (middle, middle + half * size) if share > 0 else (middle - half * size, middle)
            tone = packed(colour if share > 0 else BAD, 0.92)
            draw_list.add_rect_filled(ImVec2(ends[0], top), ImVec2(ends[1], top + METER_PX), tone, 3.0)
        draw_list.add_line(ImVec2(middle, top), ImVec2(middle, top + METER_PX), MIDDLE)
    elif size > 0.004:
        draw_list.add_rect_filled(
            ImVec2(left, top), ImVec2(left + max(4.0, (right - left) * size), top + METER_PX), packed(colour, 0.92), 4.0
        )
    if value_text:
        draw_list.add_text(ImVec2(x + width - text_px(value_text), y - 1), _TEXT, value_text)
    return imgui.is_item_hovered()


MAX_CACHED_WIDTHS = 4000
_widths: dict[str, float] = {}


def text_px(text: str) -> float:
    """Returns the width of a text in logical pixels; cached, because every frame draws the same texts."""
    width = _widths.get(text)
    if width is None:
        if len(_widths) >= MAX_CACHED_WIDTHS:
            _widths.clear()
        width = _widths[text] = imgui.calc_text_size(text).x
    return width


def chip(text: str, colour: Colour, ground: float = 0.22) -> None:
    """Draws a word on a rounded background of opacity `ground`; use `flow` to wrap a row of chips."""
    corner = imgui.get_cursor_screen_pos()
    width = text_px(text) + 14
    imgui.dummy(ImVec2(width, LINE_PX))
    draw_list = imgui.get_window_draw_list()
    draw_list.add_rect_filled(corner, ImVec2(corner.x + width, corner.y + LINE_PX), packed(colour, ground), 9.0)
    draw_list.add_text(ImVec2(corner.x + 7, corner.y + 1), packed(colour), text)


def flow(next_px: float, first: bool) -> None:
    """Continues the line if an item of `next_px` logical pixels fits into it, else starts a new line.

    Does nothing for the first item of a row.
    """
    if first:
        return
    imgui.same_line(0, 5)
    if imgui.get_content_region_avail().x < next_px:
        imgui.new_line()


def tile_button(label: str, hint: str, enabled: bool = True, on: bool = False, width: float = 0.0) -> bool:
    """Draws a button with the tooltip `hint`, highlighted while `on`; returns whether it was pressed."""
    if not enabled:
        imgui.begin_disabled()
    if on:
        imgui.push_style_color(imgui.Col_.button, vector((0.20, 0.48, 0.43, 0.95)))
    pressed = imgui.button(label, ImVec2(width, 0))
    if on:
        imgui.pop_style_color()
    if not enabled:
        imgui.end_disabled()
    if hint and imgui.is_item_hovered(HINT_FLAGS):
        imgui.set_tooltip(hint)
    return pressed


def short(value: float) -> str:
    """Formats a number in a few characters: 950, 12.3k, 4.56M."""
    size = abs(value)
    if size < 10_000:
        return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.1f}"
    for limit, divisor, unit in ((1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e15, 1e9, "G")):
        if size < limit:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:.2e}"


def thin(values: np.ndarray, max_count: int) -> np.ndarray:
    """Returns the indices of at most `max_count` evenly spaced values, including the final value."""
    count = len(values)
    if count <= max_count:
        return np.arange(count)
    return np.linspace(0, count - 1, max_count).astype(np.int64)


def may_command(session: Any) -> bool:
    """Returns whether panels can issue commands now: the user may change the world, and is connected."""
    return bool(session.keeper) and not session.reconnecting
