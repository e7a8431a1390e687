"""Installs the npm packages of a `package.json`, such as that beside this file, once, and says why where it cannot."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FOLDER = Path(__file__).parent
PACKAGE = "package.json"
STAMP = Path("node_modules", ".installed")
"""Written last, with the text of `package.json`: what was interrupted, or is of another version, is made anew."""

INSTALL_S = 60.0
"""Without a network npm would try for minutes."""
LOCK_S = 75.0
OLDEST_NODE = 20
INSTALL = (
    "install",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--ignore-scripts",
    "--loglevel=error",
    "--fetch-retries=0",
)
GEMS = ("action_cable", "graphql", "puma")


def packages_missing(run: Path, folder: Path = FOLDER, *, within_s: float = INSTALL_S) -> str:
    """Install the packages of `folder` unless they are there; "" or why that failed.

    `run` is a folder that the workers of one run share: what failed for one of them is not tried by the others.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return f"Node.js {OLDEST_NODE} or newer with npm is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    if not version.startswith("v") or int(version[1:].partition(".")[0]) < OLDEST_NODE:
        return f"Node.js is {version.strip() or 'broken'}, {OLDEST_NODE} or newer is needed"
    failed = run / f"npm-failed-{folder.name}"
    stamp = folder / STAMP
    with (folder / PACKAGE).open() as package, _locked(package):
        text = package.read()
        if stamp.is_file() and stamp.read_text("utf-8") == text:
            return ""
        if failed.is_file():
            return failed.read_text("utf-8")
        try:
            reason = _install(npm, folder, within_s)
            if not reason:
                stamp.write_text(text, "utf-8")
        except OSError as error:
            reason = f"the packages cannot be installed: {error.strerror}"
        if reason:
            failed.write_text(reason, "utf-8")
        return reason


def gems_missing() -> str:
    """ "" or why Rails' own server cannot be run. Nothing is installed: Ruby is the machine's matter."""
    ruby = shutil.which("ruby")
    code = "; ".join(f"require '{name}'" for name in GEMS)
    if ruby is None or subprocess.run([ruby, "-e", code], capture_output=True, timeout=60, check=False).returncode:
        return "Ruby with Action Cable, graphql and Puma is not installed (Debian: ruby-actioncable ruby-graphql puma)"
    return ""


def _install(npm: str, folder: Path, within_s: float) -> str:
    # A group of its own: npm starts others, and all of them must be gone after the deadline.
    child = subprocess.Popen(
        [npm, *INSTALL],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = child.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        return f"npm could not install the packages within {within_s:g} s"
    finally:
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode == 0:
        return ""
    # npm's whole answer names hosts and paths; the code tells enough (ENOTFOUND, ETARGET, EACCES, …).
    code = next((line.rpartition(" ")[2] for line in said.splitlines() if " code " in line), "none given")
    return f"npm could not install the packages: exit code {child.returncode}, error code {code}"


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    """The other workers wait until the first has installed."""
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    yield
