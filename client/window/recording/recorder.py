"""Pictures and films of what the window shows. Frames are encoded in a thread, so that the window goes on.

A GIF is written frame by frame, whatever its length: its palette is made anew when its colours no longer fit, what did
not change is left out, and dither stands still, so that still parts of the picture stay still.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import GifImagePlugin, Image

from umwelt.client.pictures import picture
from umwelt.cluster.run.store import replace_file
from umwelt.sandbox.errors import UmweltError

SUFFIXES = (".gif", ".mp4")
QUEUED_BYTES, MIN_QUEUED, MAX_QUEUED = 128 << 20, 4, 64
"""Frames that wait to be encoded take no more than this."""
TURN_S = 0.25
MIN_SIDE, MAX_SIDE = 16, 16384
COLOURS = 255
"""Of a GIF's palette; one more stands for what did not change."""
DITHER_STEPS = 10.0
MISFIT_STEPS = 3.0
"""So much farther from a palette's colours (mean over pixels, of 765) than at first, and a frame gets a new one."""
SAMPLED_PIXELS = 60_000
MP4_QUALITY = 8
_PACKED = np.array([1 << 16, 1 << 8, 1], np.uint32)


def screenshot(pixels: np.ndarray, path: Path) -> None:
    """Write `uint8[height, width, 3]` to a picture file; `UmweltError` where that cannot be."""
    if path.suffix.lower() not in picture.SUFFIXES:
        raise UmweltError(f"{path}: pictures end in {', '.join(picture.SUFFIXES)}: name it so")
    picture.write(np.ascontiguousarray(pixels[..., :3]), path)


class Encoder(Protocol):
    """Writes frames, `uint8[height, width, 3]`, to a file that is being made."""

    def add(self, frame: np.ndarray) -> None:
        """Write one more."""

    def close(self) -> None:
        """Write what is left; the file is whole then."""


