"""Tasks: functions that every node can find by name, and the encoding of their arguments and results.

    @task("own.mean")
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

An installed package names its tasks in the entry point group `umwelt.tasks`:

    [project.entry-points."umwelt.tasks"]
    "own.mean" = "own.tasks:mean"

The result of a task must depend on its arguments alone: the task can run on any node, and again on another if that node
dies. Arguments and results are plain values and numpy arrays, encoded (*packed*) as msgpack; nothing is unpickled. A
first parameter `parts` makes it a task over data: it gets the answers of one node (a list of `queries.Part`, one for
each query). A parameter `say` gets a function that a long task calls with the tick that it has reached.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from importlib import metadata
from typing import Annotated, Any, get_type_hints

import msgspec
import numpy as np

from umwelt.sandbox.errors import RunError, UmweltError
from umwelt.sandbox.text import load_object, one_line

GROUP = "umwelt.tasks"
LOCAL_GROUP = "umwelt.local_tasks"
"""Entry point group of tasks that read world files and write folders named in their arguments.

Only workers of this machine (`pool.py`) execute them. A gateway refuses them by name, without importing them.
"""
BUILTIN = {
    "spin": "umwelt.cluster.tasks.builtin:spin",
    "arithmetic": "umwelt.cluster.tasks.builtin:arithmetic",
    "arithmetic.or_zero": "umwelt.cluster.tasks.builtin:arithmetic_or_zero",
    "census": "umwelt.cluster.tasks.builtin:census",
    "heatmap": "umwelt.cluster.tasks.builtin:heatmap",
    "nearest": "umwelt.cluster.tasks.builtin:nearest",
    "living": "umwelt.cluster.tasks.builtin:living",
}
"""The built-in tasks: name and location of the function."""
FOR_SPECTATORS = ("census", "heatmap", "living", "nearest")
"""Tasks that viewers without a keeper's key can request."""
WITHIN_S, MAX_WITHIN_S = 10.0, 600.0
"""Time limit for a task in seconds: default and maximum."""
MAX_ARGUMENT_BYTES = 256 << 10
MAX_RESULT_BYTES = 1 << 20
"""Maximum size of the result of a task on a node."""
NOT_ARGUMENTS = ("flow", "parts", "say")
"""Names of parameters that the caller does not pass."""
_ARRAY = 1
"""The msgpack extension type for arrays."""
_LIST_16 = b"\xdc"
"""The msgpack header byte of a list whose length is a 16-bit integer."""
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_DTYPE = re.compile(r"[|<][biuf][1248]")


def task(name: str) -> Callable[[Callable[..., Any]], "Task"]:
    """Returns a decorator that converts a function into a `Task` with this name."""
    return lambda function: Task(name, function)


class Task:
    """A named function. Calling the task calls the function."""

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name, self.function = name, function
        self.__doc__ = function.__doc__

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.function(*given, **named)

    @cached_property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.function).parameters)

    @cached_property
    def _types(self) -> dict[str, Any]:
        return get_type_hints(self.function)

    @property
    def is_over_data(self) -> bool:
        """Whether the task takes the answers of a node (it has a parameter `parts`)."""
        return "parts" in self._parameters

    def bind(self, given: Sequence[Any], named: dict[str, Any]) -> inspect.BoundArguments:
        """Returns arguments, converted to the annotated types of the parameters. Raises RunError if they do not fit.

        `given` are the positional arguments, `named` the keyword arguments.
        """
        own = [parameter for name, parameter in self._parameters.items() if name not in NOT_ARGUMENTS]
        try:
            bound = inspect.Signature(own).bind(*given, **named)
            for name, value in bound.arguments.items():
                is_variadic = self._parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                bound.arguments[name] = (
                    [self._convert(name, one) for one in value] if is_variadic else self._convert(name, value)
                )
            return bound
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            expected = ", ".join(str(parameter) for parameter in own) or "nothing"
            raise RunError(one_line(f'task "{self.name}": {error}: give {expected}')) from None

    def _convert(self, name: str, value: Any) -> Any:
        """Converts a decoded value to the annotated type of a parameter, or of the result (`name` is "return")."""
        annotation = self._types.get(name, Any)
        return value if annotation is Any or isinstance(value, np.ndarray) else msgspec.convert(value, annotation)

    def run(
        self, arguments: bytes, parts: Sequence[Any] | None = None, say: Callable[[int], None] = lambda tick: None
    ) -> bytes:
        """Executes the task on packed arguments and returns its packed result.

        `parts` are the answers of a node, for a task over data. Raises UmweltError, with a one-line message, for any
        error.
        """
        given, named = _unpack_arguments(arguments)
        if self.is_over_data and parts is None:
            raise RunError(f'task "{self.name}": needs data: give a question that selects it')
        bound, first = self.bind(given, named), [parts] if self.is_over_data else []
        extra = {"say": say} if "say" in self._parameters else {}
        try:
            result = self.function(*first, *bound.args, **bound.kwargs, **extra)
        except UmweltError:
            raise
        except MemoryError:
            raise RunError(f'task "{self.name}": not enough memory: give it less to do') from None
        except Exception as error:
            raise RunError(one_line(f'task "{self.name}": {type(error).__name__}: {str(error)[:500]}')) from None
        return pack(result, f'the result of task "{self.name}"')

    def unpack_result(self, content: bytes) -> Any:
        """Decodes a packed result and converts it to the annotated return type."""
        return self._convert("return", unpack(content))


