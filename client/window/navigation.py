"""Moving the camera by mouse and keyboard, letting it follow a being, and finding the being under the mouse."""

from collections.abc import Callable

from umwelt.client.window.feed.feed import nearest
from umwelt.client.window.input.keys import PANS, ZOOMS
from umwelt.client.window.input.tools import REACH_CELLS, REACH_PIXELS
from umwelt.client.window.session import Session

WHEEL_FACTOR, KEY_ZOOM_PER_S = 1.18, 3.0
"""Zoom factors: for one notch of the mouse wheel, and for each second that a zoom key is held."""
PAN_PIXELS_PER_S = 900.0
"""The speed at which keys pan the view, in logical pixels per second."""

Pixel = tuple[float, float]
"""A position in framebuffer pixels (right, down) from the upper left corner."""


class Navigation:
    """Moves one session's camera. `pixel_ratio` returns the number of framebuffer pixels per logical pixel."""

    def __init__(self, session: Session, pixel_ratio: Callable[[], float]):
        self.session, self.pixel_ratio = session, pixel_ratio
        self._held: set[str] = set()
        """The names of the keys in `PANS` and `ZOOMS` that are down."""

    # --- keys that are held

    def press_key(self, name: str) -> None:
        """Starts panning or zooming; `name` is pyglet's name of a key in `PANS` or `ZOOMS`."""
        self._held.add(name)

    def release_key(self, name: str) -> None:
        """Stops panning or zooming by this key."""
        self._held.discard(name)
        if name in ZOOMS:  # if Shift is released first, the same key is released under another name
            self._held -= ZOOMS.keys()

    def release_all_keys(self) -> None:
        """Stops panning and zooming."""
        self._held.clear()

    def update(self, seconds: float) -> None:
        """Pans and zooms by the keys that are down; called once a frame, with the seconds since the last frame."""
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
        """Pans the camera so that the world moves by `right_px` and `down_px` logical pixels, with the mouse."""
        ratio = self.pixel_ratio()
        self.session.camera.pan(-right_px * ratio, -down_px * ratio)
        self.session.following = False

    def scroll(self, notches: float, pixel: Pixel) -> None:
        """Zooms so that the cell under `pixel` stays under it; zooms in if `notches` is positive."""
        self.session.camera.zoom(WHEEL_FACTOR**notches, pixel)

    def cell(self, pixel: Pixel) -> tuple[float, float]:
        """Returns the position (y, x in cells) under a pixel."""
        return self.session.camera.cell(*pixel)

    def being(self, pixel: Pixel) -> tuple[int, str]:
        """Returns the id and table (kind of being) of the being near a pixel, or 0 and "" if there is none."""
        y, x = self.cell(pixel)
        reach_cells = max(REACH_CELLS, REACH_PIXELS * self.pixel_ratio() / self.session.camera.scale)
        return nearest(self.session.feed.frame, y, x, self.session.torus, reach_cells)

    # --- the full world, following

    def show_whole_world(self) -> None:
        """Zooms out to the smallest scale, centred on the world's middle, and stops following a being."""
        camera = self.session.camera
        self.session.following = False
        camera.look(camera.height / 2, camera.width / 2, camera.min_scale)

    def toggle_following(self) -> None:
        """Starts or stops following the selected being."""
        self.session.following = self.session.selected is not None and not self.session.following
