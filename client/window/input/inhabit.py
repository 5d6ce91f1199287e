"""Inhabiting a monster: a person's keys set its drives until it is released.

The world's controls keep a held body until it is released, even beyond its death. So a body must be released from the
first drive on that may have reached the world, and the release is resent until it is confirmed after every drive.
"""

import time
from dataclasses import dataclass
from typing import Any

from umwelt.agents.body.interface import DRIVES
from umwelt.client.window.input.fork_dialog import SPECTATOR_LINE
from umwelt.client.window.session import Promise, Session
from umwelt.cluster import LIVE
from umwelt.sandbox.errors import UmweltError
from umwelt.sandbox.units import ONE

SEND_EVERY_S, REPEAT_EVERY_S = 0.1, 1.0
"""How often changed drives are sent, and unchanged ones repeated."""
FETCH_EVERY_S = 0.4
RELEASE_AGAIN_S, MAX_RELEASES = 1.0, 120
CLOSE_WITHIN_S = 3.0
MAX_UNANSWERED = 4
"""Drives without an answer yet; more would only queue up."""
MIN_TURNS_A_S, MAX_TURNS_A_S, TURN_RAMP_S = 0.12, 0.6, 0.9
TURN_A_TICK = 1 / 8
"""What a turn drive of 1 is in whole turns (see `interface.DRIVES`); turns a second depend on the world's pace."""
MIN_THRUST, THRUST_RAMP_S = 0.4, 0.35
STEPS = 256
"""Drives are sent in steps of 1/256, so that a ramp ends in a value that does not change any more."""
PACE_OVER_S, DEFAULT_TICKS_A_S = 1.5, 20.0
MIN_SCALE = 26.0
"""Pixels a cell that the camera zooms to at least."""
MAX_FRAME_S = 0.2
"""A slower frame counts as this long, so that ramps do not jump."""
PERCENT = ONE / 100

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
"""The drive that a key sets while it is down, by pyglet's name of the key."""
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
"""Drives, their keys and their labels, as the window shows them."""


@dataclass
class _Release:
    """A body that must be released."""

    promise: Promise | None = None
    """The answer to the last release that was sent."""
    is_last: bool = False
    """Whether every drive had been answered before that release was sent: then no drive can come after it."""
    due_s: float = -1e9
    sent: int = 0


