"""A native thread is what greenlets wait for."""

import os
import sys
import threading

import pytest

from service.native_thread import NativeThread


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_a_thread_can_be_nicer_than_the_hub() -> None:
    """By so much, and nobody else becomes so."""
    thread, before = NativeThread(), niceness()
    try:
        thread.be_nicer(2)
        assert thread.run(niceness) == min(19, before + 2)
        assert niceness() == before
    finally:
        thread.stop()