@cache
def known_tasks() -> dict[str, str]:
    """Returns the locations ("MODULE:NAME") of all installed tasks by name. Built-in tasks cannot be overridden."""
    return {one.name: one.value for one in metadata.entry_points(group=GROUP)} | local_tasks() | BUILTIN


@cache
def local_tasks() -> dict[str, str]:
    """Returns the locations ("MODULE:NAME") of the tasks that gateways refuse, by name (`LOCAL_GROUP`)."""
    return {one.name: one.value for one in metadata.entry_points(group=LOCAL_GROUP)}


def find_task(name: str) -> Task:
    """Imports and returns the task `name`. Raises RunError if it is not installed here."""
    location = BUILTIN.get(name) or known_tasks().get(name)
    if location is None:
        close = difflib.get_close_matches(name, known_tasks(), 1)
        known = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(sorted(known_tasks()))}"
        raise RunError(one_line(f'no task "{name[:80]}" here: {known}; own ones come by an entry point of {GROUP}'))
    loaded = load_object(location, f'task "{name}"')
    if not isinstance(loaded, Task):
        raise RunError(f'task "{name}": {location} is not a task: put @task("{name}") before it')
    return loaded


# --- encoding


def pack(value: Any, what: str = "a value") -> bytes:
    """Encodes a plain value or a numeric array; raises RunError for other types. `what` names it in the message."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError) as error:
        raise RunError(one_line(f"{what}: cannot be sent: {error}: use plain values and arrays of numbers")) from None


def pack_arguments(
    name: str, given: Sequence[Any], named: dict[str, Any], max_bytes: int = MAX_ARGUMENT_BYTES
) -> bytes:
    """Encodes the arguments of a task. Raises RunError if they are larger than `max_bytes`."""
    content = pack([list(given), named], f'the arguments of task "{name}"')
    if len(content) > max_bytes:
        limit = max_bytes >> 10
        raise RunError(one_line(f'task "{name}": arguments of {len(content) >> 10} KiB: give {limit} KiB at most'))
    return content


def unpack(content: bytes) -> Any:
    """Decodes a value. Raises RunError if the bytes are malformed."""
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise RunError(one_line(f"a malformed value: {error}")) from None


def _unpack_arguments(content: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Returns the positional arguments and the keyword arguments that `pack_arguments` encoded.

    Raises RunError if the bytes are malformed.
    """
    try:
        return msgspec.convert(unpack(content), tuple[list[Any], dict[str, Any]])
    except msgspec.ValidationError as error:
        raise RunError(one_line(f"malformed arguments: {error}")) from None


def pack_list(parts: Sequence[bytes]) -> bytes:
    """Joins packed values into one packed list."""
    assert len(parts) < 1 << 16
    return _LIST_16 + len(parts).to_bytes(2, "big") + b"".join(parts)


def _encode_numpy(value: Any) -> Any:
    """Converts a numpy array to a msgpack extension type, and a numpy scalar to a Python number, for msgspec's encoder.

    The extension contains the encoded (dtype, shape, bytes). Raises NotImplementedError for other types.
    """
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<").str
        if not _DTYPE.fullmatch(dtype):
            raise NotImplementedError(f"an array of {value.dtype}")
        content = np.ascontiguousarray(value, dtype).tobytes()
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode((dtype, value.shape, content)))
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a {type(value).__name__}")


def _decode_array(code: int, content: memoryview) -> Any:
    """Returns the array that `_encode_numpy` encoded as an extension type. Raises ValueError if it is malformed."""
    dtype, shape, values = _arrays.decode(content)
    if code != _ARRAY or not _DTYPE.fullmatch(dtype):
        raise ValueError("a malformed array")
    return np.frombuffer(values, dtype).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_numpy)
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_array)
_arrays = msgspec.msgpack.Decoder(tuple[str, tuple[NotNegative, ...], bytes])
