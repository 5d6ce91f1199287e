"""Compilation of kernels with numba, the cache of compiled kernels, and the threads that run them.

A kernel is a function that numba compiles. Most kernels compute a *band*, `kernel(y_low, y_high, ...)`: the rows
`y_low` to `y_high - 1` of a region's cells, and the beings in them. They write only cells and beings of their band, so
any number of bands can run in parallel without changing the result; kernels release the global interpreter lock.

With `NUMBA_DISABLE_JIT=1` the same functions run as plain Python. Arrays are then passed as `PlainArray`, whose
elements are unbounded Python integers: a value that would overflow 64 bits raises an error instead.
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
"""Whether kernels run as plain Python, without compilation."""
ROOMS = Path(__file__).resolve().parent.parent
"""The folder that contains the folders of Umwelt's source code, such as `sandbox` and `agents`."""
# an import from a module or package of Umwelt: its dotted name and the imported names
_IMPORT = re.compile(r"^\s*from (umwelt(?:\.\w+)+) import (?:\(([^)]*)\)|([^(\n]*)$)", re.MULTILINE)
SMALL_BAND_CELLS = 16_384
"""The number of cells below which a kernel runs in one band, because threads would not save time."""
BANDS_PER_THREAD = 4
"""The number of bands per thread into which a kernel's rows are divided, to balance bands that take unequal times."""

if not PLAIN and "scipy.linalg" not in sys.modules:
    # Numba imports SciPy's BLAS when it compiles or loads its first function, which takes a tenth of the start-up time
    # of a process. No kernel multiplies matrices, and other code can still import SciPy later.
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    import numba.np.arraymath

    del sys.modules["scipy.linalg"]

kernels: list[Any] = []
"""All kernels defined so far, for the progress bar of the first compilation and the test that searches for floats."""


@cache
def sources_behind(source: Path) -> frozenset[Path]:
    """Returns `source`, a file of Umwelt, and all files of Umwelt that it imports directly or indirectly."""
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
    """Returns the folder of a file's compiled kernels.

    Its name is a hash of the files in `sources_behind(source)`, of the versions of numba and NumPy, and of
    `UMWELT_DICE_BITS`. Numba checks only the file of a kernel for changes, not the files of the functions and constants
    that it uses.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{numba.__version__} {np.__version__} {os.environ.get('UMWELT_DICE_BITS', '')}".encode())
    for path in sorted(sources_behind(source)):
        digest.update(hash_file(path).encode())
    return cache_home() / digest.hexdigest()


class KernelCacheLocator(UserProvidedCacheLocator):
    """A cache locator for numba that stores the compiled code of a kernel in `cache_folder`.

    The folder's name identifies the version of the sources. Numba's default locator compares the text and line numbers
    of the kernel's file, so that a changed comment would recompile all kernels in it.
    """

    def __init__(self, function: Callable, file: str):
        super().__init__(function, file)
        path = Path(file).resolve()
        self._cache_path = str(cache_folder(path) / path.parent.name)

    def get_source_stamp(self) -> str:
        """Returns the name of the cache folder, which is the hash of the sources."""
        return Path(self._cache_path).parent.name

    def get_disambiguator(self) -> str:
        """Returns a constant; numba distinguishes functions with the same name by their bytecode."""
        return "0"


def small(function: Callable) -> Any:
    """Decorates a function that kernels call: it is compiled, inlined into its callers, and not cached separately."""
    return numba.njit(nogil=True, inline="always")(function)


def kernel(function: Callable | None = None, *, allocates: bool = False) -> Any:
    """Decorates a kernel: it is compiled, or loaded from the cache, at its first call.

    Kernels that allocate no arrays are compiled without reference counting, since passing a tuple of arrays to a small
    function would otherwise update the reference count of each array, which takes longer than most laws. A kernel that
    allocates arrays needs `allocates=True`, and should not pass tuples in its inner loop.
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
    """Returns whether compiled code of every kernel defined so far is in the cache, so that none must be compiled."""
    if PLAIN:
        return True
    indices = (getattr(getattr(one._cache, "_cache_file", None), "_index_path", "") for one in kernels)
    return all(os.path.exists(index) for index in indices)


class PlainArray:
    """A wrapper of an array whose elements are read as Python integers, for kernels that run uncompiled."""

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
    """Converts an argument for an uncompiled kernel: arrays, also those in tuples, are wrapped as `PlainArray`."""
    if isinstance(argument, np.ndarray):
        return PlainArray(argument)
    if isinstance(argument, tuple):
        parts = [plain(part) for part in argument]
        return type(argument)(*parts) if hasattr(argument, "_fields") else tuple(parts)
    return argument


def call(function: Callable, *arguments):
    """Calls a kernel in the present thread and returns its result."""
    if PLAIN:
        with np.errstate(over="ignore"):
            return function(*[plain(argument) for argument in arguments])
    return function(*arguments)


class Crew:
    """A pool of `count` threads that run the bands of kernels in parallel."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("UMWELT_THREADS", "0")) or len(os.sched_getaffinity(0))
        self._pool: ThreadPoolExecutor | None = None

    def resize(self, count: int) -> None:
        """Sets the number of threads; results do not depend on it. Raises ValueError if `count` is below 1."""
        if count < 1:
            raise ValueError("at least one thread is needed")
        self.count = count
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def together(self, *jobs: Callable[[], Any]) -> list[Any]:
        """Runs independent jobs in parallel and returns their results in the order of `jobs`."""
        if self.count == 1 or PLAIN or len(jobs) == 1:
            return [job() for job in jobs]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="umwelt-band")
        return [waiting.result() for waiting in [self._pool.submit(job) for job in jobs]]

    def bands(self, function: Callable, low: int, high: int, width: int, *arguments) -> None:
        """Runs a kernel over the rows `low` to `high - 1` of cells, in parallel bands if there are enough cells.

        `width` is the number of cells in a row; `arguments` follow the rows of the band in the kernel's arguments.
        """
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
"""The pool of threads of this process, which all kernels share."""
