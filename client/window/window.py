"""The Arcade window: events in, frames out. What it shows and does lies in the session, the stage and the panels."""

from pathlib import Path
from typing import Any

import arcade
import numpy as np
import pyglet

from umwelt.client.window.draw import senses
from umwelt.client.window.draw.stage import Stage
from umwelt.client.window.feed.feed import nearest
from umwelt.client.window.feed.looks import GROUND_LAYERS
from umwelt.client.window.feed.sky import wind_at
from umwelt.client.window.gui import Gui
from umwelt.client.window.input.inhabit import Inhabiting
from umwelt.client.window.input.keys import ACTIONS, PANS, SPEEDS, ZOOMS
from umwelt.client.window.input.tools import REACH_CELLS, REACH_PIXELS, SPECTATOR_LINE, Toolbox
from umwelt.client.window.panels import keeping, legend
from umwelt.client.window.panels.dock import Dock
from umwelt.client.window.panels.layout import LEFT_PX, RIGHT_PX
from umwelt.client.window.panels.toolbar import Toolbar
from umwelt.client.window.recording.recorder import Recorder, screenshot
from umwelt.client.window.session import Session
from umwelt.client.window.timeline import STRIP_PX, Timeline
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import UmweltError

FRAMES_A_S = 60
RECORDED_FRAMES_A_S = {".gif": 20, ".mp4": 30}
WHEEL_FACTOR, KEY_ZOOM_A_S = 1.18, 3.0
PAN_PIXELS_A_S = 900.0
CLICK_PIXELS = 5.0
KEEPING_TOP_PX = 92.0
KEEP_FOLDER = Path("pictures")


