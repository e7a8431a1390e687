"""`bridged resync`: has a source read again what it has read before, or publish the deletes that it holds back."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.follow import follow
from bridge.cli.loop import run as run_loop
from bridge.cli.moments import moment, span
from bridge.cli.plain import plain
from bridge.cli.visit import visiting
from bridge.core.bookmark import ACCEPTED
from bridge.core.event import timestamp
from bridge.core.report.ages import span as duration
from bridge.core.walk import AGAIN
from bridge.edge.config.loader import Config
from bridge.edge.operator.resync import Cursors

DEADLINE = timedelta(hours=1)
HOW = (
    "a running daemon begins when a pass of the source ends, one that starts later at once; what differs from what is "
    "known is published, what does not is not"
)
HOW_ACCEPTED = (
    "a running daemon begins when a pass of the source ends, one that starts later at once; what two complete passes "
    "still lack is then published as deleted"
)


@dataclass(frozen=True)
class _Change:
    """What was written: as JSON and in words, with a text for each walk. `mark`: the key its cursor has until then."""

    report: Mapping[str, object]
    title: str
    walks: Mapping[str, str]
    how: str
    mark: str


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged resync SOURCE [--since T | --accept-deletes] [--walk NAME] [--follow]`."""
    parser.add_argument("source", metavar="SOURCE", help="the source's name in the configuration")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--since",
        type=moment,
        metavar="T",
        help="from when on: a time such as 2026-01-31 or 2026-01-31T12:00:00Z, or a span such as 7d (default: "
        "everything the vendor gives)",
    )
    what.add_argument(
        "--accept-deletes",
        action="store_true",
        help="read nothing more than usual, but publish the deletes that are held back because they are so many",
    )
    parser.add_argument("--walk", action="append", metavar="NAME", help="only this walk, of those `status` names")
    parser.add_argument("--follow", action="store_true", help="wait until it is done, and show how far it has come")
    parser.add_argument(
        "--deadline", type=span, default=DEADLINE, metavar="1h", help="follow for so long at most (default: 1h)"
    )


def run(args: argparse.Namespace) -> int:
    """Rewind the cursors. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args, vendor_secrets=False))


async def _run(args: argparse.Namespace, config: Config) -> int:
    sources = [source.name for source in config.sources]
    if args.source not in sources:
        return _unknown("source", args.source, sources)
    async with visiting(config) as connection:
        cursors = Cursors(connection.client, ledger_names(config.nats), args.source)
        every = await cursors.walks()
        if not every:
            output.complain(f"source {args.source} has no cursor yet: the next `bridged run` reads everything anyway")
            return Exit.FAILED
        for walk in args.walk or ():
            if walk not in every:
                return _unknown("walk", walk, every)
        if args.accept_deletes:
            return await _accept(args, cursors)
        chosen = list(dict.fromkeys(args.walk or every))
        again_from_ms = 0 if args.since is None else round(args.since.timestamp() * 1000)
        await cursors.rewind(again_from_ms, chosen)
        since = timestamp(again_from_ms) if again_from_ms else None
        report = {"source": args.source, "walks": chosen, "since": since}
        title = f"source {args.source} reads again {f'since {since}' if since else 'all its vendor gives'}:"
        return await _done(args, cursors, _Change(report, title, {walk: walk for walk in chosen}, HOW, AGAIN))


async def _accept(args: argparse.Namespace, cursors: Cursors) -> int:
    held = await cursors.held()
    chosen = {walk: count for walk, count in held.items() if not args.walk or walk in args.walk}
    if not chosen:
        others = f"; {', '.join(f'walk {walk} holds {count}' for walk, count in held.items())}" if held else ""
        named = f" by walk {', '.join(args.walk)}" if args.walk else ""
        output.complain(plain(f"source {args.source}: no deletes are held back{named}, nothing was changed{others}"))
        return Exit.FAILED
    await cursors.accept(chosen)
    report = {"source": args.source, "accepted": chosen}
    rows = {walk: f"{walk}: {count} deletes" for walk, count in chosen.items()}
    title = f"source {args.source} may publish what it holds back:"
    return await _done(args, cursors, _Change(report, title, rows, HOW_ACCEPTED, ACCEPTED))


async def _done(args: argparse.Namespace, cursors: Cursors, change: _Change) -> int:
    """Say what was changed, and follow it if that is wished."""
    if not args.json:
        output.say(plain(change.title))
        output.columns([("walk", plain(text)) for text in change.walks.values()])
        output.columns([("", change.how)])
    report, left = change.report, list[str]()
    if args.follow:
        left = await follow(cursors, list(change.walks), change.mark, args.deadline.total_seconds(), quiet=args.json)
        report = {**report, "left": left}
    if args.json:
        output.emit(report)
    if left:
        walks, waited = ", ".join(left), duration(args.deadline.total_seconds())
        output.complain(
            plain(f"not done after {waited}: {walks}; the daemon goes on, if it runs: see `bridged status`")
        )
        return Exit.TEMPFAIL
    return Exit.OK


def _unknown(what: str, name: str, known: Sequence[str]) -> int:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    output.complain(plain(f"there is no {what} {name}; {hint}"))
    return Exit.USAGE
