"""A server's threads share one arena of glibc's (service/allocator.py)."""

import platform
import subprocess
import sys

import pytest

THREADS = 8
PROGRAM = f"""
import ctypes, sys, threading
from service.allocator import use_one_arena

if sys.argv[1] == "one":
    use_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
all_here = threading.Barrier({THREADS})

def allocate():
    all_here.wait()
    libc.malloc(4_096)
    all_here.wait()

threads = [threading.Thread(target=allocate) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.stdout.flush()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(("way", "is_one"), [("one", True), ("as it is", False)])
def test_threads_share_one_arena_once_it_is_asked_for(way: str, is_one: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way], capture_output=True, text=True, check=True, timeout=60
    )
    arenas = done.stdout.count("<heap nr=")
    assert (arenas == 1) is is_one, done.stdout
