"""Exit codes, after sysexits.h: what a script or systemd may conclude from how the program ended."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """The command ran and its answer is no: the demo found an event missing."""
    USAGE = 64
    """The command line is wrong."""
    DATA = 65
    """What was read is not what it should be."""
    UNAVAILABLE = 69
    """Something needed is not there: NATS without JetStream, a server that is too old."""
    SOFTWARE = 70
    """A bug."""
    CANTCREAT = 73
    """A file or stream cannot be made."""
    IO = 74
    """Reading or writing failed."""
    TEMPFAIL = 75
    """Try again later."""
    NOPERM = 77
    """A permission is missing."""
    CONFIG = 78
    """The configuration is wrong."""
    INTERRUPTED = 130
    """Ctrl-C."""
