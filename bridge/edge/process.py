"""Which process this is, and whether another one on this machine is still there. Reads /proc where there is one."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time
import uuid
from pathlib import Path

from bridge.core.lease import Tenant
from bridge.core.trace import BYTES, begin

PROC = Path("/proc")
ENDED = frozenset("ZXx")
"""States of processes that have ended and whose parent has not noticed yet."""

COLLECT_AFTER = 20_000
"""Objects made and not freed, between two looks for garbage: a few megabytes, and a millisecond or two."""


def tenant(instance: str, build: str) -> Tenant:
    """This life of this process, as it appears in claims. `instance` is the configured name; "" means the host's."""
    host = socket.gethostname()
    pid = os.getpid()
    return Tenant(
        instance=instance or host,
        boot=uuid.uuid4().hex,
        host=host,
        place=_place(),
        pid=pid,
        started=_stat(pid)[1],
        build=build,
    )


def alive(other: Tenant) -> bool:
    """Whether that process is still there. Only to be asked of one in our own place. In doubt it is."""
    state, started = _stat(other.pid)
    if state:
        return started == other.started and state not in ENDED
    try:
        # Another user's process may be hidden from us (`hidepid`, `ProtectProc`).
        os.kill(other.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def spare_collector() -> None:
    """Have garbage looked for less often, and never again among what has been imported by now.

    Nearly all we make is freed by counting: a packet is some fifty objects, and looking through them every 700, as
    the interpreter does by itself, was a seventh of all the work there is with it.
    """
    # What is garbage by now stays, too: some dozens of objects, for which we would look through all there are.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def monotonic() -> float:
    """Seconds that have passed, also while the machine slept, where the system can tell; never set by anybody."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _place() -> str:
    """Where process numbers mean the same: this boot of this machine, this container. "" where nobody tells."""
    with contextlib.suppress(OSError):
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(PROC / 'self/ns/pid')}"
    return ""


def _stat(pid: int) -> tuple[str, int]:
    """A process's state and start time, in clock ticks since the machine's boot; ("", 0) if there is none."""
    try:
        # The command's name stands in brackets and may hold anything.
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", 0


def trace() -> str:
    """The `traceparent` of a trace that begins now."""
    # The system is asked for many at a time: a question costs more than all the rest.
    if not _random:
        much = os.urandom(BYTES * 256)
        _random.extend(much[at : at + BYTES] for at in range(0, len(much), BYTES))
    return begin(_random.pop())


_random: list[bytes] = []


def wall_ns() -> int:
    """Nanoseconds since the Unix epoch."""
    return time.time_ns()


def wall() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
