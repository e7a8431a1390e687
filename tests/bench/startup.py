"""How long the commands take: `bridged --help`, and `bridged run` with its own NATS until its source is live."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from bridge.sandbox.pcvisit import Options, PcvisitSandbox, pcvisit_sandbox
from tests.bench.report import Figure, Line, median

DEADLINE_S = 60.0
BRIDGED = Path(sys.executable).with_name("bridged")


async def help_s() -> float:
    """`bridged --help`, in seconds."""
    start = time.perf_counter_ns()
    with anyio.fail_after(DEADLINE_S):
        await anyio.run_process([str(BRIDGED), "--help"])
    return (time.perf_counter_ns() - start) / 1e9


async def import_s() -> float:
    """A bare Python that imports nats-py, in seconds."""
    start = time.perf_counter_ns()
    with anyio.fail_after(DEADLINE_S):
        await anyio.run_process([sys.executable, "-c", "import nats"])
    return (time.perf_counter_ns() - start) / 1e9


async def run_s(config: Path, environ: Mapping[str, str]) -> tuple[float, float]:
    """`bridged run`: seconds until it is live, and seconds from SIGTERM until it has ended."""
    start = time.perf_counter_ns()
    command = [str(BRIDGED), "run", "--config", str(config)]
    with anyio.fail_after(DEADLINE_S):
        async with await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env={**os.environ, **environ}
        ) as process:
            try:
                await _live(process)
                live = time.perf_counter_ns()
                process.terminate()
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
    return (live - start) / 1e9, (time.perf_counter_ns() - live) / 1e9


async def _live(process: Process) -> None:
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    seen: list[str] = []
    while True:
        try:
            line = await lines.receive_until(b"\n", 1 << 20)
        except anyio.IncompleteRead:
            raise RuntimeError("bridged ended before it was live:\n" + "\n".join(seen)) from None
        seen.append(line.decode("utf-8", "replace"))
        if line.startswith(b"{") and json.loads(line).get("event") == "source.live":
            return


async def measure(folder: Path, rounds: int) -> Figure:
    """Medians of `rounds`; each begins without a store and is then started once more upon it."""
    taken: dict[str, list[float]] = {
        name: [] for name in ("bridged --help", "python -c 'import nats'", "run, empty store", "run, again", "stop")
    }
    async with pcvisit_sandbox(Options(companies=1)) as sandbox:
        for number in range(rounds):
            taken["bridged --help"].append(await help_s())
            taken["python -c 'import nats'"].append(await import_s())
            config, environ = _config(sandbox, folder / f"run{number}")
            for name in ("run, empty store", "run, again"):
                live, stop = await run_s(config, environ)
                taken[name].append(live)
                taken["stop"].append(stop)
    return Figure(
        "starting",
        f"medians of {rounds}; `run` starts its own nats-server and is live when it has read a played vendor's history "
        "(20 sessions, two walks) over HTTP; `stop` is from SIGTERM to its end, NATS included",
        [Line(name, {"s": median(values)}) for name, values in taken.items()],
    )


def _config(sandbox: PcvisitSandbox, folder: Path) -> tuple[Path, dict[str, str]]:
    folder.mkdir()
    config = folder / "bridged.toml"
    config.write_text(
        f"""[daemon]
state_dir = {json.dumps(str(folder / "state"))}
log_format = "json"

[[source]]
name = "bench"
adapter = "pcvisit"
http_url = {json.dumps(sandbox.url)}
integrator_token = {{ env = "BENCH_INTEGRATOR_TOKEN" }}
user_token = {{ env = "BENCH_USER_TOKEN" }}
requests_per_minute = 60000
"""
    )
    environ = {
        "BENCH_INTEGRATOR_TOKEN": sandbox.integrator_tokens[0],
        "BENCH_USER_TOKEN": sandbox.users[0].token,
    }
    return config, environ
