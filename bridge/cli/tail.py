"""`bridged tail`: what flows, as it flows."""

from __future__ import annotations

import argparse
import json
import re
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text

from bridge.cli import configuration
from bridge.cli.daemon import ledger_names, visitor_options
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.core.subject import EVENTS
from bridge.edge.config import Config
from bridge.edge.nats_connection import connect
from bridge.edge.tail import Seen, Tail, last_sequence

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
COLOURS = {
    "created": "green",
    "updated": "yellow",
    "deleted": "red",
    "snapshot": "bright_black",
    "occurred": "cyan",
}
OWN_COLOUR = "magenta"


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged tail [FILTER] [--since 1h] [--count N]`."""
    parser.add_argument(
        "filter",
        nargs="?",
        default=f"{EVENTS}.>",
        help="subjects with the usual wildcards, such as 'events.pcvisit.*.session.>' (default: all events)",
    )
    parser.add_argument("--since", type=_span, metavar="1h", help="also what was stored since then: 30s, 15m, 1h, 7d")
    parser.add_argument("--count", type=int, metavar="N", help="stop after N events")


def run(args: argparse.Namespace) -> int:
    """Print events until interrupted. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args))


async def _run(args: argparse.Namespace, config: Config) -> int:
    names = ledger_names(config.nats)
    subjects = args.filter if args.filter.startswith(f"{EVENTS}.") else f"{EVENTS}.{args.filter}"
    async with connect(visitor_options(config), give_up_after_s=10) as connection:
        start: int | datetime
        if args.since is None:
            start = await last_sequence(connection.client, stream=names.stream, prefix=names.api) + 1
        else:
            start = datetime.now(UTC) - args.since
        console = Console(highlight=False)
        shown = 0
        async with Tail(
            connection.client, stream=names.stream, prefix=names.api, subjects=subjects, start=start
        ) as tail:
            while args.count is None or shown < args.count:
                for seen in await tail.take():
                    if args.count is not None and shown >= args.count:
                        break
                    shown += 1
                    _show(console, seen, as_json=args.json)
    return Exit.OK


def line(seen: Seen) -> Text:
    """One event for people: when, what, of whom, and what changed."""
    _, vendor, source, entity, change, *_ = seen.subject.split(".")
    after = seen.data.get("after")
    fields = seen.data.get("changed") or (list(after) if isinstance(after, dict) else [])
    details = ", ".join(f"{name}={_short(after.get(name))}" for name in fields) if isinstance(after, dict) else ""
    when = datetime.fromtimestamp(seen.stored_ms / 1000, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    colour = COLOURS.get(change, OWN_COLOUR)
    return Text.assemble(
        (when, "bright_black"),
        f" {vendor}/{source} ",
        (f"{entity}.{change}", colour),
        f" {_plain(str(seen.data.get('id')))} ",
        (_plain(details), "bright_black"),
    )


def _show(console: Console, seen: Seen, *, as_json: bool) -> None:
    if as_json:
        whole = {"seq": seen.seq, "subject": seen.subject, "headers": dict(seen.headers), "data": seen.data}
        print(json.dumps(whole, ensure_ascii=False), flush=True)
    else:
        console.print(line(seen), soft_wrap=True)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _plain(text: str) -> str:
    """What a vendor wrote must not steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"not a span of time: {text!r}; expected a number and s, m, h or d, such as 1h"
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
