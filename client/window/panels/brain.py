"""The brain panel: a monster's neural net with its current activity, and the reasons for a drive.

Stimuli are what a monster senses, drives are what it decides: numbers by name. The net has three columns of nodes:
inputs (stimuli and memory), hidden units, whose activations are also the memory, and drives. A contribution is what one
node adds to the value of another: the value of the first times the weight of the connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from imgui_bundle import ImVec2, imgui

from umwelt.agents.body.interface import DRIVES, MEMORY, STIMULI
from umwelt.client.window.panels import genes
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.reasons import (
    REMEMBERED,
    follows_net,
    in_words,
    sentence,
    strongest,
    weights_of,
    why,
)
from umwelt.client.window.panels.theme import ACCENT, BAD, DIM, GOOD, TEXT, WARN, packed, vector
from umwelt.client.window.panels.widgets import dim, meter, text_px
from umwelt.sandbox.units import ONE

__all__ = ["Brain", "why"]

MAX_INPUTS = 16
"""Maximum number of drawn inputs."""
MIN_ROW_PX = 12.5
"""Minimum distance between the rows of inputs, in logical pixels."""
MAX_LINES = 110
"""Maximum number of lines between two columns of nodes."""
MAX_REASONS = 6
"""Maximum number of listed contributions to the explained drive."""
MIN_FLOW = 0.012
"""Absolute value of a contribution up to which no line is drawn for it."""
REASONS_PX = 166.0
"""Height that is left for the list of contributions below the net, in logical pixels."""
MIN_SHARE = 0.005
"""Minimum absolute value of a listed contribution to the explained drive."""
SMALL_PX = 13.0
INPUT_NAMES_PX, DRIVE_NAMES_PX = 104.0, 74.0
"""Widths that are left for the names of inputs and of drives, in logical pixels."""


@dataclass
class _Picture:
    """The drawn content of a net: the values of its nodes in three columns, and the lines between the columns.

    `incoming` are the lines from inputs to hidden units, `outgoing` those from hidden units to drives. A line is (row
    of its start, row of its end, contribution); the weakest lines come first.
    """

    inputs: list[tuple[str, float]]
    """The name and value of each stimulus that is drawn; the memory is the last entry."""
    hidden: list[float]
    drives: list[float]
    incoming: list[tuple[int, int, float]]
    outgoing: list[tuple[int, int, float]]
    reasons: list[tuple[str, float]]
    """The contributions of stimuli and memory to the explained drive: (name, contribution), the strongest first."""
    total: float
    """The net's output for the explained drive, before it is clamped to -1 to 1."""
    drive: int
    """The index of the explained drive."""
    own: bool
    """Whether the monster's drives are the output of this net; not so while a viewer steers it."""


