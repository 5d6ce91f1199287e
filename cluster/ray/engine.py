"""Runs the processes of a world on the hosts of a Ray cluster, which places them and restarts those that die.

    engine (in umwelt launch)  ->  Ray actors: coordinator, gateway, nodes (one process each, same main functions)

Messages between these processes do not pass through Ray. An actor whose process is killed is restarted on its host; an
actor whose host fails is restarted on another host that has a free core. Until then the world continues with the
remaining nodes.

Coordinator and gateway stay on the launching host, which has the run's folder. Without keys all sockets are bound to
loopback, so a cluster of several hosts needs keys; their folder must exist on every host, under the same path.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from umwelt.cluster.launch.local import (
    CLOSE_S,
    COORDINATOR_NAME,
    GATEWAY_NAME,
    MAX_RESTARTS,
    NODE_PREFIX,
    RESTARTS_WITHIN_S,
    START_S,
    USAGE_EXIT_CODE,
    Engine,
    ManagedProcess,
    Plan,
    strip_process_name,
)
from umwelt.cluster.process import is_alive
from umwelt.cluster.ray.connect import address_of_host, connect_ray, cores_of, first_line, import_ray, live_hosts
from umwelt.cluster.run.store import Store
from umwelt.cluster.settings import COORDINATOR_FILE, NodeSettings
from umwelt.sandbox.errors import RunError

HOST = "{host}"
"""Placeholder in an actor's settings for the address of the host on which Ray places the actor."""
NODE_MODULE = "umwelt.cluster.node.process"
DIED = -int(signal.SIGKILL)
"""Exit code of a process that was killed, or whose host has failed."""
POLL_S = 0.02
CALL_AGAIN_S = 0.1


class LogStream(io.TextIOBase):
    """An error stream that also writes to a log file and stores the last line."""

    def __init__(self, stream: Any, log: Path):
        self.last_line = ""
        self._streams = [stream]
        with contextlib.suppress(OSError):  # a host without the run's folder has only Ray's own log
            self._streams.append(log.open("a", encoding="utf-8"))

    def write(self, text: str) -> int:
        """Writes to both streams."""
        lines = text.strip().splitlines()
        self.last_line = lines[-1] if lines else self.last_line
        for stream in self._streams:
            with contextlib.suppress(OSError, ValueError):
                stream.write(text)
                stream.flush()
        return len(text)


class ProcessActor:
    """A Ray actor that runs the main function of one process once. To run it again, Ray creates a new actor."""

    def __init__(self, module: str, folder: str):
        if os.path.isdir(folder):  # the user's species are imported from the working folder
            os.chdir(folder)
        sys.path.append(os.getcwd())
        self._module = importlib.import_module(module)
        self._result: tuple[int, str] | None = None

    def location(self) -> tuple[int, str]:
        """Returns the process id and the host name."""
        return os.getpid(), socket.gethostname()

    def run(self, settings: str, log: str) -> tuple[int, str]:
        """Runs the process until it ends. Returns its exit code and last error line.

        Further calls return the same result.
        """
        if self._result is None:
            stream = sys.stderr = LogStream(sys.stderr, Path(log))
            sys.argv = [self._module.__name__, settings.replace(HOST, address_of_host())]
            try:
                self._module.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
            except Exception:
                traceback.print_exc()
                code = 1
            self._result = code, stream.last_line
        return self._result


