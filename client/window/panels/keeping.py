"""What is being recorded, and how far what was recorded is written."""

from collections.abc import Sequence

from imgui_bundle import ImVec2, imgui

from umwelt.client.window.panels.theme import BAD, vector
from umwelt.client.window.recording.recorder import Recorder

WIDTH_PX = 260.0


def draw(recording: Recorder | None, writing: Sequence[Recorder], x_px: float, top_px: float) -> None:
    """Draw it with its upper left corner there; nothing where nothing is kept."""
    if recording is None and not writing:
        return
    imgui.set_next_window_pos(ImVec2(x_px, top_px), imgui.Cond_.always)
    imgui.set_next_window_size(ImVec2(WIDTH_PX, 0.0), imgui.Cond_.always)
    imgui.set_next_window_bg_alpha(0.75)
    flags = imgui.WindowFlags_
    shape = flags.no_decoration | flags.no_move | flags.no_docking | flags.no_nav | flags.no_inputs
    if imgui.begin("##keeping", None, shape | flags.always_auto_resize | flags.no_focus_on_appearing)[0]:
        if recording is not None:
            seconds = recording.added_count / recording.frames_per_s
            imgui.text_colored(vector(BAD), f"recording {seconds:.1f} s: F3 ends it")
        for recorder in writing:
            imgui.progress_bar(recorder.progress, ImVec2(-1.0, 0.0), f"{recorder.path.name} {recorder.progress:.0%}")
    imgui.end()
