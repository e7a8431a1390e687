"""Work that may hang: its result, its error, its deadline; and that nobody waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import anyio
import pytest

from bridge.edge.aside import Aside, StillBusy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_what_it_returns_and_raises() -> None:
    """Comes from another thread, while the event loop goes on."""
    aside: Aside[int] = Aside()
    assert await aside.run(threading.get_ident, 10) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await aside.run(lambda: 1 // 0, 10)
    assert await aside.run(lambda: 7, 10) == 7


async def test_what_hangs_is_given_up_and_not_begun_twice() -> None:
    """StillBusy at the deadline, and at once as long as it hangs; when it no longer does all is well."""
    aside: Aside[bool] = Aside()
    go = threading.Event()
    began = time.monotonic()
    with pytest.raises(StillBusy):
        await aside.run(lambda: go.wait(60), 0.2)
    before = threading.active_count()
    with pytest.raises(StillBusy):
        await aside.run(lambda: go.wait(60), 60)
    assert time.monotonic() - began < 20
    assert threading.active_count() == before
    go.set()
    await wait_until(lambda: threading.active_count() < before, what="the thread to end")
    assert await aside.run(lambda: True, 10)


async def test_who_is_cancelled_does_not_wait_for_it() -> None:
    """A daemon that is told to stop meanwhile stops."""
    aside: Aside[bool] = Aside()
    go = threading.Event()
    try:
        began = time.monotonic()
        with anyio.move_on_after(0.1):
            await aside.run(lambda: go.wait(60), 60)
        assert time.monotonic() - began < 20
    finally:
        go.set()


def test_what_hangs_does_not_keep_the_process() -> None:
    """It ends with its main thread."""
    script = """
import time, anyio
from bridge.edge.aside import Aside, StillBusy
async def main():
    try:
        await Aside().run(lambda: time.sleep(300), 0.1)
    except StillBusy:
        print("busy")
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "busy\n", "")
