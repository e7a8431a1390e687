"""A disk that takes no more: how nats-server says so, and how to find out that it is over."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

ROOM = 4 * 1024 * 1024
"""Bytes that must go onto the disk before it counts as well again. With less the next batch would fill it."""

_NAMES = ("no space left on device", "disk quota exceeded", "read-only file system", "input/output error",
          "file too large")  # fmt: skip
_LINE = re.compile("|".join([*_NAMES, "critical write error", "JetStream out of .{0,60} resources"]), re.IGNORECASE)


def refuses(line: str) -> str:
    """Why nothing can be written, from a line of nats-server's log; "" where the line is about something else. Pure."""
    match = _LINE.search(line)
    if match is None:
        return ""
    named = [name for name in _NAMES if name in line.lower()]
    return named[0] if named else match[0].lower()


def trouble(folder: Path) -> str:
    """Why `folder` does not take another `ROOM` bytes; "" if it does. Takes as long as the disk takes."""
    probe = folder / ".room"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            left = ROOM
            while left:
                left -= os.write(descriptor, bytes(left))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return ""
