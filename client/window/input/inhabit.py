"""Inhabiting a monster: the user steers it with the keyboard, in place of its behaviour, until it is released.

A drive is a decision of a monster as a number from -1 to 1, such as "thrust"; a drive command sets some. A being
remains under control from the first drive command until a release command, even if it dies meanwhile. So once a drive
command may have reached the world, release commands are sent until one of them is confirmed that was sent after all
drive commands had been answered. A promise stands for an answer that may not have arrived yet.
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
"""Intervals at which changed drives are sent, and unchanged drives are repeated, in seconds."""
FETCH_EVERY_S = 0.4
"""Interval at which the state of the body is fetched, in seconds."""
RELEASE_AGAIN_S, MAX_RELEASES = 1.0, 120
"""Delay in seconds before a failed release is sent again, and maximum number of releases that are sent."""
CLOSE_WITHIN_S = 3.0
"""Maximum time in seconds for which closing the window waits until releases are confirmed."""
MAX_UNANSWERED = 4
"""Maximum number of drive commands that wait for an answer; no further ones are sent meanwhile."""
MIN_TURNS_A_S, MAX_TURNS_A_S, TURN_RAMP_S = 0.12, 0.6, 0.9
"""Turning speed when the key is pressed and at most, in full turns per second, and the time from one to the other."""
TURN_A_TICK = 1 / 8
"""Full turns per tick that a being makes if its drive `turn` is 1."""
MIN_THRUST, THRUST_RAMP_S = 0.4, 0.35
"""The drive `thrust` when the key is pressed, and the time in seconds until it has increased to 1."""
STEPS = 256
"""Drives are rounded to multiples of 1 / `STEPS`, so that small changes are not sent."""
PACE_OVER_S, DEFAULT_TICKS_A_S = 1.5, 20.0
"""Time in seconds over which the world's speed is measured, and the speed that is assumed before."""
MIN_SCALE = 26.0
"""Minimum zoom of the camera when a body is taken over, in pixels per cell."""
MAX_FRAME_S = 0.2
"""Upper limit of a frame's duration in `_ramp`, so that drives do not jump after a slow frame."""
PERCENT = ONE / 100
"""One per cent of a state such as fatigue, which is an integer in units of 1/1024."""

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
"""The drive that a key sets while it is down, and its value; keyed by pyglet's name of the key."""
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
"""Drives, the names of their keys and their labels, in the order in which the window displays them."""


@dataclass
class _Release:
    """The state of releasing a body; no release command is sent again before the time `due_s`."""

    promise: Promise | None = None
    """The awaited answer to the most recent release command; None if none is awaited."""
    is_last: bool = False
    """Whether all drive commands had been answered when that command was sent, so that none can follow it."""
    due_s: float = -1e9
    sent: int = 0
    """The number of release commands that were sent."""


