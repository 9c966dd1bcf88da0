"""Memory that stays in the machine while we measure.

Some virtual machines give free memory back to their host at once (free page reporting, in blocks of 128 KiB and more).
The next touch of such a page costs about 2 microseconds, six times what writing its 4 KiB costs: on such a machine a
broker that stores bytes measures the host. So we touch a piece of memory and free every other 64 KiB of it: those
blocks are too small to be given back, and data on tmpfs is put into them. Both peers get the same.
"""

import contextlib
import ctypes
import os
import pathlib

MIB = 1 << 20
PIECE = 64 << 10
PUNCH_HOLE_KEEP_SIZE = 3


def needed():
    return pathlib.Path("/sys/module/page_reporting").exists()


@contextlib.contextmanager
def held(mib, default_mib, say):
    """Half of `mib` (None: the default where it is needed) is held, half is free and stays ours."""
    if mib is None:
        mib = default_mib if needed() else 0
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
        for at in range(0, mib * MIB, 2 * PIECE):
            if libc.fallocate(memory, PUNCH_HOLE_KEEP_SIZE, at, PIECE) != 0:
                raise OSError(ctypes.get_errno(), "fallocate")
        yield mib
    finally:
        os.close(memory)
