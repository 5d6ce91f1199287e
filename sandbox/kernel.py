"""Compiled kernels, where they are cached, and the threads they run on.

A kernel is a function over a band of window rows, `kernel(y_low, y_high, ...)`. It writes only what belongs to its
band, so bands may run side by side in any number without changing the outcome; kernels release the lock of Python.

With `NUMBA_DISABLE_JIT=1` the same functions run as plain Python. Arrays are then handed over as `PlainArray`,
whose elements are unbounded Python integers: what would wrap in 64 bits raises instead.
"""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import UserProvidedCacheLocator

from umwelt.sandbox.source_hash import cache_home, hash_file

PLAIN = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]
ROOMS = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(r"^\s*from (umwelt(?:\.\w+)+) import (?:\(([^)]*)\)|([^(\n]*)$)", re.MULTILINE)
SMALL_BAND_CELLS = 16_384
BANDS_PER_THREAD = 4

if not PLAIN and "scipy.linalg" not in sys.modules:
    # Numba looks for SciPy's BLAS when it compiles or loads its first function. No kernel multiplies matrices, and
    # others that do get it all the same; importing it takes a tenth of what a process needs to begin.
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    import numba.np.arraymath

    del sys.modules["scipy.linalg"]

kernels: list[Any] = []
"""Every kernel defined so far (for the progress bar of the first compilation, and the test that looks for floats)."""


@cache
def sources_behind(source: Path) -> frozenset[Path]:
    """A file of ours and all that it imports of ours, directly or not."""
    found = {source}
    waiting = [source]
    while waiting:
        for package, *names in _IMPORT.findall(waiting.pop().read_text("utf-8")):
            folder = ROOMS.joinpath(*package.split(".")[1:])
            modules = [name.split()[0] for name in "".join(names).split(",") if name.strip()]
            for path in (folder.with_suffix(".py"), *(folder / f"{module}.py" for module in modules)):
                if path not in found and path.is_file():
                    found.add(path)
                    waiting.append(path)
    return frozenset(found)


@cache
def cache_folder(source: Path) -> Path:
    """Returns the folder of a file's compiled kernels, named by the hash of all sources behind the file.

    Numba itself looks only at the file of a kernel, not at those of the functions and constants that the kernel uses.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{numba.__version__} {np.__version__} {os.environ.get('UMWELT_DICE_BITS', '')}".encode())
    for path in sorted(sources_behind(source)):
        digest.update(hash_file(path).encode())
    return cache_home() / digest.hexdigest()


class KernelCacheLocator(UserProvidedCacheLocator):
    """Tells numba where a kernel's compiled code is kept and that it is as fresh as its folder's name says.

    Numba's own locator compares the text and the line numbers of the kernel's file, so that a changed comment would
    recompile all of it.
    """

    def __init__(self, function: Callable, file: str):
        super().__init__(function, file)
        path = Path(file).resolve()
        self._cache_path = str(cache_folder(path) / path.parent.name)

    def get_source_stamp(self) -> str:
        """Returns the folder's name, which is the hash of the sources."""
        return Path(self._cache_path).parent.name

    def get_disambiguator(self) -> str:
        """Returns a constant: numba compares the bytecode of functions of one name itself."""
        return "0"


def small(function: Callable) -> Any:
    """Compile a function that kernels call; it becomes part of its callers and is not cached by itself."""
    return numba.njit(nogil=True, inline="always")(function)


def kernel(function: Callable | None = None, *, allocates: bool = False) -> Any:
    """Compile a kernel at its first call, or load it from the cache.

    Kernels that make no arrays of their own are compiled without reference counting: handing a tuple of arrays to a
    small function would otherwise count each of them up and down, which costs more than most laws do. A kernel that
    makes arrays says so by `allocates`, and hands no tuples around in its inner loop.
    """
    if function is None:
        return lambda function: kernel(function, allocates=allocates)
    if PLAIN:
        kernels.append(function)
        return function
    config: Any = numba.config
    before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES
    if not os.environ.get("NUMBA_CACHE_DIR"):
        config.CACHE_DIR = str(cache_home())
        config.CACHE_LOCATOR_CLASSES = f"{__name__}.{KernelCacheLocator.__name__}"
    try:
        compiled = numba.njit(cache=True, nogil=True, _nrt=allocates)(function)  # type: ignore[call-overload]
    finally:
        config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = before
    kernels.append(compiled)
    return compiled


def cached() -> bool:
    """Whether every kernel defined so far was compiled before on this machine, and is only to be loaded."""
    if PLAIN:
        return True
    indices = (getattr(getattr(one._cache, "_cache_file", None), "_index_path", "") for one in kernels)
    return all(os.path.exists(index) for index in indices)


class PlainArray:
    """An array whose elements are Python integers, for kernels that run uncompiled."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray):
        self.array = array

    def __getitem__(self, index):
        found = self.array[index]
        return PlainArray(found) if isinstance(found, np.ndarray) else int(found)

    def __setitem__(self, index, value):
        self.array[index] = value.array if isinstance(value, PlainArray) else value

    def __len__(self):
        return len(self.array)

    @property
    def shape(self):
        return self.array.shape

    @property
    def size(self):
        return self.array.size


def plain(argument):
    """An argument as uncompiled kernels take it; compiled ones take it as it is."""
    if isinstance(argument, np.ndarray):
        return PlainArray(argument)
    if isinstance(argument, tuple):
        parts = [plain(part) for part in argument]
        return type(argument)(*parts) if hasattr(argument, "_fields") else tuple(parts)
    return argument


def call(function: Callable, *arguments):
    """Call one kernel."""
    if PLAIN:
        with np.errstate(over="ignore"):
            return function(*[plain(argument) for argument in arguments])
    return function(*arguments)


class Crew:
    """The threads that share the bands of a kernel."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("UMWELT_THREADS", "0")) or len(os.sched_getaffinity(0))
        self._pool: ThreadPoolExecutor | None = None

    def resize(self, count: int) -> None:
        """Work with `count` threads from now on; the outcome is the same for any number."""
        if count < 1:
            raise ValueError("at least one thread is needed")
        self.count = count
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def together(self, *jobs: Callable[[], Any]) -> list[Any]:
        """Run independent jobs side by side and give their results in order."""
        if self.count == 1 or PLAIN or len(jobs) == 1:
            return [job() for job in jobs]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="umwelt-band")
        return [waiting.result() for waiting in [self._pool.submit(job) for job in jobs]]

    def bands(self, function: Callable, low: int, high: int, width: int, *arguments) -> None:
        """Run a kernel over window rows `low` to `high`, cut into bands where there is enough to do."""
        if high <= low:
            return
        if self.count == 1 or PLAIN or (high - low) * width < SMALL_BAND_CELLS:
            call(function, low, high, *arguments)
            return
        count = min(high - low, self.count * BANDS_PER_THREAD)
        cuts = [low + (high - low) * i // count for i in range(count + 1)]
        self.together(
            *[lambda a=a, b=b: function(a, b, *arguments) for a, b in pairwise(cuts)]  # type: ignore[misc]
        )


crew = Crew()
