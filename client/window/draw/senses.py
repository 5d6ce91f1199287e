"""A monster's senses as marks over the world: antennae, range of sight, and the other body that it sees.

The geometry is that of `agents/earth/laws/sense.py`. A stimulus is a number that a being senses, named after the sense
and, for antennae, the antenna; it is 1 at its full strength.
"""

import math
from collections.abc import Mapping
from typing import Any

from umwelt.agents.body.interface import ANTENNA_SENSES, ANTENNAE
from umwelt.agents.earth import parameters
from umwelt.client.window.draw.colours import SENSE_COLOURS
from umwelt.client.window.draw.marks import Line, Ring
from umwelt.sandbox.units import ONE, SUBCELL, TURN

KIN, STRANGER = (0.45, 0.85, 1.0), (1.0, 0.55, 0.35)
"""The colours of the line to the body that is seen: for a close relative, and for an unrelated being."""
SIGHT_COLOUR = (0.6, 0.85, 1.0, 0.16)
NOTHING_SENSED = (0.7, 0.75, 0.8)
MIN_STRENGTH = 0.02
"""The strength of an antenna's strongest stimulus up to which the antenna has the colour `NOTHING_SENSED`."""
DRY_EYES_LOSS = 256
"""Completely dry eyes see 256 / (ONE + 256) as far as moist ones (`sense.py`); ONE is the full dryness."""


def sense_marks(being: Mapping[str, Any], y: float, x: float, heading: float) -> tuple[list[Ring], list[Line]]:
    """Returns the rings and lines that display the senses of a being.

    `being` is the answer to a fetch of the being, which is drawn at `y`, `x` (cells) with `heading` in radians. Both
    lists are empty for a being without senses, such as a plant.
    """
    if "stimuli" not in being:
        return [], []
    stimuli = {name: value / ONE for name, value in being["stimuli"].items() if isinstance(value, int | float)}
    lines = [_antenna(stimuli, name, number, y, x, heading) for number, name in enumerate(ANTENNAE)]
    sight = sight_cells(being.get("columns") or {})
    rings: list[Ring] = [(y, x, sight, SIGHT_COLOUR)] if sight else []
    return rings, [*lines, *_seen_body(stimuli, sight, y, x, heading)]


def sight_cells(columns: Mapping[str, Any]) -> float:
    """Returns how far a being sees, in cells: 0 with closed eyes, less with dry eyes.

    `columns` are the values of the being's columns, such as the number of its eyes.
    """
    if columns.get("eyes_shut"):
        return 0.0
    distance_fixed = min(
        parameters.SIGHT_MAX_FIXED,
        parameters.SIGHT_BASE_FIXED + parameters.SIGHT_PER_EYE_FIXED * columns.get("eye_organs", 0),
    )
    dryness = min(columns.get("dryness", 0), ONE)
    return distance_fixed * (ONE + DRY_EYES_LOSS - dryness) / (ONE + DRY_EYES_LOSS) / SUBCELL


def _antenna(stimuli: dict[str, float], name: str, number: int, y: float, x: float, heading: float) -> Line:
    """Returns a line from the being at `y`, `x` to the tip of an antenna, in the colour of its strongest stimulus.

    Light is ignored. `name` is `ANTENNAE[number]`; `heading` is in radians.
    """
    strengths = {sense: abs(stimuli.get(f"{sense}_{name}", 0.0)) for sense in ANTENNA_SENSES}
    del strengths["light"]  # there is nearly always more light than anything else
    sense = max(strengths, key=lambda key: strengths[key])
    strength = min(1.0, strengths[sense])
    angle = heading + (number - 1) * parameters.ANTENNA_ANGLE * 2 * math.pi / TURN
    length = parameters.ANTENNA_FIXED / SUBCELL
    colour = SENSE_COLOURS[sense] if strength > MIN_STRENGTH else NOTHING_SENSED
    return y, x, y + math.sin(angle) * length, x + math.cos(angle) * length, (*colour, 0.25 + 0.6 * strength), 2.5


def _seen_body(stimuli: dict[str, float], sight: float, y: float, x: float, heading: float) -> list[Line]:
    """Returns a list with the line to the body that the being sees, coloured by kinship; empty if it sees none.

    `sight` is how far it sees, in cells.
    """
    distance = stimuli.get("other_distance", 1.0)
    if not sight or distance >= 1.0:
        return []
    angle = heading + stimuli.get("other_bearing", 0.0) * math.pi
    # the sensed distance is the larger of the distances along the two axes
    length = distance * sight / max(abs(math.sin(angle)), abs(math.cos(angle)))
    kinship = min(1.0, max(0.0, stimuli.get("other_kinship", 0.0)))
    red, green, blue = (kinship * a + (1 - kinship) * b for a, b in zip(KIN, STRANGER, strict=True))
    end_y, end_x = y + math.sin(angle) * length, x + math.cos(angle) * length
    return [(y, x, end_y, end_x, (red, green, blue, 0.5), 2.0)]
