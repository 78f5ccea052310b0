"""Find free ports for peers and servers that run side by side on this machine."""

import random

from gevent import socket

from callfsm.errors import CallfsmError

# Below those that Linux gives to outgoing connections (32 768 and up), so none is taken in passing.
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 1_000


def free_base_port(ports: int) -> int:
    """A port such that the `ports` ports after it are free on 127.0.0.1.

    Raises CallfsmError when none of those tried has room.
    """
    for _ in range(ATTEMPTS):
        base_port = random.randrange(LOWEST, HIGHEST)
        held = [socket.socket() for _ in range(ports)]
        try:
            for number, one in enumerate(held, start=1):
                one.bind(("127.0.0.1", base_port + number))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return base_port
    raise CallfsmError(f"no {ports} neighbouring ports are free on 127.0.0.1")