class Brain:
    """The content of the brain panel. The picture is rebuilt when the being's tick or the explained drive changes."""

    def __init__(self) -> None:
        self.explained: int | None = None
        """The index of the drive that was clicked, to be explained; None: the strongest drive is explained."""
        self._stamp: tuple = ()
        self._picture: _Picture | None = None
        self._of = 0

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        selected = session.selected
        being = selected.being if selected is not None else None
        if being is None:
            dim("select a monster to see its neural net")
            return
        if selected.id != self._of:
            self._of, self.explained = selected.id, None
        genome = bytes(being["row"]["genome"])
        if not genes.is_monster(genome):
            self._plant(genome)
            return
        if "stimuli" not in being or "memory" not in being["columns"]:
            dim("this world does not send its senses")
            return
        height = min(330.0, max(120.0, imgui.get_content_region_avail().y - REASONS_PX))
        max_inputs = int(min(MAX_INPUTS, max(6, height / MIN_ROW_PX)))
        stamp = (being["id"], being["tick"], self.explained, max_inputs)
        if stamp != self._stamp or self._picture is None:
            self._stamp, self._picture = stamp, _build_picture(genome, being, self.explained, max_inputs)
        self._net(self._picture, height)
        self._why(self._picture)

    # --- the net

    def _net(self, picture: _Picture, height: float) -> None:
        """Draws the net with a height of `height` logical pixels, and handles the mouse over it."""
        size = ImVec2(imgui.get_content_region_avail().x, height)
        corner = imgui.get_cursor_screen_pos()
        imgui.invisible_button("##net", size)
        hovered, clicked = imgui.is_item_hovered(), imgui.is_item_clicked()
        mouse = imgui.get_mouse_pos()
        left, right = corner.x + INPUT_NAMES_PX, corner.x + size.x - DRIVE_NAMES_PX
        middle = (left + right) / 2 + 4
        rows = [_spread(corner.y, size.y, len(nodes)) for nodes in (picture.inputs, picture.hidden, picture.drives)]
        sizes = [
            min(imgui.get_font_size(), 1.08 * (column[1] - column[0])) if len(column) > 1 else 15.0 for column in rows
        ]
        near = _near(mouse, rows, left, middle, right) if hovered else (-1, -1)
        if clicked and near[0] == 2:
            self.explained = None if self.explained == near[1] else near[1]
        draw_list = imgui.get_window_draw_list()
        _lines(draw_list, picture.incoming, (left, rows[0]), (middle, rows[1]), near, 0)
        _lines(draw_list, picture.outgoing, (middle, rows[1]), (right, rows[2]), near, 1)
        for at, (name, value) in enumerate(picture.inputs):
            words = in_words(name)
            tone = packed(TEXT if near == (0, at) else DIM)
            _write(draw_list, left - 9, rows[0][at], tone, words, sizes[0], True)
            _node(draw_list, left, rows[0][at], value, 4.0)
        for at, value in enumerate(picture.hidden):
            _node(draw_list, middle, rows[1][at], value, 6.5)
            if abs(value) >= 1:
                draw_list.add_circle(ImVec2(middle, rows[1][at]), 9.0, packed(WARN, 0.9), 0, 1.3)
        for at, value in enumerate(picture.drives):
            lit = at == picture.drive or near == (2, at)
            _write(
                draw_list, right + 10, rows[2][at], packed(TEXT if lit else DIM), in_words(DRIVES[at]), sizes[2], False
            )
            _node(draw_list, right, rows[2][at], value, 5.0)
            if at == picture.drive:
                draw_list.add_circle(ImVec2(right, rows[2][at]), 8.0, packed(TEXT, 0.8), 0, 1.2)
        if hovered and near[0] >= 0:
            imgui.set_tooltip(_tooltip(picture, near))

    # --- why

    def _why(self, picture: _Picture) -> None:
        """Draws the contributions to the explained drive as bars with sentences."""
        name, value = in_words(DRIVES[picture.drive]), picture.drives[picture.drive]
        imgui.text(f"Why {name}")
        imgui.same_line(0, 6)
        imgui.text_colored(vector(ACCENT if value >= 0 else BAD), f"{value:+.2f}")
        imgui.same_line(0, 10)
        dim("(click a drive)" if self.explained is None else "(click it again: strongest drive)")
        if not picture.own:
            imgui.push_text_wrap_pos(0.0)
            words = "its drives do not come from this net: a viewer steers it, or its species has another behaviour"
            imgui.text_colored(vector(WARN), words)
            imgui.pop_text_wrap_pos()
        if not picture.reasons:
            dim("no stimulus contributes: the net's output is 0")
            return
        largest = max(abs(share) for _, share in picture.reasons)
        sentences = [sentence(reason, share, DRIVES[picture.drive]) for reason, share in picture.reasons]
        indent = min(max(text_px(words) for words in sentences) + 12, imgui.get_content_region_avail().x - 40)
        for words, (_, share) in zip(sentences, picture.reasons, strict=True):
            meter(words, share / max(0.05, largest), "", ACCENT, name_px=indent, value_px=0, signed=True)

    # --- plants

    def _plant(self, genome: bytes) -> None:
        """Draws the genes of a plant, which has no net."""
        dim("plants have no neural net: their genes decide")
        imgui.push_text_wrap_pos(0.0)
        for name, value in genes.trait_values(genome):
            if name.startswith("marker") or name in ("hue", "flower_hue", "shape"):
                continue
            signed = name in genes.SIGNED_GENES
            share, text = (value / 128, f"{value:+d}") if signed else (value / 255, str(value))
            meter(in_words(name), share, text, GOOD, name_px=112, value_px=36)
            imgui.push_font(None, SMALL_PX)
            dim(genes.PLANT_WORDS[name])
            imgui.pop_font()
            imgui.dummy(ImVec2(1, 1))
        imgui.pop_text_wrap_pos()


def _build_picture(genome: bytes, being: Mapping[str, Any], explained: int | None, max_inputs: int) -> _Picture:
    """Returns what to draw of a monster's net, with at most `max_inputs` inputs; `being` is the monster's data.

    `explained` is the index of the drive to explain; None for the strongest.
    """
    incoming, _, outgoing = weights_of(genome)
    sensed = [int(being["stimuli"].get(name, 0)) for name in STIMULI]
    stimuli = np.array(sensed, np.float64) / ONE
    hidden = being["columns"]["memory"]
    drives = [int(being["drives"].get(name, 0)) for name in DRIVES]
    active = np.array(hidden, np.float64) / ONE
    flows = incoming * stimuli[:, None]
    remembered = np.where(np.abs(active) < 1, active - flows.sum(axis=0), 0.0)
    strength = np.abs(flows).max(axis=1)
    chosen = np.sort(np.argsort(-strength, kind="stable")[: max_inputs - 1])
    chosen = chosen[strength[chosen] > 0]
    inputs = [(STIMULI[at], float(stimuli[at])) for at in chosen.tolist()]
    inputs.append((REMEMBERED, float(np.clip(np.abs(remembered).max(), 0, 1))))
    into = np.concatenate([flows[chosen], remembered[None]])
    out = (outgoing * active).T
    drive = explained if explained is not None else strongest(drives)
    reasons = [reason for reason in why(genome, sensed, hidden, drive, MAX_REASONS) if abs(reason[1]) >= MIN_SHARE]
    own = follows_net(genome, hidden, drives)
    total = float(out[:, drive].sum())
    return _Picture(
        inputs,
        active.tolist(),
        [value / ONE for value in drives],
        _lines_of(into, MAX_LINES),
        _lines_of(out, MAX_LINES),
        reasons,
        total,
        drive,
        own,
    )


