"""Connects to a Ray cluster, or starts one on this machine while it is needed. The only file that imports Ray."""

import os
import secrets
import socket
from typing import Any

from umwelt.sandbox.errors import RunError

OBJECT_STORE_BYTES = 78_643_200
"""The least that Ray accepts; Umwelt stores no objects there."""
CONNECT_TIMEOUT_S = 5.0


def import_ray() -> Any:
    """Imports Ray with the environment that Umwelt needs: Ray reads the environment when it is imported."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else it writes about processes to standard output
    }
    if not os.environ.get("RAY_ADDRESS") and "RAY_AUTH_MODE" not in os.environ:
        # whoever reaches Ray's ports can run any code: admit only processes with this token
        defaults |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError:
        raise RunError("--engine ray: Ray is not installed: pip install 'umwelt[ray]'") from None
    return ray


def address_of_host() -> str:
    """Returns this host's address, as Ray knows it, in the form that socket addresses take."""
    import ray.util

    address = str(ray.util.get_node_ip_address())
    return f"[{address}]" if ":" in address else address


def connect_ray(ray: Any, cores: int) -> bool:
    """Connect to the Ray cluster at `RAY_ADDRESS`, or start one here with so many cores.

    Returns whether the caller must shut the connection down: False if this process was connected before. Raises
    `RunError` if Ray does not answer.
    """
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise RunError(
            f"RAY_ADDRESS={address}: the run's folder must be on a host of the cluster: launch there, with auto"
        )
    if ray.is_initialized():
        return False
    _check_reachable(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _no_answer(address, error) from None
    return True


def live_hosts(ray: Any) -> list[dict[str, Any]]:
    """Returns the hosts of the cluster that are alive, as Ray describes them."""
    return [host for host in ray.nodes() if host["Alive"]]


def cores_of(hosts: list[dict[str, Any]]) -> int:
    """Returns how many cores some hosts have together."""
    return int(sum(host["Resources"].get("CPU", 0) for host in hosts))


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _check_reachable(address: str) -> None:
    """Raises `RunError` if nothing listens at the address, where Ray itself would wait for many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        except (OSError, OverflowError) as error:
            raise _no_answer(address, error) from None


def _no_answer(address: str, error: BaseException) -> RunError:
    fix = "see what ray start --head says" if address == "local" else "see what ray status says, and check RAY_ADDRESS"
    return RunError(f"Ray at {address} does not answer: {first_line(error).removesuffix('.')}: {fix}")
