"""What a daemon costs that has nothing to do: memory and CPU with a source of each vendor, live where they can be."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.five import VENDORS, Running, Usage, five_vendors
from tests.bench.report import Figure, Line

MOST_MB = 60.0
MOST_CPU = 1.0
CALM_S = 3.0
"""After the last source is live, until what it took to get there has settled."""


def measure(folder: Path, seconds: float) -> Figure:
    """One daemon with NATS of its own, looked at for `seconds`; nobody asks it anything."""
    with five_vendors(folder / "resting") as five:
        daemon = Running(five, five.configuration("resting", "embedded"))
        try:
            daemon.ready_s()
            ready = daemon.usage()
            daemon.wait_for("source.live", len(VENDORS))
            time.sleep(CALM_S)
            before, nats_before = daemon.usage(), daemon.usage(of_nats=True)
            began = time.monotonic()
            time.sleep(seconds)
            after, nats_after = daemon.usage(), daemon.usage(of_nats=True)
            took = time.monotonic() - began
        finally:
            daemon.close()
    idle = _values(before, after, took)
    failure = ""
    if idle["MB"] > MOST_MB or idle["CPU %"] > MOST_CPU:
        failure = f"{idle['MB']:.1f} MB and {idle['CPU %']:.2f} %: promised are {MOST_MB:g} MB and {MOST_CPU:g} %"
    return Figure(
        "idle daemon",
        f"one daemon, five sources (a played vendor each, over TLS, the system's authorities trusted as well; live "
        f"sessions where the vendor has them), its own NATS, status page and micro service on; {seconds:g} s in which "
        f"nothing changes and nobody asks. MB: 1,000,000 bytes, resident (of them proportional: what is shared with "
        f"other processes divided by their number); CPU of one core; naps: how often a thread waited. Promised: "
        f"{MOST_MB:g} MB and {MOST_CPU:g} %",
        [
            Line("bridged, ready", {"MB": ready.resident / 1e6, "MB proportional": ready.proportional / 1e6}),
            Line("bridged, idle", idle),
            Line("its nats-server", _values(nats_before, nats_after, took)),
        ],
        failure,
    )


def _values(before: Usage, after: Usage, seconds: float) -> dict[str, float]:
    return {
        "MB": after.resident / 1e6,
        "MB proportional": after.proportional / 1e6,
        "CPU %": (after.cpu_s - before.cpu_s) / seconds * 100,
        "naps/s": (after.naps - before.naps) / seconds,
    }
