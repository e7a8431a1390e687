"""What the bench compares with in Node.js: a script and Node-RED, both in `tests/bench/node`.

`python -m tests.bench.throughput_node` installs what they need, once; without it the bench goes on without them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.stage import BARE, Stage
from tests.bench.throughput_parties import Taker, Vendor, taker
from tests.interop.packages import PACKAGE, STAMP, packages_missing
from tests.support.nats_server import free_port

FOLDER = Path(__file__).parent / "node"
INSTALL_S = 600.0
TITLES = {
    "script": "Python: `websockets`, msgspec, nats-py",
    "node": "Node.js: `ws`, @nats-io/jetstream",
    "node-red": "Node-RED: websocket in, json, switch, function",
}
"""By taker."""
HOW = (
    "Node-RED comes without a node for JetStream, so its flow ends in a function that publishes by @nats-io/jetstream "
    "and awaits the acknowledgement, many at a time."
)


def missing() -> str:
    """ "" or what keeps the scripts from being run."""
    stamp = FOLDER / STAMP
    if shutil.which("node") is None:
        return "Node.js is not installed"
    if not stamp.is_file() or stamp.read_text("utf-8") != (FOLDER / PACKAGE).read_text("utf-8"):
        return f"npm's packages are not there; `{Path(sys.executable).name} -m tests.bench.throughput_node` gets them"
    return ""


@asynccontextmanager
async def script(at: Vendor, on: Stage) -> AsyncIterator[Taker]:
    """`node/script.mjs`."""
    command = ["node", str(FOLDER / "script.mjs"), f"ws://127.0.0.1:{at.port}/node/graphql", on.server.url]
    async with taker("node", command, (BARE, "bare.>")) as one:
        yield one


@asynccontextmanager
async def red(folder: Path, at: Vendor, on: Stage) -> AsyncIterator[Taker]:
    """Node-RED with `node/flows.json`, its own files in `folder`."""
    home = folder / "node-red"
    home.mkdir()
    # Beside them it would write; and it must be able to.
    shutil.copy(FOLDER / "flows.json", home)
    settings = ["--settings", str(FOLDER / "settings.cjs"), "--userDir", str(home)]
    command = ["node", str(FOLDER / "node_modules" / "node-red" / "red.js"), *settings, "flows.json"]
    told = {
        "BENCH_PORT": str(free_port()),
        "BENCH_NATS": on.server.url,
        "BENCH_VENDOR": f"ws://127.0.0.1:{at.port}/node-red/graphql",
    }
    async with taker("node-red", command, (BARE, "bare.>"), {**os.environ, **told}) as one:
        yield one


def main() -> int:
    """Install what the scripts need."""
    with tempfile.TemporaryDirectory() as run:
        reason = packages_missing(Path(run), FOLDER, within_s=INSTALL_S)
    if reason:
        print(reason, file=sys.stderr)
    return int(bool(reason))


if __name__ == "__main__":
    sys.exit(main())
