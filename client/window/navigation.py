"""Moving the camera by mouse and keyboard, following the selected being, and finding what is under the mouse."""

from collections.abc import Callable

from umwelt.client.window.feed.feed import nearest
from umwelt.client.window.input.keys import PANS, ZOOMS
from umwelt.client.window.input.tools import REACH_CELLS, REACH_PIXELS
from umwelt.client.window.session import Session

WHEEL_FACTOR, KEY_ZOOM_PER_S = 1.18, 3.0
"""How much larger cells become: by a notch of the wheel, and by a key that is held for a second."""
PAN_PIXELS_PER_S = 900.0

Pixel = tuple[float, float]
"""Framebuffer pixels from the upper left corner: right, down."""


class Navigation:
    """Moves one session's camera. `pixel_ratio` gives framebuffer pixels per logical pixel."""

    def __init__(self, session: Session, pixel_ratio: Callable[[], float]):
        self.session, self.pixel_ratio = session, pixel_ratio
        self._held: set[str] = set()

    # --- keys that are held

    def press_key(self, name: str) -> None:
        """Pan or zoom from now on; `name` is pyglet's name of a key in `PANS` or `ZOOMS`."""
        self._held.add(name)

    def release_key(self, name: str) -> None:
        """Stop panning or zooming by this key."""
        self._held.discard(name)
        if name in ZOOMS:  # if Shift is released first, the same key is released under another name
            self._held -= ZOOMS.keys()

    def release_all_keys(self) -> None:
        """Stop panning and zooming."""
        self._held.clear()

    def turn(self, seconds: float) -> None:
        """Pan and zoom by the keys that are held; called once a frame."""
        right = sum(PANS[name][0] for name in self._held if name in PANS)
        down = sum(PANS[name][1] for name in self._held if name in PANS)
        if right or down:
            step = PAN_PIXELS_PER_S * seconds * self.pixel_ratio()
            self.session.camera.pan(right * step, down * step, at_once=False)
            self.session.following = False
        for name in self._held & ZOOMS.keys():
            self.session.camera.zoom(KEY_ZOOM_PER_S ** (ZOOMS[name] * seconds))

    # --- the mouse

    def drag(self, right_px: float, down_px: float) -> None:
        """Move the world with the mouse, by logical pixels."""
        ratio = self.pixel_ratio()
        self.session.camera.pan(-right_px * ratio, -down_px * ratio)
        self.session.following = False

    def scroll(self, notches: float, pixel: Pixel) -> None:
        """Zoom so that the cell under a pixel stays under it; above 0: in."""
        self.session.camera.zoom(WHEEL_FACTOR**notches, pixel)

    def cell(self, pixel: Pixel) -> tuple[float, float]:
        """The place (y, x in cells) under a pixel."""
        return self.session.camera.cell(*pixel)

    def being(self, pixel: Pixel) -> tuple[int, str]:
        """The id and table of the being under a pixel; 0 and "" if there is none."""
        y, x = self.cell(pixel)
        reach_cells = max(REACH_CELLS, REACH_PIXELS * self.pixel_ratio() / self.session.camera.scale)
        return nearest(self.session.feed.frame, y, x, self.session.torus, reach_cells)

    # --- at once

    def show_whole_world(self) -> None:
        """Move the camera so far away that the whole world is in view."""
        camera = self.session.camera
        self.session.following = False
        camera.look(camera.height / 2, camera.width / 2, camera.min_scale)

    def toggle_following(self) -> None:
        """Follow the selected being, or stop following."""
        self.session.following = self.session.selected is not None and not self.session.following
