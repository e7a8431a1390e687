"""The program as child processes: daemons and a played vendor. Started, killed, paused, and read by what they log.

Everything started here is ended by its process id, also when the test process itself dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from bridge.edge.embedded import parentlink
from bridge.sandbox.ledger import Change
from tests.support import published
from tests.support.freezing import freeze
from tests.support.waiting import wait_until, wait_until_blocking

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 45.0


async def elapse(seconds: float) -> None:
    """Time that a fault schedule lets pass: when the next blow falls, how long something stays away.

    Never a way to wait *for* something: that is `wait_until`.
    """
    with anyio.move_on_after(seconds):
        await anyio.sleep_forever()


class Child:
    """`python -m bridge.cli.main ARGUMENTS`, any number of times, one at a time. Counts what was done to it."""

    def __init__(
        self, folder: Path, name: str, arguments: Iterable[str], environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self.started_ms: list[int] = []
        """When each life began, in milliseconds since the Unix epoch."""
        self.kills = self.terms = self.pauses = 0
        self._arguments = [*arguments]
        self._command = [sys.executable, "-m", "bridge.cli.main", *self._arguments]
        self._read: dict[int, tuple[list[dict[str, Any]], int]] = {}
        """The complete lines of each life's log, and where the next one begins."""
        self._environ = {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})}
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def state_dir(self) -> Path:
        """The state directory its configuration names, if it is a daemon."""
        return self.folder / f"state-{self.name}"

    @property
    def lives(self) -> int:
        """How often it was started."""
        return len(self.started_ms)

    @property
    def running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended by itself with; None while it runs."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.poll()

    @property
    def pid(self) -> int:
        """Its process id, while it is there."""
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    def start(self) -> None:
        """Start it; returns at once."""
        assert not self.running, f"{self.name} is running already"
        published.started(self._arguments, self._environ)
        self.started_ms.append(time.time_ns() // 1_000_000)
        with self._path("out").open("wb") as out, self._path("log").open("wb") as log:
            # In this thread, not in a worker: the kernel ends the child when the thread that started it ends.
            self._child = subprocess.Popen(
                parentlink.argv(self._command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=self._environ,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. It must have been alive until now."""
        child = self._living()
        child.kill()
        code = child.wait(30)
        assert code == -signal.SIGKILL, f"{self.name} ended by itself with {code}:\n{self.tail()}"
        self.kills += 1
        self._child = None

    async def terminate(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """SIGTERM; its exit code, which must come within the deadline."""
        child = self._living()
        child.terminate()
        await wait_until(lambda: child.poll() is not None, deadline_s, f"{self.name} to stop:\n{self.tail()}")
        self.terms += 1
        self._child = None
        return child.returncode

    def pause(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        freeze(self._living().pid)
        self.pauses += 1

    def resume(self) -> None:
        """SIGCONT."""
        self._living().send_signal(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """A signal that does not end it. The configuration may say something else by now than when it was started."""
        published.started(self._arguments, self._environ)
        self._living().send_signal(number)

    def close(self) -> None:
        """Whatever state it is in: gone."""
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            child.kill()
            child.wait(30)

    def lines(self, life: int | None = None) -> list[dict[str, Any]]:
        """What it logged, as JSON: in all its lives, or in one (-1: the present one)."""
        every = range(1, self.lives + 1)
        return [line for number in (every if life is None else (every[life],)) for line in self._lines(number)]

    def _lines(self, life: int) -> list[dict[str, Any]]:
        # Asked again and again while something is waited for: each line is read once.
        known, at = self._read.get(life, ([], 0))
        with self._path("log", life).open("rb") as file:
            file.seek(at)
            whole, end, half = file.read().rpartition(b"\n")
        known += [_line(line) for line in whole.splitlines()]
        self._read[life] = known, at + len(whole) + len(end)
        return [*known, *([_line(half)] if half else [])]

    def said(self, event: str, life: int | None = None) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.lines(life) if line.get("event") == event]

    def out(self) -> str:
        """What its present life wrote to stdout."""
        return self._path("out").read_text("utf-8", "replace")

    def text(self) -> str:
        """Everything it ever wrote, for looking for what must not be there."""
        return "".join(
            self._path(kind, number).read_text("utf-8", "replace")
            for number in range(1, self.lives + 1)
            for kind in ("out", "log")
        )

    def tail(self) -> str:
        """The last lines of its present life, for failures."""
        return "\n".join(str(line) for line in self.lines(-1)[-15:])

    def _living(self) -> subprocess.Popen[bytes]:
        child = self._child
        assert child is not None, f"{self.name} is not running"
        assert child.poll() is None, f"{self.name} ended by itself with {child.returncode}:\n{self.tail()}"
        return child

    def _path(self, kind: str, number: int | None = None) -> Path:
        return self.folder / f"{self.name}-{self.lives if number is None else number}.{kind}"


def _line(line: bytes) -> dict[str, Any]:
    text = line.decode("utf-8", "replace")
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        # A killed one leaves half a line; everything else is shown as it is.
        return {"event": text}
    return found


class PlayedVendor(Child):
    """`bridged sandbox pcvisit` in a process of its own, and its control interface."""

    def __init__(self, folder: Path, *, rate: float, seed: int, **options: Any) -> None:
        sets = [part for name, value in options.items() for part in ("--set", f"{name}={json.dumps(value)}")]
        arguments = ["sandbox", "pcvisit", "--json", "--rate", str(rate), "--seed", str(seed), *sets]
        super().__init__(folder, "sandbox", arguments)
        self.facts: dict[str, Any] = {}

    async def begin(self) -> None:
        """Start it and wait until it serves."""
        self.start()
        await wait_until(
            lambda: not self.running or self.out().endswith("\n"), START_DEADLINE_S, "the sandbox to serve"
        )
        assert self.running, self.text()
        self.facts = json.loads(self.out())

    def begin_blocking(self) -> None:
        """The same for code without an event loop."""
        self.start()
        wait_until_blocking(
            lambda: not self.running or self.out().endswith("\n"), START_DEADLINE_S, "the sandbox to serve"
        )
        assert self.running, self.text()
        self.facts = json.loads(self.out())

    @property
    def secrets(self) -> tuple[str, str]:
        """An integrator token, and the token of a user who sees every company."""
        return self.facts["integrator_tokens"][0], self.facts["users"][-1]["token"]

    async def call(self, method: str, what: str, body: Any = None) -> Any:
        """One request of the control interface."""
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.request(method, self.facts["control"] + what, json=body) as response,
        ):
            assert response.status == 200, await response.text()
            return await response.json()

    async def ledger(self) -> list[Change]:
        """Every change so far."""
        return [Change.from_json(change) for change in (await self.call("GET", "ledger"))["changes"]]

    async def counters(self) -> dict[str, Any]:
        """How often what happened; an absent counter stands for 0."""
        counters: dict[str, Any] = await self.call("GET", "counters")
        return counters

    async def requests(self) -> int:
        """How many requests have come."""
        return int((await self.counters()).get("requests", 0))

    async def asked(self, times: int, deadline_s: float = 60.0) -> None:
        """Returns when so many more requests have come than when it was called."""
        wanted = await self.requests() + times

        async def enough() -> bool:
            return await self.requests() >= wanted

        await wait_until(enough, deadline_s, f"{times} more requests at the sandbox")

    async def calm(self) -> None:
        """No more changes of its own, no more faults."""
        await self.call("POST", "rate", {"changes_per_s": 0})
        await self.call("DELETE", "faults")


SOURCE = "acme"


def pcvisit_daemon(
    folder: Path,
    name: str,
    vendor: PlayedVendor,
    nats_url: str,
    *,
    leases: str = "",
    lease_s: float = 30.0,
    **more: Any,
) -> Child:
    """A daemon with one source that reads all of the played vendor's companies in two overlapping windows.

    Its secrets reach it through the environment only. `leases`: the bucket by which it agrees with other daemons on
    who works; those that name different ones know nothing of each other. `lease_s`: short only where it is to lapse; a
    machine that stands still for seconds loses it. `more`: further keys of the source.
    """
    path = folder / f"{name}.toml"
    integrator, user = vendor.secrets
    environ = {"PCVISIT_INTEGRATOR_TOKEN": integrator, "PCVISIT_USER_TOKEN": user}
    daemon = Child(folder, name, ["run", "--config", str(path)], environ)
    keys = {
        "name": SOURCE,
        "adapter": "pcvisit",
        "http_url": vendor.facts["url"],
        "companies": vendor.facts["companies"],
        "requests_per_minute": 1_000_000,
        "request_timeout_s": 15.0,
        "history_page_size": 20,
        "history_fast_every_s": 1.0,
        "history_slow_every_s": 1.0,
        "batch_loading_retry_s": 1.0,
        **more,
    }
    lines = [
        "[nats]",
        f"url = {json.dumps(nats_url)}",
        *([f"lease_bucket = {json.dumps(leases)}"] if leases else []),
        "[status]",
        "enabled = false",
        "[daemon]",
        f"instance = {json.dumps(name)}",
        f"lease_s = {lease_s}",
        f"state_dir = {json.dumps(str(daemon.state_dir))}",
        'log_format = "json"',
        "[[source]]",
        *(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
        'integrator_token = { env = "PCVISIT_INTEGRATOR_TOKEN" }',
        'user_token = { env = "PCVISIT_USER_TOKEN" }',
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return daemon
