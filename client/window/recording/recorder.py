"""Screenshots and videos of the window. An ffmpeg process encodes a video from a bounded queue of frames.

A GIF is encoded in two passes, since its palette must suit all frames. The first pass runs while frames arrive; it
writes a temporary lossless video, and a palette by ffmpeg's `palettegen`. The second pass writes the GIF from both, by
`paletteuse`. Memory use does not depend on the length of the video.
"""

import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import ClassVar, Protocol

import numpy as np

from umwelt.client.pictures import picture
from umwelt.cluster import replace_file
from umwelt.sandbox.errors import UmweltError

SUFFIXES = (".gif", ".mp4")
QUEUE_BYTES, MIN_QUEUED_FRAMES, MAX_QUEUED_FRAMES = 128 << 20, 4, 64
"""Capacity of the queue of frames in bytes, and bounds of its capacity in frames, which take precedence."""
POLL_S = 0.25
"""The time in seconds between two checks whether the recording was ended or has failed."""
MIN_SIDE, MAX_SIDE = 16, 16384
"""Bounds of the width and height of a video, in pixels."""
MAX_FRAMES_PER_S = 100
MP4_CRF = 10
"""The constant rate factor of H.264: from 0 (lossless) to 51."""
PALETTE_FILTER = "split[film][sample];[sample]palettegen=stats_mode=full[palette]"
"""Filters of the first pass: copies the video and computes the palette of all frames."""
GIF_FILTER = "paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
"""The filter of the second pass. Its dither depends only on a pixel's position, so unchanged areas do not flicker."""
PROGRESS_PERIOD_S = 0.1
"""The time in seconds between two progress reports of ffmpeg."""


def screenshot(pixels: np.ndarray, path: Path) -> None:
    """Writes `pixels`, `uint8[height, width, 3 or more]`, to an image file; its format follows from the suffix.

    Raises UmweltError if the suffix is unknown or the file cannot be written.
    """
    if path.suffix.lower() not in picture.SUFFIXES:
        raise UmweltError(f"{path}: unknown picture format: use a name that ends in {', '.join(picture.SUFFIXES)}")
    picture.write_picture(np.ascontiguousarray(pixels[..., :3]), path)


class Encoder(Protocol):
    """Encodes the frames of one video into one file. Only the recorder's thread calls its methods."""

    ADDING_SHARE: ClassVar[float]
    """The fraction of the encoding work that is done by `add`, from 0 to 1; `finish` does the rest."""

    def add(self, frame: np.ndarray) -> None:
        """Encodes one frame, `uint8[height, width, 3]`."""

    def finish(self, report: Callable[[float], None]) -> None:
        """Completes the file; calls `report` with the completed fraction, from 0 to 1.

        Exceptions of `report` propagate; the file is incomplete then.
        """

    def close(self) -> None:
        """Stops ffmpeg if it still runs, and deletes temporary files."""


