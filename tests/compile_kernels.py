"""Compiles the kernels of the bundled worlds into the cache, so that the processes of the tests need not do it each.

    python tests/compile_kernels.py WORLD ...

Each world is compiled in a process of its own, since numba compiles one function at a time.
"""

import subprocess
import sys

from umwelt.agents.open_world import try_small_world
from umwelt.agents.world_file import read_world

if __name__ == "__main__":
    if len(sys.argv) == 2:
        try_small_world(read_world(sys.argv[1]), 1)
    else:
        processes = [subprocess.Popen([sys.executable, __file__, name]) for name in sys.argv[1:]]
        sys.exit(max(process.wait(900) for process in processes))
