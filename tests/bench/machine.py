"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import nats.aio.client

from bridge.core.record import Json
from tests.bench.report import median
from tests.support.nats_server import nats_server_binary

WRITES = 200


def fsync_ms(folder: Path) -> float:
    """Median time of an fsync after 4 KiB were appended, in milliseconds: what `sync_interval: always` waits for."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(WRITES):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter_ns()
            os.fsync(file.fileno())
            taken.append((time.perf_counter_ns() - start) / 1e6)
    return median(taken)


def processor() -> str:
    """What the kernel calls it, with its speed where it tells."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    name, mhz = found.get("model name", platform.machine()), found.get("cpu MHz", "")
    return f"{name} at {float(mhz) / 1000:.1f} GHz" if mhz and "GHz" not in name else name


def describe(folder: Path) -> dict[str, Json]:
    """By name, in an order for reading."""
    version = subprocess.run([nats_server_binary(), "-v"], capture_output=True, text=True, check=True, timeout=10)
    return {
        "on": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "processor": processor(),
        "GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "nats-server": version.stdout.strip().rpartition(" ")[2].removeprefix("v"),
        "nats-py": nats.aio.client.__version__,
        "fsync ms": round(fsync_ms(folder), 3),
        "load": round(os.getloadavg()[0], 2),
    }
