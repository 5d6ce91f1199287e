"""What the selected monster senses, as marks over the world: its antennae, how far it sees, whom it sees.

The geometry is that of `agents/earth/laws/sense.py`.
"""

import math
from typing import Any

from umwelt.agents.body.interface import ANTENNA_SENSES, ANTENNAE
from umwelt.agents.earth import parameters
from umwelt.client.window.draw.colours import SENSE_COLOURS
from umwelt.client.window.input.marks import Line, Ring
from umwelt.client.window.session import Session
from umwelt.sandbox.units import ONE, SUBCELL, TURN

KIN, STRANGER = (0.45, 0.85, 1.0), (1.0, 0.55, 0.35)
FAINT = 0.16


def marks(session: Session) -> tuple[list[Ring], list[Line]]:
    """Rings and lines of the selected being, if it is a monster of which the world tells."""
    selected, place = session.selected, session.selected_place()
    being = selected.being if selected is not None and not selected.gone else None
    if being is None or place is None or not session.looks.senses or "stimuli" not in being:
        return [], []
    y, x, heading = place
    stimuli = {name: value / ONE for name, value in being["stimuli"].items() if isinstance(value, int | float)}
    lines = [_antenna(stimuli, name, number, y, x, heading) for number, name in enumerate(ANTENNAE)]
    sight = sight_cells(being.get("columns") or {})
    rings: list[Ring] = [(y, x, sight, (0.6, 0.85, 1.0, FAINT))] if sight else []
    lines += _other(stimuli, sight, y, x, heading)
    return rings, [line for line in lines if line is not None]


def sight_cells(columns: dict[str, Any]) -> float:
    """How far a body sees: nothing with shut eyes, less with dry ones."""
    if columns.get("eyes_shut"):
        return 0.0
    far = min(
        parameters.SIGHT_MAX_FIXED,
        parameters.SIGHT_BASE_FIXED + parameters.SIGHT_PER_EYE_FIXED * columns.get("eye_organs", 0),
    )
    return far * (ONE + 256 - min(columns.get("dryness", 0), ONE)) / (ONE + 256) / SUBCELL


def _antenna(stimuli: dict[str, float], name: str, number: int, y: float, x: float, heading: float) -> Line:
    """From the head to the tip, in the colour of what is met there most."""
    met = {sense: abs(stimuli.get(f"{sense}_{name}", 0.0)) for sense in ANTENNA_SENSES}
    del met["light"]  # there is always some: it would cover all else
    sense = max(met, key=lambda one: met[one])
    strength = min(1.0, met[sense])
    angle = heading + (number - 1) * parameters.ANTENNA_ANGLE * 2 * math.pi / TURN
    length = parameters.ANTENNA_FIXED / SUBCELL
    colour = SENSE_COLOURS[sense] if strength > 0.02 else (0.7, 0.75, 0.8)
    return y, x, y + math.sin(angle) * length, x + math.cos(angle) * length, (*colour, 0.25 + 0.6 * strength), 2.5


def _other(stimuli: dict[str, float], sight: float, y: float, x: float, heading: float) -> list[Line]:
    distance = stimuli.get("other_distance", 1.0)
    if not sight or distance >= 1.0:
        return []
    angle = heading + stimuli.get("other_bearing", 0.0) * math.pi
    # the distance that is sensed is the longer of both ways, down and across
    reach = distance * sight / max(abs(math.sin(angle)), abs(math.cos(angle)))
    kin = min(1.0, max(0.0, stimuli.get("other_kinship", 0.0)))
    colour = tuple(kin * a + (1 - kin) * b for a, b in zip(KIN, STRANGER, strict=True))
    return [(y, x, y + math.sin(angle) * reach, x + math.cos(angle) * reach, (*colour, 0.5), 2.0)]  # type: ignore[list-item]