class Recorder:
    """Records one video: call `add` for each frame, then `finish`. A separate thread encodes the frames.

    The file appears at `path` when it is complete; after `abort` or an error no file remains. If the main thread ends
    (Ctrl-C) without a call of either, the frames added so far are written as by `finish`.

    `size` is width and height in pixels; for MP4 odd numbers are reduced by one. Raises UmweltError for unsupported
    arguments and if ffmpeg is missing.
    """

    def __init__(self, path: Path | str, size: tuple[int, int], frames_per_s: float):
        self.path, self.size, self.frames_per_s = Path(path), size, frames_per_s
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UmweltError(f"{self.path}: unknown film format: use a name that ends in {' or '.join(SUFFIXES)}")
        width, height = size
        if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
            raise UmweltError(f"{self.path}: {width}x{height} pixels: use {MIN_SIDE} to {MAX_SIDE} pixels a side")
        if not 0 < frames_per_s <= MAX_FRAMES_PER_S:
            raise UmweltError(f"{self.path}: {frames_per_s:g} frames a second: use at most {MAX_FRAMES_PER_S}")
        _ffmpeg()
        if suffix == ".mp4":
            self.size = width // 2 * 2, height // 2 * 2
        self.added_count = self.encoded_count = 0
        self.wait_count = 0
        """The number of frames for which `add` had to wait, since the queue was full."""
        self.error_line = ""
        """The reason why no video was written; empty if there was no error."""
        self._finishing = self._aborted = False
        self._finished_share = 0.0
        fitting = QUEUE_BYTES // max(1, 3 * self.size[0] * self.size[1])
        capacity = min(MAX_QUEUED_FRAMES, max(MIN_QUEUED_FRAMES, fitting))
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(capacity)
        self._encoder_type: type[GifEncoder | Mp4Encoder] = GifEncoder if suffix == ".gif" else Mp4Encoder
        # not a daemon thread: a video is completed even if the window has closed
        self._thread = threading.Thread(target=self._run, name="umwelt-recorder", daemon=False)
        self._thread.start()

    # --- used by the window's thread

    def add(self, pixels: np.ndarray) -> bool:
        """Adds a frame, `uint8[height, width, 3 or more]`; it is cropped or padded with black to `size`.

        Blocks while the queue is full, and returns whether it blocked. Raises UmweltError if encoding has failed, or
        after `finish` or `abort`.
        """
        if self._finishing or self._aborted:
            raise UmweltError(f"{self.path}: the recording has ended: start another one")
        frame, waited = self._fit(pixels), False
        while not self.error_line:
            try:
                self._frames.put(frame, timeout=POLL_S if waited else 0.001)
            except queue.Full:
                waited = True
                continue
            self.added_count += 1
            self.wait_count += waited
            return waited
        raise UmweltError(self.error_line)

    def finish(self, wait: bool = False) -> None:
        """Ends the video; the file is completed in the background (see `progress` and `done`).

        With `wait`, blocks until the file is complete, and raises UmweltError if it could not be written.
        """
        if not self._finishing and not self._aborted:
            self._finishing = True
            with suppress(queue.Full):  # the thread polls `_finishing` as well
                self._frames.put_nowait(None)
        if wait:
            self._thread.join()
            if self.error_line:
                raise UmweltError(self.error_line)

    def abort(self) -> None:
        """Discards the video, deletes all its files, and blocks until the encoder has stopped."""
        self._aborted = True
        self._thread.join()

    @property
    def progress(self) -> float:
        """The completed fraction of the work, from 0 to 1; it is 1 only when `done`."""
        if self.done:
            return 1.0
        adding = self._encoder_type.ADDING_SHARE
        encoded_share = self.encoded_count / self.added_count if self.added_count else 0.0
        return min(0.99, adding * encoded_share + (1 - adding) * self._finished_share)

    @property
    def done(self) -> bool:
        """Whether encoding has ended: the file is complete, the video was aborted, or `error_line` is set."""
        return not self._thread.is_alive()

    @property
    def queued_count(self) -> int:
        """The number of frames in the queue."""
        return self._frames.qsize()

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        """Returns a copy of `pixels`, cropped or padded with black to `size`; the caller can reuse the array."""
        width, height = self.size
        frame = np.zeros((height, width, 3), np.uint8)
        part = pixels[:height, :width, :3]
        frame[: part.shape[0], : part.shape[1]] = part
        return frame

    # --- the recorder's thread

    def _run(self) -> None:
        """Encodes the frames from the queue into the file; runs in the recorder's thread."""
        _ignore_interrupts()
        try:
            with replace_file(self.path) as half:
                encoder = self._encoder_type(half, self.size, self.frames_per_s)
                try:
                    for frame in self._incoming():
                        encoder.add(frame)
                        self.encoded_count += 1
                    if not self.encoded_count:
                        raise _DiscardedError
                    self._report(0.0)
                    encoder.finish(self._report)
                finally:
                    encoder.close()
        except _DiscardedError:
            if not self._aborted:
                self.error_line = f"{self.path}: no frame was recorded: record for a little longer"
        except UmweltError as error:
            self.error_line = str(error)
        except Exception as error:  # an encoder's failure must not close the window
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
            self.error_line = f"{self.path}: cannot be recorded: {reason}: choose another place or format"

    def _incoming(self) -> Iterator[np.ndarray]:
        """Yields the frames from the queue, until the recording ends."""
        while not self._aborted:
            try:
                frame = self._frames.get(timeout=POLL_S)
            except queue.Empty:
                if self._finishing:
                    return
                if not threading.main_thread().is_alive():  # Ctrl-C: `finish` will not be called
                    self._finishing = True
                continue
            if frame is not None:
                yield frame

    def _report(self, share: float) -> None:
        """Stores the completed fraction of `Encoder.finish`; raises `_DiscardedError` if the video was aborted."""
        if self._aborted:
            raise _DiscardedError
        self._finished_share = share


class _DiscardedError(Exception):
    """Raised within the recorder's thread if the video was aborted or has no frames, so that no file is written."""


