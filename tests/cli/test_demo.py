"""`bridged demo`: its verdict, what it prints, and that a fault is found out."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from rich.console import Console

from bridge.cli import asyncapi, demo, demo_view
from bridge.cli.main import main
from bridge.edge.config.loader import Config
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.tail import Seen, Tail
from bridge.events import parse
from tests.support.contract import Contract
from tests.support.program import Child
from tests.support.waiting import wait_until

PATIENT = """
import sys
from dataclasses import replace
from bridge.cli import demo
from bridge.cli.main import main
from bridge.core.config import StatusSettings
made = demo._config
demo._config = lambda *given: replace(made(*given), status=StatusSettings(enabled=False))
demo.DRAIN_S = 300.0
sys.exit(main())
"""
"""A machine that runs other tests besides may need more than a minute for what it has read, and their daemons may hold
the usual port of the status page, which would be said."""


def test_unattended_it_prints_one_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--seconds N --json`: one JSON object on stdout and nothing else, exit 0, nothing missing, doubled, mixed up.
    What lies in the streams begins with pcvisit's published samples, in the order in which it published them, and is as
    the AsyncAPI document says: of all vendors, here in structured mode; the program's other tests see the binary one.
    """
    configured: list[Config] = []
    stored: list[Message] = []
    made = demo._config

    def structured(*given: Any) -> Config:
        config = made(*given)
        nats, status = replace(config.nats, content_mode="structured"), replace(config.status, enabled=False)
        configured.append(replace(config, nats=nats, status=status))
        return configured[-1]

    class Kept(Tail):
        async def take_stored(self, *, wait_s: float = 2.0) -> list[Message]:
            found = await super().take_stored(wait_s=wait_s)
            stored.extend(found)
            return found

    monkeypatch.setattr(demo, "_config", structured)
    monkeypatch.setattr(demo, "Tail", Kept)
    monkeypatch.setattr(demo, "DRAIN_S", 300.0)
    assert main(["demo", "--seconds", "2", "--rate", "20", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    check_verdict(json.loads(captured.out))
    sessions = [message for message in stored if message.subject.startswith("events.pcvisit.support.session.")]
    first = [parse(message.subject, message.headers, message.payload) for message in sessions[:11]]
    assert [event.id for event in first] == ["session-uuid-1", *(f"session-{n}" for n in range(1, 11))]
    assert {event.change for event in first} == {"snapshot"}
    contract, looked_at = Contract(asyncapi.report(configured[0])), Counter[str]()
    for message in stored:
        looked_at[kind := message.subject.rpartition(".")[0]] += 1
        if looked_at[kind] <= 40:
            found = contract.complaints(message.subject, message.headers, json.loads(message.payload))
            assert found == [], message.subject
    vendors = {kind.split(".")[1] for kind in looked_at}
    assert vendors == {"pcvisit", "x-assist", "platform", "agyletime", "prosonata", "bridge"}


def check_verdict(verdict: Any) -> None:
    """Of a run in which nothing was spoilt."""
    assert verdict["ok"] is True
    sources, total = verdict["sources"], verdict["total"]
    support, travel, plant = (sources[name] for name in ("support", "travel", "plant"))
    for name, report in [*sources.items(), ("total", total)]:
        assert [report[key] for key in ("missing", "duplicates", "out_of_order", "invented")] == [0, 0, 0, 0], name
        told = report["changes"] - report["superseded"] - report["lapsed"]
        # Where changes are found by looking, some leave nothing that a consumer could see.
        assert report["events"] == told if report.get("mode") == "live" else report["events"] <= told
        p50, p99 = report["latency_ms"]["p50"], report["latency_ms"]["p99"]
        # On a machine that is busy enough nothing of a source may have come live.
        assert p50 is None or p50 <= p99
    assert (support["vendor"], travel["vendor"], plant["vendor"]) == ("pcvisit", "x-assist", "platform")
    assert support["changes"] > 3
    assert travel["changes"] > 1
    workforce = sources["workforce"]
    assert (workforce["vendor"], workforce["mode"]) == ("agyletime", "polled")
    assert workforce["events"] > 60
    agency = sources["agency"]
    assert (agency["vendor"], agency["mode"]) == ("prosonata", "polled")
    assert agency["events"] > 100
    for figure in ("changes", "events"):
        assert total[figure] == sum(report[figure] for report in sources.values())


def test_planted_faults_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An event that is lost, and one that comes twice, on their way to the judge: exit 1, counted, named on stderr."""

    class Spoilt(Tail):
        async def take(self, *, wait_s: float = 2.0) -> list[Seen]:
            found = await super().take(wait_s=wait_s)
            kept = [event for event in found if event.data["id"] != "session-3"]
            return [*kept, *(event for event in kept if event.data["id"] == "session-4")]

    monkeypatch.setattr(demo, "Tail", Spoilt)
    # What is lost is waited for in vain, so long; everything else must be there by then.
    monkeypatch.setattr(demo, "DRAIN_S", 30.0)
    monkeypatch.setattr(demo, "LOOK_EVERY_S", 0.5)
    assert main(["demo", "--seconds", "0.5", "--rate", "0", "--json"]) == 1
    captured = capsys.readouterr()
    verdict = json.loads(captured.out)
    assert verdict["ok"] is False
    for count in ("missing", "duplicates"):
        assert verdict["sources"]["support"][count] == 1
        assert verdict["sources"]["travel"][count] == 0
        assert verdict["total"][count] == 1
    assert "session-3" in captured.err
    assert "session-4" in captured.err


@pytest.mark.anyio
async def test_ctrl_c_ends_with_the_verdict(tmp_path: Path) -> None:
    """Where nobody watches, events are printed line by line, of all vendors; SIGINT leads to the verdict and its exit
    code."""
    child = Child(tmp_path, "demo", ["demo"])
    child._command = [sys.executable, "-c", PATIENT, "demo"]
    child.start()
    try:
        await wait_until(lambda: " x-assist/travel event.snapshot " in child.out(), what="the first events of a vendor")
        await wait_until(lambda: " pcvisit/support " in child.out(), what="those of another")
        process = child._child
        assert process is not None
        process.send_signal(signal.SIGINT)
        await wait_until(lambda: process.poll() is not None, 300, "the verdict")
        assert process.returncode == 0, child.text()
    finally:
        child.close()
    out = child.out().splitlines()
    flow = [line for line in out if " pcvisit/support " in line]
    assert "session.snapshot session-uuid-1 " in flow[0]
    assert "missing 0, duplicates 0, out of order 0, invented 0" in child.out()
    assert out[-1] == "every change that could be read is there, once"
    assert "Traceback" not in child.text()


def plain_text(screen: str) -> str:
    """What a terminal was sent, without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


@pytest.mark.anyio
async def test_the_live_view_on_a_terminal(tmp_path: Path) -> None:
    """It draws on a screen of its own, gives the terminal back, and leaves the verdict there."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    command = [sys.executable, "-c", PATIENT, "demo", "--seconds", "1"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    os.set_blocking(ours, False)

    async def watch() -> None:
        while True:
            await anyio.wait_readable(ours)
            try:
                shown.extend(os.read(ours, 65536))
            except OSError:  # the other end is closed
                return

    with anyio.fail_after(360):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            done = await anyio.run_process(command, stdin=theirs, stdout=theirs, check=False, env=environ)
            os.close(theirs)
    os.close(ours)
    text = shown.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    entered, left = text.index("\x1b[?1049h"), text.index("\x1b[?1049l")
    view, after = text[entered:left], text[left:]
    assert "reading what the vendors have to show" in view
    assert "travel" in view
    assert "x-assist" in view
    # Which events still stand there when it is drawn, a busy machine decides; that some do it does not.
    assert re.search(r" [a-z-]+/[a-z]+ [a-z-]+\.(snapshot|created|updated|deleted|occurred) ", plain_text(view))
    assert "missing 0, duplicates 0, out of order 0, invented 0" in after
    assert "every change that could be read is there, once" in after


def test_the_view_shows_how_far_sources_have_read() -> None:
    """A bar over all passes under way whose vendor says how much there is; none where none does."""

    def drawn(*progress: tuple[int, int | None]) -> str:
        console = Console(file=io.StringIO(), width=20, force_terminal=True, color_system=None)
        console.print(demo_view._reading(progress) or "")
        return cast(io.StringIO, console.file).getvalue().rstrip()

    assert (drawn((10, 10), (0, 10)), drawn((20, 20), (7, None))) == ("━" * 5 + "╸", "━" * 11)
    assert drawn((5, None)) == drawn() == ""


@pytest.mark.parametrize("argument", ["--seconds=-1", "--seconds=nan", "--rate=inf", "--rate=x"])
def test_numbers_are_checked(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64 and what was expected."""
    assert main(["demo", argument]) == 64
    assert "expected a number from 0 to" in capsys.readouterr().err
