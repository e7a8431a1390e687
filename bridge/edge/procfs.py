"""What the kernel says of this process: CPU, memory and file descriptors, by the names that Prometheus gives them.

Source: proc(5), and https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bridge.core.metric import Measured, Metric

PROC = Path("/proc")

CPU = Metric("process_cpu_seconds_total", "counter", "CPU time used.")
RESIDENT = Metric("process_resident_memory_bytes", "gauge", "Memory in use.")
VIRTUAL = Metric("process_virtual_memory_bytes", "gauge", "Address space in use.")
STARTED = Metric("process_start_time_seconds", "gauge", "When the process started, by the kernel.")
OPEN = Metric("process_open_fds", "gauge", "File descriptors in use.")
MOST = Metric("process_max_fds", "gauge", "File descriptors allowed.")


def process_measures() -> Sequence[Measured]:
    """All six; none where there is no /proc, and none while there is no file descriptor left to read it with."""
    try:
        # The name of the program is in brackets, and may hold blanks: what follows is counted from the last of them.
        stat = (PROC / "self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        descriptors = len(os.listdir(PROC / "self/fd"))
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        found = (
            (CPU, (int(stat[11]) + int(stat[12])) / ticks),
            (RESIDENT, int(stat[21]) * page),
            (VIRTUAL, int(stat[20])),
            (STARTED, _booted_s() + int(stat[19]) / ticks),
            (OPEN, descriptors),
            (MOST, math.inf if most == resource.RLIM_INFINITY else most),
        )
    except (OSError, ValueError, IndexError):
        return ()
    return [Measured(metric, [((), float(value))]) for metric, value in found]


@cache
def _booted_s() -> int:
    """When the machine was started, in seconds since the Unix epoch."""
    for line in (PROC / "stat").read_text("ascii", "replace").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise ValueError("there is no boot time in /proc/stat")
