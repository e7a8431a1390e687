"""Stopping a process of this test for a while."""

from __future__ import annotations

import os
import signal


def freeze(pid: int) -> None:
    """SIGSTOP to a child of this process; returns when none of its threads runs any more, or it has ended.

    A signal is only queued by `kill`: on a busy machine the threads of a server go on for milliseconds, enough to
    answer what a test sends next.
    """
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
