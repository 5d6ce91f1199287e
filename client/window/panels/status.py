"""What is displayed outside of panels: the right end of the top bar, notices (short messages), and banners."""

from collections.abc import Mapping
from typing import Any

from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.client.window.notices import SHOWN_S
from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, TEXT, WARN, Colour, packed, species_colour
from umwelt.client.window.panels.widgets import short, text_px
from umwelt.client.window.panels.world import Rates
from umwelt.cluster import LIVE

PART_GAP = 16.0
"""Distance between two entries of the top bar, in logical pixels."""
MOONLIGHT: Colour = (0.62, 0.70, 0.98, 1.0)
FADE_IN_S, FADE_OUT_S = 0.12, 0.6
"""Times in seconds in which a notice appears and disappears."""
MAX_NOTICES = 5
"""Maximum number of notices that are displayed at a time."""
Part = tuple[str, Colour, bool]
"""An entry of the top bar: its text, its colour, and whether room is kept for it beside the buttons."""
SEASONS = ("spring", "summer", "autumn", "winter")
MINUTES_A_DAY, SUNRISE_MINUTES, SUNSET_MINUTES = 1440, 360, 1080
ICON = icons_fontawesome_6


def clock_words(tick: int, climate: Mapping[str, int]) -> tuple[str, bool]:
    """Returns the season, day and time of a tick as text, and whether it is daytime.

    `climate` has the lengths of days and years in ticks. The text is empty for a world without days.
    """
    day_ticks, year_ticks = climate.get("day_ticks", 0), climate.get("year_ticks", 0)
    if day_ticks <= 0:
        return "", True
    minutes = tick % day_ticks * MINUTES_A_DAY // day_ticks
    words = f"day {tick // day_ticks + 1:,}, {minutes // 60:02d}:{minutes % 60:02d}"
    if year_ticks > 0:
        words = f"{SEASONS[tick % year_ticks * 4 // year_ticks]}, {words}"
    return words, SUNRISE_MINUTES <= minutes < SUNSET_MINUTES


def bar_parts(session: Any, rates: Rates) -> list[Part]:
    """Returns the entries of the top bar: tick, clock, rates and populations, the most important first."""
    words, daytime = clock_words(session.tick, session.known.climate)
    parts: list[Part] = [(f"tick {session.tick:,}", ACCENT, True)]
    if words:
        icon, colour = (ICON.ICON_FA_SUN, WARN) if daytime else (ICON.ICON_FA_MOON, MOONLIGHT)
        parts.append((f"{icon}  {words}", colour, True))
    parts.append((f"{rates.ticks_per_s:.1f} ticks/s   {rates.frames}", DIM, True))
    populations = (session.status.get("metrics") or {}).get("populations") or {}
    for counts in populations.values():
        for name, count in counts.items():
            parts.append((f"{name} {short(count)}", species_colour(session.known, name), False))
    return parts


def draw_bar_parts(parts: list[Part], left: float, right: float) -> None:
    """Draws entries from `right` leftward, the first rightmost, until one would cross `left`; omits the rest."""
    draw_list, x = imgui.get_window_draw_list(), right - 12.0
    y = imgui.get_window_pos().y + (imgui.get_window_height() - 18) / 2
    for text, colour, _ in parts:
        x -= text_px(text)
        if x < left:
            return
        draw_list.add_text(ImVec2(x, y), packed(colour, 0.95), text)
        x -= PART_GAP


def draw_notices(session: Any, middle: float, bottom: float, max_px: float) -> None:
    """Draws the recent notices from `bottom` upward, the newest lowest; they fade out before they expire.

    They are centred on `middle` and at most `max_px` wide, all in logical pixels.
    """
    draw_list, now_s = imgui.get_foreground_draw_list(), session.clock()
    y = bottom
    for notice in reversed(session.fresh_notices[-MAX_NOTICES:]):
        left_s = notice.at_s + SHOWN_S - now_s
        opacity = min(1.0, left_s / FADE_OUT_S, (now_s - notice.at_s) / FADE_IN_S + 0.15)
        if opacity <= 0:
            continue
        size = imgui.calc_text_size(notice.line, False, max_px - 40)
        height, width = size.y + 12, size.x + 40
        y -= height
        low, high = ImVec2(middle - width / 2, y), ImVec2(middle + width / 2, y + height)
        tone = BAD if notice.bad else ACCENT
        draw_list.add_rect_filled(low, high, packed((0.04, 0.07, 0.08, 0.92), opacity), 8.0)
        draw_list.add_rect(low, high, packed(tone, 0.35 * opacity), 8.0)
        icon = ICON.ICON_FA_TRIANGLE_EXCLAMATION if notice.bad else ICON.ICON_FA_CIRCLE_INFO
        draw_list.add_text(ImVec2(low.x + 10, y + 6), packed(tone, opacity), icon)
        corner, text_tone = ImVec2(low.x + 32, y + 6), packed(TEXT, opacity)
        draw_list.add_text(imgui.get_font(), imgui.get_font_size(), corner, text_tone, notice.line, max_px - 40)
        y -= 6


def draw_banner(session: Any, middle: float, top: float) -> None:
    """Draws a banner while the connection is lost, or while a tick of the past is displayed."""
    if session.reconnecting:
        dots = "." * (1 + int(session.clock() * 1.5) % 3)
        _banner(middle, top, f"reconnecting {dots:<3}", "no news from the server: this is the last state", WARN)
    elif session.shown != LIVE:
        under = "the world keeps running; Backspace returns to the present"
        _banner(middle, top, f"tick {session.shown:,} of the past", under, ACCENT)


def _banner(middle: float, top: float, text: str, under: str, colour: Colour) -> None:
    """Draws a banner: `text` in large letters, and `under` below it."""
    draw_list, font = imgui.get_foreground_draw_list(), imgui.get_font()
    large = imgui.get_font_size() * 1.6
    width = max(text_px(text) * 1.6, text_px(under)) + 44
    low, high = ImVec2(middle - width / 2, top), ImVec2(middle + width / 2, top + 62)
    draw_list.add_rect_filled(low, high, packed((0.03, 0.05, 0.06, 0.86)), 12.0)
    draw_list.add_rect(low, high, packed(colour, 0.4), 12.0)
    draw_list.add_text(font, large, ImVec2(middle - text_px(text) * 0.8, top + 7), packed(colour), text)
    draw_list.add_text(ImVec2(middle - text_px(under) / 2, top + 37), packed(DIM), under)
