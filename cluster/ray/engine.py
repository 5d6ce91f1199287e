"""The same processes as in `engine.py`, carried by Ray: over many hosts, and started again by it where one dies.

    engine (in umwelt launch)  ->  actors of Ray: directory, gateway, nodes    (each one process, with the same entry)

Ray places processes and brings them back; it is never asked where the world is, and no message of the world goes
through it. An actor whose process is killed comes back on its host, one whose host is gone on another, if there is a
core for it; until then the world goes on with the nodes that are left.

Directory and gateway stay on the host that launched, where the run's folder is. Without keys all doors open on loopback
alone, so that a cluster of several hosts needs them; the folder of keys must be on every host, under the same path.
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

from umwelt.cluster.launch.local import CLOSE_S, MAX_RESTARTS, RESTARTS_WITHIN_S, START_S, Child, Engine, Plan
from umwelt.cluster.process import is_alive
from umwelt.cluster.ray.connect import address_of_host, connected, cores_of, hosts_alive, imported, line_of
from umwelt.cluster.run.store import Store
from umwelt.cluster.settings import COORDINATOR_FILE, NodeSettings
from umwelt.sandbox.errors import RunError

HOST = "{host}"
"""In an actor's settings: the address of the host that it came to."""
DIED = -int(signal.SIGKILL)
POLL_S = 0.02
CALL_AGAIN_S = 0.1


class Words(io.TextIOBase):
    """An error output that goes to a log as well, if there is one, and whose last line can be told."""

    def __init__(self, out: Any, log: Path):
        self.last = ""
        self._outs = [out]
        with contextlib.suppress(OSError):  # on a host that does not see the run's folder there is only Ray's own log
            self._outs.append(log.open("a", encoding="utf-8"))

    def write(self, text: str) -> int:
        """Write it everywhere."""
        lines = text.strip().splitlines()
        self.last = lines[-1] if lines else self.last
        for out in self._outs:
            with contextlib.suppress(OSError, ValueError):
                out.write(text)
                out.flush()
        return len(text)


class Carrier:
    """An actor of Ray: a process that lives one life of ours. It is never handed another: Ray makes a new one."""

    def __init__(self, module: str, folder: str):
        if os.path.isdir(folder):  # species of one's own lie where one works
            os.chdir(folder)
        sys.path.append(os.getcwd())
        self._module = importlib.import_module(module)
        self._end: tuple[int, str] | None = None

    def where(self) -> tuple[int, str]:
        """Process id and name of the host."""
        return os.getpid(), socket.gethostname()

    def live(self, settings: str, log: str) -> tuple[int, str]:
        """Until it ends; gives exit code and last words. Asked again, it tells the same."""
        if self._end is None:
            words = sys.stderr = Words(sys.stderr, Path(log))
            sys.argv = [self._module.__name__, settings.replace(HOST, address_of_host())]
            try:
                self._module.main()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
            except Exception:
                traceback.print_exc()
                code = 1
            self._end = code, words.last
        return self._end


class RayProcess:
    """A life in an actor, with what the engine asks of a process."""

    def __init__(self, ray: Any, actor: Any, settings: str, log: Path):
        self._ray, self.actor = ray, actor
        self.pid, self.host, self.words = 0, "", ""
        """Known once the actor has been placed; `words` once it has ended."""
        self.gone_for_good = False
        """Ray does not bring the actor back."""
        self._told = settings, str(log)
        self._code: int | None = None
        self._call()

    def _call(self) -> None:
        self._called_s = time.monotonic()
        self._where = self.actor.where.remote()
        self._life = self.actor.live.remote(*self._told)

    def poll(self) -> int | None:
        """The exit code, None while it lives or waits for its place; `DIED` where the process or its host is gone."""
        if self._code is not None:
            return self._code
        errors = self._ray.exceptions
        try:
            if not self.pid and self._came(self._where):
                self.pid, self.host = self._ray.get(self._where)
            if self._came(self._life):
                self._code, self.words = self._ray.get(self._life)
        except errors.ActorUnavailableError as error:
            if self.pid:
                self._code, self.words = DIED, line_of(error)
            elif time.monotonic() - self._called_s > CALL_AGAIN_S:  # refused as long as it is on its way back
                self._call()
        except errors.RayError as error:
            self._code, self.gone_for_good, self.words = DIED, True, line_of(error)
        return self._code

    def _came(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])

    def terminate(self) -> None:
        """Ask it to end, if it is on this host; elsewhere it ends when the directory lets it go."""
        if self.pid and self.host == socket.gethostname() and is_alive(self.pid) and self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended."""
        end_s = time.monotonic() + (START_S if timeout_s is None else timeout_s)
        while (code := self.poll()) is None:
            if not self.pid or time.monotonic() > end_s:
                raise subprocess.TimeoutExpired(["ray"], end_s)
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        """End the actor, for good."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self.actor)
        self._code = DIED if self._code is None else self._code
        self.gone_for_good = True


class Life(Child):
    """A child that is an actor."""

    @property
    def carried(self) -> RayProcess:
        """What carries it."""
        return cast(RayProcess, self.process)

    def last_words(self) -> str:
        """The last line it said, or what Ray says of its death."""
        words = self.carried.words
        return words.removeprefix("umwelt: ").split(": ", 1)[-1] if words.startswith("umwelt ") else words


