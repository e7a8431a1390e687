"""Seconds in which only those run who are measured: for a bench on a machine where others are at work.

With `BRIDGED_BENCH_FIRST=1`, where the system allows it, each run of the throughput bench has real-time priority, and
little else has a processor meanwhile. A run takes some seconds; between runs all is as before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "BRIDGED_BENCH_FIRST"
PRIORITY = 50


def wanted() -> bool:
    """Whether whoever started the bench asks for it."""
    return os.environ.get(VARIABLE) == "1"


@contextmanager
def first(pids: list[int]) -> Iterator[None]:
    """While the block runs, these processes go before all others. Raises PermissionError where they may not."""
    before = {pid: (os.sched_getscheduler(pid), os.sched_getparam(pid)) for pid in pids}
    try:
        for pid in pids:
            _schedule(pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
        yield
    finally:
        for pid, (policy, priority) in before.items():
            _schedule(pid, policy, priority)


def _schedule(pid: int, policy: int, priority: os.sched_param) -> None:
    # What has ended meanwhile needs nothing.
    with suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, priority)
