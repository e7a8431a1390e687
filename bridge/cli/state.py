"""`bridged state`: the current state of entities, from the view."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.patience import Patience
from bridge.cli.plain import json_line
from bridge.cli.state_view import Shown, Table, as_json, print_whole
from bridge.cli.visit import visiting
from bridge.core.subject import EVENTS, token, untoken
from bridge.edge.config.loader import Config
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.operator.state import Entry, View

KINDS = ("vendor", "source", "entity")
LOOK_S = 2.0
"""How long a wait for changes lasts before it is begun again."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for. `keys`: filters on the view's keys, any of them. `one`: they name one entity, no more."""

    text: str
    keys: tuple[str, ...]
    one: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged state VENDOR.SOURCE.ENTITY[.ID] [--deleted] [--watch]`."""
    parser.add_argument(
        "wanted",
        metavar="VENDOR.SOURCE.ENTITY[.ID]",
        type=wanted,
        help="which entities: with an id, that one, whole; without, all of the kind, one a line, in the order of their "
        "last change. * stands for any vendor, source, entity or id. The id is plain text, or the token that it has "
        "in subjects",
    )
    parser.add_argument("--deleted", action="store_true", help="also those that were deleted")
    parser.add_argument("--watch", action="store_true", help="go on, and show what changes")


def run(args: argparse.Namespace) -> int:
    """Show what is there. Exit code 1 when there is nothing. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args, vendor_secrets=False))


async def _run(args: argparse.Namespace, config: Config) -> int:
    async with visiting(config) as connection:
        view = View(connection.client, ledger_names(config.nats))
        shown = Shown(deleted=args.deleted)
        if args.wanted.one and not args.watch:
            _show_one(args, shown, await view.named(args.wanted.keys))
        else:
            await _show_all(args, shown, view, connection)
    return _ended(args, shown, view.unreadable)


def _show_one(args: argparse.Namespace, shown: Shown, found: list[Entry]) -> None:
    for entry in filter(shown.passes, found):
        if args.json:
            print(json_line(as_json(entry)))
        else:
            print_whole(entry)


async def _show_all(args: argparse.Namespace, shown: Shown, view: View, connection: NatsConnection) -> None:
    table = None if args.json else Table(_console(), kinds=_is_open(args.wanted))

    def show(found: list[Entry]) -> None:
        passing = [entry for entry in found if shown.passes(entry)]
        if table is not None:
            table.add(passing)
        else:
            for entry in passing:
                print(json_line(as_json(entry)), flush=args.watch)

    # An id that may be read in two ways has two filters; all others have one.
    first, *others = args.wanted.keys
    for keys in others if args.watch else args.wanted.keys:
        reading = view.reading(keys)
        while found := await reading.take():
            show(found)
    if not args.watch:
        return
    async with view.reading(first) as reading:
        while found := await reading.take():
            show(found)
        shown.deleted = True  # from now on a deletion is news
        following = Patience(connection, partial(reading.take, wait_s=LOOK_S))
        while True:
            show(await following.take())


def _console() -> Console | None:
    return Console(highlight=False) if sys.stdout.isatty() else None


def _is_open(asked: Wanted) -> bool:
    """Whether entities of several kinds may come."""
    kinds = asked.keys[0].split(".")[:3]
    return len(kinds) < 3 or "*" in kinds or ">" in kinds


def _ended(args: argparse.Namespace, shown: Shown, unreadable: int) -> int:
    if unreadable:
        output.complain(f"bridged: {unreadable} of the view's entries cannot be read and are left out")
    left = f"{shown.hidden} deleted, which --deleted shows" if shown.hidden else ""
    if shown.count:
        if not args.json and not args.wanted.one:
            entities = "entity" if shown.count == 1 else "entities"
            output.complain(f"{shown.count} {entities}{f'; {left}' if left else ''}")
        return Exit.OK
    if args.wanted.one:
        missing = "the view holds no such entity: check its spelling; what occurs has no state"
        output.complain(f"bridged: {'it was deleted: --deleted shows that' if shown.hidden else missing}")
    else:
        missing = "nothing of that kind: check its spelling; what occurs has no state"
        output.complain(f"bridged: the view holds {f'only {left}' if left else missing}")
    return Exit.FAILED


def wanted(text: str) -> Wanted:
    """What `text` asks for. Raises ArgumentTypeError."""
    parts = text.split(".", 3)
    if parts[0] == EVENTS:
        raise argparse.ArgumentTypeError(
            "give VENDOR.SOURCE.ENTITY or VENDOR.SOURCE.ENTITY.ID, as the view's keys are: without events. and without "
            "the change"
        )
    kinds: list[str] = []
    for place, part in enumerate(parts[:3]):
        if part == ">" and place == len(parts) - 1:
            break
        if not part:
            raise argparse.ArgumentTypeError(f"not an entity: {text!r}: the {KINDS[place]} is empty; * stands for any")
        if part != "*" and ("*" in part or ">" in part):
            raise argparse.ArgumentTypeError(f"not an entity: {text!r}: * stands alone between dots, > comes last")
        kinds.append(part if part == "*" or _is_token(part) else token(part))
    if len(parts) < 4:
        return Wanted(text, (".".join([*kinds, ">"]),), one=False)
    id_ = parts[3]
    if id_ in ("*", ">"):
        return Wanted(text, (".".join([*kinds, "*"]),), one=False)
    if not id_:
        raise argparse.ArgumentTypeError(
            f"not an entity: {text!r}: the id is empty; leave its dot out for all of them; the token of an id that "
            "really is empty is ="
        )
    # A text that is a token may also be meant as it stands.
    ids = dict.fromkeys([*([id_] if _is_token(id_) else []), token(id_)])
    return Wanted(text, tuple(".".join([*kinds, one]) for one in ids), one="*" not in kinds)


def _is_token(text: str) -> bool:
    try:
        untoken(text)
    except ValueError:
        return False
    return True
