"""The examples beside a running demo: started as a reader would, watched, and judged by what they print."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import Child
from tests.support.waiting import wait_until_blocking

ROOT = Path(__file__).parent.parent.parent
NODE = ROOT / "examples" / "node"
PATIENCE_S = 120.0
"""A demo is a lot to start on a machine that is busy."""


class Demo:
    """`bridged demo`, and where its NATS says how to connect."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child = Child(folder, "demo", ["demo", "--rate", "2"], {"TMPDIR": str(folder)})
        self._number = 0

    def start(self) -> None:
        """Returns when sessions are in the stream, and so all is there that examples need."""
        self._child.start()
        wait_until_blocking(
            lambda: " session.snapshot " in self._child.out() or not self._child.running, PATIENCE_S, "the first event"
        )
        assert self._child.running, self._child.text()

    def close(self) -> None:
        """End it, whatever it does."""
        self._child.close()

    @property
    def login(self) -> Path:
        """The file that the examples read."""
        (found,) = self._folder.glob("bridged-demo-*/state/nats.json")
        return found

    @contextmanager
    def example(self, *command: str, folder: Path = ROOT) -> Iterator[Example]:
        """An example at work, until the block ends."""
        self._number += 1
        out = self._folder / f"example-{self._number}.out"
        with out.open("wb") as file:
            child = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "BRIDGED_NATS": str(self.login)},
                start_new_session=True,
            )
        try:
            yield Example(child, out)
        finally:
            child.kill()
            child.wait(30)


class Example:
    """A running example and its output."""

    def __init__(self, child: subprocess.Popen[bytes], out: Path) -> None:
        self._child = child
        self._out = out

    def lines(self) -> list[str]:
        """What it has printed, line by line; the last may be half a line."""
        return self._out.read_text("utf-8", "replace").splitlines()

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """Returns its lines, once so many of them match from their beginning."""

        def enough() -> bool:
            return sum(bool(re.match(pattern, line)) for line in self.lines()) >= count

        wait_until_blocking(lambda: enough() or self._child.poll() is not None, PATIENCE_S, f"{pattern!r}")
        lines = self.lines()
        assert self._child.poll() is None, "\n".join(lines)
        return lines


def judge_examples(demo: Demo, durable: Sequence[str], live: Sequence[str], state: Sequence[str], folder: Path) -> None:
    """The three commands do what their first lines say."""
    session = r"(snapshot|created|updated|deleted) \S+ (\{.*\}|null)$"
    with (
        demo.example(*live, folder=folder) as plain,
        demo.example(*state, folder=folder) as watch,
        demo.example(*durable, folder=folder) as consumer,
    ):
        found = consumer.wait_for(session, 11)
        assert found[0].startswith("snapshot session-uuid-1 {")
        consumer.wait_for(r"(created|updated|deleted) ")
        found = plain.wait_for(r"(\S+) (\S+) (\S+) (snapshot|created|updated|deleted|occurred) (\S+)", 5)
        found = watch.wait_for(r"is now pcvisit\.support\.session\.session-\S+ \{", 11)
        assert len({line.split()[2] for line in found[:11]}) == 11
        # What has come since: the first eleven never change by themselves.
        watch.wait_for(r"(is now|deleted) pcvisit\.support\.session\.", 12)
    with demo.example(*durable, folder=folder) as consumer:
        found = consumer.wait_for(r"(created|updated|deleted) \S+ (\{|null)")
    assert not any("session-uuid-1 " in line for line in found), "it began again from the beginning"