def _ffmpeg() -> str:
    """Returns the path of the ffmpeg program in the package imageio-ffmpeg. Raises UmweltError if it is missing."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError, OSError):
        raise UmweltError("recording: imageio-ffmpeg is not installed: pip install 'umwelt[viewer]'") from None


def _ignore_interrupts() -> None:
    """Blocks SIGINT in this thread and the processes that it starts, so that Ctrl-C does not interrupt a video.

    Does nothing on Windows, where `_Ffmpeg` starts a new process group for the same purpose.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class _Ffmpeg:
    """An ffmpeg process, started by a thread that has called `_ignore_interrupts`.

    With `reads_frames`, it reads frames from its standard input. Otherwise its standard output is a pipe (for its
    progress report), which the caller must read.
    """

    def __init__(self, *arguments: str, reads_frames: bool = False):
        self._log = TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self.process = subprocess.Popen(
            [_ffmpeg(), "-y", "-v", "error", *arguments],
            stdin=subprocess.PIPE if reads_frames else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if reads_frames else subprocess.PIPE,
            stderr=self._log,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def write(self, frame: np.ndarray) -> None:
        """Writes a frame, `uint8[height, width, 3]`, to ffmpeg's standard input; raises OSError if ffmpeg has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            raise self._error() from None

    def finish(self) -> None:
        """Closes ffmpeg's standard input and waits until the process ends. Raises OSError if it failed."""
        self._wait()
        if self.process.returncode:
            raise self._error()

    def _wait(self) -> None:
        """Closes ffmpeg's standard input and waits until the process ends."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait()

    def _error(self) -> OSError:
        """Waits until ffmpeg has ended, and returns an error with the last line of its log."""
        self._wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return OSError(lines[-1] if lines else f"ffmpeg ended with code {self.process.returncode}")

    def close(self) -> None:
        """Kills ffmpeg if it still runs, and closes its pipe and log file."""
        self.process.kill()
        self._wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def _frames_from_stdin(size: tuple[int, int], frames_per_s: float) -> list[str]:
    """Returns the arguments for ffmpeg to read raw RGB frames of this size from its standard input."""
    width, height = size
    return ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{frames_per_s:g}", "-i", "-"]


class GifEncoder:
    """Encodes a GIF with one palette for all frames, in two passes (see the module's docstring)."""

    ADDING_SHARE: ClassVar[float] = 0.5

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._path, self._count = path, 0
        # in the video's folder, since a system's temporary folder can be in memory
        self._folder = TemporaryDirectory(dir=path.parent, prefix=".umwelt-film-")
        self._film, self._palette = Path(self._folder.name) / "film.mkv", Path(self._folder.name) / "palette.png"
        self._runs = [
            _Ffmpeg(
                *_frames_from_stdin(size, frames_per_s),
                *("-filter_complex", PALETTE_FILTER),
                *("-map", "[film]", "-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast", str(self._film)),
                *("-map", "[palette]", "-frames:v", "1", "-update", "1", str(self._palette)),
                reads_frames=True,
            )
        ]

    def add(self, frame: np.ndarray) -> None:
        """Encodes one frame, `uint8[height, width, 3]`."""
        self._runs[0].write(frame)
        self._count += 1

    def finish(self, report: Callable[[float], None]) -> None:
        """Writes the GIF from the temporary video and its palette; calls `report` with the completed fraction."""
        self._runs[0].finish()
        run = _Ffmpeg(
            *("-progress", "pipe:1", "-stats_period", str(PROGRESS_PERIOD_S)),
            *("-i", str(self._film), "-i", str(self._palette), "-lavfi", GIF_FILTER, "-f", "gif", str(self._path)),
        )
        self._runs.append(run)
        assert run.process.stdout is not None
        for line in run.process.stdout:
            name, _, value = line.decode(errors="replace").strip().partition("=")
            if name == "frame" and value.isdecimal():
                report(min(1.0, int(value) / self._count))
        run.finish()

    def close(self) -> None:
        """Stops ffmpeg if it still runs, and deletes the temporary files."""
        for run in self._runs:
            run.close()
        self._folder.cleanup()


class Mp4Encoder:
    """Encodes an MP4 file: H.264 with 4:2:0 chroma, which browsers and phones can play."""

    ADDING_SHARE: ClassVar[float] = 1.0

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._run = _Ffmpeg(
            *_frames_from_stdin(size, frames_per_s),
            *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(MP4_CRF), "-movflags", "+faststart"),
            *("-f", "mp4", str(path)),
            reads_frames=True,
        )

    def add(self, frame: np.ndarray) -> None:
        """Encodes one frame, `uint8[height, width, 3]`."""
        self._run.write(frame)

    def finish(self, report: Callable[[float], None]) -> None:
        """Completes the file; does not call `report`, since little work remains."""
        self._run.finish()

    def close(self) -> None:
        """Stops ffmpeg if it still runs."""
        self._run.close()
