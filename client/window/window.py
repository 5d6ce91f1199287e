"""The Arcade window: its frame loop, and the forwarding of its events to panels, mouse and keys."""

import arcade
import numpy as np
import pyglet

from umwelt.client.window.actions import Actions
from umwelt.client.window.captures import Captures
from umwelt.client.window.draw.senses import sense_marks
from umwelt.client.window.draw.stage import Stage
from umwelt.client.window.feed.sky import wind_at
from umwelt.client.window.gui import Gui
from umwelt.client.window.input.inhabit import Inhabiting
from umwelt.client.window.input.tools import Toolbox
from umwelt.client.window.navigation import Navigation, Pixel
from umwelt.client.window.panels import legend, recordings
from umwelt.client.window.panels.dock import Dock
from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.layout import LEFT_PX, RIGHT_PX
from umwelt.client.window.panels.timeline import STRIP_PX, TimelineStrip
from umwelt.client.window.panels.toolbar import Toolbar
from umwelt.client.window.pointer import Pointer
from umwelt.client.window.session import Session
from umwelt.client.window.timeline import Timeline
from umwelt.cluster import LIVE

FRAMES_PER_S = 60
MAX_FRAME_S = 0.25
"""The longest time step of one frame in seconds; a longer frame counts as this long, so that motion does not jump."""
RECORDINGS_TOP_PX = 92.0


