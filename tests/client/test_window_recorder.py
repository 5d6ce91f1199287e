"""Films and pictures of the window."""

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


def ended(film):
    end_s = time.monotonic() + 30
    while not film.done:
        assert time.monotonic() < end_s and 0.0 <= film.progress < 1.0
        time.sleep(0.01)
    assert film.progress == 1.0


def test_a_gif_holds_every_frame_for_as_long_as_it_was_seen(tmp_path):
    film = Recorder(tmp_path / "a.gif", (64, 48), 15)
    for frame in frames_of(20):
        film.add(frame)
    film.add(frame)  # nothing moves
    film.finish()
    ended(film)
    assert film.line == "" and list(tmp_path.iterdir()) == [tmp_path / "a.gif"]
    found = Image.open(tmp_path / "a.gif")
    assert found.size == (64, 48) and found.n_frames == 20 and found.info["loop"] == 0
    lasted_ms = 0
    for at, frame in enumerate(frames_of(20)):
        found.seek(at)
        lasted_ms += found.info["duration"]
        away = np.abs(np.asarray(found.convert("RGB")).astype(int) - frame)
        assert away.mean() < 4 and away.max() < 40
    assert lasted_ms == 1400


def test_a_gif_follows_when_its_colours_change(tmp_path):
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    night = [frame // 3 for frame in frames_of(4)]
    for frame in [*frames_of(4), *night]:
        film.add(frame)
    film.finish(wait=True)
    found = Image.open(tmp_path / "a.gif")
    found.seek(7)
    assert np.abs(np.asarray(found.convert("RGB")).astype(int) - night[-1]).mean() < 4


def test_an_mp4_has_even_sides_and_every_frame(tmp_path):
    reader = pytest.importorskip("imageio_ffmpeg")
    film = Recorder(tmp_path / "a.mp4", (65, 49), 20)
    assert film.size == (64, 48)
    for frame in frames_of(12, 49, 65):
        film.add(frame)
    film.finish(wait=True)
    content = reader.read_frames(str(tmp_path / "a.mp4"))
    told = next(content)
    assert told["size"] == (64, 48) and "yuv420p" in told["pix_fmt"] and told["fps"] == 20
    assert sum(1 for _ in content) == 12


def test_frames_of_another_size_are_cut_or_filled(tmp_path):
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    film.add(np.full((100, 100, 4), 200, np.uint8))
    film.add(np.full((20, 30, 3), 90, np.uint8))
    film.finish(wait=True)
    found = Image.open(tmp_path / "a.gif")
    found.seek(1)
    pixels = np.asarray(found.convert("RGB"))
    assert pixels[10, 10, 0] > 60 and pixels[40, 60, 0] < 30


def test_what_is_left_or_goes_wrong_leaves_nothing_behind(tmp_path, monkeypatch):
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    film.add(np.zeros((48, 64, 3), np.uint8))
    film.abort()
    assert list(tmp_path.iterdir()) == [] and film.done
    empty = Recorder(tmp_path / "b.gif", (64, 48), 10)
    with pytest.raises(UmweltError, match="nothing was recorded"):
        empty.finish(wait=True)
    nowhere = Recorder(tmp_path / "no" / "c.gif", (64, 48), 10)
    with pytest.raises(UmweltError, match="cannot be recorded"):
        for frame in frames_of(1000):
            nowhere.add(frame)
            time.sleep(0.005)
    monkeypatch.setattr(recorder.Gif, "add", lambda self, frame: 1 / 0)
    broken = Recorder(tmp_path / "d.gif", (64, 48), 10)
    broken.add(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UmweltError, match="cannot be recorded"):
        broken.finish(wait=True)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_encoder_makes_add_wait_and_loses_nothing(tmp_path, monkeypatch):
    add = recorder.Gif.add
    monkeypatch.setattr(recorder, "MAX_QUEUED", 4)
    monkeypatch.setattr(recorder.Gif, "add", lambda self, frame: (time.sleep(0.02), add(self, frame)))
    film = Recorder(tmp_path / "a.gif", (64, 48), 10)
    waited = [film.add(frame) for frame in frames_of(20)]
    assert any(waited) and film.waits == sum(waited) and film.waiting <= 4
    film.finish(wait=True)
    assert film.encoded == 20 and Image.open(tmp_path / "a.gif").n_frames == 20


def test_what_cannot_be_recorded_is_said_in_one_line(tmp_path, monkeypatch):
    for path, size in (("a.avi", (64, 48)), ("a.gif", (4, 4)), ("a.gif", (64, 99_999))):
        with pytest.raises(UmweltError):
            Recorder(tmp_path / path, size, 10)
    import sys

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UmweltError, match="pip install") as caught:
        Recorder(tmp_path / "a.mp4", (64, 48), 10)
    assert "\n" not in str(caught.value)


def test_a_screenshot_is_what_was_seen(tmp_path):
    pixels = next(frames_of(1))
    screenshot(pixels, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)
    for path in ("a.xyz", "no/a.png"):
        with pytest.raises(UmweltError):
            screenshot(pixels, tmp_path / path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]
