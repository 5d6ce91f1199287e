"""What lies over the picture without being a panel: the bar's right end, what was said lately, what is wrong."""

from typing import Any

from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, TEXT, WARN, Colour, packed, species_colour
from umwelt.client.window.panels.widgets import short, text_px
from umwelt.client.window.session import NOTICE_S
from umwelt.cluster.wire.viewer_protocol import LIVE

PART_GAP = 16.0
MOONLIGHT: Colour = (0.62, 0.70, 0.98, 1.0)
FADE_S = 0.6
MAX_TOASTS = 5
Part = tuple[str, Colour, bool]
"""A piece of the bar: text, colour, whether it is needed."""
QUARTERS = ("spring", "summer", "autumn", "winter")
ICON = icons_fontawesome_6


def clock_words(tick: int, climate: dict[str, int]) -> tuple[str, bool]:
    """Season, day and hour of a tick, and whether the sun is up; nothing where there is no climate."""
    day, year = climate.get("day_ticks", 0), climate.get("year_ticks", 0)
    if day <= 0:
        return "", True
    minutes = tick % day * 1440 // day
    words = f"day {tick // day + 1:,}, {minutes // 60:02d}:{minutes % 60:02d}"
    if year > 0:
        words = f"{QUARTERS[tick % year * 4 // year]}, {words}"
    return words, 360 <= minutes < 1080


def parts(session: Any, clockwork: Any) -> list[Part]:
    """Tick, clock, pace and populations; the first ones are needed, the others stand where there is room."""
    words, up = clock_words(session.tick, session.known.climate)
    found: list[Part] = [(f"tick {session.tick:,}", ACCENT, True)]
    if words:
        icon, colour = (ICON.ICON_FA_SUN, WARN) if up else (ICON.ICON_FA_MOON, MOONLIGHT)
        found.append((f"{icon}  {words}", colour, True))
    found.append((f"{clockwork.ticks_per_s:.1f} ticks/s   {clockwork.frames}", DIM, True))
    populations = (session.status.get("metrics") or {}).get("populations") or {}
    for counts in populations.values():
        for name, count in counts.items():
            found.append((f"{name} {short(count)}", species_colour(session.known, name), False))
    return found


def told(found: list[Part], left: float, right: float) -> None:
    """Draw the parts from the bar's right end on, as many as there is room for."""
    drawn, x = imgui.get_window_draw_list(), right - 12.0
    y = imgui.get_window_pos().y + (imgui.get_window_height() - 18) / 2
    for text, colour, _ in found:
        x -= text_px(text)
        if x < left:
            return
        drawn.add_text(ImVec2(x, y), packed(colour, 0.95), text)
        x -= PART_GAP


def toasts(session: Any, middle: float, bottom: float, max_px: float) -> None:
    """What was said lately, fading."""
    drawn, now_s = imgui.get_foreground_draw_list(), session.clock()
    y = bottom
    for notice in reversed(session.fresh_notices[-MAX_TOASTS:]):
        left_s = notice.at_s + NOTICE_S - now_s
        share = min(1.0, left_s / FADE_S, (now_s - notice.at_s) / 0.12 + 0.15)
        if share <= 0:
            continue
        size = imgui.calc_text_size(notice.line, False, max_px - 40)
        height, width = size.y + 12, size.x + 40
        y -= height
        low, high = ImVec2(middle - width / 2, y), ImVec2(middle + width / 2, y + height)
        drawn.add_rect_filled(low, high, packed((0.04, 0.07, 0.08, 0.92), share), 8.0)
        drawn.add_rect(low, high, packed(BAD if notice.bad else ACCENT, 0.35 * share), 8.0)
        icon = ICON.ICON_FA_TRIANGLE_EXCLAMATION if notice.bad else ICON.ICON_FA_CIRCLE_INFO
        drawn.add_text(ImVec2(low.x + 10, y + 6), packed(BAD if notice.bad else ACCENT, share), icon)
        at, tone = ImVec2(low.x + 32, y + 6), packed(TEXT, share)
        drawn.add_text(imgui.get_font(), imgui.get_font_size(), at, tone, notice.line, max_px - 40)
        y -= 6


def banner(session: Any, middle: float, top: float) -> None:
    """That the server is not heard, or that the past is shown."""
    if session.reconnecting:
        dots = "." * (1 + int(session.clock() * 1.5) % 3)
        _sign(middle, top, f"reconnecting {dots:<3}", "what you see is how it was last", WARN)
    elif session.shown != LIVE:
        _sign(
            middle,
            top,
            f"tick {session.shown:,} of the past",
            "the world goes on beside it; Backspace: back to now",
            ACCENT,
        )


def _sign(middle: float, top: float, text: str, under: str, colour: Colour) -> None:
    drawn, font = imgui.get_foreground_draw_list(), imgui.get_font()
    large = imgui.get_font_size() * 1.6
    width = max(text_px(text) * 1.6, text_px(under)) + 44
    low, high = ImVec2(middle - width / 2, top), ImVec2(middle + width / 2, top + 62)
    drawn.add_rect_filled(low, high, packed((0.03, 0.05, 0.06, 0.86)), 12.0)
    drawn.add_rect(low, high, packed(colour, 0.4), 12.0)
    drawn.add_text(font, large, ImVec2(middle - text_px(text) * 0.8, top + 7), packed(colour), text)
    drawn.add_text(ImVec2(middle - text_px(under) / 2, top + 37), packed(DIM), under)
