"""`umwelt view` in another process: screenshots without a display, missing libraries, wrong addresses, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from small_runs import small_run
from window_driver import needs_a_screen, screen

from umwelt.agents.world_file import read_world
from umwelt.client.commands.cli import main
from umwelt.client.commands.window_process import WindowProcess
from umwelt.client.connection.connection import GatewayLink
from umwelt.cluster.gateway.welcome import compose_welcome
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.keys import KEEPER
from umwelt.cluster.wire.transport import ZmqTransport
from umwelt.sandbox.errors import RunError

WITHIN_S, LAUNCHED_WITHIN_S = 60.0, 150.0
VIEW = ("view", "--demo", "--size", "160x120")
pytestmark = needs_a_screen


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "ARCADE_HEADLESS"):
        monkeypatch.delenv(name, raising=False)


def begun(*arguments: str, **environment: str) -> subprocess.Popen:
    """Start `umwelt ...` in another process, without a display unless `environment` names one."""
    return subprocess.Popen(
        [sys.executable, "-m", "umwelt.client.commands.cli", *arguments],
        env={**os.environ, **environment},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 (background jobs)
    )


def ended(process: subprocess.Popen, within_s: float = WITHIN_S) -> tuple[int, str]:
    """Waits for the end of a process; returns its exit code and standard error."""
    try:
        _, said = process.communicate(timeout=within_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert "Traceback" not in said, said
    return process.returncode, said


def refused(process: subprocess.Popen, within_s: float = WITHIN_S) -> str:
    """Waits for the end of a process that must fail; returns its error line."""
    code, said = ended(process, within_s)
    assert code == 2 and said.startswith("umwelt: ") and said.count("\n") == 1, (code, said)
    return said


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        assert image.size == (160, 120)
        return np.asarray(image.convert("RGB")).astype(int)


# --- pictures


@pytest.mark.slow
def test_a_picture_needs_no_display_and_shows_what_was_asked_for():
    wanted = {
        "near.png": ("--at", "64,64", "--zoom", "40"),
        "elsewhere.png": ("--at", "10,100", "--zoom", "40"),
        "far.jpg": (),
        "panels.webp": ("--panels",),
    }
    headless = {"far.jpg": "1"}
    for name, more in wanted.items():
        how = {"ARCADE_HEADLESS": headless[name]} if name in headless else {}
        assert ended(begun(*VIEW, "--screenshot", name, *more, **how)) == (0, "")
    assert sorted(os.listdir()) == sorted(wanted)
    seen = {name: pixels(name) for name in wanted}
    for name, one in seen.items():
        assert len(np.unique(one.reshape(-1, 3), axis=0)) > 500, name
        for other in seen.keys() - {name}:
            assert (np.abs(one - seen[other]).max(axis=2) > 30).mean() > 0.1, (name, other)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--screenshot", "a.txt"), "--screenshot a.txt: unknown picture format: use a name that ends in .png"),
        (("--screenshot", "png"), "--screenshot png: unknown picture format: use a name that ends in .png"),
        (("--screenshot", "a.png", "--size", "big"), "--size big: write it as in --size 1280x800"),
        (("--screenshot", "a.png", "--size", "4x400"), "--size 4x400: use 64 to"),
        (("--screenshot", "a.png", "--size", "99999x400"), "--size 99999x400: use 64 to"),
        (("--screenshot", "a.png", "--size", "-64x64"), "--size -64x64: write it"),
        (("--screenshot", "a.png", "--zoom", "0"), "--zoom 0: use 0.25 to"),
        (("--screenshot", "a.png", "--zoom", "nan"), "--zoom nan: use 0.25 to"),
        (("--screenshot", "a.png", "--zoom", "inf"), "--zoom inf: use 0.25 to"),
        (("--screenshot", "a.png", "--zoom", "near"), "Invalid value for '--zoom'"),
        (("--screenshot", "a.png", "--at", "here"), "--at here: write it as in --at 64,32"),
        (
            ("runs/pond-1", "--screenshot", "a.png"),
            "view runs/pond-1 --demo: give an address, or --demo without",
        ),
        ((), "view: there is no display: set DISPLAY, or use --screenshot FILE"),
    ],
)
def test_invalid_options_of_view_are_errors_of_one_line(capsys, arguments, expected):
    with pytest.raises(SystemExit) as stopped:
        main(["view", "--demo", *arguments])
    said = capsys.readouterr()
    assert stopped.value.code == 2 and said.out == "" and not os.listdir()
    assert said.err.startswith("umwelt: ") and said.err.count("\n") == 1 and expected in said.err


def test_cells_outside_the_world_and_missing_folders_are_one_line():
    place = begun(*VIEW, "--screenshot", "a.png", "--at", "9999,5")
    folder = begun(*VIEW, "--screenshot", "nowhere/a.png")
    assert "--at 9999,5: the world is 128 x 128 cells: use 0,0 to 127,127" in refused(place)
    assert "nowhere/a.png: cannot be written: No such file" in refused(folder)
    assert not os.listdir()


# --- what is missing


def test_without_a_display_the_error_says_what_to_do():
    none, gone = begun(*VIEW), begun(*VIEW, DISPLAY=":987")
    assert "there is no display: set DISPLAY, or use --screenshot FILE" in refused(none)
    assert "display :987 cannot be opened" in refused(gone)


def test_a_world_is_not_created_where_its_window_cannot_be_opened():
    line = refused(begun("launch", "pond", "--window", "--ticks", "2"))
    assert "--window: no display here: set DISPLAY, or use --no-window" in line and not os.listdir()


def without(package: str, error: str) -> dict[str, str]:
    """Returns environment variables with which the import of a package raises `error`."""
    folder = Path("without") / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"raise {error}\n")
    return {"PYTHONPATH": str(folder.parent.absolute())}


@pytest.mark.parametrize("package", ["arcade", "imgui_bundle", "pyglet"])
def test_a_missing_package_is_one_line(package):
    gone = without(package, f"ModuleNotFoundError(\"No module named '{package}'\", name='{package}')")
    line = refused(begun(*VIEW, "--screenshot", "a.png", **gone))
    assert f"view: {package} is not installed: pip install 'umwelt[viewer]'" in line


def test_a_missing_library_is_one_line_that_names_what_to_install():
    gone = without("arcade", "ImportError('Library \"GL\" not found.')")
    line = refused(begun(*VIEW, "--screenshot", "a.png", **gone))
    assert 'Library "GL" not found.' in line
    for name in ("libgl1", "libegl1", "libfreetype6", "libfontconfig1"):
        assert name in line


# --- addresses


def test_addresses_where_no_world_runs_are_one_line_each():
    Path("empty").mkdir()
    small_run(Path("resting"))
    expected = {
        "tcp://127.0.0.1:1": "tcp://127.0.0.1:1: no gateway answers: see that the world runs there",
        "http://127.0.0.1": "http://127.0.0.1: is not an address: give tcp://HOST:PORT",
        "empty": "empty: no world is running there: give a run's folder, or tcp://HOST:PORT",
        "resting": "resting: no world is running there: start it with: umwelt resume resting",
        "": "no world is running under runs/ here: give a run's folder, or tcp://HOST:PORT",
    }
    asked = {place: begun("view", *filter(None, [place]), "--screenshot", "a.png") for place in expected}
    for place, process in asked.items():
        assert expected[place] in refused(process)
    assert sorted(os.listdir()) == ["empty", "resting"]


WELCOME = compose_welcome(read_world("pond", {"width": 64, "height": 64}), KEEPER, "")
NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "no height": ({"height": 0}, "a world of 64 x 0 cells"),
    "a negative width": ({"width": -64}, "a world of -64 x 64 cells"),
    "too high": ({"height": (1 << 63) - 1}, "a world of 64 x 9223372036854775807 cells"),
    "too many cells": ({"height": 1 << 20, "width": 1 << 20}, "a world of 1048576 x 1048576 cells"),
    "no layers": ({"layers": []}, "invalid layers"),
    "no beings": ({"layers": ["water"]}, "invalid layers"),
    "many layers": ({"layers": ["beings"] * 999}, "invalid layers"),
    "no looks": ({"looks": {}}, "tables without places"),
    "wrong columns": ({"looks": {**WELCOME.looks, "plants": ["x", "y"]}}, "tables without places"),
    "wrong levels": ({"levels": ["near"]}, "invalid tiles"),
    "no tiles": ({"max_tiles": 0}, "invalid tiles"),
}


@contextmanager
def gateway(*welcomes: viewer_protocol.Welcome) -> Iterator[str]:
    """Runs a server that answers each `Hello` with the next of `welcomes`, then the last; yields its address."""
    left, ending = list(welcomes), threading.Event()
    transport = ZmqTransport(b"", "tcp://127.0.0.1:0")

    def serve() -> None:
        with transport:
            while not ending.is_set():
                incoming = transport.receive(0.02)
                if incoming is not None and isinstance(
                    viewer_protocol.decode(incoming.frames)[0], viewer_protocol.Hello
                ):
                    told = left.pop(0) if len(left) > 1 else left[0]
                    transport.send(incoming.sender, viewer_protocol.encode(told))
                elif incoming is not None and len(welcomes) > 1:
                    transport.send(incoming.sender, viewer_protocol.encode(viewer_protocol.UnknownViewer()))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield transport.address
    finally:
        ending.set()
        thread.join(5)


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_server_with_a_malformed_welcome_is_refused(kind):
    change, expected = NONSENSE[kind]
    with gateway(msgspec.structs.replace(WELCOME, **change)) as address:
        core = GatewayLink(address)
        with pytest.raises(RunError) as raised:
            core.open(10)
    fix = "see that a world of this version of umwelt runs there"
    assert str(raised.value) == f"{address}: the gateway announces {expected}: {fix}"


def test_a_view_of_a_world_without_height_is_one_line():
    with gateway(msgspec.structs.replace(WELCOME, height=0)) as address:
        line = refused(begun("view", address, "--screenshot", "a.png"))
    assert "announces a world of 64 x 0 cells" in line and not os.listdir()


def test_another_world_at_the_same_address_does_not_take_the_place_of_the_first():
    other = msgspec.structs.replace(WELCOME, height=32, layers=["beings"])
    with gateway(WELCOME, other) as address:
        core = GatewayLink(address)
        core.open(10)
        waited(lambda: core._refusal, 10)
        core.close()
    assert "another world than before" in core._refusal and core.known == WELCOME


# --- windows


def waited(come: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """Waits until a function returns a true value; returns it."""
    end_s = time.monotonic() + within_s
    while not (found := come()):
        assert time.monotonic() < end_s, "timed out"
        time.sleep(0.05)
    return found


def windows(display: str) -> list[str]:
    """Returns the ids of the visible windows of Umwelt on a display."""
    found = subprocess.run(
        ["xdotool", "search", "--onlyvisible", "--name", "^Umwelt: "],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return found.stdout.split()


@contextmanager
def shown(*arguments: str) -> Iterator[tuple[subprocess.Popen, str, str]]:
    """Start a process that opens a window; yields the process, the window's id and its display."""
    with screen() as display:
        process = begun(*arguments, DISPLAY=display)
        try:
            seen = waited(lambda: process.poll() is not None or windows(display), LAUNCHED_WITHIN_S)
            assert process.poll() is None, process.communicate()
            yield process, seen[0], display
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=WITHIN_S)