class RayEngine(Engine):
    """The processes of one run, on the hosts of a Ray cluster: the one at `RAY_ADDRESS`, else one of our own here."""

    def __init__(self, store: Store, plan: Plan):
        self._ray = imported()
        if plan.keys:
            plan = dataclasses.replace(plan, keys=str(Path(plan.keys).resolve()))
        super().__init__(store, plan)
        self._actors: dict[str, Any] = {}
        self._deaths: dict[str, list[float]] = {}
        self._ours = False
        """Whether we have connected to Ray, and end that."""
        self._here = ""

    # --- beginning

    def start(self) -> None:
        """Connect to Ray, or begin one here; start directory, gateway and nodes."""
        self._connect()
        for number in range(self.nodes_count):  # these begin and import while the directory does
            self._actor(f"node-{number + 1}", "umwelt.cluster.node.process")
        super().start()

    def _connect(self) -> None:
        self._ours = connected(self._ray, self.nodes_count)
        self._here = self._ray.get_runtime_context().get_node_id()
        hosts = hosts_alive(self._ray)
        if len({host["NodeManagerAddress"] for host in hosts}) > 1 and not self.plan.keys:
            raise RunError(
                "Ray's cluster has several hosts, and others could come in without keys: "
                "make keys with: umwelt keys DIR, copy them to every host, then add --keys DIR"
            )
        if (cores := cores_of(hosts)) < self.nodes_count:
            self.said.append(f"Ray's cluster has {cores} cores for {self.nodes_count} nodes: the others wait for one")

    def _bind(self, what: str) -> str:
        return f"tcp://{HOST if self.plan.keys else '127.0.0.1'}:*"

    def add_node(self) -> str:
        """Start another node, wherever Ray has a core for it; gives its name."""
        self._names += 1
        name = f"node-{self._names}"
        directory = (
            self.line.address if self.line is not None else self._wait_for(COORDINATOR_FILE, "directory")["address"]
        )
        self._start(
            name, "umwelt.cluster.node.process", NodeSettings(directory, self._bind("node"), name, self.plan.keys)
        )
        return name

    def _start(self, name: str, module: str, settings: Any) -> None:
        actor = self._actors.get(name) or self._actor(name, module)
        log = self._log(name)
        told = msgspec.json.encode(settings).decode()
        process = RayProcess(self._ray, actor, told, log)
        self.children[name] = Life(name, cast(subprocess.Popen, process), log, ["ray", "-m", module, told])

    def _log(self, name: str) -> Path:
        return self.store.folder.resolve() / "logs" / f"{name}.log"

    def _actor(self, name: str, module: str) -> Any:
        strategies = self._ray.util.scheduling_strategies
        is_node = module == "umwelt.cluster.node.process"
        # the directory must be placed here even where no core is free, or is meant for work
        options = {
            "num_cpus": 1 if is_node else 0,
            "scheduling_strategy": "SPREAD"
            if is_node
            else strategies.NodeAffinitySchedulingStrategy(self._here, soft=False),
            "max_restarts": -1,
            "max_task_retries": 0,
        }
        make: Callable = self._ray.remote(Carrier).options(**options).remote
        self._actors[name] = actor = make(module, os.getcwd())
        return actor

    # --- watching

    def _ended(self, child: Child, code: int) -> None:
        assert isinstance(child, Life)
        process = child.carried
        if code != DIED or process.gone_for_good:
            process.kill()
            self._actors.pop(child.name, None)
        if child.name in ("directory", "gateway") or code in (0, 2) or self._stopping:
            super()._ended(child, code)
            return
        del self.children[child.name]
        assert self.line is not None
        if process.pid:
            self.line.order("lost", float(process.pid), process.host)
        self._restarted(child, child.name)
        self._start(child.name, child.command[2], msgspec.json.decode(child.command[-1]))

    def _restarted(self, child: Child, what: str) -> None:
        """One after the other may die with its host; the same one again and again may not."""
        now_s = time.monotonic()
        deaths = self._deaths[child.name] = [
            s for s in self._deaths.get(child.name, ()) if now_s - s < RESTARTS_WITHIN_S
        ] + [now_s]
        if len(deaths) > MAX_RESTARTS:
            raise RunError(f"the {what} dies again and again: {child.last_words()}: see {child.log}")
        process = cast(Life, child).carried
        where = f" (process {process.pid} on {process.host})" if process.pid else ""
        self.said.append(f"{what} died{where}; Ray brings it back")

    # --- ending

    def close(self, within_s: float = CLOSE_S) -> None:
        """End what still runs, politely for so long, and our part in Ray."""
        if self._ray.is_initialized():
            alive = [cast(Life, child).carried for child in self.children.values()]
            super().close(within_s)
            for process in alive:
                process.kill()
            for actor in self._actors.values():
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.kill(actor)
        else:
            self.children.clear()
            super().close()
        self._actors.clear()
        if self._ours:
            self._ours = False
            self._ray.shutdown()
