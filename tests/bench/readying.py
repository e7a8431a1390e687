"""How long `bridged run` takes from exec to READY: cold and warm, with its own NATS and with one that runs already."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bridge.edge.embedded import parentlink
from bridge.edge.embedded.files import free_port
from tests.bench.five import Five, Running, five_vendors
from tests.bench.report import Figure, Line, median
from tests.support.nats_server import nats_server_binary

MOST_S = 1.0
PYTHON, SERVER = "`python -c pass`", "`nats-server`, until it is ready"
WARM = "embedded, warm"


def measure(folder: Path, rounds: int) -> Figure:
    """Interleaved, as the machine's speed drifts."""
    taken: dict[str, list[float]] = {}

    def took(name: str, seconds: float) -> None:
        taken.setdefault(name, []).append(seconds)

    with five_vendors(folder / "readying") as five:
        # Compiles what was never compiled; not counted.
        _ready(five, five.configuration("first", "embedded"))
        for number in range(rounds):
            took(PYTHON, _python_s())
            mine = five.configuration(f"embedded{number}", "embedded")
            took("embedded, cold", _ready(five, mine))
            took(WARM, _ready(five, mine))
            server, address, seconds = _server(five.folder / f"store{number}")
            took(SERVER, seconds)
            try:
                theirs = five.configuration(f"external{number}", address)
                took("external, cold", _ready(five, theirs))
                took("external, warm", _ready(five, theirs))
            finally:
                server.terminate()
                server.wait(30)
    base = median(taken[PYTHON]) + median(taken[SERVER])
    least = min(taken[WARM])
    late = f"{least:.2f} s at best from exec to READY with a warm embedded NATS; promised is {MOST_S:g} s, at load "
    return Figure(
        "start to READY",
        f"medians of {rounds}, from exec to READY=1 on the notify socket: NATS has acknowledged, and the streams are "
        "verified; five sources, status page on; bytecode is there. Cold: no store, no streams; warm: both are there. "
        f"x: of the first two lines together. Promised with a warm embedded one: {MOST_S:g} s",
        [
            Line(name, {"x": median(values) / base, "s": median(values), "least s": min(values)})
            for name, values in sorted(taken.items(), key=lambda item: median(item[1]))
        ],
        f"{late}{os.getloadavg()[0]:.1f}" if least > MOST_S else "",
    )


def _ready(five: Five, config: Path) -> float:
    daemon = Running(five, config)
    try:
        return daemon.ready_s()
    finally:
        daemon.close()


def _python_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=60)
    return time.perf_counter() - began


def _server(store: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """A server as the embedded one is configured, where it listens, and how long it took."""
    port = free_port()
    config = store.with_suffix(".conf")
    config.write_text(f'listen: 127.0.0.1:{port}\njetstream {{ store_dir: "{store}", sync_interval: always }}\n')
    began = time.perf_counter()
    server = subprocess.Popen(
        parentlink.argv([nats_server_binary(), "-c", str(config)]), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert server.stderr is not None
    for line in server.stderr:
        if b"Server is ready" in line:
            return server, f"nats://127.0.0.1:{port}", time.perf_counter() - began
    raise RuntimeError("nats-server did not start")
