"""Recorded films and screenshots of the window, checked with Pillow and ffmpeg."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from umwelt.client.window.recording import recorder
from umwelt.client.window.recording.recorder import Recorder, screenshot
from umwelt.sandbox.errors import UmweltError


def frames_of(count, height=48, width=64):
    for at in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[..., 0], frame[:, :, 2] = 30, np.arange(width) * 3
        frame[8:20, 2 + at : 14 + at] = (40, 220, 60)
        yield frame


def await_end(film):
    """Waits until a film is done; asserts that its progress ends at 1."""
    end_s = time.monotonic() + 30
    while not film.done:
        assert time.monotonic() < end_s and 0.0 <= film.progress < 1.0
        time.sleep(0.01)
    assert film.progress == 1.0


def read_gif(path):
    """Returns the frames of a GIF, `int[frame, height, width, 3]`, and its duration in ms."""
    with Image.open(path) as image:
        frames, lasted_ms = [], 0
        for at in range(image.n_frames):
            image.seek(at)
            lasted_ms += image.info["duration"]
            frames.append(np.asarray(image.convert("RGB")).astype(int))
        return np.array(frames), lasted_ms


def test_a_gif_holds_every_frame_for_as_long_as_it_was_seen(tmp_path):
    film = Recorder(tmp_path / "a.gif", (64, 48), 15)
    expected = list(frames_of(20))
    expected.append(expected[-1])  # the last two frames are equal
    for frame in expected:
        film.add(frame)
    film.finish()
    await_end(film)
    assert film.error_line == "" and list(tmp_path.iterdir()) == [tmp_path / "a.gif"]
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (64, 48) and image.info["loop"] == 0
    frames, lasted_ms = read_gif(tmp_path / "a.gif")
    assert len(frames) == len(expected) and lasted_ms == 1400
    for frame, wanted in zip(frames, expected, strict=True):
        difference = np.abs(frame - wanted)
        assert difference.mean() < 4 and difference.max() < 40


def test_a_gif_has_colours_for_all_of_its_frames(tmp_path):
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    day = list(frames_of(4))
    night = [frame // 3 for frame in day]
    for frame in [*day, *night]:
        film.add(frame)
    film.finish(wait=True)
    frames, _ = read_gif(tmp_path / "a.gif")
    for frame, wanted in zip(frames, [*day, *night], strict=True):
        assert np.abs(frame - wanted).mean() < 4


def test_an_mp4_has_even_sides_and_every_frame(tmp_path):
    reader = pytest.importorskip("imageio_ffmpeg")
    film = Recorder(tmp_path / "a.mp4", (65, 49), 20)
    assert film.size == (64, 48)
    for frame in frames_of(12, 49, 65):
        film.add(frame)
    film.finish(wait=True)
    content = reader.read_frames(str(tmp_path / "a.mp4"))
    head = next(content)
    assert head["size"] == (64, 48) and "yuv420p" in head["pix_fmt"] and head["fps"] == 20
    assert sum(1 for _ in content) == 12


def test_frames_of_another_size_are_cropped_or_padded(tmp_path):
    film = Recorder(tmp_path / "a.gif", (65, 47), 10)  # sides of a GIF may be odd
    film.add(np.full((100, 100, 4), 200, np.uint8))
    film.add(np.full((20, 30, 3), 90, np.uint8))
    film.finish(wait=True)
    frames, _ = read_gif(tmp_path / "a.gif")
    assert frames.shape == (2, 47, 65, 3)
    assert frames[1, 10, 10, 0] > 60 and frames[1, 40, 60, 0] < 30


def test_an_aborted_or_failed_film_leaves_nothing_on_disk(tmp_path, monkeypatch):
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    film.add(np.zeros((48, 64, 3), np.uint8))
    film.abort()
    assert list(tmp_path.iterdir()) == [] and film.done
    empty = Recorder(tmp_path / "b.gif", (64, 48), 10)
    with pytest.raises(UmweltError, match="no frame was recorded"):
        empty.finish(wait=True)
    missing = Recorder(tmp_path / "no" / "c.gif", (64, 48), 10)
    with pytest.raises(UmweltError, match="cannot be recorded"):
        for frame in frames_of(1000):
            missing.add(frame)
            time.sleep(0.005)
    monkeypatch.setattr(recorder.GifEncoder, "add", lambda self, frame: 1 / 0)
    broken = Recorder(tmp_path / "d.gif", (64, 48), 10)
    broken.add(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UmweltError, match="cannot be recorded"):
        broken.finish(wait=True)
    assert list(tmp_path.iterdir()) == []


def test_a_film_can_be_aborted_while_its_gif_is_written(tmp_path, monkeypatch):
    film = Recorder(tmp_path / "a.gif", (640, 480), 10)
    for frame in frames_of(60, 480, 640):
        film.add(frame)
    reports = []
    report = film._report
    monkeypatch.setattr(film, "_report", lambda share: (reports.append(share), time.sleep(0.02), report(share)))
    film.finish()
    end_s = time.monotonic() + 30
    while len(reports) < 2:
        assert time.monotonic() < end_s and not film.done
        time.sleep(0.001)
    film.abort()
    assert film.done and list(tmp_path.iterdir()) == []


def test_ffmpeg_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "GIF_FILTER", "no_such_filter")
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    for frame in frames_of(3):
        film.add(frame)
    with pytest.raises(UmweltError, match="cannot be recorded") as caught:
        film.finish(wait=True)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


RECORDING = """
import sys, time
import numpy as np
from umwelt.client.window.recording.recorder import Recorder
film = Recorder(sys.argv[1], (64, 48), 10)
for level in range(30):
    film.add(np.full((48, 64, 3), 8 * level, np.uint8))