class RayProcess:
    """A process in a Ray actor, with those methods of `subprocess.Popen` that the engine uses."""

    def __init__(self, ray: Any, actor: Any, settings: str, log: Path):
        self._ray, self.actor = ray, actor
        self.pid, self.host = 0, ""
        """Process id and host name; 0 and "" until Ray has placed the actor on a host."""
        self.last_line = ""
        """The last line of the error output; empty until the process has ended."""
        self.is_lost = False
        """Whether the actor has ended permanently: Ray does not restart it."""
        self._arguments = settings, str(log)
        self._code: int | None = None
        self._call()

    def _call(self) -> None:
        """Starts the actor's methods `location` and `run`, whose results `poll` reads."""
        self._called_s = time.monotonic()
        self._location = self.actor.location.remote()
        self._result = self.actor.run.remote(*self._arguments)

    def poll(self) -> int | None:
        """Returns the exit code; None while the process runs or waits for a host; `DIED` if it or its host failed."""
        if self._code is not None:
            return self._code
        errors = self._ray.exceptions
        try:
            if not self.pid and self._is_ready(self._location):
                self.pid, self.host = self._ray.get(self._location)
            if self._is_ready(self._result):
                self._code, self.last_line = self._ray.get(self._result)
        except errors.ActorUnavailableError as error:
            if self.pid:
                self._code, self.last_line = DIED, first_line(error)
            elif time.monotonic() - self._called_s > CALL_AGAIN_S:  # Ray refuses calls while it restarts the actor
                self._call()
        except errors.RayError as error:
            self._code, self.is_lost, self.last_line = DIED, True, first_line(error)
        return self._code

    def _is_ready(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])

    def terminate(self) -> None:
        """Sends SIGTERM to the process if it is on this host.

        On other hosts, it ends when the coordinator releases it.
        """
        if self.pid and self.host == socket.gethostname() and is_alive(self.pid) and self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits until the process has ended. Returns its exit code.

        Raises `subprocess.TimeoutExpired` after `timeout_s` seconds, or if the process has not been placed on a host.
        """
        end_s = time.monotonic() + (START_S if timeout_s is None else timeout_s)
        while (code := self.poll()) is None:
            if not self.pid or time.monotonic() > end_s:
                raise subprocess.TimeoutExpired(["ray"], end_s)
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """Ends the actor permanently: Ray does not restart it."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self.actor)
        self._code = DIED if self._code is None else self._code
        self.is_lost = True


class RayManagedProcess(ManagedProcess):
    """A process of the engine that runs in a Ray actor."""

    @property
    def in_actor(self) -> RayProcess:
        """The process as a `RayProcess`, with its host and other properties that `subprocess.Popen` lacks."""
        return cast(RayProcess, self.process)

    def last_line(self) -> str:
        """Returns the last line that the process wrote, or Ray's message about its death."""
        return strip_process_name(self.in_actor.last_line)


