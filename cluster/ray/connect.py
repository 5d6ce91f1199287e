"""Connects to a Ray cluster, or starts one on this machine while it is needed. The only module that imports Ray."""

import os
import secrets
import socket
from typing import Any

from umwelt.sandbox.errors import RunError

OBJECT_STORE_BYTES = 78_643_200
"""Size of Ray's object store: the minimum that Ray accepts, since Umwelt stores no objects there."""
CONNECT_TIMEOUT_S = 5.0


def import_ray() -> Any:
    """Imports and returns Ray, after setting the environment variables that Ray reads during its import."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # otherwise Ray writes messages about processes to standard output
    }
    if not os.environ.get("RAY_ADDRESS") and "RAY_AUTH_MODE" not in os.environ:
        # any process that can connect to Ray's ports can execute code: require this token
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
    """Returns this host's address, as Ray knows it, in the form that socket addresses use."""
    import ray.util

    address = str(ray.util.get_node_ip_address())
    return f"[{address}]" if ":" in address else address


def connect_ray(ray: Any, cores: int) -> bool:
    """Connects to the Ray cluster at `RAY_ADDRESS`, or starts one on this machine with `cores` cores.

    Returns whether the caller must close the connection: False if this process was connected before. Raises `RunError`
    if Ray does not respond.
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
    """Returns Ray's descriptions of the live hosts of the cluster, as `ray.nodes()` has them."""
    return [host for host in ray.nodes() if host["Alive"]]


def cores_of(hosts: list[dict[str, Any]]) -> int:
    """Returns the total number of cores of `hosts`."""
    return int(sum(host["Resources"].get("CPU", 0) for host in hosts))


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message, or the name of its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _check_reachable(address: str) -> None:
    """Raises `RunError` if nothing listens at `address`, for which Ray itself would wait many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
        except (OSError, OverflowError) as error:
            raise _no_answer(address, error) from None


def _no_answer(address: str, error: BaseException) -> RunError:
    fix = "see what ray start --head says" if address == "local" else "see what ray status says, and check RAY_ADDRESS"
    return RunError(f"Ray at {address} does not answer: {first_line(error).removesuffix('.')}: {fix}")
