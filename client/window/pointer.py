"""The mouse over the world, where no panel is: it selects, moves the world, or works with the chosen tool."""

import math

from umwelt.client.window.input.tools import Toolbox
from umwelt.client.window.navigation import Navigation, Pixel
from umwelt.client.window.session import Session

CLICK_PIXELS = 5.0
"""A press that moves by fewer logical pixels before its release is a click."""


class Pointer:
    """One mouse. From a press to its release it either drags the world or works with the tool that was chosen."""

    def __init__(self, session: Session, toolbox: Toolbox, navigation: Navigation):
        self.session, self.toolbox, self.navigation = session, toolbox, navigation
        self._pressed_at: Pixel | None = None
        self._dragging_world = False

    def hover(self, pixel: Pixel) -> None:
        """The mouse moves with no button pressed."""
        self.toolbox.hover(*self.navigation.cell(pixel))

    def press(self, pixel: Pixel, left: bool, modifiers: int) -> None:
        """A button is pressed; any but the left one drags the world, whatever the tool."""
        self._pressed_at = pixel
        self._dragging_world = self.toolbox.tool == "look" or not left
        if not self._dragging_world:
            being, table = self.navigation.being(pixel)
            self.toolbox.press(*self.navigation.cell(pixel), being, table, modifiers)

    def drag(self, pixel: Pixel, right_px: float, down_px: float) -> None:
        """The mouse moves with a button pressed, by so many logical pixels."""
        if self._pressed_at is None:
            return
        if self._dragging_world:
            self.navigation.drag(right_px, down_px)
        else:
            self.toolbox.drag(*self.navigation.cell(pixel))

    def release(self, pixel: Pixel, left: bool) -> None:
        """A button is released: a tool's stroke ends, a click selects."""
        pressed_at, self._pressed_at = self._pressed_at, None
        if pressed_at is None:
            return
        if not self._dragging_world:
            self.toolbox.release(*self.navigation.cell(pixel))
        elif left and math.dist(pixel, pressed_at) < CLICK_PIXELS * self.navigation.pixel_ratio():
            self.session.select(*self.navigation.being(pixel))
        self._dragging_world = False
