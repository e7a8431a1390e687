"""`bridged tail`: what flows, as it flows."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from rich.console import Console

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.filters import ALL as ALL_EVENTS
from bridge.cli.filters import covering, pattern
from bridge.cli.loop import run as run_loop
from bridge.cli.moments import moment
from bridge.cli.patience import Patience
from bridge.cli.plain import json_line
from bridge.cli.tail_line import line
from bridge.cli.tail_raw import raw_json, raw_lines
from bridge.cli.tail_telemetry import ALL, telemetry_hint
from bridge.cli.visit import visiting
from bridge.cli.where import HELP as WHERE
from bridge.cli.where import Where, where
from bridge.core.subject import matches
from bridge.edge.config.loader import Config
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.tail import STORED, Tail, last_sequence, seen_of

MOST_FILTERS = 100

Show = Callable[[Message], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged tail [FILTER…] [--since 1h] [--where EXPR] [--raw] [--limit N]`."""
    parser.add_argument(
        "filters",
        metavar="FILTER",
        nargs="*",
        type=pattern,
        help="which events: a subject or its beginning, with NATS wildcards, such as 'pcvisit.*.session' "
        "(default: all; `events.` in front may be left out); with several, what any of them selects. Telemetry, such "
        f"as the platform's packets, is in another stream and not shown: {ALL} shows it",
    )
    parser.add_argument(
        "--since",
        type=moment,
        metavar="T",
        help="also what was stored since then: a span such as 30s, 15m, 1h, 7d, or a time such as 2026-01-31 or "
        "2026-01-31T12:00:00Z",
    )
    parser.add_argument("--where", metavar="EXPR", help=WHERE)
    parser.add_argument("--raw", action="store_true", help="headers and payload as they are stored")
    parser.add_argument(
        "-n", "--limit", "--count", dest="limit", type=_count, metavar="N", help="stop after N events were shown"
    )


def run(args: argparse.Namespace) -> int:
    """Print events until interrupted. Raises ConfigErrors."""
    if len(args.filters) > MOST_FILTERS:
        output.complain(f"bridged: {len(args.filters)} filters are too many: {MOST_FILTERS} at most")
        return Exit.USAGE
    wanted = where(args.where)
    if isinstance(wanted, Exit):
        return wanted
    config = configuration.load(args, vendor_secrets=False)
    for one in dict.fromkeys(args.filters):
        if hint := telemetry_hint(one, config):
            output.complain(f"bridged: {hint}")
    try:
        return run_loop(_run, args, config, wanted)
    finally:
        wanted.close()


async def _run(args: argparse.Namespace, config: Config, wanted: Where) -> int:
    names = ledger_names(config.nats)
    show = _printer(as_json=args.json, raw=args.raw)
    chosen = _chooser(args.filters, wanted)
    async with visiting(config) as connection:
        start: int | datetime
        if args.since is None:
            start = await last_sequence(connection.client, stream=names.stream, prefix=names.api) + 1
        else:
            start = args.since
        async with Tail(
            connection.client,
            stream=names.stream,
            prefix=names.api,
            subjects=covering(args.filters or [ALL_EVENTS]),
            start=start,
        ) as tail:
            following, remade = Patience(connection, tail.take_stored), 0
            left = args.limit
            while left is None or left > 0:
                found = await following.take()
                if tail.remade > remade:
                    output.complain(f"bridged: stream {names.stream} was made anew; shown from its beginning")
                    remade = tail.remade
                for message in filter(chosen, found):
                    show(message)
                    if left is not None:
                        left -= 1
                        if not left:
                            break
    return Exit.OK


def _chooser(filters: Sequence[str], wanted: Where) -> Callable[[Message], bool]:
    if len(filters) < 2:  # the server has chosen
        return wanted
    return lambda message: any(matches(one, message.subject) for one in filters) and wanted(message)


def _printer(*, as_json: bool, raw: bool) -> Show:
    """Colours and one line per event on a terminal; all of it, plain, elsewhere."""
    if as_json:
        of = raw_json if raw else _as_json
        return lambda message: print(json_line(of(message)), flush=True)
    if not sys.stdout.isatty():
        if raw:
            return lambda message: print("\n".join(text.plain for text in raw_lines(message)), flush=True)
        return lambda message: print(line(seen_of(message)).plain, flush=True)
    console = Console(highlight=False)
    if raw:
        return lambda message: console.print(*raw_lines(message), sep="\n", soft_wrap=True)
    return lambda message: console.print(
        line(seen_of(message), console.width), no_wrap=True, overflow="ellipsis", crop=True
    )


def _as_json(message: Message) -> dict[str, object]:
    seen = seen_of(message)
    return {
        "seq": seen.seq,
        "subject": seen.subject,
        "stored": message.headers[STORED],
        "headers": dict(seen.headers),
        "data": seen.data,
    }


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
