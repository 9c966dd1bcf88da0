"""Memory that stays in the machine while we measure.

Some virtual machines give free memory back to their host at once (free page reporting, in blocks of 128 KiB and more).
The next touch of such a page costs about 2 microseconds, six times what writing its 4 KiB costs: on such a machine a
broker that stores bytes measures the host. So we touch a piece of memory and free it but for a page in every 128 KiB:
what lies between is too small to be given back, and data on tmpfs is put there. Both peers get the same.
"""

import contextlib
import ctypes
import os
import pathlib

MIB = 1 << 20
BLOCK = 128 << 10
PAGE = 4 << 10
DEFAULT_MIB = 6000
PUNCH_HOLE_KEEP_SIZE = 3


def needed():
    return pathlib.Path("/sys/module/page_reporting").exists()


def available_mib():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) // 1024


@contextlib.contextmanager
def held(mib, say):
    """`mib` (None: what is good, where it is needed) of free memory that stays in the machine."""
    if mib is None:
        mib = min(DEFAULT_MIB, available_mib() // 3) if needed() else 0
    if mib == 0:
        yield 0
        return
    say(f"touching {mib} MiB of memory, so that the host does not take it back")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    memory = os.memfd_create("ballast")
    try:
        block = b"\1" * MIB
        for i in range(mib):
            os.pwrite(memory, block, i * MIB)
        for at in range(0, mib * MIB, BLOCK):
            if libc.fallocate(memory, PUNCH_HOLE_KEEP_SIZE, at + PAGE, BLOCK - PAGE) != 0:
                raise OSError(ctypes.get_errno(), "fallocate")
        yield mib
    finally:
        os.close(memory)
