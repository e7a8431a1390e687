"""Which process we are, and whether another is still there: asked of real processes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.core.lease import Tenant
from bridge.edge import process
from tests.support.waiting import wait_until_blocking

ME = process.tenant("north", "1")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


def as_tenant(pid: int) -> Tenant:
    """The tenant a process of this number would be now."""
    return dataclasses.replace(ME, pid=pid, started=process._stat(pid)[1], boot="x")


def test_we_are_alive_and_have_a_name() -> None:
    """Our own life is known as such; the name is the configured one, or the host's; every start has another boot."""
    assert process.alive(ME)
    assert ME.instance == "north"
    other = process.tenant("", "1")
    assert other.instance == other.host != ""
    assert other.boot != ME.boot
    assert other.place == ME.place != ""


def test_a_child_is_alive_until_it_is_not(child: subprocess.Popen[bytes]) -> None:
    """A process counts as gone from its end on, also while its parent has not noticed."""
    tenant = as_tenant(child.pid)
    assert process.alive(tenant)
    child.kill()
    wait_until_blocking(lambda: not process.alive(tenant), what="the zombie to count as gone")
    child.wait()
    assert not process.alive(tenant)


def test_a_number_used_again_is_another_process() -> None:
    """Our own number with another start time was somebody else."""
    assert not process.alive(dataclasses.replace(ME, started=ME.started - 1))


def test_a_process_that_is_hidden_counts_as_alive(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Where /proc shows us nothing of it, only a number nobody has is proof enough."""
    monkeypatch.setattr(process, "PROC", tmp_path)
    assert process.alive(dataclasses.replace(ME, pid=1))
    assert process.alive(ME)
    assert not process.alive(dataclasses.replace(ME, pid=2**22 + 1))
    assert not process.alive(dataclasses.replace(ME, pid=2**80))


def test_the_clock_goes_forward() -> None:
    """Monotonic, in seconds."""
    first = process.monotonic()
    assert 0 <= process.monotonic() - first < 60


def test_what_is_imported_is_not_looked_through_for_garbage() -> None:
    """And what is made is looked through every twenty thousand objects, not every seven hundred."""
    code = (
        "import gc, bridge.cli.daemon; from bridge.edge.process import spare_collector; spare_collector(); "
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000, gc.isenabled())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["20000", "True", "True"]
