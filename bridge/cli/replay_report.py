"""What `bridged replay` says: how far it is, and what it has done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.replay import Replay, Span
from bridge.edge.operator.tail import STORED


@dataclass
class Tally:
    """What was read and chosen so far. `first` and `last`: when the first and the last chosen were stored."""

    read: int = 0
    chosen: int = 0
    size: int = 0
    first: str | None = None
    last: str | None = None

    def add(self, message: Message) -> None:
        """One more that was chosen."""
        self.chosen += 1
        self.size += len(message.payload)
        self.last = message.headers[STORED]
        self.first = self.first or self.last


class Bar:
    """How far the reading has come in the stream, and how many were published. Without a progress, nothing."""

    def __init__(self, progress: Progress | None, last_seq: int) -> None:
        self._progress = progress
        self._first = 0
        self._last = last_seq
        self._task: TaskID | None = None

    def at(self, seq: int, sent: int) -> None:
        """All up to this sequence is done."""
        if self._progress is None:
            return
        if self._task is None:
            self._first = seq - 1
            self._task = self._progress.add_task("replay", total=max(1, self._last - self._first), note="")
        self._progress.update(self._task, completed=seq - self._first, note=f"{sent:,} events")


@contextmanager
def bar(args: argparse.Namespace, reading: Span) -> Iterator[Bar]:
    """A bar where somebody watches."""
    if args.json or not sys.stdout.isatty():
        yield Bar(None, reading.last_seq)
        return
    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(), transient=True) as progress:
        yield Bar(progress, reading.last_seq)


def broken_off(args: argparse.Namespace, tally: Tally, replay: Replay) -> None:
    """Say how far it came."""
    many = f"{replay.sent:,}" if replay.sent == replay.taken else f"between {replay.taken:,} and {replay.sent:,}"
    output.complain(f"bridged: broken off: {many} events were published to {args.to}.>")
    if args.json:
        _emit(args, tally, replay)


def report(args: argparse.Namespace, tally: Tally, replay: Replay | None) -> int:
    """Say what was done, or would be; the exit code."""
    if args.json:
        _emit(args, tally, replay)
    if not tally.chosen:
        output.complain("bridged: no stored event is selected by this filter, in this time: nothing was published")
        return Exit.FAILED
    if not args.json:
        events = "event" if tally.chosen == 1 else "events"
        verb = "would be published" if replay is None else "published"
        output.say(
            f"{tally.chosen:,} {events} ({tally.size:,} bytes), stored from {tally.first} to {tally.last}, {verb} to "
            f"{args.to}.>"
        )
    if replay is None:
        return Exit.OK
    if replay.unheard:
        output.complain(
            f"bridged: nobody listened to {replay.unheard:,} of them: a subscriber must be there first, or a stream "
            f"of your own that stores {args.to}.>"
        )
    if replay.refused:
        output.complain(f"bridged: the stream that stores {args.to}.> has refused {replay.refused:,} of them")
    return Exit.FAILED if replay.refused or replay.unheard == replay.sent else Exit.OK


def _emit(args: argparse.Namespace, tally: Tally, replay: Replay | None) -> None:
    output.emit(
        {
            "filter": args.filter,
            "to": args.to,
            "dry_run": replay is None,
            "read": tally.read,
            "selected": tally.chosen,
            "bytes": tally.size,
            "first": tally.first,
            "last": tally.last,
            "published": 0 if replay is None else replay.sent,
            "unheard": 0 if replay is None else replay.unheard,
            "refused": 0 if replay is None else replay.refused,
        }
    )