class Inhabiting:
    """Steers at most one monster (the "body") by the keyboard; the window calls `update` once per frame.

    `being` is the id of the body that is steered, 0 if none; `sent_drives` are the most recently sent drives; `body` is
    the most recently fetched data of the body; `ticks_per_s` is the measured speed of the world. `_turn` is the present
    turning speed in full turns per second, with its sign, `_thrust` the present thrust.
    """

    def __init__(self, session: Session):
        self.session = session
        self.being = 0
        self.sent_drives: dict[str, float] = {}
        self.body: dict[str, Any] | None = None
        self.ticks_per_s = DEFAULT_TICKS_A_S
        self._keys_down: dict[str, None] = {}
        """The keys that are down, in the order in which they were pressed (an ordered set).

        If several keys set the same drive, the last one applies.
        """
        self._turn, self._thrust = 0.0, 0.0
        self._unanswered: list[tuple[int, Promise]] = []
        """The drive commands that are not answered yet: the id of the body and the awaited answer."""
        self._releases: dict[int, _Release] = {}
        self._reached: set[int] = set()
        """The ids of bodies that a drive command has reached, or may have reached; others need no release."""
        self._fetch: Promise | None = None
        self._fetched_s = self._sent_s = -1e9
        self._turned_s: float | None = None
        self._pace_from: tuple[float, int] | None = None
        self._lost_connection = False
        session.at_close.append(self.close)

    # --- beginning and ending

    def begin(self, being: int) -> bool:
        """Begins to steer the monster with the id `being`, and releases any other; returns whether it can be steered.

        If not, displays the reason.
        """
        session, being = self.session, int(being)
        if being == self.being:
            return bool(being)
        line = self._why_not(being)
        if line:
            session.say(line, bad=True)
            return False
        self.end()
        self._releases.pop(being, None)  # a release already sent takes effect before later drive commands
        self.being, self.sent_drives, self.body = being, {}, None
        self._keys_down, self._turn, self._thrust = {}, 0.0, 0.0
        self._sent_s, self._fetched_s, self._lost_connection = -1e9, session.clock(), False
        session.select(being, self._table(being))
        session.following = True
        known = session.selected.being if session.selected is not None else None
        if known is not None and known.get("held"):
            session.say("another viewer controlled this being: now you do")
        place = session.selected_place()
        if place is not None:
            session.camera.look(place[0], place[1], max(session.camera.target[2], MIN_SCALE))
        session.say("you steer it now: W A D to move, Space bites, G grazes, E drinks; I or Esc releases it")
        return True

    def _why_not(self, being: int) -> str:
        """Returns the reason why the being with the id `being` cannot be steered; "" if it can."""
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
        """Returns the name of the table (kind of being) of a being, if it is selected or drawn as a body; else ""."""
        selected = self.session.selected
        if selected is not None and selected.id == being and selected.table:
            return selected.table
        tables = [swarm.table for swarm in self.session.feed.frame.swarms if being in swarm.ids]
        return tables[0] if tables else ""

    def end(self, why: str = "") -> None:
        """Stops steering and begins to release the body; displays a notice with the reason `why`, if given."""
        if not self.being:
            return
        being, self.being = self.being, 0
        self.sent_drives, self._keys_down, self._turn, self._thrust, self._fetch = {}, {}, 0.0, 0.0, None
        self._releases[being] = _Release()
        self._take_answers()
        self.session.say(f"{why + ': ' if why else ''}the body is released")

    def close(self, within_s: float = CLOSE_WITHIN_S) -> None:
        """Releases the body and waits up to `within_s` seconds until all releases are confirmed.

        The session calls this before it closes.
        """
        self.end()
        end_s = time.monotonic() + within_s
        while self._releases and time.monotonic() < end_s:
            self._take_answers()
            time.sleep(0.004)

    @property
    def unreleased(self) -> frozenset[int]:
        """The ids of bodies whose release is not confirmed yet."""
        return frozenset(self._releases)

    # --- keys

    def on_key(self, symbol: str, pressed: bool) -> bool:
        """Handles a press or release of a key; returns whether the key steers the body.

        `symbol` is pyglet's name of the key.
        """
        if not self.being or symbol not in KEYS:
            return False
        self._keys_down.pop(symbol, None)
        if pressed:
            self._keys_down[symbol] = None
        return True

    def release_keys(self) -> None:
        """Treats all keys as released; called when the window loses the keyboard focus."""
        self._keys_down.clear()

    def drives(self) -> dict[str, float]:
        """Returns the current drives by name, from -1 to 1; drives of 0 are left out."""
        wanted = {KEYS[key][0]: KEYS[key][1] for key in self._keys_down}
        wanted["thrust"] = self._thrust
        wanted["turn"] = self._turn / TURN_A_TICK / max(0.1, self.ticks_per_s)
        rounded = {name: round(min(1.0, max(-1.0, value)) * STEPS) / STEPS for name, value in wanted.items()}
        if self._turn and not rounded["turn"]:
            rounded["turn"] = (1 if self._turn > 0 else -1) / STEPS
        return {name: value for name in DRIVES if (value := rounded.get(name, 0.0))}

    def _ramp(self, seconds: float) -> None:
        """Increases turning speed and thrust while their keys are down, and resets them to 0 when the keys are up.

        `seconds` is the time since the previous frame.
        """
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

    def update(self, now_s: float) -> None:
        """Processes answers, sends drives and fetches the body's data; the window calls this once per frame.

        Stops steering if the body has died, a past tick is displayed, or the connection was lost.
        """
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
        """Measures `ticks_per_s`, the speed of the world, by the ticks in its statuses."""
        tick = int(self.session.status.get("tick", 0))
        if self._pace_from is None or tick < self._pace_from[1]:
            self._pace_from = (now_s, tick)
        since_s, since = self._pace_from
        if now_s - since_s >= PACE_OVER_S:
            if tick > since:
                self.ticks_per_s = (tick - since) / (now_s - since_s)
            self._pace_from = (now_s, tick)

    def _send_drives(self, now_s: float) -> None:
        """Sends the drives if they have changed, and repeats unchanged ones every `REPEAT_EVERY_S` seconds.

        Sends nothing while too many commands are unanswered; repeats nothing while the world is paused.
        """
        drives, being = self.drives(), self.being
        if drives == self.sent_drives and self.session.status.get("paused"):
            return  # in a paused world a repetition has no effect but an entry in the journal
        wait_s = SEND_EVERY_S if drives != self.sent_drives else REPEAT_EVERY_S
        if now_s - self._sent_s < wait_s or len(self._unanswered) >= MAX_UNANSWERED:
            return
        self._sent_s, self.sent_drives = now_s, drives
        try:
            self._unanswered.append((being, self.session.world.drive(being, **drives)))
        except UmweltError as error:
            self.end(str(error))

    def _fetch_body(self, now_s: float) -> None:
        """Fetches the body's data every `FETCH_EVERY_S` seconds, and stops steering if the body no longer exists."""
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
            return  # fetched again later; the session detects a lost connection
        if self.body is None:
            self.end("it died")

    def _take_answers(self) -> None:
        """Processes the answers to drive and release commands, and sends releases that are due.

        A refused drive command ends the steering of its body.
        """
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
        """Advances the release of a body: reads the answer to the last release command, and sends another if it is due.

        Gives up after `MAX_RELEASES` commands.
        """
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
        """Ends the release of a body: sends no further release commands for it."""
        self._releases.pop(being, None)
        self._reached.discard(being)

    # --- drawing

    def draw(self) -> None:
        """Draws a panel with the steering keys, those of active drives highlighted, and the state of the body."""
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
        """Returns the line of text that displays the state of the body."""
        row = (self.body or {}).get("row") or {}
        words = [f"you steer {self.being}"]
        for name, label in (("fatigue", "fatigue"), ("pain", "pain"), ("dryness", "dry eyes")):
            if name in row:
                words.append(f"{label} {row[name] / PERCENT:.0f} %")
        return "   ".join([*words, "I or Esc releases it"])
