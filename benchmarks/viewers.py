"""What many viewers cost the world: ticks a second alone, with 1,000 viewers, and with 200 commands a second besides.

    python -m benchmarks.viewers [--viewers 1000] [--commands 200] [--seconds 15]

The viewers are sockets of one process (this file again), spread over the tiles: each watches four tiles of bodies, four
of a field, and the densities; those of a gateway that grants credit, as real ones. That process is as nice as can be.
The world is the meadow on as many nodes as there are cores. Alone and with viewers are measured in turn.
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
from umwelt.agents.description import read_world
from umwelt.cluster import tiles, viewing
from umwelt.cluster.engine import GATEWAY, Engine, Plan, begin_run
from umwelt.cluster.process import announced

ALIVE_S = 3.0
CREDIT = 64


def viewers(address: str, count: int, seconds: float, commands_per_s: float, side: int) -> None:
    """Be so many viewers for a while; prints what came as JSON."""
    chance, context, poller = random.Random(1), zmq.Context(), zmq.Poller()
    context.set(zmq.MAX_SOCKETS, count + 64)
    sockets = []
    for _ in range(count):
        socket = context.socket(zmq.DEALER)
        socket.connect(address)
        socket.send(viewing.encode(viewing.Hello(viewing.PROTOCOL))[0])
        poller.register(socket, zmq.POLLIN)
        sockets.append(socket)
    squares = max(1, side // 64)
    for socket in sockets:
        y, x = chance.randrange(squares), chance.randrange(squares)
        around = [((y + a) % squares, (x + b) % squares) for a in range(2) for b in range(2)]
        topics = [tiles.Topic(tiles.BODIES, layer, *place).packed() for layer in (0, 1) for place in around]
        topics.append(tiles.Topic(tiles.DENSITIES, 0, y * 64 // 512, x * 64 // 512).packed())
        socket.send(viewing.encode(viewing.Watch(topics, CREDIT))[0])
    owed = dict.fromkeys(sockets, 0)
    came, size, asked, answers, refused = 0, 0, 0, 0, 0
    began_s = alive_s = time.monotonic()
    while (now_s := time.monotonic()) < began_s + seconds:
        for socket, _ in poller.poll(5):
            for _ in range(16):
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                message = viewing.decode(frames[:1])[0]
                if isinstance(message, viewing.Tile):
                    came, size = came + 1, size + sum(map(len, frames))
                    owed[socket] += 1
                    if owed[socket] >= CREDIT // 4:
                        socket.send(viewing.encode(viewing.Credit(owed[socket]))[0])
                        owed[socket] = 0
                elif isinstance(message, viewing.Answer):
                    answers, refused = answers + 1, refused + bool(message.line)
        for _ in range(int((now_s - began_s) * commands_per_s) - asked):
            asked += 1
            what = {"y": chance.randrange(side), "x": chance.randrange(side), "substance": "water", "count": 3}
            command = viewing.Command(secrets.token_hex(8), "drop", msgspec.json.encode(what))
            chance.choice(sockets).send(viewing.encode(command)[0])
        if now_s - alive_s > ALIVE_S:
            alive_s = now_s
            for socket in sockets:
                socket.send(viewing.encode(viewing.Alive())[0])
    print(json.dumps({
        "tiles_per_s": came / seconds, "bytes_per_s": size / seconds, "asked": asked, "answered": answers,
        "refused": refused,
    }))  # fmt: skip
    context.destroy(linger=0)


def speed(engine: Engine, seconds: float) -> float:
    """Ticks a second over a while."""
    assert engine.line is not None
    while not engine.turn(0.05):
        pass
    first, began_s = engine.line.status["tick"], time.monotonic()
    while time.monotonic() - began_s < seconds:
        engine.turn(0.05)
    while not engine.turn(0.05):
        pass
    return (engine.line.status["tick"] - first) / (time.monotonic() - began_s)


def watched(engine: Engine, address: str, count: int, seconds: float, commands: float, side: int) -> tuple[float, dict]:
    """Ticks a second while viewers watch."""
    command = [
        "nice", "-n", "19", sys.executable, "-m", "benchmarks.viewers", "--as", address, "--viewers", str(count),
        "--seconds", str(seconds + 6), "--commands", str(commands), "--side", str(side),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    speed(engine, 4)  # they connect
    found = speed(engine, seconds)
    while process.poll() is None:
        engine.turn(0.05)
    assert process.stdout is not None
    return found, json.loads(process.stdout.read())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewers", description="Measure what viewers cost.")
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--commands", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--world", default="meadow")
    parser.add_argument("--as", dest="address", default="", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.address:
        viewers(chosen.address, chosen.viewers, chosen.seconds, chosen.commands, chosen.side)
        return
    folder = Path(tempfile.mkdtemp(prefix="umwelt-viewers-"))
    world = read_world(chosen.world)
    engine = Engine(begin_run(world, folder / "run"), Plan())
    try:
        engine.start()
        while (engine.line.status.get("tick") or 0) < 20 or announced(folder / "run" / GATEWAY) is None:  # type: ignore[union-attr]
            engine.turn(0.05)
        address, side = announced(folder / "run" / GATEWAY)["address"], min(world.common.height, world.common.width)  # type: ignore[index]
        for commands in (0.0, chosen.commands):
            alone, with_them, told = [], [], {}
            for _ in range(2):
                alone.append(speed(engine, chosen.seconds))
                found, told = watched(engine, address, chosen.viewers, chosen.seconds, commands, side)
                with_them.append(found)
            alone.append(speed(engine, chosen.seconds))
            share = median(with_them) / median(alone)
            print(f"{chosen.viewers} viewers, {commands:g} commands/s: {median(with_them):.2f} ticks/s, alone "
                  f"{median(alone):.2f}: {share:.0%}; {told}")  # fmt: skip
    finally:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
