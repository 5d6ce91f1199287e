"""The world panel: pause, speed, snapshots (stored states of the world), displaying a past tick, and populations."""

import math
from typing import Any

from imgui_bundle import ImVec2, icons_fontawesome_6, imgui

from umwelt.client.window.panels.hooks import Hooks
from umwelt.client.window.panels.theme import ACCENT, BAD, GOOD, TEXT, WARN, packed, species_colour, vector
from umwelt.client.window.panels.widgets import dim, heading, may_command, short, text_px, tile_button
from umwelt.cluster import LIVE

MIN_TICKS_PER_S, MAX_TICKS_PER_S = 1.0, 240.0
"""The range of the speed slider, in ticks per second."""
UNLIMITED_FROM = 0.9
"""The position on the speed slider, from 0 to 1, that stands for `MAX_TICKS_PER_S`.

The right end of the slider means unlimited speed.
"""
SNAPSHOTS_PERIOD_S = 10.0
"""The time in seconds after which the list of snapshots is fetched again."""
RATE_OVER_S, FRAME_RATE_SMOOTHING = 1.5, 0.08
"""The time in seconds over which the world's speed is measured, and the weight of a new frame in the frame rate."""


class Rates:
    """The world's ticks per second and the window's frames per second, as measured in this window."""

    def __init__(self) -> None:
        self.ticks_per_s, self.frames_per_s = 0.0, 0.0
        self._tick, self._tick_s, self._frame_s = -1, 0.0, 0.0

    @property
    def frames(self) -> str:
        """The frames per second, as text."""
        return f"{self.frames_per_s:.{int(self.frames_per_s < 5)}f} fps"

    def update(self, session: Any) -> None:
        """Updates both rates; called once a frame."""
        now_s = session.clock()
        if self._frame_s and now_s > self._frame_s:
            self.frames_per_s += FRAME_RATE_SMOOTHING * (min(999.0, 1 / (now_s - self._frame_s)) - self.frames_per_s)
        self._frame_s = now_s
        tick = session.status.get("tick", -1)
        if self._tick < 0 or tick < self._tick:
            self._tick, self._tick_s = tick, now_s
        elif now_s - self._tick_s >= RATE_OVER_S:
            self.ticks_per_s = (tick - self._tick) / (now_s - self._tick_s)
            self._tick, self._tick_s = tick, now_s


