"""`bridged schema`: the JSON Schema of the configuration, for editors and for checks before deployment."""

from __future__ import annotations

import argparse
import os

from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.edge.config import schema as config_schema
from bridge.edge.discovery import BrokenAdapter, Catalogue


def configure(parser: argparse.ArgumentParser) -> None:
    """No options of its own; the output is JSON in any case."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Print the schema. An adapter that cannot be loaded is left out, named on stderr, and makes exit code 70."""
    del args
    catalogue = Catalogue.from_environ(os.environ)
    code, usable = Exit.OK, {}
    for name in catalogue.names():
        try:
            usable[name] = catalogue.load(name)
        except BrokenAdapter as error:
            output.complain(str(error))
            code = Exit.SOFTWARE
    output.emit(config_schema.schema(usable))
    return code