@pytest.mark.parametrize("by", ["Ctrl-C in the terminal", "Ctrl-Q in the window"])
def test_a_window_closes_at_once(by):
    with shown(*VIEW) as (process, window, _):
        if "terminal" in by:
            process.send_signal(signal.SIGINT)
        else:
            subprocess.run(["xdotool", "windowfocus", window, "key", "ctrl+q"], check=True, timeout=20)
        code, said = ended(process)
    assert (code, said.count("\n")) == ((130, 1) if "terminal" in by else (0, 0)), said


@pytest.mark.parametrize("by", ["Ctrl-C in the terminal", "Ctrl-Q in the window"])
def test_a_recording_is_completed_when_its_window_closes(by):
    with shown(*VIEW) as (process, window, _):
        subprocess.run(["xdotool", "windowfocus", window, "key", "F3"], check=True, timeout=20)
        waited(lambda: list(Path("pictures").glob(".umwelt-film-*/film.mkv")))
        time.sleep(1.0)
        if "terminal" in by:
            process.send_signal(signal.SIGINT)
        else:
            subprocess.run(["xdotool", "windowfocus", window, "key", "ctrl+q"], check=True, timeout=20)
        code, said = ended(process, 30)
    assert code == (130 if "terminal" in by else 0), said
    assert said.startswith("umwelt: writing pictures/pond-") and "(Ctrl-C deletes it)" in said
    (film,) = os.listdir("pictures")
    with Image.open(Path("pictures") / film) as image:
        assert image.size == (160, 120) and image.n_frames >= 2


@pytest.mark.slow
def test_the_window_beside_a_launch_closes_with_the_world():
    sized = ("--set", "width=64", "--set", "height=64", "--nodes", "1")
    with shown("launch", "pond", *sized, "--window", "--no-view") as (process, _, display):
        process.send_signal(signal.SIGINT)
        code, said = ended(process)
        assert code == 0, said
        waited(lambda: not windows(display), 5)


def test_a_launch_reports_why_its_window_did_not_open():
    folder = Path("gone")
    folder.mkdir()
    (folder / "gateway.json").write_text(json.dumps({"address": "tcp://127.0.0.1:1", "pid": 0}))
    window = WindowProcess(folder, "")
    try:
        waited(lambda: window.poll() or window.line)  # type: ignore[func-returns-value]
        assert window.line.startswith("umwelt: view: there is no display")
        window.poll()
    finally:
        window.close()
