"""Inhabiting a monster: a person's keys stand in the place of its drives, until it is given back.

A held body stays held in the world's controls until somebody gives it back, beyond its death even. So whoever was held
is owed to the world from the first drive on, and a release is said again until it is answered after every drive.
"""

import time
from dataclasses import dataclass
from typing import Any

from umwelt.agents.body.interface import DRIVES
from umwelt.client.window.input.tools import SPECTATOR_LINE
from umwelt.client.window.session import Promise, Session
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import UmweltError

TELL_EVERY_S, TELL_AGAIN_S = 0.1, 1.0
SEE_EVERY_S = 0.4
RELEASE_AGAIN_S, MAX_RELEASES = 1.0, 120
CLOSE_WITHIN_S = 3.0
MAX_FLYING = 4
"""Drives without an answer yet; more would only queue up."""
TURNS_MIN_A_S, TURNS_MAX_A_S, TURN_RAMP_S = 0.12, 0.6, 0.9
TURN_A_TICK = 1 / 8
"""What a turn of 1 is, in whole turns (see `contract.DRIVES`): how far that goes in a second depends on the pace."""
THRUST_FROM, THRUST_RAMP_S = 0.4, 0.35
STEPS = 256
"""Drives are told in steps of 1/256, so that a ramp ends in something that does not change."""
PACE_OVER_S, USUAL_TICKS_A_S = 1.5, 20.0
SEEN_SCALE = 26.0

KEYS: dict[str, tuple[str, float]] = {
    "W": ("thrust", 1.0),
    "UP": ("thrust", 1.0),
    "A": ("turn", -1.0),
    "LEFT": ("turn", -1.0),
    "D": ("turn", 1.0),
    "RIGHT": ("turn", 1.0),
    "SPACE": ("bite", 1.0),
    "G": ("graze", 1.0),
    "E": ("drink", 1.0),
    "T": ("grow", 1.0),
    "B": ("breed", 1.0),
    "R": ("rest", 1.0),
    "F": ("blink", 1.0),
    "M": ("musk_drive", 1.0),
    "N": ("alarm_drive", 1.0),
}
"""What a held key does, by pyglet's name of it."""
HINTS = (
    ("thrust", "W", "run"),
    ("turn", "A D", "turn"),
    ("bite", "Space", "bite"),
    ("graze", "G", "graze"),
    ("drink", "E", "drink"),
    ("grow", "T", "grow"),
    ("breed", "B", "breed"),
    ("rest", "R", "rest"),
    ("blink", "F", "blink"),
    ("musk_drive", "M", "musk"),
    ("alarm_drive", "N", "alarm"),
)
"""Drives, their keys and their words, for the HUD and for help."""


@dataclass
class _Owed:
    """A body to be given back."""

    promise: Promise | None = None
    clean: bool = False
    """Whether every drive had been answered before the release was said: then none can come after it."""
    due_s: float = -1e9
    said: int = 0


