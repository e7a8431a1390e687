"""`bridged introspect`: what a GraphQL vendor's schema holds, and above all what can be subscribed to."""

from __future__ import annotations

import argparse
import difflib
from dataclasses import asdict
from typing import Any

import anyio

from bridge.adapter import Adapter
from bridge.cli import configuration, output
from bridge.cli.exits import Exit
from bridge.cli.introspection import Closed, vendor_schema
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import json_line, plain
from bridge.core.errors import BridgeError, Refused
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.config.loader import Config
from bridge.edge.graphql_document import SubscriptionField, VendorSchema
from bridge.edge.http import HttpClient
from bridge.edge.process import wall
from bridge.engine.quota import Quotas
from bridge.engine.reader import Reader

PATIENCE_S = 120.0
"""A vendor that has not told its schema by then is given up."""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged introspect SOURCE`."""
    parser.add_argument("source", metavar="SOURCE", help="the source's name in the configuration")


def run(args: argparse.Namespace) -> int:
    """Print the schema. 64: no such source, or no GraphQL; 77: the vendor refuses us; 69: it tells no schema."""
    return run_loop(_run, args, configuration.load(args))


async def _run(args: argparse.Namespace, config: Config) -> int:
    settings = next((source for source in config.sources if source.name == args.source), None)
    if settings is None:
        names = [source.name for source in config.sources]
        near = difflib.get_close_matches(args.source, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
        output.complain(plain(f"there is no source {args.source}; {hint}"))
        return Exit.USAGE
    adapter = config.adapter(settings)
    if type(adapter).query is Adapter.query:
        output.complain(f"{args.source}: {adapter.vendor} speaks no GraphQL: there is no schema to ask for")
        return Exit.USAGE
    masker = Masker(config.secrets)
    logging.configure("error", config.daemon.log_format, masker)
    try:
        schema = await _ask(adapter, masker)
        sdl, fields = masker.mask(schema.sdl()), schema.subscriptions()
    except Closed as error:
        return _failed(masker, f"{args.source}: {error}; ask the vendor for its subscriptions", Exit.UNAVAILABLE)
    except Refused as error:
        return _failed(masker, f"{args.source}: {error}", Exit.NOPERM)
    except BridgeError as error:
        return _failed(masker, f"{args.source}: {error}", Exit.UNAVAILABLE)
    if args.json:
        told = masker.mask_tree([asdict(one) for one in fields])
        output.say(json_line({"source": args.source, "sdl": sdl, "subscriptions": told}))
    else:
        _show(sdl, fields)
    return Exit.OK


async def _ask(adapter: Adapter[Any], masker: Masker) -> VendorSchema:
    quota = Quotas().of(adapter.budget_key, adapter.limit)
    with anyio.move_on_after(PATIENCE_S):
        async with HttpClient() as http:
            return await vendor_schema(adapter, Reader(adapter, http, quota, wall, masker.add))
    raise TooSlow(f"no schema within {PATIENCE_S:.0f} s: the vendor is slow, or its quota is spent; try again later")


class TooSlow(BridgeError):
    """The vendor did not answer in time."""


def _failed(masker: Masker, text: str, code: Exit) -> int:
    output.complain(plain(f"bridged: {masker.mask(text)}"))
    return code


def _show(sdl: str, fields: list[SubscriptionField]) -> None:
    for line in sdl.splitlines():
        output.say(plain(line))
    output.say()
    # A comment of the schema language, so that all of it can be kept as a file.
    output.say(f"# subscription fields: {len(fields) or 'none; the source can be polled only'}")
    for one in fields:
        arguments = ", ".join(f"{name}: {type_}" for name, type_ in one.arguments.items())
        first = one.description.strip().partition("\n")[0]
        text = f"#   {one.name}{f'({arguments})' if arguments else ''}: {one.type}{f'  {first}' if first else ''}"
        output.say(plain(text))
