"""Where panels stand: three columns at the window's edges, in logical pixels. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

MARGIN = 10.0
GAP = 8.0
BAR_PX = 28.0
LEFT_PX, RIGHT_PX = 316.0, 342.0
MIN_MIDDLE_PX = 300.0
PALETTE_PX = 48.0
"""The palette of tools stands above the middle column."""

Place = tuple[float, float, float, float]


class Spot(NamedTuple):
    """The column of a panel ("over": in the middle, over all), its wished and least height, and the most it can use."""

    column: str
    wished_px: float
    min_px: float
    max_px: float = 0.0


def places(
    shown: Sequence[tuple[str, Spot]], size: tuple[float, float], insets: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
) -> dict[str, Place]:
    """The place (x, y, width, height) of each panel that is shown, by name."""
    width, height = size
    left, top, right, bottom = insets
    first, last = left + MARGIN, width - right - MARGIN
    y, end = top + BAR_PX + MARGIN, height - bottom - 4
    room = max(120.0, end - y)
    left_px, right_px = min(LEFT_PX, (last - first) * 0.31), min(RIGHT_PX, (last - first) * 0.34)
    middle_x, middle_end = first + left_px + GAP, last
    columns = {name: [one for one in shown if one[1].column == name] for name in ("left", "middle", "right", "over")}
    if not columns["left"]:
        middle_x = first
    if columns["right"]:
        middle_end = last - right_px - GAP
    middle_px = min(max(MIN_MIDDLE_PX, middle_end - middle_x), 720.0, last - first)
    middle_x = min(middle_x, last - middle_px)
    spans = {"left": (first, left_px), "middle": (middle_x, middle_px), "right": (last - right_px, right_px)}
    found: dict[str, Place] = {}
    for name, (x, span) in spans.items():
        at = y
        heights = shared([spot for _, spot in columns[name]], room)
        if name == "middle":
            heights = shared([spot for _, spot in columns[name]], max(120.0, room - PALETTE_PX))
            at = end - sum(heights) - GAP * max(0, len(heights) - 1)  # they grow upward, out of the picture's middle
        for number, (title, _) in enumerate(columns[name]):
            if name == "left" and number == len(heights) - 1 and len(heights) > 1:
                at = end - heights[number]  # the last one stands at the lower edge
            found[title] = tuple(float(round(value)) for value in (x, at, span, heights[number]))  # type: ignore
            at += heights[number] + GAP
    for title, spot in columns["over"]:
        over_px, tall = min(640.0, last - first), min(spot.wished_px, room)
        found[title] = float(round((width - over_px) / 2)), float(round(y + (room - tall) / 2)), over_px, float(tall)
    return found


def shared(spots: Sequence[Spot], room_px: float) -> list[float]:
    """Heights that fit: what lacks is taken from all by how much they can spare, what is left over goes to those who
    make use of it."""
    room = room_px - GAP * max(0, len(spots) - 1)
    target = [spot.wished_px for spot in spots]
    lack = sum(target) - room
    if lack <= 0:
        growth = [max(0.0, spot.max_px - spot.wished_px) for spot in spots]
        share = min(1.0, -lack / max(1.0, sum(growth)))
        return [wish + part * share for wish, part in zip(target, growth, strict=True)]
    spare = [spot.wished_px - spot.min_px for spot in spots]
    if sum(spare) > 0:
        share = min(1.0, lack / sum(spare))
        target = [wish - part * share for wish, part in zip(target, spare, strict=True)]
    excess = sum(target) - room
    if excess > 0.5:
        target = [wish * room / sum(target) for wish in target]
    return target
