"""The demo's live view for people: the source, the figures, and events as they flow."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.cli.demo_stage import total
from bridge.cli.tail_line import line
from bridge.core.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.cli.demo_stage import Stage
    from bridge.sandbox.oracle import Report

REFRESH_S = 0.25
JUDGE_SHARE = 0.1
"""Comparing takes longer the longer the demo runs: it may take this share of the time."""
FEWEST_ROWS = 3
OTHER_LINES = 8
"""Lines that are not events: the frames, the head of the sources, the figures. Each source has one more."""
MOST_NOTES = 3
BAR = 11
"""Characters of the bar that shows how far a source has read."""

ACTS = {
    "starting": "reading what the vendors have to show",
    "changing": "the vendors change things; Ctrl-C ends and judges",
    "judging": "no more changes; everything is read once more, then judged",
}


class Notes(io.StringIO):
    """Collects what is logged while the view is up."""

    def last(self) -> list[str]:
        """The last few lines."""
        return self.getvalue().splitlines()[-MOST_NOTES:]


class Score:
    """The comparison, made anew as often as its own duration allows."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._report = total(stage.reports())
        self._next = 0.0

    def report(self) -> Report:
        """The latest."""
        began = time.monotonic()
        if began >= self._next:
            self._report = total(self._stage.reports())
            ended = time.monotonic()
            self._next = ended + (ended - began) / JUDGE_SHARE
        return self._report


async def show(stage: Stage, notes: Notes) -> None:
    """Draw until cancelled, on a screen of its own: what was on the terminal before is there again afterwards."""
    console, score = Console(), Score(stage)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(_picture(stage, score.report(), notes.last(), console.height), refresh=True)
            await anyio.sleep(REFRESH_S)


async def print_flow(stage: Stage) -> None:
    """Where nobody watches: one line per event, until cancelled."""
    shown = 0
    if stage.login:
        print(f"for examples/: BRIDGED_NATS={stage.login}")
    while True:
        for event in stage.events[shown:]:
            print(line(event).plain)
        shown = len(stage.events)
        await anyio.sleep(REFRESH_S)


def _picture(stage: Stage, report: Report, notes: list[str], height: int) -> RenderableType:
    rows = max(FEWEST_ROWS, height - OTHER_LINES - len(stage.parts) - len(notes))
    flow = [line(event) for event in stage.events[-rows:]]
    for text in flow:
        text.no_wrap, text.overflow = True, "ellipsis"
    return Group(
        Panel(
            _sources(stage),
            title="bridged demo: played vendors → bridged → NATS JetStream",
            subtitle=ACTS[stage.act],
        ),
        *_figures(report),
        Panel(
            Group(*flow, *[Text()] * (rows - len(flow))),
            title="events.> as they are stored",
            title_align="left",
            subtitle=f"for examples/: BRIDGED_NATS={stage.login}" if stage.login else None,
            subtitle_align="left",
        ),
        *(Text(note, style="yellow", no_wrap=True, overflow="ellipsis") for note in notes),
    )


def _sources(stage: Stage) -> Table:
    table = Table(expand=True, box=None, pad_edge=False)
    for name in ("source", "vendor", "state"):
        table.add_column(name)
    for name in ("requests", "frames", "first read", "created", "updated", "deleted", "unchanged"):
        table.add_column(name, justify="right")
    for status in stage.daemon.supervisor.statuses():
        counts = status.counts
        by_change = [str(counts.by_change.get(change, 0)) for change in ("snapshot", "created", "updated", "deleted")]
        state = str(status.state).replace("_", " ")
        frames = status.session.frames if status.session is not None else 0
        figures = (status.requests, frames, *by_change, counts.unchanged)
        bar = _reading(status.progress.values()) if status.state is State.CATCHING_UP else None
        table.add_row(status.name, status.vendor, bar or state, *map(str, figures))
    return table


def _reading(progress: Iterable[tuple[int, int | None]]) -> RenderableType | None:
    """How far the passes under way have come, where the vendor says how much there is; in the place of the state."""
    known = [(rows, total) for rows, total in progress if total]
    if not known:
        return None
    return ProgressBar(total=sum(total for _, total in known), completed=sum(rows for rows, _ in known), width=BAR)


def _figures(report: Report) -> list[Text]:
    latency = report.percentile(50)
    good = not (report.duplicates or report.out_of_order or report.invented)
    figures = [f"{report.changes} changes at the vendors", f"{report.events} events in the stream"]
    if latency is not None:
        figures.append(f"half of them within {latency} ms of the change")
    judged = f"doubled {report.duplicates}   out of order {report.out_of_order}   on their way {report.missing}"
    return [
        Text("  " + ", ".join(figures), no_wrap=True, overflow="ellipsis"),
        Text("  " + judged, style="bold green" if good else "bold red", no_wrap=True, overflow="ellipsis"),
    ]