def _lines_of(flows: np.ndarray, max_count: int) -> list[tuple[int, int, float]]:
    """Returns the lines for at most `max_count` contributions in `flows[from, to]`: the strongest, in ascending order.

    A line is (row of its start, row of its end, contribution).
    """
    flat = np.abs(flows).ravel()
    order = np.argsort(flat, kind="stable")[-max_count:]
    width = flows.shape[1]
    return [(at // width, at % width, float(flows.flat[at])) for at in order.tolist() if flat[at] > MIN_FLOW]


def _spread(top: float, height: float, count: int) -> list[float]:
    """Returns the y coordinates of the `count` nodes of a column, evenly spaced, in logical pixels."""
    step = (height - 14) / max(1, count - 1) if count > 1 else 0.0
    first = top + 7 if count > 1 else top + height / 2
    return [first + at * step for at in range(count)]


def _lines(
    draw_list: Any,
    lines: list[tuple[int, int, float]],
    start: tuple[float, list[float]],
    end: tuple[float, list[float]],
    near: tuple[int, int],
    column: int,
) -> None:
    """Draws the lines between two columns; while the mouse is over a node, only this node's lines are bright.

    `start` and `end` are the x of a column and the y of its nodes. `near` is the column and row of the node under the
    mouse; `column` is the number of the first of the two columns.
    """
    (x0, rows0), (x1, rows1) = start, end
    for first, second, flow in lines:
        size = min(1.0, abs(flow))
        alpha = round(0.16 + 0.74 * size**0.6, 2)
        if near[0] >= 0:
            connected = near == (column, first) or near == (column + 1, second)
            alpha = 0.95 if connected else 0.06
        tone = packed(ACCENT if flow > 0 else BAD, alpha)
        draw_list.add_line(ImVec2(x0, rows0[first]), ImVec2(x1, rows1[second]), tone, 0.7 + 3.2 * size**0.7)


def _write(draw_list: Any, x: float, y: float, tone: int, words: str, size: float, ends: bool) -> None:
    """Draws a name of font size `size` beside its node: it starts at `x`, or ends at `x` if `ends` is set."""
    scale = size / imgui.get_font_size()
    left = x - text_px(words) * scale if ends else x
    draw_list.add_text(imgui.get_font(), size, ImVec2(left, y - 0.58 * size), tone, words)


def _node(draw_list: Any, x: float, y: float, value: float, radius: float) -> None:
    """Draws a node as a disc; a larger absolute value is brighter."""
    size = min(1.0, abs(value))
    at = ImVec2(x, y)
    draw_list.add_circle_filled(at, radius, packed((0.15, 0.21, 0.23, 1.0)), 14)
    if size > 0.02:
        draw_list.add_circle_filled(at, radius, packed(ACCENT if value > 0 else BAD, round(0.15 + 0.85 * size, 2)), 14)


def _near(mouse: Any, rows: list[list[float]], left: float, middle: float, right: float) -> tuple[int, int]:
    """Returns the column (0 to 2) and row of the node under the mouse, or (-1, -1) if there is none.

    `rows` are the y coordinates of the nodes by column; `left`, `middle` and `right` are the x of the columns.
    """
    if mouse.x < left + 12:
        column = 0
    elif abs(mouse.x - middle) < 14:
        column = 1
    elif mouse.x > right - 12:
        column = 2
    else:
        return -1, -1
    ways = [abs(y - mouse.y) for y in rows[column]]
    at = ways.index(min(ways)) if ways else -1
    return (column, at) if at >= 0 and ways[at] < 12 else (-1, -1)


def _tooltip(picture: _Picture, near: tuple[int, int]) -> str:
    """Returns the text of the tooltip of the node with this column and row."""
    column, at = near
    if column == 0:
        name, value = picture.inputs[at]
        return "memory of the tick before" if name == REMEMBERED else f"{in_words(name)}: {value:+.3f}"
    if column == 1:
        limit = " (at its limit)" if abs(picture.hidden[at]) >= 1 else ""
        return f"unit {at + 1} of {MEMORY}: {picture.hidden[at]:+.3f}{limit}"
    return f"{in_words(DRIVES[at])}: {picture.drives[at]:+.3f}; click to see why"
