"""The display of the GIF or MP4 recording in progress, and of how far the files of ended ones are written."""

from collections.abc import Sequence

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.theme import BAD, vector
from umwelt.client.window.recording.recorder import Recorder

WIDTH_PX = 260.0


def draw(recorder: Recorder | None, writing: Sequence[Recorder], left_px: float, top_px: float) -> None:
    """Draws a line for the recording in progress and a progress bar for each file being written.

    `left_px` and `top_px` are the upper left corner in logical pixels. Draws nothing if there are no recordings.
    """
    if recorder is None and not writing:
        return
    imgui.set_next_window_pos(ImVec2(left_px, top_px), imgui.Cond_.always)
    imgui.set_next_window_size(ImVec2(WIDTH_PX, 0.0), imgui.Cond_.always)
    imgui.set_next_window_bg_alpha(0.75)
    flags = imgui.WindowFlags_
    shape = flags.no_decoration | flags.no_move | flags.no_docking | flags.no_nav | flags.no_inputs
    if imgui.begin("##recordings", None, shape | flags.always_auto_resize | flags.no_focus_on_appearing)[0]:
        if recorder is not None:
            seconds = recorder.added_count / recorder.frames_per_s
            imgui.text_colored(vector(BAD), f"recording {seconds:.1f} s: F3 ends it")
        for written in writing:
            imgui.progress_bar(written.progress, ImVec2(-1.0, 0.0), f"{written.path.name} {written.progress:.0%}")
    imgui.end()
