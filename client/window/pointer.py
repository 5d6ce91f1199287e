"""Mouse input over the world, outside the panels: selects beings, pans the camera, or uses the chosen tool."""

import math

from umwelt.client.window.input.tools import Toolbox
from umwelt.client.window.navigation import Navigation, Pixel
from umwelt.client.window.session import Session

CLICK_PIXELS = 5.0
"""The largest distance in logical pixels, exclusive, between press and release that counts as a click."""


class Pointer:
    """The state of the mouse. From press to release it either pans the camera or uses the chosen tool."""

    def __init__(self, session: Session, toolbox: Toolbox, navigation: Navigation):
        self.session, self.toolbox, self.navigation = session, toolbox, navigation
        self._pressed_at: Pixel | None = None
        """Where the button was pressed; None while it is up."""
        self._dragging_world = False

    def hover(self, pixel: Pixel) -> None:
        """Handles mouse movement with no button pressed."""
        self.toolbox.hover(*self.navigation.cell(pixel))

    def press(self, pixel: Pixel, left: bool, modifiers: int) -> None:
        """Handles a button press: begins to pan the camera or to use the chosen tool.

        Any button but the left one pans, whichever tool is chosen. `modifiers` are the bits of the modifier keys.
        """
        self._pressed_at = pixel
        self._dragging_world = self.toolbox.tool == "look" or not left
        if not self._dragging_world:
            being, table = self.navigation.being(pixel)
            self.toolbox.press(*self.navigation.cell(pixel), being, table, modifiers)

    def drag(self, pixel: Pixel, right_px: float, down_px: float) -> None:
        """Handles mouse movement with a button pressed, by `right_px` and `down_px` logical pixels."""
        if self._pressed_at is None:
            return
        if self._dragging_world:
            self.navigation.drag(right_px, down_px)
        else:
            self.toolbox.drag(*self.navigation.cell(pixel))

    def release(self, pixel: Pixel, left: bool) -> None:
        """Handles a button release: ends the tool's use, or selects the being under the mouse if it was a click."""
        pressed_at, self._pressed_at = self._pressed_at, None
        if pressed_at is None:
            return
        if not self._dragging_world:
            self.toolbox.release(*self.navigation.cell(pixel))
        elif left and math.dist(pixel, pressed_at) < CLICK_PIXELS * self.navigation.pixel_ratio():
            self.session.select(*self.navigation.being(pixel))
        self._dragging_world = False
