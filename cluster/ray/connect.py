"""Where Ray runs: connected to, or begun here for as long as we need it. All that is carried by Ray begins so."""

import os
import secrets
import socket
from typing import Any

from umwelt.sandbox.errors import RunError

OBJECT_STORE_BYTES = 78_643_200
"""The least that Ray takes: nothing of ours goes there."""
KNOCK_S = 5.0


def import_ray() -> Any:
    """Ray. It reads its environment as it is imported."""
    chosen = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # it would write on our standard output what happens to processes
    }
    if not os.environ.get("RAY_ADDRESS") and "RAY_AUTH_MODE" not in os.environ:
        # who reaches Ray's ports can run what he likes: let in nobody but our own
        chosen |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in chosen.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError:
        raise RunError("--engine ray: Ray is not installed: pip install 'umwelt[ray]'") from None
    return ray


def address_of_host() -> str:
    """How this host is called in addresses of doors."""
    import ray.util

    address = str(ray.util.get_node_ip_address())
    return f"[{address}]" if ":" in address else address


def connect_ray(ray: Any, cores: int) -> bool:
    """Connect to the Ray at `RAY_ADDRESS`, else begin one here with so many cores; gives whether we have, and end it.

    Raises `RunError` where it does not answer.
    """
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise RunError(
            f"RAY_ADDRESS={address}: the world's folder must be on a host of the cluster: launch there, with auto"
        )
    if ray.is_initialized():
        return False
    _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        quiet |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _no_answer(address, error) from None
    return True


def live_hosts(ray: Any) -> list[dict[str, Any]]:
    """The hosts of the cluster, as Ray tells of them."""
    return [host for host in ray.nodes() if host["Alive"]]


def cores_of(hosts: list[dict[str, Any]]) -> int:
    """How many cores some hosts have together."""
    return int(sum(host["Resources"].get("CPU", 0) for host in hosts))


def _knock(address: str) -> None:
    """Raise `RunError` where nobody listens: Ray itself would wait there for many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
        except (OSError, OverflowError) as error:
            raise _no_answer(address, error) from None


def _no_answer(address: str, error: BaseException) -> RunError:
    mend = "see what ray start --head says" if address == "local" else "see what ray status says, and RAY_ADDRESS"
    return RunError(f"Ray at {address} does not answer: {first_line(error).removesuffix('.')}: {mend}")


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
