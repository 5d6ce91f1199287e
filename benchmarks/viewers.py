"""The cost of many viewers: ticks per second without viewers, with 1,000, and with 200 commands per second in addition.

    python -m benchmarks.viewers [--viewers 1000] [--commands 200] [--seconds 15]

A viewer is a connection to the gateway, the process of a running world that answers clients. It watches tiles: messages
with what is visible in a square of the world. The viewers are simulated by another process, which runs this module.
Each watches nine tiles at a place of its own (four with beings, four with the values of a field, one with numbers of
beings), and gives credit (the number of tiles it is ready to receive) as real viewers do. That process runs at the
lowest priority; the share of a core that it takes is printed as `own_cores`. The world is the meadow after some ticks,
on as many nodes as there are cores. Measurements with and without viewers alternate; each one with viewers is compared
with those before and after it.
"""

import argparse
import json
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import zmq

from benchmarks.measure import median
from umwelt.agents.world_file import read_world
from umwelt.cluster.launch.local import Engine, Plan, begin_run
from umwelt.cluster.process import read_announcement
from umwelt.cluster.view import tiles
from umwelt.cluster.wire import viewer_protocol
from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE

ALIVE_S = 3.0
"""Seconds between two `KeepAlive` messages of a viewer."""
CREDIT = 64
"""The number of tiles that a viewer permits the gateway to send before it permits more."""
HELLOS_A_S = 150
"""The number of viewers that connect per second; a gateway admits slightly more."""
CONNECTING_S = 10.0
"""Seconds in which all viewers connect, before the measurement."""


