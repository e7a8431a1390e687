"""A small service manager: a socket for what services tell, listening sockets that it holds, and services it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bridge.edge.embedded import parentlink
from tests.support.waiting import wait_until

_START = """
import os, sys
held = int(os.environ.pop("HELD"))
os.dup2(held, 3)
os.close(held)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class FakeManager:
    """`messages`: every one of every life, in order, each with its variables by name, in order."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = str(folder / "notify")
        self.address = f"@{name}" if abstract else name
        self._socket.bind(f"\0{name}" if abstract else name)
        self._socket.setblocking(False)
        self.held = socket.create_server(("127.0.0.1", 0), backlog=512)
        """What it listens on for the service."""
        self.port: int = self.held.getsockname()[1]
        self._service: subprocess.Popen[bytes] | None = None
        self._messages: list[dict[str, str]] = []
        self.lives = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._service is not None and self._service.poll() is None:
            self._service.kill()
            self._service.wait(30)
        self._socket.close()
        self.held.close()

    @property
    def messages(self) -> list[dict[str, str]]:
        """What was told so far."""
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self._messages
            self._messages.append(dict(line.split("=", 1) for line in text.split("\n")))

    def said(self, name: str) -> list[str]:
        """All values told of one variable."""
        return [message[name] for message in self.messages if name in message]

    @property
    def service(self) -> subprocess.Popen[bytes]:
        """The one that runs, or ran last."""
        assert self._service is not None
        return self._service

    def start(self, arguments: Sequence[str], *, watchdog_s: float | None = None, **environ: str) -> None:
        """Start `python ARGUMENTS`, with the socket held for webhooks."""
        self.lives += 1
        watchdog = {} if watchdog_s is None else {"WATCHDOG_USEC": str(round(watchdog_s * 1e6))}
        with self.log.open("wb") as log:
            self._service = subprocess.Popen(
                parentlink.argv([sys.executable, "-I", "-S", "-c", _START, *arguments]),
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": self.address,
                    "LISTEN_FDS": "1",
                    "LISTEN_FDNAMES": "webhooks",
                    "HELD": str(self.held.fileno()),
                    **watchdog,
                    **environ,
                },
                pass_fds=[self.held.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        """What the present life writes."""
        return self._folder / f"service-{self.lives}.log"

    async def ready(self) -> None:
        """Returns when the present life has said that it is."""
        lives = self.lives

        def said() -> bool:
            assert self.service.poll() is None, self.log.read_text("utf-8", "replace")[-3000:]
            return len([one for one in self.messages if "READY" in one and "EXTEND_TIMEOUT_USEC" not in one]) >= lives

        await wait_until(said, what="READY")

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.service.terminate()
        await wait_until(lambda: self.service.poll() is not None, 60, "the service to stop")
        return self.service.returncode
