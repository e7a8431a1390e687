"""`bridged sandbox VENDOR`: plays a vendor on loopback, for trying things out and for tests in other processes.

The first line on stdout says where it is and how to log in: one JSON object with `--json`, or when nobody watches.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import anyio

from bridge.cli import output
from bridge.cli.exits import Exit

if TYPE_CHECKING:  # the real import waits until the extra `demo` is known to be there
    from contextlib import AbstractAsyncContextManager

    from bridge.sandbox.player import Player

    Options = Any
    Play = Callable[[Options], AbstractAsyncContextManager[Player]]

VENDORS = ("pcvisit", "platform", "x_assist", "prosonata", "agyletime")
NOT_FROM_HERE = frozenset({"clock", "tls"})
LIST = "help"
"""In place of an option: list them."""


class BadOption(Exception):
    """A `--set` that the sandbox does not know, or cannot have."""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged sandbox VENDOR [--port N] [--rate N] [--seconds N] [--seed N] [--set OPTION=VALUE …]`."""
    parser.add_argument("vendor", metavar="VENDOR", choices=VENDORS, help=f"whom to play: {', '.join(VENDORS)}")
    parser.add_argument("--port", type=int, default=0, help="listen here on 127.0.0.1 (default: any free port)")
    parser.add_argument("--rate", type=float, default=1.0, metavar="N", help="changes per second (default: 1)")
    parser.add_argument("--seconds", type=float, default=None, metavar="N", help="stop after this long")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed makes the same changes")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), default=None, help="serve HTTPS with these files")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="how the vendor behaves, such as jwt_lifetime_s=5 or lag_s=2; `--set help` lists the vendor's options",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, SIGTERM or `--seconds`. 64 for a wrong option, 69 without the extra `demo` or the port."""
    try:
        kind, play = _vendor(args.vendor)
    except ModuleNotFoundError as missing:
        output.complain(f"the sandbox needs {missing.name}: install bridged[demo]")
        return Exit.UNAVAILABLE
    if LIST in args.set:
        _list(args.vendor, kind, args.json)
        return Exit.OK
    try:
        options = _options(args, kind)
    except BadOption as problem:
        output.complain(str(problem))
        return Exit.USAGE
    try:
        anyio.run(_serve, options, play, args)
    except OSError as problem:
        output.complain(f"cannot serve on 127.0.0.1:{args.port}: {problem}; choose another --port")
        return Exit.UNAVAILABLE
    return Exit.OK


def _vendor(name: str) -> tuple[type[Options], Play]:
    """The options a vendor takes, and how it is played. Raises ModuleNotFoundError without the extra `demo`."""
    if name == "pcvisit":
        from bridge.sandbox import pcvisit

        return pcvisit.Options, pcvisit.pcvisit_sandbox
    if name == "platform":
        from bridge.sandbox import platform

        return platform.Options, platform.platform_sandbox
    if name == "prosonata":
        from bridge.sandbox import prosonata

        return prosonata.Options, prosonata.prosonata_sandbox
    if name == "agyletime":
        from bridge.sandbox import agyletime

        return agyletime.Options, agyletime.agyletime_sandbox
    from bridge.sandbox import x_assist

    return x_assist.Options, x_assist.x_assist_sandbox


async def _serve(options: Options, play: Play, args: argparse.Namespace) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with play(options) as sandbox:
            _announce({**sandbox.describe(), "pid": os.getpid()}, args.json)
            with anyio.move_on_after(args.seconds):
                async for _ in signals:
                    break


def _announce(facts: dict[str, Any], as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        output.say(output.compact(facts))
    else:
        output.say(f"{facts['vendor']} is played at {facts['url']} (control: {facts['control']}; Ctrl-C stops it)")
        output.say("\nIn the environment of bridged:\n")
        for name, value in facts["environment"].items():
            output.say(f"export {name}={value}")
        output.say("\nIn its configuration:\n")
        output.say(facts["configuration"])
    sys.stdout.flush()


def _options(args: argparse.Namespace, kind: type[Options]) -> Options:
    defaults = _defaults(kind)
    values: dict[str, Any] = {"port": args.port, "rate": args.rate, "seed": args.seed}
    if args.tls:
        values["tls"] = tuple(args.tls)
    for text in args.set:
        name, given, value = text.partition("=")
        if not given or name not in defaults:
            near = difflib.get_close_matches(name, defaults, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(defaults)}"
            raise BadOption(f"--set {text}: expected OPTION=VALUE with a known option; {hint} (--set {LIST} lists all)")
        values[name] = _read(value, defaults[name])
        if not _fits(values[name], defaults[name]):
            raise BadOption(f"--set {text}: expected {_expected(defaults[name])}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as problem:
        raise BadOption(f"--set: {problem}") from problem


def _defaults(kind: type[Options]) -> dict[str, Any]:
    """What `--set` may alter, by name, in the order of declaration."""
    options = kind()
    return {field.name: getattr(options, field.name) for field in fields(kind) if field.name not in NOT_FROM_HERE}


def _list(vendor: str, kind: type[Options], as_json: bool) -> None:
    defaults = _defaults(kind)
    if as_json:
        output.emit({"vendor": vendor, "options": defaults})
        return
    output.say(f"the options of {vendor}, for --set OPTION=VALUE, with what they are unless set:")
    output.columns([(name, json.dumps(default)) for name, default in defaults.items()])


def _read(text: str, default: Any) -> Any:
    """The value as JSON; where a text is expected as it is written, unless it is JSON's spelling of a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(default, str) and not isinstance(value, str) else value


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool | str):
        return type(value) is type(default)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _expected(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    return "a text" if isinstance(default, str) else "a number, or null where there may be none"
