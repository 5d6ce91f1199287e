"""The placement of panels in three columns along the window's edges, in logical pixels."""

from collections.abc import Sequence
from typing import NamedTuple

MARGIN = 10.0
"""Distance of panels from the edges of the window; `GAP` is the distance between panels."""
GAP = 8.0
BAR_PX = 28.0
"""Height of the top bar."""
LEFT_PX, RIGHT_PX = 316.0, 342.0
"""Widths of the left and the right column."""
MIN_MIDDLE_PX = 300.0
"""Minimum width of the middle column."""
TOOLBAR_PX = 68.0
"""The height that is left free for the toolbar above the middle column."""
MAX_MIDDLE_PX, MAX_OVER_PX = 720.0, 640.0
"""Maximum widths of the middle column and of panels in front of all others ("over")."""
LEFT_SHARE, RIGHT_SHARE = 0.31, 0.34
"""The maximum widths of the left and the right column as shares of the space between the margins."""

Place = tuple[float, float, float, float]
"""The place of a panel: x, y, width, height."""


class Spot(NamedTuple):
    """The column of a panel ("left", "middle", "right", or "over": in front of all others) and its preferred height.

    A panel shrinks down to `min_px` if its column is too short for all panels, and grows up to `max_px` if there is
    space left.
    """

    column: str
    preferred_px: float
    min_px: float
    max_px: float = 0.0


def places(
    shown: Sequence[tuple[str, Spot]], size: tuple[float, float], insets: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
) -> dict[str, Place]:
    """Returns the place (x, y, width, height) of each panel by title, in a window of `size`.

    `shown` are titles and spots of the panels, from top to bottom; `insets` are the widths of margins (left, top,
    right, bottom) that are left free.
    """
    width, height = size
    left, top, right, bottom = insets
    first, last = left + MARGIN, width - right - MARGIN
    y, end = top + BAR_PX + MARGIN, height - bottom - 4
    room = max(120.0, end - y)
    left_px, right_px = min(LEFT_PX, (last - first) * LEFT_SHARE), min(RIGHT_PX, (last - first) * RIGHT_SHARE)
    middle_x, middle_end = first + left_px + GAP, last
    columns = {
        name: [panel for panel in shown if panel[1].column == name] for name in ("left", "middle", "right", "over")
    }
    if not columns["left"]:
        middle_x = first
    if columns["right"]:
        middle_end = last - right_px - GAP
    middle_px = min(max(MIN_MIDDLE_PX, middle_end - middle_x), MAX_MIDDLE_PX, last - first)
    middle_x = min(middle_x, last - middle_px)
    spans = {"left": (first, left_px), "middle": (middle_x, middle_px), "right": (last - right_px, right_px)}
    placed: dict[str, Place] = {}
    for name, (x, span) in spans.items():
        at = y
        heights = share_height([spot for _, spot in columns[name]], room)
        if name == "middle":
            heights = share_height([spot for _, spot in columns[name]], max(120.0, room - TOOLBAR_PX))
            at = end - sum(heights) - GAP * max(0, len(heights) - 1)  # at the lower edge
        for number, (title, _) in enumerate(columns[name]):
            if name == "left" and number == len(heights) - 1 and len(heights) > 1:
                at = end - heights[number]  # the lowest panel is aligned to the lower edge
            placed[title] = tuple(float(round(value)) for value in (x, at, span, heights[number]))  # type: ignore
            at += heights[number] + GAP
    for title, spot in columns["over"]:
        over_px, tall = min(MAX_OVER_PX, last - first), min(spot.preferred_px, room)
        placed[title] = float(round((width - over_px) / 2)), float(round(y + (room - tall) / 2)), over_px, float(tall)
    return placed


def share_height(spots: Sequence[Spot], room_px: float) -> list[float]:
    """Returns the heights of a column's panels, which with the gaps between them fit into `room_px`.

    A shortage is taken from all panels in proportion to the difference of their preferred and minimum heights; if even
    the minimum heights do not fit, all shrink in proportion. A surplus is given to panels that can grow.
    """
    room = room_px - GAP * max(0, len(spots) - 1)
    heights = [spot.preferred_px for spot in spots]
    shortage = sum(heights) - room
    if shortage <= 0:
        growth = [max(0.0, spot.max_px - spot.preferred_px) for spot in spots]
        share = min(1.0, -shortage / max(1.0, sum(growth)))
        return [height + part * share for height, part in zip(heights, growth, strict=True)]
    spare = [spot.preferred_px - spot.min_px for spot in spots]
    if sum(spare) > 0:
        share = min(1.0, shortage / sum(spare))
        heights = [height - part * share for height, part in zip(heights, spare, strict=True)]
    excess = sum(heights) - room
    if excess > 0.5:
        heights = [height * room / sum(heights) for height in heights]
    return heights