class Recorder:
    """A film that is being made: `add` frames, then `finish`. `size` is width and height; MP4 wants both even.

    The file appears under its name when it is whole; `abort`, or whatever goes wrong, leaves nothing behind.
    """

    def __init__(self, path: Path | str, size: tuple[int, int], frames_per_s: float):
        self.path, self.size, self.frames_per_s = Path(path), size, frames_per_s
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UmweltError(f"{self.path}: films end in {' or '.join(SUFFIXES)}: name it so")
        width, height = size
        if not (min(size) >= MIN_SIDE and max(size) <= MAX_SIDE) or not 0 < frames_per_s <= 100:
            raise UmweltError(f"{self.path}: {width}x{height} pixels at {frames_per_s:g} a second cannot be recorded")
        if suffix == ".mp4":
            self.size = width // 2 * 2, height // 2 * 2
            _ffmpeg()
        self.added = self.encoded = 0
        self.waits = 0
        """How often `add` had to wait for the encoder."""
        self.line = ""
        """What went wrong."""
        self._finishing = self._aborted = False
        fitting = QUEUED_BYTES // max(1, 3 * self.size[0] * self.size[1])
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(min(MAX_QUEUED, max(MIN_QUEUED, fitting)))
        self._encoder: Callable[..., Encoder] = Gif if suffix == ".gif" else Mp4
        # no daemon: a film that is finished is written to its end, though the window has gone
        self._thread = threading.Thread(target=self._run, name="umwelt-recorder", daemon=False)
        self._thread.start()

    # --- for the window

    def add(self, pixels: np.ndarray) -> bool:
        """One more frame, `uint8[height, width, 3 or more]`, cut or filled up to the film's size.

        Gives whether it had to wait, which it does when the encoder is far behind; `UmweltError` when that has failed.
        """
        if self._finishing or self._aborted:
            raise UmweltError(f"{self.path}: its recording has ended")
        frame, waited = self._fitted(pixels), False
        while not self.line:
            try:
                self._frames.put(frame, timeout=TURN_S if waited else 0.001)
            except queue.Full:
                waited = True
                continue
            self.added += 1
            self.waits += waited
            return waited
        raise UmweltError(self.line)

    def finish(self, wait: bool = False) -> None:
        """No more frames come: the rest is encoded beside; `progress` tells how far, `done` when. Or wait for it."""
        if not self._finishing and not self._aborted:
            self._finishing = True
            with suppress(queue.Full):  # the thread sees `_finishing` as well
                self._frames.put_nowait(None)
        if wait:
            self._thread.join()
            if self.line:
                raise UmweltError(self.line)

    def abort(self) -> None:
        """Leave it; nothing of it stays."""
        self._aborted = True
        self._thread.join()

    @property
    def progress(self) -> float:
        """The share of all frames that is encoded, 0 to 1; 1 only when the file is whole."""
        if self.done:
            return 1.0
        return min(0.99, self.encoded / self.added) if self.added else 0.0

    @property
    def done(self) -> bool:
        """Whether nothing more happens: the file is whole, or `line` says why there is none."""
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Frames that wait to be encoded."""
        return self._frames.qsize()

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        """A copy: what was handed over may be written to again."""
        width, height = self.size
        frame = np.zeros((height, width, 3), np.uint8)
        found = pixels[:height, :width, :3]
        frame[: found.shape[0], : found.shape[1]] = found
        return frame

    # --- the thread

    def _run(self) -> None:
        try:
            with replace_file(self.path) as half:
                encoder = self._encoder(half, self.size, self.frames_per_s)
                try:
                    for frame in self._coming():
                        encoder.add(frame)
                        self.encoded += 1
                finally:
                    encoder.close()
                if self._aborted or not self.encoded:
                    raise _LeftError
        except _LeftError:
            if not self._aborted:
                self.line = f"{self.path}: nothing was recorded: end it a little later"
        except UmweltError as error:
            self.line = str(error)
        except Exception as error:  # whatever an encoder meets, the window goes on
            what = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
            self.line = f"{self.path}: cannot be recorded: {what}: choose another place or kind"

    def _coming(self) -> Iterator[np.ndarray]:
        while not self._aborted:
            try:
                frame = self._frames.get(timeout=TURN_S)
            except queue.Empty:
                if self._finishing:
                    return
                if not threading.main_thread().is_alive():  # nobody is left to end it
                    self._finishing = True
                continue
            if frame is not None:
                yield frame


class _LeftError(Exception):
    """Nothing is to be kept."""


# --- GIF


class Gif:
    """Writes a GIF frame by frame."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._out, self.size, self._frames_per_s = path.open("wb"), size, frames_per_s
        self._palette: Image.Image | None = None
        self._colours = np.zeros((256, 3), np.uint8)
        self._misfit_steps = 0.0
        """How well the palette fitted the frame that it was made from."""
        self._shown: np.ndarray | None = None
        """What is on the screen, each pixel's colour as one number, `uint32[height, width]`."""
        self._held: tuple[Image.Image, tuple[int, int]] | None = None
        """A frame that is not written yet, since it is not known how long it lasts; and its corner."""
        self._count = self._told_hundredths = 0
        width, height = size
        tiled = np.tile(_bayer(), (-(-height // 8), -(-width // 8)))[:height, :width, None]
        self._dither = np.round(tiled * DITHER_STEPS).astype(np.int16)
        self._out.write(b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\x70\0\0")
        self._out.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")  # over and over

    def add(self, frame: np.ndarray) -> None:
        """One more frame."""
        indices = self._indexed(frame)
        colours = np.take(self._colours.astype(np.uint32) @ _PACKED, indices)
        corner = (0, 0)
        if self._shown is not None:
            changed = colours != self._shown
            rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            if not len(rows):
                self._count += 1
                return
            inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            indices = np.where(changed[inside], indices[inside], COLOURS)
            corner = int(columns[0]), int(rows[0])
        self._flush()
        image = Image.fromarray(np.ascontiguousarray(indices, np.uint8))
        image.putpalette(self._colours.tobytes())
        self._held, self._shown = (image, corner), colours
        self._count += 1

    def close(self) -> None:
        """The last frame, and the end."""
        try:
            self._flush()
            self._out.write(b";")
        finally:
            self._out.close()

    def _indexed(self, frame: np.ndarray) -> np.ndarray:
        """The frame in the palette's colours, or a new one's where the old one fits no more."""
        dithered = Image.fromarray((frame.astype(np.int16) + self._dither).clip(0, 255).astype(np.uint8))
        if self._palette is not None:
            indices = self._mapped(dithered)
            if self._misfit(frame, indices) <= 1.4 * self._misfit_steps + MISFIT_STEPS:
                return indices
        self._palette = _palette_of(frame)
        self._colours = np.array(self._palette.getpalette(), np.uint8).reshape(256, 3)
        indices = self._mapped(dithered)
        self._misfit_steps = self._misfit(frame, indices)
        return indices

    def _mapped(self, dithered: Image.Image) -> np.ndarray:
        indices = np.array(dithered.quantize(palette=self._palette, dither=Image.Dither.NONE))
        indices[indices == COLOURS] = 0  # the last colour is the first one, and stands for what did not change
        return indices

    def _misfit(self, frame: np.ndarray, indices: np.ndarray) -> float:
        every = max(1, indices.size // SAMPLED_PIXELS)
        away = frame.reshape(-1, 3)[::every].astype(np.int16) - self._colours[indices.reshape(-1)[::every]]
        return float(np.abs(away).sum(axis=1).mean())

    def _flush(self) -> None:
        """Write the frame that is held: it lasts until now."""
        if self._held is None:
            return
        image, corner = self._held
        until = max(self._told_hundredths + 2, round(100 * self._count / self._frames_per_s))
        lasts, self._told_hundredths = min(until - self._told_hundredths, 65535), until
        self._out.write(b"\x21\xf9\x04\x05" + lasts.to_bytes(2, "little") + bytes([COLOURS, 0]))
        for data in GifImagePlugin.getdata(image, corner, include_color_table=True, interlace=False):
            self._out.write(data)


def _bayer() -> np.ndarray:
    """Thresholds of ordered dither, `float[8, 8]` around 0."""
    low = np.array([[0, 2], [3, 1]])
    for _ in range(2):
        low = np.block([[4 * low, 4 * low + 2], [4 * low + 3, 4 * low + 1]])
    return (low + 0.5) / 64 - 0.5


def _palette_of(frame: np.ndarray) -> Image.Image:
    """An image whose palette suits a frame: 256 colours, the last one like the first.

    A colour counts by the root of how often it is there, so that small bright things are not left with a few colours.
    """
    every = max(1, frame.shape[0] * frame.shape[1] // SAMPLED_PIXELS)
    seen = frame.reshape(-1, 3)[::every]
    _, first, counts = np.unique((seen >> 2).astype(np.uint32) @ _PACKED, return_index=True, return_counts=True)
    sampled = np.repeat(seen[first], np.ceil(np.sqrt(counts)).astype(np.int64), axis=0)[None]
    found = Image.fromarray(sampled).quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=1).getpalette() or []
    colours = np.array(found[: 3 * COLOURS], np.uint8).reshape(-1, 3)
    colours = np.concatenate([colours, np.repeat(colours[:1], 256 - len(colours), axis=0)])
    image = Image.new("P", (1, 1))
    image.putpalette(colours.tobytes())
    return image


# --- MP4


def _ffmpeg() -> Any:
    """The library that brings ffmpeg; a line where it is missing."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError, OSError):
        line = "MP4 needs imageio-ffmpeg: pip install 'umwelt[viewer]', or record a GIF"
        raise UmweltError(line) from None
    return imageio_ffmpeg


class Mp4:
    """Writes an MP4 (H.264, as browsers and phones play it) through ffmpeg."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._frames = _ffmpeg().write_frames(
            str(path),
            size,
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            fps=frames_per_s,
            quality=MP4_QUALITY,
            codec="libx264",
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart"],
        )
        self._frames.send(None)

    def add(self, frame: np.ndarray) -> None:
        """One more frame."""
        self._frames.send(frame)

    def close(self) -> None:
        """Let ffmpeg write the end."""
        self._frames.close()