class Crowd:
    """Many viewers as connections of one socket; each sends `Hello` until it receives `Welcome`.

    `address` is the gateway's, `count` the number of viewers, and `side` the world's shorter side in cells. `tiles` and
    `size` are the number and the bytes of received tiles, `refused` is the number of commands that were refused.
    """

    def __init__(self, address: str, count: int, side: int):
        self.random, self.side = random.Random(1), side
        self.names = [b"viewer-%d" % number for number in range(count)]
        self.welcomed: set[bytes] = set()
        self.asked_s: dict[str, float] = {}
        self.answer_times_s: list[float] = []
        self.tiles = self.size = self.refused = 0
        self._owed = dict.fromkeys(self.names, 0)
        self._hello_s = self._alive_s = -1e9
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        for option, value in ((zmq.SNDHWM, 0), (zmq.RCVHWM, 0), (zmq.ROUTER_MANDATORY, 1), (zmq.LINGER, 0)):
            self._socket.set(option, value)
        for name in self.names:
            self._socket.set(zmq.CONNECT_ROUTING_ID, name)
            self._socket.connect(address)

    def _send(self, name: bytes, message: msgspec.Struct) -> None:
        self._socket.send_multipart([name, *viewer_protocol.encode(message)])

    def _subscribe(self, name: bytes) -> None:
        squares = max(1, self.side // 64)
        y, x = self.random.randrange(squares), self.random.randrange(squares)
        around = [((y + a) % squares, (x + b) % squares) for a in range(2) for b in range(2)]
        topics = [tiles.Topic(tiles.BODIES, layer, *place).packed() for layer in (0, 1) for place in around]
        topics.append(tiles.Topic(tiles.DENSITIES, 0, y * 64 // 512, x * 64 // 512).packed())
        self._send(name, viewer_protocol.Hello(viewer_protocol.PROTOCOL_VERSION))
        self._send(name, viewer_protocol.Watch(topics, CREDIT))

    def keep_connected(self, now_s: float) -> None:
        """Sends `Hello` for viewers without a welcome, and `KeepAlive` for the others."""
        if now_s - self._hello_s > 1.0 and len(self.welcomed) < len(self.names):
            self._hello_s = now_s
            for name in [name for name in self.names if name not in self.welcomed][:HELLOS_A_S]:
                self._subscribe(name)
        if now_s - self._alive_s > ALIVE_S:
            self._alive_s = now_s
            for name in self.welcomed:
                self._send(name, viewer_protocol.KeepAlive())

    def send_commands(self, count: int, now_s: float) -> None:
        """Sends `count` commands (drops of water at random cells), each from a random viewer."""
        for _ in range(count):
            place = {"y": self.random.randrange(self.side), "x": self.random.randrange(self.side)}
            request = msgspec.json.encode({**place, "substance": "water", "count": 3})
            command = viewer_protocol.CommandRequest(secrets.token_hex(8), "drop", request)
            self.asked_s[command.ticket] = now_s
            self._send(self.random.choice(self.names), command)

    def receive(self, now_s: float) -> None:
        """Receives up to 256 messages, counts tiles and answers, and gives credit for the tiles."""
        for _ in range(256 if self._socket.poll(5) else 0):
            try:
                name, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            message = viewer_protocol.decode(frames[:1])[0]
            if isinstance(message, viewer_protocol.Welcome):
                self.welcomed.add(name)
            elif isinstance(message, viewer_protocol.Tile):
                self.tiles, self.size = self.tiles + 1, self.size + sum(map(len, frames))
                self._owed[name] += 1
                if self._owed[name] >= CREDIT // 4:
                    self._send(name, viewer_protocol.Credit(self._owed[name]))
                    self._owed[name] = 0
            elif isinstance(message, viewer_protocol.Answer) and message.ticket in self.asked_s:
                self.answer_times_s.append(now_s - self.asked_s.pop(message.ticket))
                self.refused += bool(message.line)


def run_viewers(address: str, count: int, seconds: float, commands_per_s: float, side: int) -> None:
    """Runs `count` viewers for some seconds after `CONNECTING_S`; prints the results as JSON.

    `side` is the world's shorter side in cells.
    """
    crowd, asked = Crowd(address, count, side), 0
    began_s = time.monotonic() + CONNECTING_S
    while (now_s := time.monotonic()) < began_s + seconds:
        crowd.keep_connected(now_s)
        if now_s < began_s:
            crowd.tiles = crowd.size = 0
        due = int(max(0.0, now_s - began_s) * commands_per_s) - asked
        crowd.send_commands(due, now_s)
        asked += due
        crowd.receive(now_s)
    print(
        json.dumps(
            {
                "welcomed": len(crowd.welcomed),
                "tiles_per_s": round(crowd.tiles / seconds),
                "MB_per_s": round(crowd.size / seconds / 1e6, 1),
                "asked": asked,
                "answered": len(crowd.answer_times_s),
                "refused": crowd.refused,
                "answered_within_s": round(median(crowd.answer_times_s), 3) if crowd.answer_times_s else None,
                "own_cores": round(time.process_time() / (CONNECTING_S + seconds), 2),
            }
        )
    )


def measure_speed(engine: Engine, seconds: float) -> float:
    """Returns ticks per second of the world whose processes `engine` runs, measured over some seconds."""
    assert engine.coordinator is not None
    while not engine.poll(0.05):
        pass
    first, began_s = engine.coordinator.status["tick"], time.monotonic()
    while time.monotonic() - began_s < seconds:
        engine.poll(0.05)
    while not engine.poll(0.05):
        pass
    return (engine.coordinator.status["tick"] - first) / (time.monotonic() - began_s)


def measure_watched(
    engine: Engine, address: str, count: int, seconds: float, commands: float, side: int
) -> tuple[float, dict]:
    """Returns ticks per second with `count` viewers, and the results that they print (see `run_viewers`).

    `commands` is the number of commands per second.
    """
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-m",
        "benchmarks.viewers",
        "--as",
        address,
        "--viewers",
        str(count),
        "--seconds",
        str(seconds + 3),
        "--commands",
        str(commands),
        "--side",
        str(side),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    measure_speed(engine, CONNECTING_S + 1)
    ticks_per_s = measure_speed(engine, seconds)
    while process.poll() is None:
        engine.poll(0.05)
    assert process.stdout is not None
    return ticks_per_s, json.loads(process.stdout.read())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewers", description="Measure what viewers cost.")
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--commands", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--world", default="meadow")
    parser.add_argument("--from", dest="first", type=int, default=400, help="measure from this tick on")
    parser.add_argument("--as", dest="address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.address:
        run_viewers(chosen.address, chosen.viewers, chosen.seconds, chosen.commands, chosen.side)
        return
    folder = Path(tempfile.mkdtemp(prefix="umwelt-viewers-"))
    world = read_world(chosen.world)
    engine = Engine(begin_run(world, folder / "run"), Plan())
    try:
        engine.start()
        while (engine.coordinator.status.get("tick") or 0) < chosen.first or read_announcement(
            folder / "run" / GATEWAY_FILE
        ) is None:  # type: ignore[union-attr]
            engine.poll(0.05)
        address, side = (
            read_announcement(folder / "run" / GATEWAY_FILE)["address"],
            min(world.common.height, world.common.width),
        )  # type: ignore[index]
        for commands in (0.0, chosen.commands):
            alone, with_them, report = [measure_speed(engine, chosen.seconds)], [], {}
            for _ in range(3):
                ticks_per_s, report = measure_watched(engine, address, chosen.viewers, chosen.seconds, commands, side)
                with_them.append(ticks_per_s)
                alone.append(measure_speed(engine, chosen.seconds))
            shares = [
                ticks_per_s / ((before + after) / 2)
                for ticks_per_s, before, after in zip(with_them, alone, alone[1:], strict=False)
            ]
            each = ", ".join(f"{share:.0%}" for share in shares)
            print(
                f"{chosen.viewers} viewers, {commands:g} commands/s: {median(with_them):.2f} ticks/s, alone "
                f"{median(alone):.2f}: {median(shares):.0%} ({each}); {report}"
            )
    finally:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