class RayEngine(Engine):
    """The processes of one run on the hosts of the Ray cluster at `RAY_ADDRESS`, or of one started on this machine."""

    def __init__(self, store: Store, plan: Plan):
        self._ray = import_ray()
        if plan.keys:
            plan = dataclasses.replace(plan, keys=str(Path(plan.keys).resolve()))
        super().__init__(store, plan)
        self._actors: dict[str, Any] = {}
        self._deaths_s: dict[str, list[float]] = {}
        self._must_shut_down = False
        """Whether this engine has connected to Ray, so that it must close the connection."""
        self._ray_node_id = ""

    # --- starting

    def start(self) -> None:
        """Connects to Ray, or starts it on this machine; then starts the coordinator, the gateway and the nodes."""
        self._connect()
        for number in range(self.nodes_count):  # they start and import modules while the coordinator starts
            self._create_actor(f"{NODE_PREFIX}{number + 1}", NODE_MODULE)
        super().start()

    def _connect(self) -> None:
        """Connects to Ray. Raises `RunError` if the cluster has several hosts, but the plan has no keys."""
        self._must_shut_down = connect_ray(self._ray, self.nodes_count)
        self._ray_node_id = self._ray.get_runtime_context().get_node_id()
        hosts = live_hosts(self._ray)
        if len({host["NodeManagerAddress"] for host in hosts}) > 1 and not self.plan.keys:
            raise RunError(
                "Ray's cluster has several hosts, and without keys others could connect to the world: "
                "make keys with: umwelt keys DIR, copy them to every host, then add --keys DIR"
            )
        if (cores := cores_of(hosts)) < self.nodes_count:
            self.messages.append(
                f"Ray's cluster has {cores} cores for {self.nodes_count} nodes: the others wait for one"
            )

    def _bind(self, name: str) -> str:
        return f"tcp://{HOST if self.plan.keys else '127.0.0.1'}:*"

    def add_node(self) -> str:
        """Starts another node on any host that has a free core. Returns its name."""
        self._node_number += 1
        name = f"{NODE_PREFIX}{self._node_number}"
        if self.coordinator is not None:
            address = self.coordinator.address
        else:
            address = self._wait_for(COORDINATOR_FILE, COORDINATOR_NAME)["address"]
        self._start(name, NODE_MODULE, NodeSettings(address, self._bind("node"), name, self.plan.keys))
        return name

    def _start(self, name: str, module: str, settings: Any) -> None:
        actor = self._actors.get(name) or self._create_actor(name, module)
        log = self.store.folder.resolve() / "logs" / f"{name}.log"
        settings_json = msgspec.json.encode(settings).decode()
        process = RayProcess(self._ray, actor, settings_json, log)
        command = ["ray", "-m", module, settings_json]
        self.children[name] = RayManagedProcess(name, cast(subprocess.Popen, process), log, command)

    def _create_actor(self, name: str, module: str) -> Any:
        """Creates and returns the actor for the process `name`: a node on any host, all others on this host."""
        strategies = self._ray.util.scheduling_strategies
        is_node = module == NODE_MODULE
        # coordinator and gateway must be placed on this host even if none of its cores is free
        options = {
            "num_cpus": 1 if is_node else 0,
            "scheduling_strategy": "SPREAD"
            if is_node
            else strategies.NodeAffinitySchedulingStrategy(self._ray_node_id, soft=False),
            "max_restarts": -1,
            "max_task_retries": 0,
        }
        create: Callable = self._ray.remote(ProcessActor).options(**options).remote
        self._actors[name] = actor = create(module, os.getcwd())
        return actor

    # --- monitoring

    def _handle_exit(self, child: ManagedProcess, code: int) -> None:
        """Handles the end of a process like `Engine._handle_exit`, but starts a node that died again under its name.

        If its actor is lost, a new actor is created; otherwise Ray restarts the actor.
        """
        assert isinstance(child, RayManagedProcess)
        process = child.in_actor
        if code != DIED or process.is_lost:
            process.kill()
            self._actors.pop(child.name, None)
        is_node = child.name not in (COORDINATOR_NAME, GATEWAY_NAME)
        if not is_node or code in (0, USAGE_EXIT_CODE) or self._stopping:
            super()._handle_exit(child, code)
            return
        del self.children[child.name]
        assert self.coordinator is not None
        if process.pid:
            self.coordinator.order("lost", float(process.pid), process.host)
        self._note_restart(child)
        self._start(child.name, child.command[2], msgspec.json.decode(child.command[-1]))

    def _note_restart(self, child: ManagedProcess) -> None:
        """Records the death of a process. Raises `RunError` if the same process dies too often.

        Deaths are counted for each process, since several processes die together if their host fails.
        """
        now_s = time.monotonic()
        recent_s = [time_s for time_s in self._deaths_s.get(child.name, ()) if now_s - time_s < RESTARTS_WITHIN_S]
        self._deaths_s[child.name] = [*recent_s, now_s]
        if len(self._deaths_s[child.name]) > MAX_RESTARTS:
            raise RunError(f"the {child.name} dies again and again: {child.last_line()}: see {child.log}")
        process = cast(RayManagedProcess, child).in_actor
        place = f" (process {process.pid} on {process.host})" if process.pid else ""
        self.messages.append(f"{child.name} died{place}; Ray restarts it")

    # --- stopping

    def close(self, within_s: float = CLOSE_S) -> None:
        """Terminates the remaining processes, kills those left after `within_s` seconds, and disconnects from Ray."""
        if self._ray.is_initialized():
            processes = [cast(RayManagedProcess, child).in_actor for child in self.children.values()]
            super().close(within_s)
            for process in processes:
                process.kill()
            for actor in self._actors.values():
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.kill(actor)
        else:
            self.children.clear()
            super().close()
        self._actors.clear()
        if self._must_shut_down:
            self._must_shut_down = False
            self._ray.shutdown()
