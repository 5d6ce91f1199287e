"""The gateway's process. Each run has one, started by `umwelt launch` and `umwelt resume`.

python -m umwelt.cluster.gateway.process SETTINGS
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from umwelt.cluster.gateway.server import Gateway
from umwelt.cluster.process import StopSignal, announce, read_settings, report_errors
from umwelt.cluster.run.store import Store
from umwelt.cluster.wire.keys import KEEPER, NODE, SPECTATOR, WORLD, Keys
from umwelt.cluster.wire.transport import Limits, ZmqTransport
from umwelt.cluster.wire.viewer_protocol import GATEWAY_FILE

TURN_S = 0.004
NICE = 5
DOOR_LIMITS = Limits(message_bytes=4 << 20, queued=128, held_bytes=8 << 20)
"""Limits of the transport to which viewers connect."""
ADMITTED = frozenset({KEEPER, NODE, SPECTATOR, WORLD})
"""Roles that can connect. Nodes connect to ask for the coordinator's address."""


class GatewaySettings(msgspec.Struct):
    """Settings of the process.

    `bind` is the address where the gateway listens for viewers, `coordinator` the coordinator's address, and `run` the
    run's folder. `keys` is a folder of keys; if it is empty, connections are not authenticated.
    """

    bind: str
    coordinator: str
    run: str
    keys: str = ""
    follow_parent: bool = True


def serve(settings: GatewaySettings) -> None:
    """Runs a gateway until the process gets a stop signal, or its parent process has ended."""
    from umwelt.cluster.run.replay import read_run_world

    stop_signal = StopSignal(settings.follow_parent)
    run = Path(settings.run)
    world = read_run_world(Store.open(run))
    keys = Keys.load(Path(settings.keys), WORLD) if settings.keys else None
    lines = ZmqTransport(b"", None, keys, WORLD)
    with lines, ZmqTransport(b"", settings.bind, keys, WORLD, ADMITTED, DOOR_LIMITS) as door:
        gateway = Gateway(
            world, door, lines, settings.coordinator, run, keys, settings.keys, processor_s=time.process_time
        )
        announce(
            run / GATEWAY_FILE,
            {"address": door.address, "pid": os.getpid(), "keys": keys is not None, "world": world.name},
        )
        try:
            while not stop_signal.asked and not stop_signal.orphaned:
                gateway.poll(TURN_S)
        finally:
            with suppress(OSError):
                (run / GATEWAY_FILE).unlink()
            gateway.close()


def main(settings: GatewaySettings | None = None) -> None:
    """Runs the gateway with `settings`, by default those on the command line, then exits."""
    with report_errors("gateway"):
        os.nice(NICE)
        serve(settings or read_settings(GatewaySettings))
        sys.exit(0)


if __name__ == "__main__":
    main()
