"""Runs a command that must not outlive the process that started it.

`python parentlink.py PPID COMMAND ARG…` asks the kernel to send SIGTERM when the parent dies, makes sure that the
parent PPID is still there, and becomes COMMAND: same process id, no process in between. Only Linux can do this;
elsewhere the command is simply run, and whoever starts next looks for orphans. Standard library only.

The kernel watches the *thread* that started us: start the command from a thread that lives as long as the process.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def argv(command: list[str]) -> list[str]:
    """The command line that runs `command` tied to the life of this process."""
    # -I: neither the environment nor the working directory decide what is imported. -S and the file itself: what is
    # installed is not looked at, which takes longer than all the rest.
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *command]


def tie_to_parent(parent: int) -> bool:
    """Ask for SIGTERM when the parent dies. False when `parent` is gone already."""
    if sys.platform == "linux":
        # Not above: who only makes the command line does not need it.
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # Asked after prctl: a parent that died before it would never be noticed.
    return os.getppid() == parent


def main() -> None:
    """Tie, check, become the command."""
    if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
        sys.exit("usage: parentlink.py PPID COMMAND [ARG …]")
    if not tie_to_parent(int(sys.argv[1])):
        sys.exit("the process that started this one is gone")
    command = sys.argv[2:]
    try:
        os.execv(command[0], command)  # noqa: S606  # no shell wanted: the arguments are passed as they are
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
