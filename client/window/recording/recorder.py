"""Screenshots and films of the window. A film is encoded by ffmpeg, beside the window, from a bounded queue of frames.

A GIF takes two steps, since its palette has to suit all of its frames: while frames arrive they go to a temporary
lossless file and into the statistics of ffmpeg's `palettegen`; afterwards `paletteuse` writes the GIF from that file.
Neither step holds more than a few frames in memory, however long the film is.
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
"""The queue of frames that wait for the encoder holds no more than this many bytes, within these bounds."""
POLL_S = 0.25
MIN_SIDE, MAX_SIDE = 16, 16384
MAX_FRAMES_PER_S = 100
MP4_CRF = 10
"""The constant rate factor of H.264: from 0 (lossless) to 51."""
PALETTE_FILTER = "split[film][sample];[sample]palettegen=stats_mode=full[palette]"
GIF_FILTER = "paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
"""An ordered dither depends on the place alone: what stands still in the world stands still in the film."""
PROGRESS_PERIOD_S = 0.1


def screenshot(pixels: np.ndarray, path: Path) -> None:
    """Write `uint8[height, width, 3]` to a picture file.

    Raises UmweltError if the suffix is unknown or the file cannot be written.
    """
    if path.suffix.lower() not in picture.SUFFIXES:
        raise UmweltError(f"{path}: unknown picture format: use a name that ends in {', '.join(picture.SUFFIXES)}")
    picture.write_picture(np.ascontiguousarray(pixels[..., :3]), path)


class Encoder(Protocol):
    """Encodes the frames of one film into one file. Used by the recorder's thread alone."""

    ADDING_SHARE: ClassVar[float]
    """The share of the whole work that is done while frames are added, from 0 to 1."""

    def add(self, frame: np.ndarray) -> None:
        """Encode one frame, `uint8[height, width, 3]`."""

    def finish(self, report: Callable[[float], None]) -> None:
        """Complete the file; calls `report` with the share done, from 0 to 1, and stops when that raises."""

    def close(self) -> None:
        """Stop ffmpeg if it still runs and delete temporary files; may be called at any time."""


class Recorder:
    """Records one film: `add` its frames, then `finish`. Frames are encoded in a thread of its own.

    The file appears under its name when it is complete. After `abort` or an error nothing is left on disk. If the main
    thread ends (Ctrl-C) without either, the frames so far are written as if `finish` had been called.

    `size` is width and height in pixels; for MP4 odd sides are reduced by one.
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
        """How often `add` had to wait for the encoder."""
        self.error_line = ""
        """Why there is no film; empty if nothing went wrong."""
        self._finishing = self._aborted = False
        self._finished_share = 0.0
        fitting = QUEUE_BYTES // max(1, 3 * self.size[0] * self.size[1])
        capacity = min(MAX_QUEUED_FRAMES, max(MIN_QUEUED_FRAMES, fitting))
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(capacity)
        self._encoder_type: type[GifEncoder | Mp4Encoder] = GifEncoder if suffix == ".gif" else Mp4Encoder
        # not a daemon: a finished film is written to its end even if the window has closed
        self._thread = threading.Thread(target=self._run, name="umwelt-recorder", daemon=False)
        self._thread.start()

    # --- used by the window's thread

    def add(self, pixels: np.ndarray) -> bool:
        """Add a frame, `uint8[height, width, 3 or more]`; it is cropped or padded with black to the film's size.

        Waits while the queue is full, and returns whether it had to. Raises UmweltError if encoding has failed or the
        film has ended.
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
        """Complete the film in the background; see `progress` and `done`.

        With `wait`, returns when the file is complete, and raises UmweltError if it could not be written.
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
        """Stop and leave nothing on disk; returns when the encoder has stopped."""
        self._aborted = True
        self._thread.join()

    @property
    def progress(self) -> float:
        """The share of the encoding that is done, from 0 to 1; 1 only when the file is complete."""
        if self.done:
            return 1.0
        adding = self._encoder_type.ADDING_SHARE
        encoded_share = self.encoded_count / self.added_count if self.added_count else 0.0
        return min(0.99, adding * encoded_share + (1 - adding) * self._finished_share)

    @property
    def done(self) -> bool:
        """Whether the file is complete, or `error_line` says why there is none."""
        return not self._thread.is_alive()

    @property
    def queued_count(self) -> int:
        """Frames that wait to be encoded."""
        return self._frames.qsize()

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of the film's size; the caller may reuse `pixels`."""
        width, height = self.size
        frame = np.zeros((height, width, 3), np.uint8)
        part = pixels[:height, :width, :3]
        frame[: part.shape[0], : part.shape[1]] = part
        return frame

    # --- the recorder's thread

    def _run(self) -> None:
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
        except Exception as error:  # no failure of an encoder may close the window
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
            self.error_line = f"{self.path}: cannot be recorded: {reason}: choose another place or format"

    def _incoming(self) -> Iterator[np.ndarray]:
        while not self._aborted:
            try:
                frame = self._frames.get(timeout=POLL_S)
            except queue.Empty:
                if self._finishing:
                    return
                if not threading.main_thread().is_alive():  # Ctrl-C: nobody will call `finish`
                    self._finishing = True
                continue
            if frame is not None:
                yield frame

    def _report(self, share: float) -> None:
        if self._aborted:
            raise _DiscardedError
        self._finished_share = share


