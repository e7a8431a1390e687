"""`bridged resync`: has a source read again what it has read before, against what is known."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.cli import configuration, output
from bridge.cli.daemon import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import plain
from bridge.cli.tail import span
from bridge.cli.visit import visiting
from bridge.core.event import timestamp
from bridge.edge.config.loader import Config
from bridge.edge.operator.resync import Cursors

HOW = (
    "a running daemon begins when a pass of the source ends, one that starts later at once; what differs from what is "
    "known is published, what does not is not"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged resync SOURCE [--since T] [--walk NAME]`."""
    parser.add_argument("source", metavar="SOURCE", help="the source's name in the configuration")
    parser.add_argument(
        "--since",
        type=_since,
        metavar="T",
        help="from when on: a time such as 2026-01-31 or 2026-01-31T12:00:00Z, or a span such as 7d (default: "
        "everything the vendor gives)",
    )
    parser.add_argument("--walk", action="append", metavar="NAME", help="only this walk, of those `status` names")


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
        chosen = list(dict.fromkeys(args.walk or every))
        again_from_ms = 0 if args.since is None else round(args.since.timestamp() * 1000)
        await cursors.rewind(again_from_ms, chosen)
    since = timestamp(again_from_ms) if again_from_ms else None
    if args.json:
        output.emit({"source": args.source, "walks": chosen, "since": since})
    else:
        output.say(plain(f"source {args.source} reads again {f'since {since}' if since else 'all its vendor gives'}:"))
        output.columns([("walk", plain(walk)) for walk in chosen])
        output.columns([("", HOW)])
    return Exit.OK


def _unknown(what: str, name: str, known: Sequence[str]) -> int:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known) or 'none'}"
    output.complain(plain(f"there is no {what} {name}; {hint}"))
    return Exit.USAGE


def _since(text: str) -> datetime:
    """A point in time: a span back from now, or an RFC 3339 time. Raises ArgumentTypeError."""
    now = datetime.now(UTC)
    try:
        return now - span(text)
    except argparse.ArgumentTypeError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"neither a span nor a time: {text!r}; expected 12h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not datetime(1970, 1, 1, tzinfo=UTC) < moment <= now:
        raise argparse.ArgumentTypeError(f"not in the past, or before 1970: {text!r}")
    return moment