class Inhabiting:
    """Steers at most one body of a session by the keyboard; the window owns it and calls `turn` once a frame.

    `being` is the id of the inhabited body, 0 if none; `sent_drives` are the drives that were sent last; `body` is the
    body as it was fetched last; `ticks_per_s` is the world's measured pace.
    """

    def __init__(self, session: Session):
        self.session = session
        self.being = 0
        self.sent_drives: dict[str, float] = {}
        self.body: dict[str, Any] | None = None
        self.ticks_per_s = DEFAULT_TICKS_A_S
        self._keys_down: dict[str, None] = {}
        """In the order in which they were pressed: of two that turn, the later counts."""
        self._turn, self._thrust = 0.0, 0.0
        self._unanswered: list[tuple[int, Promise]] = []
        """Bodies and the answers to drives sent to them."""
        self._releases: dict[int, _Release] = {}
        self._reached: set[int] = set()
        """Bodies that a drive may have reached; one whose every drive was refused is not held."""
        self._fetch: Promise | None = None
        self._fetched_s = self._sent_s = -1e9
        self._turned_s: float | None = None
        self._pace_from: tuple[float, int] | None = None
        self._lost_connection = False
        session.at_close.append(self.close)

    # --- beginning and ending

    def begin(self, being: int) -> bool:
        """Hold a body from now on; return whether it can be held."""
        session, being = self.session, int(being)
        if being == self.being:
            return bool(being)
        line = self._why_not(being)
        if line:
            session.say(line, bad=True)
            return False
        self.end()
        self._releases.pop(being, None)  # a release that was sent takes effect before the drives that follow
        self.being, self.sent_drives, self.body = being, {}, None
        self._keys_down, self._turn, self._thrust = {}, 0.0, 0.0
        self._sent_s, self._fetched_s, self._lost_connection = -1e9, session.clock(), False
        session.select(being, self._table(being))
        session.following = True
        known = session.selected.being if session.selected is not None else None
        if known is not None and known.get("held"):
            session.say("another viewer held it: now you hold it")
        place = session.selected_place()
        if place is not None:
            session.camera.look(place[0], place[1], max(session.camera.target[2], MIN_SCALE))
        session.say("you steer it now: W A D to move, Space bites, G grazes, E drinks; I or Esc releases it")
        return True

    def _why_not(self, being: int) -> str:
        """Return why a body cannot be held, or ""."""
        session = self.session
        if not session.keeper:
            return SPECTATOR_LINE
        if session.shown != LIVE:
            return "a being of the past cannot be steered: return to the present"
        if session.reconnecting:
            return "the connection is lost: wait until it is back"
        if being <= 0:
            return "no being to steer: select a monster first"
        table = self._table(being)
        if table and "drives" not in session.known.columns.get(table, ["drives"]):
            return f"beings of {table} have no drives: select a monster"
        return ""

    def _table(self, being: int) -> str:
        selected = self.session.selected
        if selected is not None and selected.id == being and selected.table:
            return selected.table
        tables = [swarm.table for swarm in self.session.feed.frame.swarms if being in swarm.ids]
        return tables[0] if tables else ""

    def end(self, why: str = "") -> None:
        """Release the body."""
        if not self.being:
            return
        being, self.being = self.being, 0
        self.sent_drives, self._keys_down, self._turn, self._thrust, self._fetch = {}, {}, 0.0, 0.0, None
        self._releases[being] = _Release()
        self._take_answers()
        self.session.say(f"{why + ': ' if why else ''}the body is released")

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Release the body and wait for the confirmation; the session calls it before it closes."""
        self.end()
        end_s = time.monotonic() + within_s
        while self._releases and time.monotonic() < end_s:
            self._take_answers()
            time.sleep(0.004)

    @property
    def unreleased(self) -> frozenset[int]:
        """The bodies whose release is not confirmed yet."""
        return frozenset(self._releases)

    # --- keys

    def on_key(self, symbol: str, pressed: bool) -> bool:
        """A key, by pyglet's name of it, goes down or up; return whether it steers."""
        if not self.being or symbol not in KEYS:
            return False
        self._keys_down.pop(symbol, None)
        if pressed:
            self._keys_down[symbol] = None
        return True

    def release_keys(self) -> None:
        """All keys count as up, as when another window gets the keyboard."""
        self._keys_down.clear()

    def drives(self) -> dict[str, float]:
        """Return the drives that the keys set now, -1 to 1; drives of 0 are left out."""
        wanted = {KEYS[key][0]: KEYS[key][1] for key in self._keys_down}
        wanted["thrust"] = self._thrust
        wanted["turn"] = self._turn / TURN_A_TICK / max(0.1, self.ticks_per_s)
        rounded = {name: round(min(1.0, max(-1.0, value)) * STEPS) / STEPS for name, value in wanted.items()}
        if self._turn and not rounded["turn"]:
            rounded["turn"] = (1 if self._turn > 0 else -1) / STEPS
        return {name: value for name in DRIVES if (value := rounded.get(name, 0.0))}

    def _ramp(self, seconds: float) -> None:
        """Let turning (turns a second) and thrust grow while their keys are down, and end when they are up."""
        sides = [KEYS[key][1] for key in self._keys_down if KEYS[key][0] == "turn"]
        if not sides:
            self._turn = 0.0
        else:
            size = abs(self._turn) if self._turn * sides[-1] > 0 else MIN_TURNS_A_S
            size += (MAX_TURNS_A_S - MIN_TURNS_A_S) * seconds / TURN_RAMP_S
            self._turn = sides[-1] * min(MAX_TURNS_A_S, size)
        if any(KEYS[key][0] == "thrust" for key in self._keys_down):
            self._thrust = min(1.0, max(MIN_THRUST, self._thrust) + (1 - MIN_THRUST) * seconds / THRUST_RAMP_S)
        else:
            self._thrust = 0.0

    # --- time

    def turn(self, now_s: float) -> None:
        """Called once a frame: take answers, send drives, look after the body."""
        seconds = 0.0 if self._turned_s is None else min(MAX_FRAME_S, max(0.0, now_s - self._turned_s))
        self._turned_s = now_s
        self._measure_pace(now_s)
        self._take_answers()
        if not self.being:
            return
        if self.session.shown != LIVE:
            self.end("the past is shown")
            return
        if self.session.reconnecting:
            self._lost_connection = True
            self._keys_down.clear()
            return
        if self._lost_connection:
            self.end("the connection was lost")
            return
        self._ramp(seconds)
        self._fetch_body(now_s)
        if self.being:
            self._send_drives(now_s)

    def _measure_pace(self, now_s: float) -> None:
        tick = int(self.session.status.get("tick", 0))
        if self._pace_from is None or tick < self._pace_from[1]:
            self._pace_from = (now_s, tick)
        since_s, since = self._pace_from
        if now_s - since_s >= PACE_OVER_S:
            if tick > since:
                self.ticks_per_s = (tick - since) / (now_s - since_s)
            self._pace_from = (now_s, tick)

    def _send_drives(self, now_s: float) -> None:
        """Send the drives when they have changed, and repeat them now and then."""
        drives, being = self.drives(), self.being
        if drives == self.sent_drives and self.session.status.get("paused"):
            return  # nothing moves: a repetition would only fill the journal
        wait_s = SEND_EVERY_S if drives != self.sent_drives else REPEAT_EVERY_S
        if now_s - self._sent_s < wait_s or len(self._unanswered) >= MAX_UNANSWERED:
            return
        self._sent_s, self.sent_drives = now_s, drives
        try:
            self._unanswered.append((being, self.session.world.drive(being, **drives)))
        except UmweltError as error:
            self.end(str(error))

    def _fetch_body(self, now_s: float) -> None:
        """Fetch the body now and then, to notice its death."""
        if self._fetch is None:
            if now_s - self._fetched_s >= FETCH_EVERY_S:
                self._fetched_s = now_s
                self._fetch = self.session.world.fetch(self.being)
            return
        if not self._fetch.done:
            return
        fetch, self._fetch = self._fetch, None
        try:
            self.body = fetch.result()
        except UmweltError:
            return  # it is fetched again; the session notices a lost connection
        if self.body is None:
            self.end("it died")

    def _take_answers(self) -> None:
        """Take the answers to drives and releases, and resend releases that are not confirmed."""
        unanswered, self._unanswered = self._unanswered, []
        for being, promise in unanswered:
            if not promise.done:
                self._unanswered.append((being, promise))
                continue
            answered = promise.answered
            try:
                promise.result()
                self._reached.add(being)
            except UmweltError as error:
                if not answered:
                    self._reached.add(being)
                if being == self.being:
                    self.session.say(str(error), bad=True)
                    self.end()
        for being, release in list(self._releases.items()):
            self._send_release(being, release)

    def _send_release(self, being: int, release: _Release) -> None:
        now_s = time.monotonic()
        if release.promise is not None and release.promise.done:
            promise, release.promise = release.promise, None
            try:
                promise.result()
            except UmweltError:
                release.due_s = now_s + RELEASE_AGAIN_S
            else:
                if release.is_last:
                    self._forget(being)
                    return
        is_last = all(other != being for other, _ in self._unanswered)
        if is_last and being not in self._reached:
            self._forget(being)
            return
        if release.promise is not None or now_s < release.due_s or (release.sent and not is_last):
            return
        if release.sent >= MAX_RELEASES:
            self._forget(being)
            return
        release.sent, release.is_last = release.sent + 1, is_last
        try:
            release.promise = self.session.world.release(being)
        except UmweltError:
            release.due_s = now_s + RELEASE_AGAIN_S

    def _forget(self, being: int) -> None:
        self._releases.pop(being, None)
        self._reached.discard(being)

    # --- drawing

    def draw(self) -> None:
        """Draw the keys over the world, those of active drives bright, and the state of the body."""
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
            for index, (name, key, label) in enumerate(HINTS):
                strength = abs(drives.get(name, 0.0))
                if index:
                    imgui.same_line(0, 14)
                lit = imgui.ImVec4(1.0, 0.86, 0.45, 1.0) if strength else imgui.ImVec4(0.75, 0.82, 0.85, 0.5)
                imgui.text_colored(lit, f"{key} {label}")
            imgui.text_disabled(self._state())
        imgui.end()

    def _state(self) -> str:
        row = (self.body or {}).get("row") or {}
        words = [f"you steer {self.being}"]
        for name, label in (("fatigue", "fatigue"), ("pain", "pain"), ("dryness", "dry eyes")):
            if name in row:
                words.append(f"{label} {row[name] / PERCENT:.0f} %")
        return "   ".join([*words, "I or Esc releases it"])
