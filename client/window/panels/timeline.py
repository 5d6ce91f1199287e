"""The timeline strip at the bottom of the window: the ticks of the run, with marks and buttons.

Marks are snapshots, commands and events. The buttons play the past, or fork the run: start a new one from a past tick.
"""

from imgui_bundle import ImVec2, ImVec4, imgui
from imgui_bundle import icons_fontawesome_6 as icons

from umwelt.client.window.panels.theme import ACCENT, WARN, vector
from umwelt.client.window.panels.widgets import tile_button
from umwelt.client.window.timeline import COMMAND, EVENT, KEPT, SNAPSHOT, Timeline
from umwelt.cluster import LIVE

STRIP_PX, MARK_PX = 40.0, 5.0
"""The strip's height, and the distance from the mouse up to which marks are in the tooltip, in logical pixels."""


class TimelineStrip:
    """Draws one timeline and forwards mouse input on the strip to it."""

    def __init__(self, timeline: Timeline):
        self.timeline = timeline

    def draw(self) -> None:
        """Draws the strip; call it between `Gui.begin` and `Gui.end`."""
        view, flags = imgui.get_main_viewport(), imgui.WindowFlags_
        imgui.set_next_window_pos(ImVec2(view.pos.x + 8, view.pos.y + view.size.y - STRIP_PX - 8))
        imgui.set_next_window_size(ImVec2(max(120.0, view.size.x - 16), STRIP_PX))
        imgui.set_next_window_bg_alpha(0.72)
        shape = flags.no_decoration | flags.no_move | flags.no_docking | flags.no_saved_settings | flags.no_nav
        imgui.push_style_var(imgui.StyleVar_.window_padding, ImVec2(8, 7))
        if imgui.begin("##timeline", None, shape | flags.no_focus_on_appearing)[0]:
            self._buttons()
            imgui.same_line(0, 12)
            self._strip()
        imgui.end()
        imgui.pop_style_var()

    def _buttons(self) -> None:
        """Draws the buttons, and the displayed tick beside them."""
        timeline, session = self.timeline, self.timeline.session
        past = session.shown != LIVE
        if tile_button(icons.ICON_FA_FORWARD_FAST, "return to the present (Backspace)", past or timeline.waiting):
            timeline.back_to_now()
        imgui.same_line(0, 4)
        icon = icons.ICON_FA_PAUSE if timeline.playing else icons.ICON_FA_PLAY
        if tile_button(icon, "play or pause the past (Space)", timeline.can_play):
            timeline.toggle()
        imgui.same_line(0, 4)
        hint = "fork: start a new run from the tick that is shown"
        if tile_button(icons.ICON_FA_CODE_BRANCH, hint, session.keeper):
            timeline.fork()
        imgui.same_line(0, 10)
        imgui.align_text_to_frame_padding()
        elsewhere = past or timeline.held is not None
        words = f"{'past' if elsewhere else 'now'}  {timeline.position:,}"
        imgui.text_colored(vector(WARN if elsewhere else ACCENT), words)
        if timeline.waiting:
            imgui.same_line(0, 10)
            imgui.text_colored(vector(WARN), f"replaying to {session.awaited:,}")
            imgui.same_line(0, 4)
            if tile_button(icons.ICON_FA_XMARK, "cancel the replay"):
                timeline.cancel()

    def _strip(self) -> None:
        """Draws the strip and its tooltip, and forwards drags on it to the timeline."""
        timeline = self.timeline
        corner, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        width, height = max(20.0, room.x), max(10.0, imgui.get_frame_height())
        imgui.invisible_button("##strip", ImVec2(width, height))
        share = (imgui.get_io().mouse_pos.x - corner.x) / width
        if imgui.is_item_active():
            timeline.drag(share)
        elif timeline.held is not None:
            timeline.drop()
        self._paint(corner, width, height)
        if imgui.is_item_hovered() or timeline.held is not None:
            lines = [f"tick {timeline.tick_at(share):,}"]
            lines += [f"{mark.tick:,}  {mark.words}" for mark in timeline.marks_near(share, MARK_PX / width)]
            imgui.set_tooltip("\n".join(lines))

    def _paint(self, corner: ImVec2, width: float, height: float) -> None:
        """Draws the strip's background, its marks, the displayed tick, and the tick that is being replayed, if any."""

        def colour(red: float, green: float, blue: float, alpha: float) -> int:
            return imgui.get_color_u32(ImVec4(red, green, blue, alpha))

        timeline, draw_list, middle = self.timeline, imgui.get_window_draw_list(), corner.y + height / 2
        right = corner.x + width
        low, high = ImVec2(corner.x, middle - 3), ImVec2(right, middle + 3)
        draw_list.add_rect_filled(low, high, colour(0.5, 0.7, 0.7, 0.18), 3)
        position_x = corner.x + timeline.share_of(timeline.position) * width
        draw_list.add_rect_filled(low, ImVec2(position_x, middle + 3), colour(0.4, 0.85, 0.73, 0.4), 3)
        colours = {
            SNAPSHOT: colour(0.8, 0.95, 0.95, 0.35),
            KEPT: colour(0.85, 1, 1, 0.85),
            COMMAND: colour(0.98, 0.8, 0.35, 0.95),
            EVENT: colour(0.8, 0.62, 1, 0.8),
        }
        drawn: set[tuple[int, str]] = set()
        for mark in timeline.marks():
            x = corner.x + timeline.share_of(mark.tick) * width
            if (round(x), mark.kind) in drawn:
                continue  # at most one mark of a kind per pixel, to limit the number of marks
            drawn.add((round(x), mark.kind))
            if mark.kind in (SNAPSHOT, KEPT):
                draw_list.add_line(ImVec2(x, middle - 6), ImVec2(x, middle + 6), colours[mark.kind], 1.5)
            else:
                offset = -8 if mark.kind == COMMAND else 8
                draw_list.add_circle_filled(ImVec2(x, middle + offset), 2.6, colours[mark.kind])
        if timeline.waiting:
            awaited_x = corner.x + timeline.share_of(max(0, timeline.session.awaited)) * width
            pulse = abs((timeline.waited_s * 1.2) % 2 - 1)
            ring = colour(0.96, 0.75, 0.38, 1 - 0.7 * pulse)
            draw_list.add_circle(ImVec2(awaited_x, middle), 5 + 5 * pulse, ring, 0, 2)
        draw_list.add_circle_filled(ImVec2(position_x, middle), 5.5, colour(0.9, 1, 0.97, 1))