print("recorded", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_ctrl_c_completes_the_film(tmp_path, name):
    command = [sys.executable, "-c", RECORDING, str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"recorded\n"
        os.killpg(process.pid, signal.SIGINT)  # to the whole process group, as a terminal does
        process.communicate(timeout=120)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.gif":
        assert len(read_gif(tmp_path / name)[0]) == 30
    else:
        content = pytest.importorskip("imageio_ffmpeg").read_frames(str(tmp_path / name))
        next(content)
        assert sum(1 for _ in content) == 30


def test_a_slow_encoder_makes_add_wait_and_loses_nothing(tmp_path, monkeypatch):
    add = recorder.GifEncoder.add
    monkeypatch.setattr(recorder, "MAX_QUEUED_FRAMES", 4)
    monkeypatch.setattr(recorder.GifEncoder, "add", lambda self, frame: (time.sleep(0.02), add(self, frame)))
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    waited = [film.add(frame) for frame in frames_of(20)]
    assert any(waited) and film.wait_count == sum(waited) and film.queued_count <= 4
    film.finish(wait=True)
    assert film.encoded_count == 20 and len(read_gif(tmp_path / "a.gif")[0]) == 20


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_invalid_recordings_are_refused_in_one_line(tmp_path, monkeypatch, name):
    for path, size, frames_per_s in (("a.avi", (64, 48), 10), (name, (4, 4), 10), (name, (64, 99_999), 10)):
        with pytest.raises(UmweltError, match=": use "):
            Recorder(tmp_path / path, size, frames_per_s)
    with pytest.raises(UmweltError, match=": use "):
        Recorder(tmp_path / name, (64, 48), 500)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UmweltError, match="pip install") as caught:
        Recorder(tmp_path / name, (64, 48), 10)
    assert "\n" not in str(caught.value)


def test_a_screenshot_has_the_pixels_of_the_window(tmp_path):
    pixels = next(frames_of(1))
    screenshot(pixels, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    for path in ("a.xyz", "no/a.png"):
        with pytest.raises(UmweltError):
            screenshot(pixels, tmp_path / path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]
