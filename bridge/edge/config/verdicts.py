"""What a judge has found to be sound, kept in a file for the next start, which then needs neither judge nor library.

The file holds digests, of which nothing can be read, and counts only for those who judge as it was judged then. Lost or
spoilt, it is as if it had never been; whoever could change it holds the ledger that lies beside it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Collection
from pathlib import Path

NAME = "judged"
MOST = 1_000
"""Digests in a file: a configuration has some dozens."""
SIZE = 16
"""Bytes of a digest."""


class Verdicts:
    """`folder`: the state directory. `make`: whether it is made where there is none; without it nothing is kept."""

    def __init__(self, folder: Path, *, make: bool) -> None:
        self._path = folder / NAME
        self._make = make

    def read(self) -> set[bytes]:
        """What is kept; nothing where that was judged by others, or cannot be read."""
        try:
            with self._path.open("rb") as file:
                kept = file.read((MOST + 1) * 200)
            judge, *digests = kept.decode("ascii").splitlines()
            found = {bytes.fromhex(digest) for digest in digests}
            return found if judge == _judge() and all(len(one) == SIZE for one in found) else set()
        except (OSError, ValueError):
            return set()

    def write(self, digests: Collection[bytes]) -> None:
        """Keep these and no others, if that can be done."""
        if len(digests) > MOST:
            return
        draft = self._path.with_name(f".{NAME}.{os.getpid()}")
        # It only saves time: a disk that is full, or for others only, is told of by those who need it.
        with contextlib.suppress(OSError):
            if self._make:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lines = [_judge(), *sorted(one.hex() for one in digests), ""]
            try:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write("\n".join(lines))
                draft.replace(self._path)
            finally:
                draft.unlink(missing_ok=True)


def _judge() -> str:
    """Who judges: our rules and the library, as they lie on the disk. Imports neither."""
    marks = []
    for name in ("bridge.edge.graphql_document", "graphql"):
        spec = importlib.util.find_spec(name)
        status = None if spec is None or spec.origin is None else os.stat(spec.origin)
        marks.append("-" if status is None else f"{status.st_mtime_ns}.{status.st_size}.{status.st_ino}")
    return " ".join(marks)
