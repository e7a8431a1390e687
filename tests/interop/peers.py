"""Servers and clients that are not ours, as child processes: started, told what to do, frozen and killed."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from bridge.core.facts import Subprotocol
from tests.interop.packages import FOLDER
from tests.support.dialects import CABLE, LEGACY, TRANSPORT
from tests.support.freezing import freeze

Started = TypeVar("Started", bound="Listener")

TOKEN = "hunter2-hunter2"
PATIENCE_S = 30.0
SERVERS = {LEGACY: ("node", "legacy.mjs"), TRANSPORT: ("node", "transport.mjs"), CABLE: ("ruby", "cable.rb")}


class Program:
    """A child process that speaks in lines of JSON, and is told things in such. It ends with its stdin."""

    def __init__(self, *command: str, token: str = TOKEN) -> None:
        found = shutil.which(command[0])
        assert found is not None, command[0]
        self._child = subprocess.Popen(
            [found, *command[1:]],
            cwd=FOLDER,
            env={**os.environ, "INTEROP_TOKEN": token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._in, self._out = self._child.stdin, self._child.stdout
        os.set_blocking(self._out.fileno(), False)
        self._unread = b""

    def hear(self) -> Any:
        """The next line it says."""
        deadline = time.monotonic() + PATIENCE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                assert selector.select(deadline - time.monotonic()), f"it said nothing for {PATIENCE_S:g} s"
                more = os.read(self._out.fileno(), 65536)
                assert more, f"it has ended, with exit code {self._child.wait(5)}"
                self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def tell(self, do: str, **details: Any) -> None:
        """Have it do something."""
        self._in.write(json.dumps({"do": do, **details}).encode() + b"\n")
        self._in.flush()

    def order(self, do: str, **details: Any) -> Any:
        """Have it do something; returns its answer."""
        self.tell(do, **details)
        return self.hear()

    def freeze(self) -> None:
        """It stands still; its connections stay open."""
        freeze(self._child.pid)

    def thaw(self) -> None:
        """It goes on where it stood still."""
        self._child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, without a word."""
        self._child.kill()
        self._child.wait(10)

    def close(self) -> None:
        """It is gone, and nothing is left of it."""
        self.kill()
        self._out.close()
        self._in.close()


class Listener(Program):
    """A server. The first that it says is where it listens."""

    port = 0

    def facts(self) -> Any:
        """What it has counted."""
        return self.order("facts")

    def leave(self) -> None:
        """Close every connection, as the server does when it is restarted."""
        self.order("leave")


class Server(Listener):
    """One of `SERVERS`."""

    def __init__(self, subprotocol: Subprotocol, port: int = 0) -> None:
        super().__init__(*SERVERS[subprotocol], str(port))
        self.subprotocol = subprotocol

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}/"

    def facts(self) -> Any:
        """What it has counted: `connections`, `refused`, `tokens`, `pongs`, `ended` and `subscribed`, by topic."""
        return self.order("facts")

    def listening(self, topic: str) -> int:
        """How many operations listen to a topic."""
        return int(self.facts()["subscribed"].get(topic, 0))

    def publish(self, topic: str, *values: Any, field: str = "n") -> None:
        """Publish values to all who listen to a topic by this subscription field, in order."""
        self.order("publish", topic=topic, field=field, values=values)

    def publish_size(self, topic: str, size: int) -> None:
        """Publish a text of so many bytes."""
        self.order("publish", topic=topic, field="text", size=size)

    def finish(self, topic: str) -> None:
        """End the operations that listen to a topic, by field `n`."""
        self.order("finish", topic=topic, field="n")


@contextmanager
def server(subprotocol: Subprotocol, port: int = 0) -> Iterator[Server]:
    """A running server."""
    with running(Server(subprotocol, port)) as made:
        yield made


@contextmanager
def running(made: Started) -> Iterator[Started]:
    """It listens while the block runs, unless it is killed in it."""
    try:
        made.port = made.hear()["port"]
        yield made
    finally:
        made.close()
