"""The command `bridged`: finds the command's module, runs it, and turns how it ended into an exit code.

A command is a module with `configure(parser)` and `run(args) -> int`, listed in `COMMANDS`. Only the module of the
command that was asked for is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from bridge import __version__
from bridge.cli import configuration
from bridge.cli.exits import Exit
from bridge.edge.methods import defer
from bridge.edge.sparing import sparingly, uncollected

COMMANDS = {
    "run": ("bridge.cli.run", "run the daemon"),
    "demo": ("bridge.cli.demo", "show everything at work, with nothing but this program"),
    "check": ("bridge.cli.check", "check the configuration and say what it means"),
    "tail": ("bridge.cli.tail", "show events as they flow"),
    "state": ("bridge.cli.state", "show the current state of entities"),
    "replay": ("bridge.cli.replay", "publish stored events once more, for one consumer"),
    "status": ("bridge.cli.status", "show how every source is"),
    "health": ("bridge.cli.health", "say whether the daemon on this machine is ready, for health checks"),
    "reload": ("bridge.cli.reload", "have running daemons load their configuration anew"),
    "alert": ("bridge.cli.alert", "list the alerts, or send a test through every channel of one"),
    "introspect": ("bridge.cli.introspect", "print a GraphQL vendor's schema and what can be subscribed to"),
    "resync": ("bridge.cli.resync", "have a source read again what it has read before, or accept its deletes"),
    "forget": ("bridge.cli.forget", "erase one entity from the stream and the view, for good"),
    "sandbox": ("bridge.cli.sandbox", "play a vendor on this machine"),
    "adapters": ("bridge.cli.adapters", "list the adapters and their settings"),
    "nats-config": ("bridge.cli.nats_config", "print streams and permissions for an operator to make on NATS"),
    "asyncapi": ("bridge.cli.asyncapi", "print an AsyncAPI document of what this configuration publishes"),
    "schema": ("bridge.cli.schema", "print the JSON Schema of the configuration, or of events of one shape"),
}

_SPARED: dict[str, tuple[str, ...]] = {"schema": (), "adapters": ()}
"""What to import before a command's module is; unless named here structlog, which nearly all need."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(argv).parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        code: int = importlib.import_module(COMMANDS[args.command][0]).run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last one who can: everything else is a bug and is shown as one
        return _unread() if _is_unread(error) else _explain(error, args)
    return code


def _is_unread(error: BaseException) -> bool:
    """Whether nobody reads what we print any more; several tasks may find out at once."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_unread, error.exceptions))
    return isinstance(error, BrokenPipeError)


def _unread() -> Exit:
    # The reader has seen enough (`bridged schema | head`). Python would complain once more while closing.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.IO


def _explain(error: Exception, args: argparse.Namespace) -> int:
    # Imported only now: `bridged --help` must not wait for them.
    from bridge.cli import output
    from bridge.edge import logging
    from bridge.edge.config.problem import ConfigErrors

    if isinstance(error, ConfigErrors):
        if args.json:
            problems = [problem.as_json() for problem in error.problems]
            output.emit({"ok": False, "problems": problems, "warnings": [w.as_json() for w in error.warnings]})
        else:
            for warning in error.warnings:
                output.complain(f"warning: {warning}")
            for problem in error.problems:
                output.complain(str(problem))
        return Exit.CONFIG
    logging.crash(error)
    return Exit.SOFTWARE


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bridged",
        description="Vendor events into NATS JetStream, each exactly once.",
        epilog="Exit codes follow sysexits: 64 usage, 69 unavailable, 70 bug, 75 try again, 77 permission, "
        "78 configuration.",
    )
    parser.add_argument("--version", action="version", version=f"bridged {__version__}")
    _common(parser, None, False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="bridged")
    for name, (module, help_) in COMMANDS.items():
        asked = name in argv
        # Whoever is not asked for is only to be named: each option takes its time.
        command = commands.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".", add_help=asked)
        if asked:
            # Given after the command they count as well; SUPPRESS keeps what was given before it.
            _common(command, argparse.SUPPRESS, argparse.SUPPRESS)
            defer()
            with uncollected():
                sparingly(*_SPARED.get(name, ("structlog",)))
                importlib.import_module(module).configure(command)
    return parser


def _common(parser: argparse.ArgumentParser, config: str | None, json: str | bool) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=config,
        help=f"the configuration file (default: ${configuration.VARIABLE}, else {configuration.DEFAULT})",
    )
    parser.add_argument("--json", action="store_true", default=json, help="output for programs")


if __name__ == "__main__":
    sys.exit(main())
