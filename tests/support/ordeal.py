"""An ordeal: a played vendor that keeps changing, a real nats-server, daemons, blows that fall on them, a verdict.

The vendor's ledger is the oracle. Nothing here looks inside the program: it is started, struck, and its stream read.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.sandbox.oracle import Report
from tests.support.nats_server import NatsServer
from tests.support.program import SOURCE, Child, PlayedVendor, elapse, pcvisit_daemon
from tests.support.stream import Stored, StreamReader, chain_faults, judge, recovery_ms, stream_reader, view_faults
from tests.support.waiting import wait_until, wait_until_blocking

SETTLE_S = 120.0
FAULTS: list[dict[str, Any]] = [
    {"kind": "http_503", "probability": 0.02},
    {"kind": "cut", "probability": 0.02},
    {"kind": "truncated", "probability": 0.02},
    {"kind": "html", "probability": 0.01},
    {"kind": "revoked", "probability": 0.02},
    {"kind": "loading", "probability": 0.03},
    {"kind": "overlap", "probability": 0.1},
    {"kind": "doubled", "probability": 0.05},
    {"kind": "unreadable", "probability": 0.03},
    {"kind": "cursor_refused", "probability": 0.02},
]
"""What the vendor does wrong besides, for as long as the blows fall."""


@dataclass(slots=True)
class Verdict:
    """What an ordeal has come to. `problems` is empty if the stream is what it must be."""

    name: str
    report: Report
    problems: list[str]
    counters: dict[str, Any]
    blows: dict[str, int]
    recovery_ms: list[int]
    view_late_s: float
    """How long the view took to equal the vendor's state once the stream did."""
    events: list[Stored] = field(repr=False)

    def row(self) -> dict[str, Any]:
        """One line of the table."""
        ranked = sorted(self.recovery_ms)
        return {
            "case": self.name,
            "daemon kills": self.blows.get("daemon killed", 0),
            "broker kills": self.blows.get("broker killed", 0),
            "other": sum(count for name, count in self.blows.items() if not name.endswith("killed")),
            "changes": self.report.changes,
            "events": self.report.events,
            "missing": self.report.missing,
            "duplicates": self.report.duplicates,
            "out_of_order": self.report.out_of_order,
            "invented": self.report.invented,
            "lapsed": self.report.lapsed,
            "recovery p50 ms": ranked[len(ranked) // 2] if ranked else None,
            "recovery max ms": ranked[-1] if ranked else None,
            "view late s": self.view_late_s,
        }

    def must_be_faithful(self) -> None:
        """Fails with everything that was found."""
        assert not self.problems, f"{self.row()}\n" + "\n".join(self.problems[:40])
        assert self.report.faithful


class Ordeal:
    """The parts, and the dice: the same seed strikes the same blows after the same number of requests."""

    def __init__(self, name: str, folder: Path, vendor: PlayedVendor, broker: NatsServer | None, seed: int) -> None:
        self.name = name
        self.folder = folder
        self.vendor = vendor
        self._broker = broker
        self.dice = random.Random(seed)
        self.blows: Counter[str] = Counter()
        self.daemons: list[Child] = []

    @property
    def broker(self) -> NatsServer:
        """The server beside the daemon; there is none where it is embedded."""
        assert self._broker is not None, "the server is the daemon's own"
        return self._broker

    def daemon(self, name: str = "daemon", **more: Any) -> Child:
        """One more daemon for the same source; not started."""
        url = "embedded" if self._broker is None else self._broker.url
        daemon = pcvisit_daemon(self.folder, name, self.vendor, url, **more)
        self.daemons.append(daemon)
        return daemon

    async def misbehave(self) -> None:
        """From now on the vendor makes mistakes."""
        for fault in FAULTS:
            await self.vendor.call("POST", "faults", {"times": None, **fault})

    async def progress(self, most: int = 6) -> None:
        """Wait until some daemon has asked the vendor a few times more, then a moment: so blows fall anywhere."""
        await self.vendor.asked(self.dice.randint(1, most))
        await elapse(self.dice.uniform(0, 0.25))

    async def kill_daemon(self, daemon: Child, away_s: float = 0.0) -> None:
        """SIGKILL and start again."""
        daemon.kill()
        self.blows["daemon killed"] += 1
        await elapse(away_s)
        daemon.start()

    async def kill_broker(self, away_s: float = 0.0) -> None:
        """SIGKILL and start again with what its store holds."""
        await self.broker.kill()
        self.blows["broker killed"] += 1
        await elapse(away_s)
        await self.broker.start()

    async def kill_both(self, daemon: Child, away_s: float = 0.0) -> None:
        """The broker first, and the daemon while it is away; it starts before the broker is back."""
        await self.broker.kill()
        self.blows["broker killed"] += 1
        await elapse(away_s / 2)
        await self.kill_daemon(daemon)
        await elapse(away_s / 2)
        await self.broker.start()

    async def stop_daemon(self, daemon: Child) -> None:
        """SIGTERM, which must end with 0 in time, and start again."""
        code = await daemon.terminate()
        assert code == 0, f"SIGTERM ended with {code}:\n{daemon.tail()}"
        self.blows["daemon stopped"] += 1
        daemon.start()

    async def freeze_daemon(self, daemon: Child, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        daemon.pause()
        self.blows["daemon frozen"] += 1
        await elapse(seconds)
        daemon.resume()

    async def freeze_broker(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later: what was sent meanwhile arrives late."""
        self.broker.pause()
        self.blows["broker frozen"] += 1
        await elapse(seconds)
        self.broker.resume()

    async def verdict(self) -> Verdict:
        """Let it settle and judge: no more changes, until nothing is missing, and every walk twice more."""
        await self.vendor.calm()
        url, user, password = self._address()
        async with stream_reader(url, user, password) as reader:
            return await self._judge(reader)

    def embedded_server(self) -> int | None:
        """The process id of the daemon's own server; None when there is none, however it may have ended."""
        state = self.daemons[0].state_dir
        with contextlib.suppress(OSError, ValueError):
            pid = int((state / "nats.pid").read_text("ascii"))
            return pid if str(state) in command_line(pid) else None
        return None

    def kill_embedded_server(self) -> None:
        """SIGKILL; the daemon starts another."""
        pid = self.embedded_server()
        assert pid is not None, "the embedded server does not run"
        os.kill(pid, signal.SIGKILL)
        self.blows["broker killed"] += 1

    async def another_embedded_server(self, former: int) -> None:
        """Returns when the daemon has another server than that, and that one is no more."""
        await wait_until(lambda: self.embedded_server() not in (None, former), what="another embedded server")
        await wait_until(lambda: not command_line(former), what=f"process {former} to be gone")

    def end_embedded_server(self) -> None:
        """Whatever its daemon left behind: gone. It ends by itself when its daemon dies, and is given time to."""
        with contextlib.suppress(AssertionError):
            wait_until_blocking(lambda: self.embedded_server() is None, 10)
        pid = self.embedded_server()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def _address(self) -> tuple[str, str | None, str | None]:
        if self._broker is not None:
            return self._broker.url, None, None
        identity = json.loads((self.daemons[0].state_dir / "nats.json").read_text("utf-8"))
        return identity["url"], identity["user"], identity["password"]

    async def _judge(self, reader: StreamReader) -> Verdict:
        changes = await self.vendor.ledger()

        async def complete() -> bool:
            return not judge(changes, await reader.events(), SOURCE).missing

        # What is still missing at the deadline is the verdict's to say.
        with contextlib.suppress(AssertionError):
            await wait_until(complete, SETTLE_S)
        for _ in range(2):
            await self._another_pass(reader)
        events = await reader.events()
        state = await self.vendor.call("GET", "state")
        view_problems: list[str] = []

        async def view_is_there() -> bool:
            view_problems[:] = view_faults(state, await reader.view(), SOURCE)
            return not view_problems

        # The server makes it, and after a restart it takes its time.
        asked = time.monotonic()
        with contextlib.suppress(AssertionError):
            await wait_until(view_is_there, SETTLE_S)
        view_late_s = time.monotonic() - asked
        report = judge(changes, events, SOURCE)
        problems = [*report.findings, *chain_faults(events), *view_problems, *self._complaints()]
        starts = [at_ms for daemon in self.daemons for at_ms in daemon.started_ms[1:]]
        return Verdict(
            name=self.name,
            report=report,
            problems=problems,
            counters=await self.vendor.counters(),
            blows=dict(self.blows),
            recovery_ms=recovery_ms(sorted(starts), events, SOURCE),
            view_late_s=round(view_late_s, 1),
            events=events,
        )

    async def _another_pass(self, reader: StreamReader) -> None:
        """Every walk reads everything once more, which shows in its cursor."""
        now_ms = time.time_ns() // 1_000_000
        wanted = 2 * len(self.vendor.facts["companies"])

        async def passed() -> bool:
            cursors = (await reader.cursors()).values()
            return len(cursors) == wanted and all(cursor.get("completed_ms", 0) > now_ms for cursor in cursors)

        await wait_until(passed, SETTLE_S, f"{wanted} walks to be read once more")

    def _complaints(self) -> list[str]:
        """What no log may hold: bugs, tracebacks, secrets."""
        found = []
        for daemon in self.daemons:
            text = daemon.text()
            found += [f"{daemon.name}: {line}" for line in daemon.lines() if line.get("event") == "source.bug"]
            found += [f"{daemon.name}: a traceback" for _ in range(text.count("Traceback (most recent call last)"))]
            found += [f"{daemon.name}: a secret in the log" for secret in self.vendor.secrets if secret in text]
        return found


@asynccontextmanager
async def ordeal(
    name: str,
    folder: Path,
    *,
    seed: int,
    sync_always: bool = True,
    embedded: bool = False,
    rate: float = 12.0,
    **options: Any,
) -> AsyncIterator[Ordeal]:
    """Vendor and broker running, no daemon yet. At the end everything is gone, whatever has happened.

    `embedded`: the daemon, one at a time, brings its own broker. `options` are the sandbox's.
    """
    vendor = PlayedVendor(
        folder, rate=rate, seed=seed, **{"companies": 1, "recent_samples": True, "jwt_lifetime_s": 3, **options}
    )
    broker = None if embedded else NatsServer(folder, sync_always=sync_always)
    scene = Ordeal(name, folder, vendor, broker, seed)
    try:
        await vendor.begin()
        if broker is not None:
            await broker.start()
        yield scene
    finally:
        for daemon in scene.daemons:
            daemon.close()
        if broker is not None:
            broker.kill_blocking()
        elif scene.daemons:
            scene.end_embedded_server()
        vendor.close()


def command_line(pid: int) -> str:
    """How a process was started; "" when there is none."""
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.parent.parent.joinpath("self").exists():
        return proc.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace") if proc.exists() else ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
