"""`bridged forget`: erases one entity from the stream and from the view, for good.

Nothing printed here holds the entity's id or content: what is shown may end in a log.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import plain
from bridge.cli.visit import visiting
from bridge.edge.config.loader import Config
from bridge.edge.operator.forget import Entity, Erased, Eraser, Held, NotAnEntity, readings

ELSEWHERE = (
    "not touched: copies that others have made (consumers, mirrors, back-ups), and what the vendor itself holds; a "
    "daemon publishes the entity again when it changes there, and as created once it has read the stream anew"
)

Found = list[tuple[Entity, Held]]


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged forget VENDOR.SOURCE.ENTITY.ID [--yes]`."""
    parser.add_argument(
        "entity",
        metavar="VENDOR.SOURCE.ENTITY.ID",
        type=_readings,
        help="which entity; the id as plain text, or as the token it has in subjects",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    """Look, ask, erase. Exit code 1 when there is nothing to erase, or the answer is no. Raises ConfigErrors."""
    config = configuration.load(args, vendor_secrets=False)
    found: Found = []
    if code := run_loop(_look, config, args.entity, found):
        return code
    held = [(entity, what) for entity, what in found if not what.nothing]
    if len(held) > 1:
        output.complain(
            "this id means two entities: the one whose token it is, and the one whose text it is; give the token of "
            "the second (every = in it spelt =3D), or the text of the first"
        )
        return Exit.USAGE
    if not held:
        _nothing(args, found)
        return Exit.FAILED
    entity, what = held[0]
    if not args.json:
        _show(entity, what)
    if not args.yes:
        if args.json or not sys.stdin.isatty():
            output.complain("nothing was erased: nobody can be asked here; add --yes")
            return Exit.USAGE
        if not _confirmed():
            output.say("nothing was erased")
            return Exit.FAILED
    erased: list[Erased] = []
    if code := run_loop(_erase, config, entity, erased):
        return code
    _report(args, entity, what, erased[0])
    return Exit.OK


async def _look(config: Config, entities: list[Entity], found: Found) -> int:
    async with visiting(config) as connection:
        eraser = Eraser(connection.client, ledger_names(config.nats))
        for entity in entities:
            found.append((entity, await eraser.look(entity)))
    return Exit.OK


async def _erase(config: Config, entity: Entity, erased: list[Erased]) -> int:
    async with visiting(config) as connection:
        erased.append(await Eraser(connection.client, ledger_names(config.nats)).erase(entity))
    return Exit.OK


def _show(entity: Entity, held: Held) -> None:
    output.say(f"{plain(entity.kind)}, this one entity:")
    events = sum(held.changes.values())
    told = ", ".join(f"{count} {plain(change)}" for change, count in held.changes.items())
    output.columns([
        ("stream", f"{events} event{'' if events == 1 else 's'}: {told}; from {held.first} to {held.last}"
         if events else "nothing"),
        *([("telemetry", f"{held.telemetry} event(s)")] if held.telemetry else []),
        ("view", "its entry" if held.view else "nothing"),
        ("not erased", _quarantine(held)),
    ])  # fmt: skip


def _quarantine(held: Held) -> str:
    if not held.quarantined:
        return "the source's quarantine is empty"
    return (
        f"{held.quarantined} unreadable record(s) in the source's quarantine: of whom they are cannot be told; see "
        "them with bridged tail, and forget them one by one"
    )


def _confirmed() -> bool:
    try:
        return input("Erase this for good? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _nothing(args: argparse.Namespace, found: Found) -> None:
    if args.json:
        entity, held = found[0]
        output.emit({**_facts(entity, held), "erased": False, "events": 0, "entries": 0})
    output.complain("neither the stream nor the view holds anything of this entity: check its spelling")


def _report(args: argparse.Namespace, entity: Entity, held: Held, erased: Erased) -> None:
    if args.json:
        output.emit({**_facts(entity, held), "erased": True, "events": erased.events, "entries": erased.view})
        return
    output.say(f"erased: {erased.events} event(s), {erased.view} entry of the view")
    output.columns([("", ELSEWHERE)])


def _facts(entity: Entity, held: Held) -> dict[str, Any]:
    return {
        "entity": entity.kind,
        "held": {
            "changes": dict(held.changes), "first": held.first or None, "last": held.last or None,
            "telemetry": held.telemetry, "view": held.view,
        },
        "quarantined": held.quarantined,
    }  # fmt: skip


def _readings(text: str) -> list[Entity]:
    try:
        return readings(text)
    except NotAnEntity as error:
        raise argparse.ArgumentTypeError(str(error)) from None
