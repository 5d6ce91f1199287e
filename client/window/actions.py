"""The actions of the keyboard: one method for each action that `input.keys` names, and the dispatch of key presses."""

from collections.abc import Callable
from typing import Any

from umwelt.client.window.captures import Captures
from umwelt.client.window.feed.looks import GROUND_LAYERS
from umwelt.client.window.input.inhabit import Inhabiting
from umwelt.client.window.input.keys import ACTIONS, PANS, SPEEDS, ZOOMS
from umwelt.client.window.input.tools import SPECTATOR_LINE, Toolbox
from umwelt.client.window.navigation import Navigation
from umwelt.client.window.panels.dock import Dock
from umwelt.client.window.session import Session
from umwelt.client.window.timeline import Timeline
from umwelt.cluster import LIVE

WHILE_INHABITING = frozenset({"inhabit", "cancel", "panels", "screenshot", "record"})
"""Actions whose keys keep their meaning while the user steers a being by the keyboard ("inhabits" it).

All other keys then steer the being.
"""
DEFAULT_TICKS_PER_S, MIN_TICKS_PER_S = 20.0, 0.25
"""Speeds in ticks per second: the one that keys multiply if the world runs unlimited, and the lowest that they set."""


class Actions:
    """The actions of one window. They act on the parts of the window that are given to the constructor."""

    def __init__(
        self,
        session: Session,
        toolbox: Toolbox,
        inhabiting: Inhabiting,
        timeline: Timeline,
        navigation: Navigation,
        captures: Captures,
        dock: Dock,
        toggle_fullscreen: Callable[[], None],
    ):
        self.session, self.toolbox, self.inhabiting, self.timeline = session, toolbox, inhabiting, timeline
        self.navigation, self.captures, self.dock = navigation, captures, dock
        self.by_name: dict[str, Callable[[], None]] = {
            "whole": navigation.show_whole_world,
            "follow": navigation.toggle_following,
            "inhabit": self.toggle_inhabiting,
            "pause": self.toggle_pause,
            "step": self.step,
            "cancel": self.cancel,
            "now": timeline.back_to_now,
            "layer": self.show_next_layer,
            "nodes": self.toggle_node_borders,
            "clades": self.toggle_clade_colours,
            "panels": self.toggle_panels,
            "help": self.toggle_help,
            "screenshot": captures.take_screenshot,
            "record": captures.toggle_recording,
            "fullscreen": toggle_fullscreen,
        }
        """The methods that perform actions, by the action's name in `input.keys`."""

    # --- keys

    def press_key(self, name: str, control: bool, shift: bool) -> None:
        """Performs the action of a key that was pressed, or lets it steer the being that is inhabited.

        `name` is pyglet's name of the key; `control` and `shift` are whether these modifier keys are down.
        """
        action = ACTIONS.get(name, "")
        digit = name.lstrip("_")
        if control:
            if name == "Z":
                self.toolbox.fork_dialog.offer_undo()
            elif name == "Q":
                self.session.quitting = True
        elif self.inhabiting.being and action not in WHILE_INHABITING:
            self.inhabiting.on_key(name, True)
        elif action == "record" and shift:
            self.captures.toggle_recording(".mp4")
        elif action:
            self.by_name[action]()
        elif name in PANS or name in ZOOMS:
            self.navigation.press_key(name)
        elif name in SPEEDS:
            self.change_speed(SPEEDS[name])
        elif digit.isdecimal():
            self.toolbox.choose(int(digit) - 1)

    def release_key(self, name: str) -> None:
        """Ends the effect of a key that was pressed, such as panning; `name` is pyglet's name of the key."""
        self.navigation.release_key(name)
        if self.inhabiting.being:
            self.inhabiting.on_key(name, False)

    # --- beings

    def toggle_inhabiting(self) -> None:
        """Starts steering the selected monster by the keyboard, or releases the monster that is being steered."""
        if self.inhabiting.being:
            self.inhabiting.end()
        elif self.session.selected is not None:
            self.inhabit(self.session.selected.id)

    def inhabit(self, being: int) -> None:
        """Starts steering a being by the keyboard; `being` is its id."""
        self.navigation.release_all_keys()
        self.inhabiting.begin(being)

    def cancel(self) -> None:
        """Releases the being that is steered by the keyboard.

        If there is none, cancels the chosen tool or dialog; if there is none either, clears the selection.
        """
        if self.inhabiting.being:
            self.inhabiting.end()
        elif self.toolbox.tool != "look" or self.toolbox.fork_dialog.question is not None:
            self.toolbox.cancel()
        else:
            self.session.select(0)

    # --- time

    def toggle_pause(self) -> None:
        """Pauses or resumes the running world, or playback if a tick of the past is displayed."""
        if self.session.shown != LIVE:
            self.timeline.toggle()
        else:
            self._command("go" if self.session.status.get("paused") else "pause")

    def step(self) -> None:
        """Runs the world for one tick, then pauses it."""
        self._command("step")

    def change_speed(self, factor: float) -> None:
        """Multiplies the speed of the running world, or of playback if a tick of the past is displayed."""
        if self.session.shown != LIVE:
            self.timeline.set_speed(self.timeline.play_ticks_per_s * factor)
            return
        ticks_per_s = float(self.session.status.get("speed") or 0.0) or DEFAULT_TICKS_PER_S
        self._command("speed", max(MIN_TICKS_PER_S, ticks_per_s * factor))

    def _command(self, name: str, *arguments: Any) -> None:
        """Calls the method `name` of the connection, such as `pause`; displays an error if the user may only watch."""
        if self.session.keeper:
            self.session.command(name, *arguments)
        else:
            self.session.say(SPECTATOR_LINE, bad=True)

    # --- display options

    def show_next_layer(self) -> None:
        """Draws the next layer (a quantity of each cell, such as water) as a colour map; after the last, the ground."""
        looks = self.session.looks
        order = ["", *(name for name in GROUND_LAYERS if name in self.session.known.layers)]
        at = order.index(looks.layer) if looks.layer in order else 0
        looks.layer = order[(at + 1) % len(order)]

    def toggle_node_borders(self) -> None:
        """Shows or hides the borders of the shards, the rectangles of the world that the nodes simulate."""
        self.session.looks.nodes = not self.session.looks.nodes

    def toggle_clade_colours(self) -> None:
        """Switches the colours of beings: by clade (branch of the tree of life), or as their genes determine."""
        self.session.looks.lineages = not self.session.looks.lineages

    def toggle_panels(self) -> None:
        """Shows or hides all panels."""
        self.dock.visible = not self.dock.visible

    def toggle_help(self) -> None:
        """Opens or closes the help panel; shows the panels if they are hidden."""
        self.dock.visible = True
        self.dock.open["Help"] = not self.dock.open.get("Help", False)