class World:
    """The content of the world panel."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.snapshots: list[dict[str, Any]] = []
        self._asked_s = -1e9
        self._chosen: float | None = None
        """The position of the speed slider while it is being dragged, else None."""
        self._jump = 0

    def draw(self, session: Any, hooks: Hooks) -> None:
        """Draws the panel's content; called in every frame in which the panel is visible."""
        self._refresh(session)
        self._name(session)
        self._buttons(session)
        self._speed(session)
        self._past(session)
        heading("Populations")
        self._populations(session)

    def _name(self, session: Any) -> None:
        status, known = session.status, session.known
        phase = "reconnecting" if session.reconnecting else status.get("phase", "")
        paused = bool(status.get("paused"))
        colour = BAD if session.reconnecting else WARN if paused or phase != "running" else GOOD
        corner = imgui.get_cursor_screen_pos()
        imgui.get_window_draw_list().add_circle_filled(ImVec2(corner.x + 5, corner.y + 9), 4.5, packed(colour))
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + 16)
        imgui.text(known.world)
        imgui.same_line()
        dim("paused" if paused and phase == "running" else phase)
        nodes = len(status.get("nodes") or ())
        role = "you may change it" if session.keeper else "you may only watch it"
        imgui.same_line(0, 10)
        size = f"{known.height} x {known.width}"
        dim(f"{size}, {nodes} node{'s' * (nodes != 1)}" if nodes else size)
        if imgui.is_item_hovered():
            imgui.set_tooltip(f"a torus of {known.height} x {known.width} cells; {role}")
        tick, rate = f"tick {status.get('tick', 0):,}", f"{self.rates.ticks_per_s:.1f} ticks/s"
        imgui.text_colored(vector(ACCENT), tick)
        imgui.same_line(0, 12)
        dim(rate)
        frames = self.rates.frames
        imgui.same_line(imgui.get_window_width() - text_px(frames) - imgui.get_style().window_padding.x)
        dim(frames)

    def _buttons(self, session: Any) -> None:
        able, icon = may_command(session), icons_fontawesome_6
        paused = bool(session.status.get("paused"))
        width = (imgui.get_content_region_avail().x - 16) / 3
        label, command = (f"{icon.ICON_FA_PLAY} Play", "go") if paused else (f"{icon.ICON_FA_PAUSE} Pause", "pause")
        if tile_button(f"{label}###pause", "pause or resume the world (Space)", able, width=width):
            session.command(command)
        imgui.same_line()
        if tile_button(f"{icon.ICON_FA_FORWARD_STEP} Step", "run one tick, then pause (.)", able, width=width):
            session.command("step")
        imgui.same_line()
        if tile_button(f"{icon.ICON_FA_FLOPPY_DISK} Save", "take a snapshot that is kept", able, width=width):
            session.command("save", done="snapshot saved", then=lambda _: self._list_again())

    def _list_again(self) -> None:
        """Lets the list of snapshots be fetched in the next frame."""
        self._asked_s = -1e9

    def _speed(self, session: Any) -> None:
        ticks_per_s = float(session.status.get("speed") or 0.0)
        value = self._chosen if self._chosen is not None else _share_of(ticks_per_s)
        text = "unlimited" if value >= 1 else f"{_speed_of(value):.3g} ticks/s"
        able = may_command(session)
        imgui.set_next_item_width(imgui.get_content_region_avail().x - 46)
        if not able:
            imgui.begin_disabled()
        changed, value = imgui.slider_float("speed", value, 0.0, 1.0, text.replace("%", "%%"))
        if changed:
            self._chosen = value
        if imgui.is_item_deactivated_after_edit() and self._chosen is not None:
            session.command("speed", 0.0 if self._chosen >= 1 else round(_speed_of(self._chosen), 2))
            session.status["speed"] = 0.0 if self._chosen >= 1 else _speed_of(self._chosen)
            self._chosen = None
        if not able:
            imgui.end_disabled()

    def _past(self, session: Any) -> None:
        """Draws the choice of a past tick, or the button that returns to the present."""
        icon = icons_fontawesome_6
        if session.shown != LIVE:
            label = f"{icon.ICON_FA_CLOCK_ROTATE_LEFT} Return to the present"
            hint = f"tick {session.shown:,} of the past is shown (Backspace)"
            if tile_button(label, hint, width=imgui.get_content_region_avail().x):
                session.show(LIVE)
            return
        button_px = 72.0
        imgui.set_next_item_width(imgui.get_content_region_avail().x - 2 * button_px - 16)
        enter = imgui.InputTextFlags_.enter_returns_true
        entered, self._jump = imgui.input_int("##jump", self._jump, 0, 0, enter)
        if imgui.is_item_hovered():
            imgui.set_tooltip("a tick of the past to show; the world keeps running")
        self._jump = max(0, self._jump)
        imgui.same_line()
        if imgui.button("Show", ImVec2(button_px, 0)) or entered:
            session.show(min(self._jump, max(0, session.status.get("tick", 0) - 1)))
        imgui.same_line()
        imgui.set_next_item_width(button_px)
        if imgui.begin_combo("##snapshots", "saved", imgui.ComboFlags_.height_large):
            if not self.snapshots:
                dim("no snapshots yet")
            for snapshot in reversed(self.snapshots):
                kept = f"  {icon.ICON_FA_FLOPPY_DISK}" if snapshot.get("kept") else ""
                if imgui.selectable(f"tick {snapshot['tick']:,}{kept}", False)[0]:
                    session.show(snapshot["tick"])
            imgui.end_combo()

    def _refresh(self, session: Any) -> None:
        """Fetches the list of snapshots, at most every `SNAPSHOTS_PERIOD_S` seconds."""
        now_s = session.clock()
        if now_s - self._asked_s < SNAPSHOTS_PERIOD_S or session.reconnecting:
            return
        self._asked_s = now_s

        def receive(snapshots: Any) -> None:
            self.snapshots = list(snapshots)

        session.ask(session.world.snapshots(), receive, lambda _: None)

    def _populations(self, session: Any) -> None:
        metrics = session.status.get("metrics") or {}
        populations = metrics.get("populations") or {}
        for table, counts in populations.items():
            total = sum(counts.values())
            dim(table)
            imgui.same_line(86)
            imgui.text_colored(vector(TEXT), f"{total:,}")
            imgui.same_line(150)
            _shares(session, counts, total)
        in_view = sum(len(swarm) for swarm in session.feed.frame.swarms)
        dots = session.feed.frame.dots
        in_view = in_view or (len(dots.y) if dots is not None else 0)
        born, died = metrics.get("births", 0), metrics.get("deaths", 0)
        dim(f"{short(in_view)} in view, {short(born)} born, {short(died)} died")


def _shares(session: Any, counts: dict[str, int], total: int) -> None:
    """Draws a bar divided by the shares of the species in `total` beings; `counts` are their numbers by name."""
    corner, width = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    imgui.dummy(ImVec2(width, 17))
    hovered = imgui.is_item_hovered()
    draw_list, x, top = imgui.get_window_draw_list(), corner.x, corner.y + 4
    draw_list.add_rect_filled(ImVec2(x, top), ImVec2(x + width, top + 10), packed((0.1, 0.145, 0.16, 0.9)), 5.0)
    mouse = imgui.get_mouse_pos().x
    for name, count in counts.items():
        size = width * count / max(1, total)
        if size >= 0.5:
            colour = species_colour(session.known, name)
            draw_list.add_rect_filled(ImVec2(x, top), ImVec2(x + size - 1, top + 10), packed(colour, 0.9), 3.0)
            if hovered and x <= mouse < x + size:
                imgui.set_tooltip(f"{name}: {count:,}")
        x += size


def _speed_of(share: float) -> float:
    """Returns the ticks per second at a position on the slider, from 0 to 1; the scale is logarithmic."""
    return MIN_TICKS_PER_S * (MAX_TICKS_PER_S / MIN_TICKS_PER_S) ** min(1.0, share / UNLIMITED_FROM)


def _share_of(ticks_per_s: float) -> float:
    """Returns the slider position of a speed, the inverse of `_speed_of`; a speed of 0 means unlimited."""
    if ticks_per_s <= 0:
        return 1.0
    clipped = min(max(ticks_per_s, MIN_TICKS_PER_S), MAX_TICKS_PER_S)
    return UNLIMITED_FROM * math.log(clipped / MIN_TICKS_PER_S) / math.log(MAX_TICKS_PER_S / MIN_TICKS_PER_S)
