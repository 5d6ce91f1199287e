"""Tasks: functions that every node knows by name; and what may be given to them and come back.

    @task("own.mean")
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

In a package of one's own, installed on every node, an entry point of the group `umwelt.tasks` gives the name:

    [project.entry-points."umwelt.tasks"]
    "own.mean" = "own.tasks:mean"

A task must depend on what it is given alone, for it may run anywhere, and again elsewhere where a node dies. What
travels are plain values and numpy arrays, as msgpack; nothing is ever unpickled. A first parameter `parts` makes it a
task over data: it is given what one node answers to questions (`questions.Part`, one for each). A parameter `say` is a
function to be told how far it has come.
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
HOUSE = {
    "spin": "umwelt.cluster.tasks.builtin:spin",
    "arithmetic": "umwelt.cluster.tasks.builtin:arithmetic",
    "arithmetic.or_zero": "umwelt.cluster.tasks.builtin:arithmetic_or_zero",
    "census": "umwelt.cluster.tasks.builtin:census",
    "heatmap": "umwelt.cluster.tasks.builtin:heatmap",
    "nearest": "umwelt.cluster.tasks.builtin:nearest",
    "living": "umwelt.cluster.tasks.builtin:living",
    "experiment.run": "umwelt.client.experiments.trial:run_job",
    "duel.run": "umwelt.client.experiments.duel:duel_job",
}
"""The tasks of the house."""
HERE_ALONE = ("experiment.run", "duel.run")
"""Those that read worlds and write files where they are told to: nobody may have them done from afar."""
FOR_EVERYONE = ("census", "heatmap", "living", "nearest")
"""Those that spectators may ask for."""
WITHIN_S, MAX_WITHIN_S = 10.0, 600.0
"""How long a task may take if nothing is said, and at most."""
BUSY = "wait for some of their results"
"""So ends the line of a gateway that has enough to do: the same may be asked again a little later."""
MAX_ARGUMENT_BYTES = 256 << 10
MAX_RESULT_BYTES = 1 << 20
"""Of those that travel."""
OUTER = ("flow", "parts", "say")
"""Parameters that the caller does not give."""
_ARRAY = 1
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
_DTYPE = re.compile(r"[|<][biuf][1248]")


def task(name: str) -> Callable[[Callable[..., Any]], "Task"]:
    """Make a function a task."""
    return lambda function: Task(name, function)


class Task:
    """A function and its name. Called as it is, it is the function."""

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
    def over_data(self) -> bool:
        """Whether it is given what a node answers."""
        return "parts" in self._parameters

    def bound(self, given: Sequence[Any], named: dict[str, Any]) -> inspect.BoundArguments:
        """Arguments as the function takes them, of their types; `RunError` for what does not fit."""
        own = [one for name, one in self._parameters.items() if name not in OUTER]
        try:
            found = inspect.Signature(own).bind(*given, **named)
            for name, value in found.arguments.items():
                many = self._parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                converted = [self._converted(name, one) for one in value] if many else self._converted(name, value)
                found.arguments[name] = converted
            return found
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            wanted = ", ".join(str(one) for one in own) or "nothing"
            raise RunError(one_line(f'task "{self.name}": {error}: give {wanted}')) from None

    def _converted(self, name: str, value: Any) -> Any:
        wanted = self._types.get(name, Any)
        return value if wanted is Any or isinstance(value, np.ndarray) else msgspec.convert(value, wanted)

    def run(
        self, arguments: bytes, parts: Sequence[Any] | None = None, say: Callable[[int], None] = lambda tick: None
    ) -> bytes:
        """Do it: packed arguments in, the packed result out; `RunError` in one line, whatever goes wrong."""
        given, named = _arguments_of(arguments)
        if self.over_data and parts is None:
            raise RunError(f'task "{self.name}": works on data: say which, with a question')
        bound, first = self.bound(given, named), [parts] if self.over_data else []
        told = {"say": say} if "say" in self._parameters else {}
        try:
            found = self.function(*first, *bound.args, **bound.kwargs, **told)
        except UmweltError:
            raise
        except MemoryError:
            raise RunError(f'task "{self.name}": not enough memory: give it less to do') from None
        except Exception as error:
            raise RunError(one_line(f'task "{self.name}": {type(error).__name__}: {str(error)[:500]}')) from None
        return pack(found, f'what task "{self.name}" gives')

    def result(self, found: bytes) -> Any:
        """A packed result as the function gave it, as far as its return type says so."""
        wanted = self._types.get("return", Any)
        value = unpack(found)
        return value if wanted is Any or isinstance(value, np.ndarray) else msgspec.convert(value, wanted)


@cache
def known_tasks() -> dict[str, str]:
    """The names of all tasks known here, and where their functions are; those of the house cannot be replaced."""
    return {one.name: one.value for one in metadata.entry_points(group=GROUP)} | HOUSE


def find_task(name: str) -> Task:
    """The task of a name; `RunError` where none is known here."""
    where = HOUSE.get(name) or known_tasks().get(name)
    if where is None:
        near = difflib.get_close_matches(name, known_tasks(), 1)
        known = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known_tasks()))}"
        raise RunError(one_line(f'no task "{name[:80]}" here: {known}; own ones come by an entry point of {GROUP}'))
    found = load_object(where, f'task "{name}"')
    if not isinstance(found, Task):
        raise RunError(f'task "{name}": {where} is no task: put @task("{name}") before it')
    return found


# --- what travels


def pack(value: Any, what: str = "a value") -> bytes:
    """A value as bytes; `RunError` for what cannot travel."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError) as error:
        raise RunError(one_line(f"{what}: cannot travel: {error}: use plain values and arrays of numbers")) from None


def pack_arguments(
    name: str, given: Sequence[Any], named: dict[str, Any], max_bytes: int = MAX_ARGUMENT_BYTES
) -> bytes:
    """The arguments of a task as bytes, if they are not too many."""
    found = pack([list(given), named], f'the arguments of task "{name}"')
    if len(found) > max_bytes:
        most = max_bytes >> 10
        raise RunError(one_line(f'task "{name}": arguments of {len(found) >> 10} KiB: give {most} KiB at most'))
    return found


def unpack(content: bytes) -> Any:
    """A value from bytes; `RunError` for what is none."""
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise RunError(one_line(f"a value that is none: {error}")) from None


def _arguments_of(content: bytes) -> tuple[list[Any], dict[str, Any]]:
    """What `pack_arguments` packed."""
    try:
        return msgspec.convert(unpack(content), tuple[list[Any], dict[str, Any]])
    except msgspec.ValidationError as error:
        raise RunError(one_line(f"arguments that are none: {error}")) from None


def pack_list(parts: Sequence[bytes]) -> bytes:
    """Packed values as one packed list of them."""
    assert len(parts) < 1 << 16
    return b"\xdc" + len(parts).to_bytes(2, "big") + b"".join(parts)


def _outgoing(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<").str
        if not _DTYPE.fullmatch(dtype):
            raise NotImplementedError(f"an array of {value.dtype}")
        content = np.ascontiguousarray(value, dtype).tobytes()
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode((dtype, value.shape, content)))
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"a {type(value).__name__}")


def _incoming(code: int, content: memoryview) -> Any:
    dtype, shape, values = _arrays.decode(content)
    if code != _ARRAY or not _DTYPE.fullmatch(dtype):
        raise ValueError("an array that is none")
    return np.frombuffer(values, dtype).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_outgoing)
_decoder = msgspec.msgpack.Decoder(ext_hook=_incoming)
_arrays = msgspec.msgpack.Decoder(tuple[str, tuple[NotNegative, ...], bytes])