class Inhabiting:
    """See the page's top. `being` is who is inhabited, 0 if nobody; `told` the drives that were sent last."""

    def __init__(self, session: Session):
        self.session = session
        self.being = 0
        self.told: dict[str, float] = {}
        self.body: dict[str, Any] | None = None
        """The body as it was fetched last."""
        self.ticks_per_s = USUAL_TICKS_A_S
        self._held: dict[str, None] = {}
        self._turn, self._thrust = 0.0, 0.0
        self._flying: list[tuple[int, Promise]] = []
        self._owed: dict[int, _Owed] = {}
        self._touched: set[int] = set()
        """Whom a drive may have reached; whoever was refused from the first one on is not held."""
        self._seeing: Promise | None = None
        self._seen_s = self._told_s = -1e9
        self._turned_s: float | None = None
        self._pace_from: tuple[float, int] | None = None
        self._lost = False
        session.at_close.append(self.close)

    # --- beginning and ending

    def begin(self, being: int) -> bool:
        """Hold a being from now on; gives whether it can be."""
        session, being = self.session, int(being)
        if being == self.being:
            return bool(being)
        line = self._why_not(being)
        if line:
            session.say(line, bad=True)
            return False
        self.end()
        self._owed.pop(being, None)  # it is ours again: what was said to give it back comes before our drives
        self.being, self.told, self.body = being, {}, None
        self._held, self._turn, self._thrust = {}, 0.0, 0.0
        self._told_s, self._seen_s, self._lost = -1e9, session.clock(), False
        session.select(being, self._table(being))
        session.following = True
        known = session.selected.being if session.selected is not None else None
        if known is not None and known.get("held"):
            session.say("somebody held it already: now you do")
        place = session.selected_place()
        if place is not None:
            session.camera.look(place[0], place[1], max(session.camera.target[2], SEEN_SCALE))
        session.say("you are its drives now: W A D to go, Space bites, G grazes, E drinks; I or Esc gives it back")
        return True

    def _why_not(self, being: int) -> str:
        session = self.session
        if not session.keeper:
            return SPECTATOR_LINE
        if session.shown != LIVE:
            return "nobody of the past can be steered: come back to now"
        if session.reconnecting:
            return "the line is lost: wait until it is back"
        if being <= 0:
            return "nobody to steer: select a monster first"
        table = self._table(being)
        if table and "drives" not in session.known.columns.get(table, ["drives"]):
            return f"one of {table} has no drives: select a monster"
        return ""

    def _table(self, being: int) -> str:
        selected = self.session.selected
        if selected is not None and selected.id == being and selected.table:
            return selected.table
        tables = [swarm.table for swarm in self.session.feed.frame.swarms if being in swarm.ids]
        return tables[0] if tables else ""

    def end(self, why: str = "") -> None:
        """Give the body back to itself."""
        if not self.being:
            return
        being, self.being = self.being, 0
        self.told, self._held, self._turn, self._thrust, self._seeing = {}, {}, 0.0, 0.0, None
        self._owed[being] = _Owed()
        self._settle()
        self.session.say(f"{why + ': ' if why else ''}it is given back to itself")

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Give back whoever is held, and wait until the world has heard it; the session calls it before it closes."""
        self.end()
        end_s = time.monotonic() + within_s
        while self._owed and time.monotonic() < end_s:
            self._settle()
            time.sleep(0.004)

    @property
    def owed(self) -> frozenset[int]:
        """Who is not known to have been given back yet."""
        return frozenset(self._owed)

    # --- keys

    def on_key(self, symbol: str, pressed: bool) -> bool:
        """A key by pyglet's name of it goes down or up; gives whether it means something."""
        if not self.being or symbol not in KEYS:
            return False
        self._held.pop(symbol, None)
        if pressed:
            self._held[symbol] = None  # the one that went down last turns
        return True

    def let_go(self) -> None:
        """All keys are up: another window has the keyboard."""
        self._held.clear()

    def drives(self) -> dict[str, float]:
        """What the keys mean now, -1 to 1; drives that rest are not named."""
        wanted = {KEYS[key][0]: KEYS[key][1] for key in self._held}
        wanted["thrust"] = self._thrust
        wanted["turn"] = self._turn / TURN_A_TICK / max(0.1, self.ticks_per_s)
        found = {name: round(min(1.0, max(-1.0, value)) * STEPS) / STEPS for name, value in wanted.items()}
        if self._turn and not found["turn"]:
            found["turn"] = (1 if self._turn > 0 else -1) / STEPS
        return {name: value for name in DRIVES if (value := found.get(name, 0.0))}

    def _ramp(self, seconds: float) -> None:
        """Turning (turns a second) and running grow while keys are held, and end when they are let go."""
        sides = [KEYS[key][1] for key in self._held if KEYS[key][0] == "turn"]
        if not sides:
            self._turn = 0.0
        else:
            size = abs(self._turn) if self._turn * sides[-1] > 0 else TURNS_MIN_A_S
            size += (TURNS_MAX_A_S - TURNS_MIN_A_S) * seconds / TURN_RAMP_S
            self._turn = sides[-1] * min(TURNS_MAX_A_S, size)
        if any(KEYS[key][0] == "thrust" for key in self._held):
            self._thrust = min(1.0, max(THRUST_FROM, self._thrust) + (1 - THRUST_FROM) * seconds / THRUST_RAMP_S)
        else:
            self._thrust = 0.0

    # --- turns

    def turn(self, now_s: float) -> None:
        """Let time pass: once a frame."""
        seconds = 0.0 if self._turned_s is None else min(0.2, max(0.0, now_s - self._turned_s))
        self._turned_s = now_s
        self._note_pace(now_s)
        self._settle()
        if not self.being:
            return
        if self.session.shown != LIVE:
            self.end("you look at the past")
            return
        if self.session.reconnecting:
            self._lost = True
            self._held.clear()
            return
        if self._lost:
            self.end("the line was lost and is back")
            return
        self._ramp(seconds)
        self._see(now_s)
        if self.being:
            self._tell(now_s)

    def _note_pace(self, now_s: float) -> None:
        tick = int(self.session.status.get("tick", 0))
        if self._pace_from is None or tick < self._pace_from[1]:
            self._pace_from = (now_s, tick)
        since_s, since = self._pace_from
        if now_s - since_s >= PACE_OVER_S:
            if tick > since:
                self.ticks_per_s = (tick - since) / (now_s - since_s)
            self._pace_from = (now_s, tick)

    def _tell(self, now_s: float) -> None:
        """Tell the world the drives, when they have changed or now and then."""
        drives, being = self.drives(), self.being
        if drives == self.told and self.session.status.get("paused"):
            return  # nothing moves: saying it again would only fill the journal
        wait_s = TELL_EVERY_S if drives != self.told else TELL_AGAIN_S
        if now_s - self._told_s < wait_s or len(self._flying) >= MAX_FLYING:
            return
        self._told_s, self.told = now_s, drives
        try:
            self._flying.append((being, self.session.world.drive(being, **drives)))
        except UmweltError as error:
            self.end(str(error))

    def _see(self, now_s: float) -> None:
        """Look whether the body still lives."""
        if self._seeing is None:
            if now_s - self._seen_s >= SEE_EVERY_S:
                self._seen_s = now_s
                self._seeing = self.session.world.fetch(self.being)
            return
        if not self._seeing.done:
            return
        seeing, self._seeing = self._seeing, None
        try:
            self.body = seeing.result()
        except UmweltError:
            return  # it is asked again; whether the line is lost, the session knows
        if self.body is None:
            self.end("it died")

    def _settle(self) -> None:
        """Hear what came of drives and releases, and say again what has to be."""
        flying, self._flying = self._flying, []
        for being, promise in flying:
            if not promise.done:
                self._flying.append((being, promise))
                continue
            answered = promise.answered
            try:
                promise.result()
                self._touched.add(being)
            except UmweltError as error:
                if not answered:
                    self._touched.add(being)
                if being == self.being:
                    self.session.say(str(error), bad=True)
                    self.end()
        for being, owed in list(self._owed.items()):
            self._give_back(being, owed)

    def _give_back(self, being: int, owed: _Owed) -> None:
        now_s = time.monotonic()
        if owed.promise is not None and owed.promise.done:
            promise, owed.promise = owed.promise, None
            try:
                promise.result()
            except UmweltError:
                owed.due_s = now_s + RELEASE_AGAIN_S
            else:
                if owed.clean:
                    self._forget(being)
                    return
        clean = all(other != being for other, _ in self._flying)
        if clean and being not in self._touched:
            self._forget(being)
            return
        if owed.promise is not None or now_s < owed.due_s or (owed.said and not clean):
            return
        if owed.said >= MAX_RELEASES:
            self._forget(being)
            return
        owed.said, owed.clean = owed.said + 1, clean
        try:
            owed.promise = self.session.world.release(being)
        except UmweltError:
            owed.due_s = now_s + RELEASE_AGAIN_S

    def _forget(self, being: int) -> None:
        self._owed.pop(being, None)
        self._touched.discard(being)

    # --- what is seen

    def draw(self) -> None:
        """A faint line over the world: which drives are active."""
        if not self.being:
            return
        from imgui_bundle import imgui

        view = imgui.get_main_viewport()
        place = imgui.ImVec2(view.pos.x + view.size.x / 2, view.pos.y + view.size.y - 74)
        imgui.set_next_window_pos(place, imgui.Cond_.always.value, imgui.ImVec2(0.5, 1.0))
        imgui.set_next_window_bg_alpha(0.38)
        flags = imgui.WindowFlags_
        shape = (
            flags.no_decoration | flags.always_auto_resize | flags.no_inputs | flags.no_nav | flags.no_saved_settings
        )
        if imgui.begin("##inhabited", None, shape | flags.no_focus_on_appearing)[0]:
            drives = self.drives()
            for at, (name, key, word) in enumerate(HINTS):
                strength = abs(drives.get(name, 0.0))
                if at:
                    imgui.same_line(0, 14)
                lit = imgui.ImVec4(1.0, 0.86, 0.45, 1.0) if strength else imgui.ImVec4(0.75, 0.82, 0.85, 0.5)
                imgui.text_colored(lit, f"{key} {word}")
            imgui.text_disabled(self._state())
        imgui.end()

    def _state(self) -> str:
        row = (self.body or {}).get("row") or {}
        told = [f"you are {self.being}"]
        for name, unit in (("fatigue", "tired"), ("pain", "pain"), ("dryness", "eyes dry")):
            if name in row:
                told.append(f"{unit} {row[name] / 10.24:.0f} %")
        return "   ".join([*told, "I or Esc gives it back"])
