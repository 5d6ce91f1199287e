"""The run from its first tick to now: where the past can be shown, played on, and forked into a run of its own.

`Timeline` is the logic; `draw` a slim strip at the bottom of the window. A tick of the past is replayed beside the
running world from the snapshot before it, which takes a while: meanwhile what was shown is shown on.
"""

from typing import Any, NamedTuple

from umwelt.client.window.input.tools import fork
from umwelt.client.window.session import Session
from umwelt.cluster.wire.viewer_protocol import LIVE
from umwelt.sandbox.errors import UmweltError

LIST_EVERY_S = 5.0
NOW_SHARE = 0.995
"""From here on, letting go means now."""
STRIP_PX, MARK_PX = 40.0, 5.0
SNAPSHOT, KEPT, COMMAND, EVENT = "snapshot", "kept snapshot", "command", "event"


class Mark(NamedTuple):
    """Something of note in the run."""

    tick: int
    kind: str
    words: str


class Timeline:
    """See the page's top. `held` is the tick under the mouse while it drags; `playing` whether the past goes on."""

    def __init__(self, session: Session):
        self.session = session
        self.snapshots: list[dict[str, Any]] = []
        self.held: int | None = None
        self.playing = False
        self.play_ticks_a_s = 20.0
        self._listed_s = -1e9
        self._listing = False
        self._waited_from_s: float | None = None
        self._shown = LIVE
        self._lost = False

    # --- where things are

    @property
    def reached(self) -> int:
        """The tick that the running world has reached."""
        return max(0, int(self.session.status.get("tick", 0)), self.session.shown)

    @property
    def position(self) -> int:
        """The tick that is shown; where the past plays on, it goes along."""
        if self.held is not None:
            return self.held
        shown = self.session.shown
        return self.reached if shown == LIVE else max(shown, self.session.tick)

    def share_of(self, tick: int) -> float:
        """Where on the strip a tick is, 0 to 1."""
        return min(1.0, max(0.0, tick / max(1, self.reached)))

    def tick_at(self, share: float) -> int:
        """The tick at a place of the strip."""
        return round(min(1.0, max(0.0, share)) * self.reached)

    def marks(self) -> list[Mark]:
        """Snapshots, what was done from here, and what the run's keeper tells, by tick."""
        found = [
            Mark(one["tick"], KEPT if one.get("kept") else SNAPSHOT, KEPT if one.get("kept") else SNAPSHOT)
            for one in self.snapshots
        ]
        found += [Mark(int(one["tick"]), EVENT, str(one["line"])) for one in self.session.status.get("events") or ()]
        found += [Mark(one.tick, COMMAND, one.words) for one in self.session.done]
        return sorted(mark for mark in found if mark.tick <= self.reached)

    def marks_near(self, share: float, within: float) -> list[Mark]:
        """The marks about a place of the strip, at most three, commands and events before snapshots."""
        near = [mark for mark in self.marks() if abs(self.share_of(mark.tick) - share) <= within]
        near.sort(key=lambda mark: (mark.kind in (SNAPSHOT, KEPT), abs(self.share_of(mark.tick) - share)))
        return near[:3]

    # --- going there

    def drag(self, share: float) -> None:
        """The mouse is held over the strip."""
        self.held = self.tick_at(share)

    def drop(self) -> None:
        """The mouse lets go: that tick is shown."""
        tick, self.held = self.held, None
        if tick is None:
            return
        if self.share_of(tick) >= NOW_SHARE:
            self.back_to_now()
        else:
            self.show(tick)

    def show(self, tick: int) -> None:
        """Show a tick of the past."""
        tick = max(0, min(tick, self.reached))
        if self.waiting and tick == self.session.awaited:
            return
        try:
            self.session.show(tick)
        except UmweltError as error:
            self.session.awaited = self.session.shown
            self.session.say(str(error), bad=True)

    def back_to_now(self) -> None:
        """Show the running world again."""
        self.held, self.playing = None, False
        if self.session.shown != LIVE:
            self.session.show(LIVE)
        self.session.awaited = LIVE

    @property
    def waiting(self) -> bool:
        """Whether a replay is waited for; `waited_s` for how long."""
        return self.session.awaited != self.session.shown

    @property
    def waited_s(self) -> float:
        """For how long a replay has been waited for."""
        return 0.0 if self._waited_from_s is None else self.session.clock() - self._waited_from_s

    def cancel(self) -> None:
        """Wait for no replay: what is shown is shown on."""
        if self.waiting:
            self.session.awaited = self.session.shown
            self.session.say("the replay is given up")

    # --- playing and forking

    @property
    def can_play(self) -> bool:
        """Whether a moment of the past is shown: it can go on."""
        return self.session.shown != LIVE

    def toggle(self) -> None:
        """Let the past go on as the run did, or rest."""
        if not self.can_play:
            self.session.say("this shows now", bad=True)
            return
        self._play(0.0 if self.playing else self.play_ticks_a_s)

    def pace(self, ticks_per_s: float) -> None:
        """How quickly the past plays."""
        self.play_ticks_a_s = max(0.25, ticks_per_s)
        if self.playing:
            self._play(self.play_ticks_a_s)

    def _play(self, ticks_per_s: float) -> None:
        moment = self.session.looking
        before, self.playing = self.playing, ticks_per_s > 0

        def failed(line: str) -> None:
            self.playing = before
            self.session.say(line, bad=True)

        try:
            asked = moment.play(ticks_per_s) if ticks_per_s else moment.rest()
            self.session.ask(asked, None, failed)
        except UmweltError as error:
            failed(str(error))

    def fork(self) -> None:
        """Begin a new run from the tick that is shown."""
        fork(self.session, self.position)

    # --- turns

    def turn(self, now_s: float) -> None:
        """Let time pass: once a frame."""
        session = self.session
        if session.shown != self._shown:
            self._shown, self.playing = session.shown, False
        if not self.waiting:
            self._waited_from_s = None
        elif self._waited_from_s is None:
            self._waited_from_s = now_s
        if session.reconnecting:
            self._lost = True
            return
        if self._lost:
            self._lost = False
            if session.shown != LIVE and not self.waiting:
                self.show(session.shown)  # another gateway knows nothing of the moments of the one before
        if not self._listing and now_s - self._listed_s >= LIST_EVERY_S:
            self._list(now_s)

    def _list(self, now_s: float) -> None:
        self._listed_s, self._listing = now_s, True

        def came(found: list[dict[str, Any]]) -> None:
            self._listing, self.snapshots = False, list(found)

        def failed(line: str) -> None:
            self._listing = False  # a world without a folder has none; whatever else it is, showing will say

        try:
            self.session.ask(self.session.world.snapshots(), came, failed)
        except UmweltError:
            self._listing = False

    # --- what is seen

    def draw(self) -> None:
        """The strip, inside a frame of imgui."""
        from imgui_bundle import imgui

        view, flags = imgui.get_main_viewport(), imgui.WindowFlags_
        imgui.set_next_window_pos(imgui.ImVec2(view.pos.x + 8, view.pos.y + view.size.y - STRIP_PX - 8))
        imgui.set_next_window_size(imgui.ImVec2(max(120.0, view.size.x - 16), STRIP_PX))
        imgui.set_next_window_bg_alpha(0.72)
        shape = flags.no_decoration | flags.no_move | flags.no_docking | flags.no_saved_settings | flags.no_nav
        imgui.push_style_var(imgui.StyleVar_.window_padding, imgui.ImVec2(8, 7))
        if imgui.begin("##timeline", None, shape | flags.no_focus_on_appearing)[0]:
            self._buttons(imgui)
            imgui.same_line(0, 12)
            self._strip(imgui)
        imgui.end()
        imgui.pop_style_var()

    def _buttons(self, imgui: Any) -> None:
        from imgui_bundle import icons_fontawesome_6 as icons

        from umwelt.client.window.panels.theme import ACCENT, WARN, vector
        from umwelt.client.window.panels.widgets import tile_button

        past = self.session.shown != LIVE
        if tile_button(icons.ICON_FA_FORWARD_FAST, "back to now (Backspace)", past or self.waiting):
            self.back_to_now()
        imgui.same_line(0, 4)
        icon = icons.ICON_FA_PAUSE if self.playing else icons.ICON_FA_PLAY
        if tile_button(icon, "let the past go on as it did, or rest (Space)", self.can_play):
            self.toggle()
        imgui.same_line(0, 4)
        words = "begin a new run from the tick that is shown"
        if tile_button(icons.ICON_FA_CODE_BRANCH, words, self.session.keeper):
            self.fork()
        imgui.same_line(0, 10)
        imgui.align_text_to_frame_padding()
        elsewhere = past or self.held is not None
        words = f"{'past' if elsewhere else 'now'}  {self.position:,}"
        imgui.text_colored(vector(WARN if elsewhere else ACCENT), words)
        if self.waiting:
            imgui.same_line(0, 10)
            imgui.text_colored(vector(WARN), f"replaying to {self.session.awaited:,}")
            imgui.same_line(0, 4)
            if tile_button(icons.ICON_FA_XMARK, "wait no longer"):
                self.cancel()

    def _strip(self, imgui: Any) -> None:
        corner, room = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail()
        width, height = max(20.0, room.x), max(10.0, imgui.get_frame_height())
        imgui.invisible_button("##strip", imgui.ImVec2(width, height))
        share = (imgui.get_io().mouse_pos.x - corner.x) / width
        if imgui.is_item_active():
            self.drag(share)
        elif self.held is not None:
            self.drop()
        self._paint(imgui, corner, width, height)
        if imgui.is_item_hovered() or self.held is not None:
            lines = [f"tick {self.tick_at(share):,}"]
            lines += [f"{mark.tick:,}  {mark.words}" for mark in self.marks_near(share, MARK_PX / width)]
            imgui.set_tooltip("\n".join(lines))

    def _paint(self, imgui: Any, corner: Any, width: float, height: float) -> None:
        def colour(red: float, green: float, blue: float, alpha: float) -> int:
            return imgui.get_color_u32(imgui.ImVec4(red, green, blue, alpha))

        drawn, of, middle = imgui.get_window_draw_list(), imgui.ImVec2, corner.y + height / 2
        right = corner.x + width
        drawn.add_rect_filled(of(corner.x, middle - 3), of(right, middle + 3), colour(0.5, 0.7, 0.7, 0.18), 3)
        here = corner.x + self.share_of(self.position) * width
        drawn.add_rect_filled(of(corner.x, middle - 3), of(here, middle + 3), colour(0.4, 0.85, 0.73, 0.4), 3)
        tones = {
            SNAPSHOT: colour(0.8, 0.95, 0.95, 0.35),
            KEPT: colour(0.85, 1, 1, 0.85),
            COMMAND: colour(0.98, 0.8, 0.35, 0.95),
            EVENT: colour(0.8, 0.62, 1, 0.8),
        }
        seen: set[tuple[int, str]] = set()
        for mark in self.marks():
            x = corner.x + self.share_of(mark.tick) * width
            if (round(x), mark.kind) in seen:
                continue  # as many as there are pixels, however long the run
            seen.add((round(x), mark.kind))
            if mark.kind in (SNAPSHOT, KEPT):
                drawn.add_line(of(x, middle - 6), of(x, middle + 6), tones[mark.kind], 1.5)
            else:
                up = -8 if mark.kind == COMMAND else 8
                drawn.add_circle_filled(of(x, middle + up), 2.6, tones[mark.kind])
        if self.waiting:
            there = corner.x + self.share_of(max(0, self.session.awaited)) * width
            pulse = abs((self.waited_s * 1.2) % 2 - 1)
            drawn.add_circle(of(there, middle), 5 + 5 * pulse, colour(0.96, 0.75, 0.38, 1 - 0.7 * pulse), 0, 2)
        drawn.add_circle_filled(of(here, middle), 5.5, colour(0.9, 1, 0.97, 1))