class Window(arcade.Window):
    """The window for one session (connection to a world and what is displayed of it).

    Closes itself when `session.quitting` is set; the caller closes the session. `size` is in logical pixels; `panels`
    and `shown` are whether panels and the window are visible at first.
    """

    def __init__(self, session: Session, size: tuple[int, int], panels: bool = True, shown: bool = True):
        super().__init__(
            *size,
            title=f"Umwelt: {session.known.world}",
            resizable=True,
            antialiasing=False,
            visible=shown,
            update_rate=1 / FRAMES_PER_S,
            draw_rate=1 / FRAMES_PER_S,
            gc_mode="context_gc",
            center_window=True,
        )
        self.session = session
        session.camera.resize(*self.get_framebuffer_size())
        self.stage = Stage(self.ctx, session.known)
        self.gui = Gui(self)
        self.toolbox, self.inhabiting, self.timeline = Toolbox(session), Inhabiting(session), Timeline(session)
        self.navigation = Navigation(session, self.get_pixel_ratio)
        self.pointer = Pointer(session, self.toolbox, self.navigation)
        self.captures = Captures(session, self.pixels)
        self.dock, self.toolbar, self.timeline_strip = Dock(), Toolbar(), TimelineStrip(self.timeline)
        self.dock.visible = panels
        self.actions = Actions(
            session,
            self.toolbox,
            self.inhabiting,
            self.timeline,
            self.navigation,
            self.captures,
            self.dock,
            self.toggle_fullscreen,
        )
        self.dock.hooks = Hooks(self.actions.inhabit, self.toolbox)
        self._panels_drawn = False

    # --- frames

    def on_update(self, delta_time: float) -> None:
        """Advances the session, the camera, the tools and the captures by one frame of `delta_time` seconds."""
        seconds = min(MAX_FRAME_S, delta_time)
        self.navigation.update(seconds)
        self.session.update(seconds)
        now_s = self.session.clock()
        self.toolbox.update(now_s)
        self.inhabiting.update(now_s)
        self.timeline.update(now_s)
        self.captures.update()
        if self.session.quitting:
            self.close()

    def on_draw(self) -> None:
        """Draws the world, adds it to a recording in progress, and draws the panels over it."""
        self.clear()
        self._draw_world()
        self.captures.add_frame()
        self._panels_drawn = self.dock.visible or self.toolbox.fork_dialog.question is not None
        if self._panels_drawn:
            self.gui.begin(1 / FRAMES_PER_S)
            self._draw_panels()
            self.gui.end()

    def _draw_world(self) -> None:
        """Draws the world with the marks of the chosen tool and of the selected being's senses."""
        session, camera, overlay = self.session, self.session.camera, self.stage.overlay
        rings, lines = self.toolbox.marks() if session.shown == LIVE else ([], [])
        selected, place = session.selected, session.selected_place()
        if session.looks.senses and selected is not None and selected.being is not None and place is not None:
            sense_rings, sense_lines = sense_marks(selected.being, *place) if not selected.gone else ([], [])
            rings, lines = [*rings, *sense_rings], [*lines, *sense_lines]
        overlay.rings, overlay.lines = rings, lines
        y_share, x_share = camera.y / camera.height, camera.x / camera.width
        self.stage.wind = wind_at(session.known.climate, session.tick, y_share, x_share)
        self.stage.draw(session.feed.frame, camera, session.looks, session.status.get("nodes") or ())

    def _draw_panels(self) -> None:
        """Draws the panels, or only an open question to the user if the panels are hidden."""
        session = self.session
        if not self.dock.visible:
            self.toolbar.draw_question(self.toolbox.fork_dialog)
            return
        self.dock.draw(session)
        self.toolbar.draw(session, self.toolbox)
        self.timeline_strip.draw()
        self.inhabiting.draw()
        shown_legend = self.stage.legend(session.feed.frame, session.looks)
        if shown_legend is not None:
            inset = RIGHT_PX + 24.0 if session.selected is not None else 12.0
            legend.draw(session.looks.layer, shown_legend, self.width - inset, self.height - STRIP_PX - 18)
        recordings.draw(self.captures.recorder, self.captures.writing, LEFT_PX + 24.0, RECORDINGS_TOP_PX)

    def pixels(self) -> np.ndarray:
        """Returns the framebuffer's content, `uint8[height, width, 3]`, top row first."""
        width, height = self.get_framebuffer_size()
        raw = self.ctx.screen.read(viewport=(0, 0, width, height), components=3)
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)[::-1].copy()

    def on_resize(self, width: int, height: int) -> None:
        """Handles a change of the window's size; `width` and `height` are logical pixels."""
        super().on_resize(width, height)
        if hasattr(self, "stage"):  # Arcade calls this while it creates the window
            self.session.camera.resize(*self.get_framebuffer_size())
            self.gui.resize(width, height)

    def toggle_fullscreen(self) -> None:
        """Switches between full screen and a window."""
        self.set_fullscreen(not self.fullscreen)

    def close(self) -> None:
        """Releases the being that is steered, ends a recording in progress, and closes the window."""
        if hasattr(self, "captures"):
            self.inhabiting.end()
            if self.captures.recorder is not None:
                self.captures.toggle_recording()
        super().close()

    # --- the mouse

    def _pixel(self, x: float, y: float) -> Pixel:
        """Converts Arcade's logical pixels, counted from the bottom left, to framebuffer pixels from the top left."""
        ratio = self.get_pixel_ratio()
        return x * ratio, (self.height - y) * ratio

    def _panels_want(self, device: str) -> bool:
        """Returns whether input of `device` ("mouse" or "keyboard") is for the panels, not for the world."""
        return self._panels_drawn and (self.gui.wants_mouse if device == "mouse" else self.gui.wants_keyboard)

    def on_mouse_motion(self, x: int, y: int, dx: int, dy: int) -> None:
        """Handles mouse movement with no button pressed."""
        self.gui.on_mouse_motion(x, y)
        if not self._panels_want("mouse"):
            self.pointer.hover(self._pixel(x, y))

    def on_mouse_press(self, x: int, y: int, button: int, modifiers: int) -> None:
        """Handles a press of a mouse button."""
        self.gui.on_mouse_press(x, y, button)
        if not self._panels_want("mouse"):
            self.pointer.press(self._pixel(x, y), button == arcade.MOUSE_BUTTON_LEFT, modifiers)

    def on_mouse_drag(self, x: int, y: int, dx: int, dy: int, buttons: int, modifiers: int) -> None:
        """Handles mouse movement with a button pressed."""
        self.gui.on_mouse_motion(x, y)
        self.pointer.drag(self._pixel(x, y), dx, -dy)

    def on_mouse_release(self, x: int, y: int, button: int, modifiers: int) -> None:
        """Handles the release of a mouse button."""
        self.gui.on_mouse_release(x, y, button)
        self.pointer.release(self._pixel(x, y), button == arcade.MOUSE_BUTTON_LEFT)

    def on_mouse_scroll(self, x: int, y: int, scroll_x: float, scroll_y: float) -> None:
        """Handles mouse-wheel scrolling: zooms at the cursor, unless the cursor is over a panel."""
        self.gui.on_mouse_scroll(x, y, scroll_x, scroll_y)
        if not self._panels_want("mouse"):
            self.navigation.scroll(scroll_y, self._pixel(x, y))

    def on_mouse_leave(self, x: int, y: int) -> None:
        """Handles the mouse leaving the window."""
        self.gui.on_mouse_leave()

    # --- the keyboard

    def on_text(self, text: str) -> None:
        """Handles typed text: passes it to the focused text field of a panel."""
        self.gui.on_text(text)

    def on_key_press(self, symbol: int, modifiers: int) -> None:
        """Handles a key press; `input.keys` lists the action of each key."""
        self.gui.on_key_press(symbol, modifiers)
        if not self._panels_want("keyboard"):
            key = pyglet.window.key
            control, shift = modifiers & (key.MOD_CTRL | key.MOD_COMMAND), modifiers & key.MOD_SHIFT
            self.actions.press_key(key.symbol_string(symbol), bool(control), bool(shift))

    def on_key_release(self, symbol: int, modifiers: int) -> None:
        """Handles the release of a key."""
        self.gui.on_key_release(symbol, modifiers)
        self.actions.release_key(pyglet.window.key.symbol_string(symbol))

    def on_activate(self) -> None:
        """Handles the window's gaining keyboard focus."""
        self.gui.on_focus(True)

    def on_deactivate(self) -> None:
        """Handles the window's losing keyboard focus: treats all keys as released."""
        self.gui.on_focus(False)
        self.navigation.release_all_keys()
        self.inhabiting.release_keys()