class _DiscardedError(Exception):
    """The film was aborted or has no frames: nothing is kept."""


def _ffmpeg() -> str:
    """The path of the program ffmpeg, which imageio-ffmpeg brings; raises UmweltError if it is missing."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError, OSError):
        raise UmweltError("recording: imageio-ffmpeg is not installed: pip install 'umwelt[viewer]'") from None


def _ignore_interrupts() -> None:
    """Let no Ctrl-C in the terminal reach the programs that this thread starts: a film is completed nevertheless.

    They inherit the blocked signal from the moment they start. On Windows they get a process group of their own.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


class _Ffmpeg:
    """One run of ffmpeg, started by a thread that has called `_ignore_interrupts`.

    It reads frames from its standard input, or reports its progress on its standard output, which must be read.
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
        """Send one frame, `uint8[height, width, 3]`, to ffmpeg's standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            raise self._error() from None

    def finish(self) -> None:
        """End the input and wait until ffmpeg has written its output; raises OSError if it failed."""
        self._wait()
        if self.process.returncode:
            raise self._error()

    def _wait(self) -> None:
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait()

    def _error(self) -> OSError:
        self._wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return OSError(lines[-1] if lines else f"ffmpeg ended with code {self.process.returncode}")

    def close(self) -> None:
        """Stop ffmpeg if it still runs."""
        self.process.kill()
        self._wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def _frames_from_stdin(size: tuple[int, int], frames_per_s: float) -> list[str]:
    """Arguments with which ffmpeg reads frames from its standard input."""
    width, height = size
    return ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{frames_per_s:g}", "-i", "-"]


class GifEncoder:
    """Writes a GIF with one palette for all of its frames; see the module's description."""

    ADDING_SHARE: ClassVar[float] = 0.5

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._path, self._count = path, 0
        # beside the film: a system's folder for temporary files may lie in memory
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
        """Encode one frame, `uint8[height, width, 3]`."""
        self._runs[0].write(frame)
        self._count += 1

    def finish(self, report: Callable[[float], None]) -> None:
        """Write the GIF from the temporary film and its palette."""
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
        """Stop ffmpeg if it still runs and delete the temporary film."""
        for run in self._runs:
            run.close()
        self._folder.cleanup()


class Mp4Encoder:
    """Writes an MP4 (H.264 with 4:2:0 chroma, which browsers and phones play)."""

    ADDING_SHARE: ClassVar[float] = 1.0

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        self._run = _Ffmpeg(
            *_frames_from_stdin(size, frames_per_s),
            *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(MP4_CRF), "-movflags", "+faststart"),
            *("-f", "mp4", str(path)),
            reads_frames=True,
        )

    def add(self, frame: np.ndarray) -> None:
        """Encode one frame, `uint8[height, width, 3]`."""
        self._run.write(frame)

    def finish(self, report: Callable[[float], None]) -> None:
        """Let ffmpeg write what is left."""
        self._run.finish()

    def close(self) -> None:
        """Stop ffmpeg if it still runs."""
        self._run.close()