class Window(arcade.Window):
    """See the page's top. `session.quitting` closes it."""

    def __init__(self, session: Session, size: tuple[int, int], panels: bool = True, shown: bool = True):
        super().__init__(
            *size,
            title=f"Umwelt: {session.known.world}",
            resizable=True,
            antialiasing=False,
            visible=shown,
            update_rate=1 / FRAMES_A_S,
            draw_rate=1 / FRAMES_A_S,
            gc_mode="context_gc",
            center_window=True,
        )
        self.session = session
        session.camera.resize(*self.get_framebuffer_size())
        self.stage = Stage(self.ctx, session.known)
        self.gui = Gui(self)
        self.toolbox, self.inhabiting, self.timeline = Toolbox(session), Inhabiting(session), Timeline(session)
        self.toolbar = Toolbar()
        self.dock = Dock(self.hooks())
        self.dock.visible = panels
        self.dock.insets = (0.0, 0.0, 0.0, STRIP_PX + 8)
        self.recorder: Recorder | None = None
        self._recorded_s = 0.0
        self._held: set[str] = set()
        self._pressed_at: tuple[float, float] | None = None
        self._panning = False
        self._mouse = (0.0, 0.0)
        self._panels_seen = False

    def hooks(self) -> dict[str, Any]:
        """What panels may ask the window for."""
        return {
            "inhabit": self.inhabit,
            "follow": self.follow,
            "screenshot": self.keep_picture,
            "record": self.record,
            "toolbox": self.toolbox,
        }

    # --- frames

    def on_update(self, delta_time: float) -> None:
        """Let time pass."""
        seconds = min(0.25, delta_time)
        right = sum(PANS[name][0] for name in self._held if name in PANS)
        down = sum(PANS[name][1] for name in self._held if name in PANS)
        if (right or down) and not self.inhabiting.being:
            step = PAN_PIXELS_A_S * seconds * self.get_pixel_ratio()
            self.session.camera.pan(right * step, down * step, at_once=False)
            self.session.following = False
        for name in self._held & ZOOMS.keys():
            self.session.camera.zoom(KEY_ZOOM_A_S ** (ZOOMS[name] * seconds))
        self.session.turn(seconds)
        self.toolbox.turn(self.session.clock())
        self.inhabiting.turn(self.session.clock())
        self.timeline.turn(self.session.clock())
        if self.session.quitting:
            self.close()

    def on_draw(self) -> None:
        """Draw the world, and the panels over it."""
        session = self.session
        self.clear()
        overlay = self.stage.overlay
        rings, lines = self.toolbox.marks() if session.shown == LIVE else ([], [])
        sensed_rings, sensed_lines = senses.marks(session)
        overlay.rings, overlay.lines = [*rings, *sensed_rings], [*lines, *sensed_lines]
        camera, climate = session.camera, session.known.climate
        self.stage.wind = wind_at(climate, session.tick, camera.y / camera.height, camera.x / camera.width)
        self.stage.draw(session.feed.frame, session.camera, session.looks, session.status.get("nodes") or ())
        if self.recorder is not None:
            self._record_frame()
        self._panels_seen = self.dock.visible or self.toolbox.asking is not None
        if self._panels_seen:
            self.gui.begin(1 / FRAMES_A_S)
            if self.dock.visible:
                self.dock.draw(session)
                self.toolbar.draw(session, self.toolbox)
                self.timeline.draw()
                self.inhabiting.draw()
                self._draw_legend()
                keeping.draw(self.recorder, self.dock.recorders, LEFT_PX + 24.0, KEEPING_TOP_PX)
            else:
                self.toolbar.draw_question(self.toolbox)
            self.gui.end()

    def _draw_legend(self) -> None:
        found = self.stage.legend(self.session.feed.frame, self.session.looks)
        if found is not None:
            inset = RIGHT_PX + 24.0 if self.session.selected is not None else 12.0
            legend.draw(self.session.looks.layer, found, self.width - inset, self.height - STRIP_PX - 18)

    def on_resize(self, width: int, height: int) -> None:
        """The window has another size."""
        super().on_resize(width, height)
        if hasattr(self, "stage"):
            self.session.camera.resize(*self.get_framebuffer_size())
            self.gui.resize(width, height)

    def close(self) -> None:
        """Give back what is held, end what is recorded, and leave."""
        if hasattr(self, "inhabiting"):
            self.inhabiting.end()
            if self.recorder is not None:
                self.record()
        super().close()

    # --- where the mouse is

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        """From the mouse (logical, upward) to the framebuffer's pixels (downward)."""
        ratio = self.get_pixel_ratio()
        return x * ratio, (self.height - y) * ratio

    def _under(self, x: float, y: float) -> tuple[float, float, int, str]:
        camera = self.session.camera
        at_y, at_x = camera.cell(*self._pixel(x, y))
        reach = max(REACH_CELLS, REACH_PIXELS * self.get_pixel_ratio() / camera.scale)
        being, table = nearest(self.session.feed.frame, at_y, at_x, self.session.torus, reach)
        return at_y, at_x, being, table

    def _panels_want(self, what: str) -> bool:
        """Whether mouse or keyboard are the panels' now; hidden ones want nothing."""
        return self._panels_seen and getattr(self.gui, f"wants_{what}")

    def on_mouse_motion(self, x: int, y: int, dx: int, dy: int) -> None:
        """Move the cursor."""
        self._mouse = (x, y)
        self.gui.on_mouse_motion(x, y)
        if not self._panels_want("mouse"):
            self.toolbox.hover(*self.session.camera.cell(*self._pixel(x, y)))

    def on_mouse_press(self, x: int, y: int, button: int, modifiers: int) -> None:
        """Select, use a tool, or take hold of the world."""
        self.gui.on_mouse_press(x, y, button)
        if self._panels_want("mouse"):
            return
        self._pressed_at = (x, y)
        looking = self.toolbox.tool == "look" or button != arcade.MOUSE_BUTTON_LEFT
        self._panning = looking
        if not looking:
            self.toolbox.press(*self._under(x, y), modifiers)

    def on_mouse_drag(self, x: int, y: int, dx: int, dy: int, buttons: int, modifiers: int) -> None:
        """Pan, or draw with a tool."""
        self._mouse = (x, y)
        self.gui.on_mouse_motion(x, y)
        if self._pressed_at is None:
            return
        if self._panning:
            ratio = self.get_pixel_ratio()
            self.session.camera.pan(-dx * ratio, dy * ratio)
            self.session.following = False
        else:
            self.toolbox.drag(*self.session.camera.cell(*self._pixel(x, y)))

    def on_mouse_release(self, x: int, y: int, button: int, modifiers: int) -> None:
        """End a stroke; a click without a way selects."""
        self.gui.on_mouse_release(x, y, button)
        if self._pressed_at is None:
            return
        way = np.hypot(x - self._pressed_at[0], y - self._pressed_at[1])
        self._pressed_at = None
        if not self._panning:
            self.toolbox.release(*self.session.camera.cell(*self._pixel(x, y)))
        elif button == arcade.MOUSE_BUTTON_LEFT and way < CLICK_PIXELS:
            _, _, being, table = self._under(x, y)
            self.session.select(being, table)
        self._panning = False

    def on_mouse_scroll(self, x: int, y: int, scroll_x: float, scroll_y: float) -> None:
        """Zoom at the cursor."""
        self.gui.on_mouse_scroll(x, y, scroll_x, scroll_y)
        if not self._panels_want("mouse"):
            self.session.camera.zoom(WHEEL_FACTOR**scroll_y, self._pixel(x, y))

    # --- keys

    def on_text(self, text: str) -> None:
        """Text for a panel's field."""
        self.gui.on_text(text)

    def on_key_press(self, symbol: int, modifiers: int) -> None:
        """See `keys.py`."""
        self.gui.on_key_press(symbol, modifiers)
        if self._panels_want("keyboard"):
            return
        name = pyglet.window.key.symbol_string(symbol)
        control = bool(modifiers & (pyglet.window.key.MOD_CTRL | pyglet.window.key.MOD_COMMAND))
        if control:
            {"Z": self.toolbox.undo, "Q": self._quit}.get(name, lambda: None)()
        elif self.inhabiting.being and name not in ("I", "ESCAPE", "F2", "F3", "TAB"):
            self.inhabiting.on_key(name, True)
        elif name in ACTIONS:
            if ACTIONS[name] == "record":
                self.record(".mp4" if modifiers & pyglet.window.key.MOD_SHIFT else ".gif")
            else:
                getattr(self, f"do_{ACTIONS[name]}")()
        elif name in PANS or name in ZOOMS:
            self._held.add(name)
        elif name in SPEEDS:
            self._faster(SPEEDS[name])
        elif name.lstrip("_").isdecimal():
            self.toolbox.choose(int(name.lstrip("_")) - 1)

    def on_key_release(self, symbol: int, modifiers: int) -> None:
        """A held key is let go."""
        self.gui.on_key_release(symbol, modifiers)
        name = pyglet.window.key.symbol_string(symbol)
        self._held.discard(name)
        if name in ZOOMS:  # Shift let go first makes another symbol of the same key
            self._held -= ZOOMS.keys()
        if self.inhabiting.being:
            self.inhabiting.on_key(name, False)

    def on_activate(self) -> None:
        """The keys are ours again."""
        self.gui.on_focus(True)

    def on_mouse_leave(self, x: int, y: int) -> None:
        """The cursor is elsewhere."""
        self.gui.on_mouse_leave()

    def on_deactivate(self) -> None:
        """Another window has the keys now."""
        self.gui.on_focus(False)
        self._held.clear()
        self.inhabiting.let_go()

    def _quit(self) -> None:
        self.session.quitting = True

    # --- what keys and panels do

    def do_whole(self) -> None:
        """See the whole world."""
        camera = self.session.camera
        self.session.following = False
        camera.look(camera.height / 2, camera.width / 2, camera.min_scale)

    def do_follow(self) -> None:
        """Follow the selected being, or no more."""
        self.follow()

    def follow(self) -> None:
        """Follow the selected being, or no more."""
        self.session.following = self.session.selected is not None and not self.session.following

    def do_inhabit(self) -> None:
        """Steer the selected monster, or give it back."""
        if self.inhabiting.being:
            self.inhabiting.end()
        elif self.session.selected is not None:
            self.inhabit(self.session.selected.id)

    def inhabit(self, being: int) -> None:
        """Steer a being."""
        self._held.clear()
        self.inhabiting.begin(being)

    def do_pause(self) -> None:
        """Pause the world, or let it go on."""
        if self.session.shown != LIVE:
            self.timeline.toggle()
        else:
            self._time("go" if self.session.status.get("paused") else "pause")

    def do_step(self) -> None:
        """One tick."""
        self._time("step")

    def _time(self, name: str, *arguments: Any) -> None:
        if self.session.keeper:
            self.session.command(name, *arguments)
        else:
            self.session.say(SPECTATOR_LINE, bad=True)

    def _faster(self, factor: float) -> None:
        now = float(self.session.status.get("speed") or 0.0) or 20.0
        self._time("speed", max(0.25, now * factor))

    def do_cancel(self) -> None:
        """Let go of everything."""
        if self.inhabiting.being:
            self.inhabiting.end()
        elif self.toolbox.tool != "look" or self.toolbox.asking is not None:
            self.toolbox.cancel()
        else:
            self.session.select(0)

    def do_now(self) -> None:
        """From the past back to now."""
        self.timeline.back_to_now()

    def do_layer(self) -> None:
        """The next layer of the ground, and after the last none."""
        names = [name for name in GROUND_LAYERS if name in self.session.known.layers]
        order = ["", *names]
        at = order.index(self.session.looks.layer) if self.session.looks.layer in order else 0
        self.session.looks.layer = order[(at + 1) % len(order)]

    def do_nodes(self) -> None:
        """Borders of nodes."""
        self.session.looks.nodes = not self.session.looks.nodes

    def do_clades(self) -> None:
        """Bodies in the colours of their clades."""
        self.session.looks.lineages = not self.session.looks.lineages

    def do_panels(self) -> None:
        """Hide or show all panels."""
        self.dock.visible = not self.dock.visible

    def do_help(self) -> None:
        """Open or close the help."""
        self.dock.visible = True
        self.dock.open["Help"] = not self.dock.open.get("Help", False)

    def do_fullscreen(self) -> None:
        """The whole screen, or a window."""
        self.set_fullscreen(not self.fullscreen)

    # --- keeping

    def pixels(self) -> np.ndarray:
        """What is in the framebuffer, `uint8[height, width, 3]`."""
        width, height = self.get_framebuffer_size()
        raw = self.ctx.screen.read(viewport=(0, 0, width, height), components=3)
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)[::-1].copy()

    def do_screenshot(self) -> None:
        """Keep a picture of what is seen."""
        self.keep_picture()

    def keep_picture(self) -> None:
        """Keep a picture of what is seen under `pictures/`."""
        path = _free(KEEP_FOLDER, self.session.known.world, self.session.tick, ".png")
        try:
            screenshot(self.pixels(), path)
            self.session.say(f"{path}: kept")
        except UmweltError as error:
            self.session.say(str(error), bad=True)

    def record(self, suffix: str = ".gif") -> None:
        """Begin to record what is seen of the world, without panels; or end it."""
        session = self.session
        try:
            if self.recorder is None:
                path = _free(KEEP_FOLDER, session.known.world, session.tick, suffix)
                width, height = self.get_framebuffer_size()
                self.recorder = Recorder(path, (width // 2 * 2, height // 2 * 2), RECORDED_FRAMES_A_S[suffix])
                self._recorded_s = 0.0
                session.say(f"recording {path}: F3 ends it")
            else:
                recorder, self.recorder = self.recorder, None
                recorder.finish()
                self.dock.recorders = [*self.dock.recorders, recorder]
                session.say(f"writing {recorder.path} ...")
        except UmweltError as error:
            self.recorder = None
            session.say(str(error), bad=True)

    def _record_frame(self) -> None:
        recorder, now_s = self.recorder, self.session.clock()
        assert recorder is not None
        if now_s - self._recorded_s < 0.98 / recorder.frames_per_s:
            return
        self._recorded_s = now_s
        try:
            recorder.add(self.pixels()[: recorder.size[1], : recorder.size[0]])
        except UmweltError as error:
            self.recorder = None
            self.session.say(str(error), bad=True)


def _free(folder: Path, world: str, tick: int, suffix: str) -> Path:
    """A path that is not taken."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UmweltError(f"{folder}/: cannot be made: {error.strerror}: go where you may write") from None
    path, number = folder / f"{world}-{tick}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{world}-{tick}-{number}{suffix}"
    return path
