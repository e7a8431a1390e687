"""The demo's live view for people: the source, the figures, and events as they flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bridge.cli.tail import line

if TYPE_CHECKING:
    from bridge.cli.demo import Stage

REFRESH_S = 0.25
ROWS = 20


async def show(stage: Stage) -> None:
    """Draw until cancelled."""
    with Live(refresh_per_second=1 / REFRESH_S, screen=False) as live:
        while True:
            live.update(_picture(stage))
            await anyio.sleep(REFRESH_S)


def _picture(stage: Stage) -> Group:
    table = Table(expand=True, box=None)
    for name in ("source", "vendor", "state", "requests", "stored", "created", "updated", "unchanged"):
        table.add_column(name, justify="left" if name in ("source", "vendor", "state") else "right")
    for status in stage.daemon.supervisor.statuses():
        counts = status.counts
        table.add_row(
            status.name,
            status.vendor,
            str(status.state),
            str(status.requests),
            str(counts.stored),
            str(counts.by_change.get("created", 0)),
            str(counts.by_change.get("updated", 0)),
            str(counts.unchanged),
        )
    report = stage.report()
    latency = report.percentile(50)
    judged = Text(
        f"{report.changes} changes at the vendor, {report.events} events in the stream, "
        f"{report.missing} on their way, {report.duplicates} doubled, {report.out_of_order} out of order"
        + ("" if latency is None else f", change to stream p50 {latency} ms"),
        style="bold red" if report.duplicates or report.out_of_order else "bold green",
    )
    flow = Group(*(line(event) for event in stage.events[-ROWS:]))
    return Group(
        Panel(
            table, title="bridged demo: pcvisit's sandbox → bridged → embedded NATS JetStream", subtitle="Ctrl-C ends"
        ),
        judged,
        Panel(flow, title="events.> as stored"),
    )
