"""`bridged tail`: what flows, as it flows."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import json_line, plain
from bridge.cli.tail_telemetry import ALL, elsewhere, telemetry_hint
from bridge.cli.visit import hindrances, visiting
from bridge.core.errors import Away
from bridge.core.subject import EVENTS, token
from bridge.edge.config.loader import Config
from bridge.edge.operator.tail import Seen, Tail, last_sequence

TOKENS = 6
"""Every event's subject has so many: events, vendor, source, entity, change, id."""
PAUSE_S = 1.0
"""Between attempts while NATS is there and JetStream is not."""
LONGEST_SPAN = timedelta(days=36_500)
LONGEST_VALUE = 60

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
        type=pattern,
        default=f"{EVENTS}.>",
        help="which events: a subject or its beginning, with NATS wildcards, such as 'pcvisit.*.session' "
        "(default: all; `events.` in front may be left out). Telemetry, such as the platform's packets, "
        f"is in another stream and not shown: {ALL} shows it",
    )
    parser.add_argument("--since", type=span, metavar="1h", help="also what was stored since then: 30s, 15m, 1h, 7d")
    parser.add_argument("--count", type=_count, metavar="N", help="stop after N events")


def run(args: argparse.Namespace) -> int:
    """Print events until interrupted. Raises ConfigErrors."""
    config = configuration.load(args, vendor_secrets=False)
    if hint := telemetry_hint(args.filter, config):
        output.complain(f"bridged: {hint}")
    return run_loop(_run, args, config)


async def _run(args: argparse.Namespace, config: Config) -> int:
    names = ledger_names(config.nats)
    show = _printer(as_json=args.json)
    async with visiting(config) as connection:
        start: int | datetime
        if args.since is None:
            start = await last_sequence(connection.client, stream=names.stream, prefix=names.api) + 1
        else:
            start = datetime.now(UTC) - args.since
        shown = remade = 0
        async with Tail(
            connection.client, stream=names.stream, prefix=names.api, subjects=args.filter, start=start
        ) as tail:
            away = False
            while args.count is None or shown < args.count:
                try:
                    found = await tail.take()
                except Away as error:
                    if hindrances(connection):
                        raise
                    if not away:
                        output.complain(f"bridged: {connection.problem or error}; waiting for it")
                    away = True
                    await connection.wait_connected()
                    await anyio.sleep(PAUSE_S)
                    continue
                if away:
                    output.complain("bridged: NATS is back")
                    away = False
                if tail.remade > remade:
                    output.complain(f"bridged: stream {names.stream} was made anew; shown from its beginning")
                    remade = tail.remade
                for seen in found if args.count is None else found[: args.count - shown]:
                    show(seen)
                shown += len(found)
    return Exit.OK


def _printer(*, as_json: bool) -> Callable[[Seen], None]:
    """Colours and one line per event on a terminal; all of it, plain, elsewhere."""
    if as_json:
        return lambda seen: print(
            json_line({"seq": seen.seq, "subject": seen.subject, "headers": dict(seen.headers), "data": seen.data}),
            flush=True,
        )
    if not sys.stdout.isatty():
        return lambda seen: print(line(seen).plain, flush=True)
    console = Console(highlight=False)
    return lambda seen: console.print(line(seen), no_wrap=True, overflow="ellipsis", crop=True)


def line(seen: Seen) -> Text:
    """One event for people: when, of whom, what happened, and what changed."""
    tokens = [*map(plain, seen.subject.split(".")), *[""] * TOKENS]
    _, vendor, source, entity, change, id_ = tokens[:TOKENS]
    data: Mapping[str, Any] = seen.data if isinstance(seen.data, dict) else {}
    return Text.assemble(
        (_when(seen.stored_ms), "bright_black"),
        f" {vendor}/{source} ",
        (f"{entity}.{change}", COLOURS.get(change, OWN_COLOUR)),
        f" {plain(str(data.get('id', id_)))} ",
        (plain(_details(data)), "bright_black"),
    )


def _when(stored_ms: int) -> str:
    """The local time; with its date when that is not today."""
    when = datetime.fromtimestamp(stored_ms / 1000, UTC).astimezone()
    today = when.date() == datetime.now(UTC).astimezone().date()
    return when.strftime("%H:%M:%S.%f")[:-3] if today else when.strftime("%Y-%m-%d %H:%M:%S")


def _details(data: Mapping[str, Any]) -> str:
    """What changed, from what to what; else what there is, without what is empty."""
    after, before = data.get("after"), data.get("before")
    if not isinstance(after, dict):
        return ""
    changed = data.get("changed")
    if isinstance(changed, list) and changed:
        known = before if isinstance(before, dict) else {}
        return ", ".join(
            f"{name}: {_short(known[name])} → {_short(after.get(name))}"
            if known.get(name) is not None
            else f"{name}: {_short(after.get(name))}"
            for name in map(str, changed)
        )
    return ", ".join(f"{name}: {_short(value)}" for name, value in after.items() if value not in (None, "", [], {}))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def pattern(text: str) -> str:
    """The filter on events that `text` means. Raises ArgumentTypeError for what no event's subject can match."""
    if text in (EVENTS, ">", "*"):
        return f"{EVENTS}.>"
    if instead := elsewhere(text):
        raise argparse.ArgumentTypeError(f"not a filter on events: {text!r}: {instead}")
    tokens = [EVENTS, *text.removeprefix(f"{EVENTS}.").split(".")]
    for place, part in enumerate(tokens[1:], 2):
        if part == ">" and place == len(tokens):
            continue
        if part == ">":
            raise argparse.ArgumentTypeError(f"not a filter: {text!r}: > stands for all that follows, so it comes last")
        if not part:
            raise argparse.ArgumentTypeError(f"not a filter: {text!r}: there is nothing between two dots, or at an end")
        if part != "*" and not re.fullmatch(r"[A-Za-z0-9_=-]+", part):
            hint = "* stands alone between dots" if "*" in part or ">" in part else f"in subjects it is {token(part)}"
            raise argparse.ArgumentTypeError(f"not a filter: {text!r}: {part!r} cannot stand in a subject; {hint}")
    if len(tokens) > TOKENS:
        raise argparse.ArgumentTypeError(
            f"not a filter: {text!r}: an event's subject is events.VENDOR.SOURCE.ENTITY.CHANGE.ID, no longer"
        )
    if len(tokens) < TOKENS and tokens[-1] != ">":
        tokens.append(">")
    return ".".join(tokens)


def span(text: str) -> timedelta:
    """A span of time such as 90s, 15m, 1h, 7d. Raises ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{1,12})([smhd])", text)
    try:
        if match and (found := timedelta(seconds=int(match[1]) * _UNITS[match[2]])) <= LONGEST_SPAN:
            return found
    except OverflowError:
        pass
    raise argparse.ArgumentTypeError(
        f"not a span of time: {text!r}; expected a whole number and s, m, h or d, such as 1h, at most a century"
    )


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
