"""Moments of the past, shown without touching the running world: each by a process of its own.

    python -m umwelt.cluster.history SETTINGS      (the gateway starts it)

Such a process replays the run from the snapshot before a tick, with the deeds of the journal, and then stands there as
a node of one would: it can be watched and asked. Another kind of errand forks the run into a folder of its own.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from umwelt.agents.description import WorldFile
from umwelt.cluster.keys import KEEPER, WORLD, Keys
from umwelt.cluster.process import Ending, announce, announced, reported, settings_from_arguments
from umwelt.cluster.protocol import Look, decode, encode
from umwelt.cluster.publisher import Publisher
from umwelt.cluster.store import Store
from umwelt.cluster.transport import ZmqTransport
from umwelt.cluster.watching import Map
from umwelt.sandbox.errors import RunError
from umwelt.sandbox.kernel import crew
from umwelt.sandbox.region import Region

MOST_SHOWN = 3
IDLE_S = 60.0
"""A moment that nobody watches or asks goes after this time."""
LOOK_EVERY_S = 0.02
TURN_S = 0.01


class HistorySettings(msgspec.Struct):
    """What such a process is started with; `folder` is a private one for its doors and for what it announces."""

    run: str
    what: str
    tick: int
    folder: str
    keys: str = ""
    pass_key: str = ""
    to: str = ""


@dataclass(eq=False)
class Moment:
    """A tick of the past, as a publisher takes portions."""

    world: WorldFile
    region: Region
    which: int = 0

    @property
    def tick(self) -> int:
        return self.region.tick


def show(settings: HistorySettings) -> None:
    """Replay to a tick, then let it be watched and asked until nobody wants it any more."""
    from umwelt.cluster.recovery import region_at

    ending = Ending()
    crew.resize(1)
    world, region, _ = region_at(Store.open(Path(settings.run)), settings.tick)
    moment: Any = Moment(world, region)
    keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
    places = [f"ipc://{settings.folder}/{name}" for name in ("door", "tiles")]
    with ZmqTransport(b"", places[0], keys, WORLD, frozenset({WORLD, KEEPER})) as transport:
        publisher = Publisher(places[1], keys)
        announce(
            Path(settings.folder) / "moment.json",
            {"door": transport.address, "tiles": publisher.address, "tick": moment.tick},
        )
        while not ending.asked and not ending.orphaned:
            incoming = transport.receive(TURN_S)
            if incoming is not None:
                try:
                    message, _ = decode(incoming.frames)
                except ValueError:
                    continue
                if isinstance(message, Look) and message.pass_key.hex() == settings.pass_key:
                    sight, frames = publisher.look(message, moment)
                    transport.send(incoming.sender, encode(sight, frames))
            publisher.turn(moment)
        publisher.close()


def fork(settings: HistorySettings) -> None:
    """Fork the run, and say where to."""
    from umwelt.cluster.recovery import fork as forked

    Ending()
    made = forked(Path(settings.run), settings.tick, Path(settings.to) if settings.to else None)
    announce(Path(settings.folder) / "moment.json", {"run": str(made.resolve()), "tick": settings.tick})


def main() -> None:
    """The process' entry."""
    os.nice(10)
    with reported("history"):
        settings = settings_from_arguments(HistorySettings)
        {"show": show, "fork": fork}[settings.what](settings)


# --- the gateway's side


@dataclass
class Errand:
    """A process of the past, and those who wait for it."""

    what: str
    tick: int
    process: subprocess.Popen
    folder: tempfile.TemporaryDirectory
    pass_key: bytes
    waiting: list[Callable[[dict[str, Any], str], None]] = field(default_factory=list)
    found: dict[str, Any] | None = None
    map: Map | None = None
    used_s: float = 0.0

    @property
    def log(self) -> Path:
        return Path(self.folder.name) / "log"


class Past:
    """The moments that are shown, and forks under way. `open` and `gone` are told when a moment comes and goes."""

    def __init__(self, run: Path, keys: str, opened: Callable[[int, Map], None], gone: Callable[[int], None]):
        self.run, self.keys, self._opened, self._gone = run, keys, opened, gone
        self.errands: list[Errand] = []
        self._looked_s = 0.0

    def map_of(self, tick: int) -> Map | None:
        """Where a shown tick can be asked."""
        return next((one.map for one in self.errands if (one.what, one.tick) == ("show", tick)), None)

    def shown(self) -> list[int]:
        """The ticks that can be watched now."""
        return sorted(one.tick for one in self.errands if one.map is not None)

    def begin(self, what: str, tick: int, now_s: float, done: Callable[[dict[str, Any], str], None]) -> None:
        """Show a tick, or fork from it; `done` gets what came of it, or a line."""
        known = next((one for one in self.errands if what == "show" and (one.what, one.tick) == (what, tick)), None)
        if known is not None:
            known.used_s = now_s
            if known.found is not None:
                done(known.found, "")
            else:
                known.waiting.append(done)
            return
        if len(self.errands) >= MOST_SHOWN and not self._make_room():
            raise RunError(f"{MOST_SHOWN} moments of the past are shown at once: wait until one is no longer watched")
        errand = self._start(what, tick)
        errand.used_s, errand.waiting = now_s, [done]
        self.errands.append(errand)

    def _make_room(self) -> bool:
        ready = [one for one in self.errands if one.found is not None]
        if ready:
            self._end(min(ready, key=lambda one: one.used_s))
        return bool(ready)

    def _start(self, what: str, tick: int) -> Errand:
        folder = tempfile.TemporaryDirectory(prefix="umwelt-past-")
        pass_key = secrets.token_bytes(16)
        settings = HistorySettings(str(self.run), what, tick, folder.name, self.keys, pass_key.hex())
        command = [sys.executable, "-m", "umwelt.cluster.history", msgspec.json.encode(settings).decode()]
        with (Path(folder.name) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return Errand(what, tick, process, folder, pass_key)

    def use(self, tick: int, now_s: float) -> None:
        """Somebody watches or asks a shown tick."""
        for one in self.errands:
            if (one.what, one.tick) == ("show", tick):
                one.used_s = now_s

    def turn(self, now_s: float) -> None:
        """See what has come of errands, and end what nobody wants."""
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        for one in list(self.errands):
            if one.found is None:
                one.found = announced(Path(one.folder.name) / "moment.json")
                if one.found is not None:
                    self._ready(one, now_s)
            code = one.process.poll()
            if code is not None or (one.found is not None and now_s - one.used_s > IDLE_S):
                line = _last_line(one.log) or f"the process that was to {one.what} tick {one.tick} ended (code {code})"
                self._end(one, line)

    def _ready(self, one: Errand, now_s: float) -> None:
        assert one.found is not None
        one.used_s = now_s
        if one.what == "show":
            one.map = Map(0, one.pass_key, (one.found["door"],), (one.found["tiles"],))
            self._opened(one.tick, one.map)
        waiting, one.waiting = one.waiting, []
        for done in waiting:
            done(one.found, "")

    def _end(self, one: Errand, line: str = "") -> None:
        self.errands.remove(one)
        with suppress(OSError):
            one.process.terminate()
        if one.map is not None:
            self._gone(one.tick)
        for done in one.waiting:
            done({}, line)
        deadline_s = time.monotonic() + 0.5
        while one.process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.005)
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        one.folder.cleanup()

    def close(self) -> None:
        """End all."""
        for one in list(self.errands):
            self._end(one, "the gateway ends")


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].removeprefix("umwelt history: ")[:500] if lines else ""


if __name__ == "__main__":
    main()
