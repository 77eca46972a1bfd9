"""Free ports, for the Python tests of all folders."""

import os
import random
import socket
from collections.abc import Iterable


def free_ports(count: int, among: Iterable[int] | None = None) -> list[int]:
    """Ports that nobody listens on. By default below 1,024 where that is allowed, else below 32,000: no outgoing
    connection takes one of these between now and its use.
    """
    ports = list(among or (range(600, 1024) if os.geteuid() == 0 else range(10_000, 32_000)))
    found: list[int] = []
    for port in random.sample(ports, len(ports)):
        with socket.socket() as trial:
            try:
                trial.bind(("0.0.0.0", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("there are no free ports")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]
