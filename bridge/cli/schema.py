"""`bridged schema [SHAPE]`: the JSON Schema of the configuration, or of events: of a shape, or of the bridge's own.

`--markdown`: the configuration's reference for people, which is docs/configuration.md.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping

from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.core import own, shapes
from bridge.core.own import Own
from bridge.core.shape import Shape

KNOWN: Mapping[str, Shape | Own] = {**shapes.SHAPES, **own.OWN}
"""By id, such as `person/1`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The output is JSON in any case."""
    parser.add_argument(
        "shape",
        nargs="?",
        metavar="SHAPE",
        help="print the schema of events of this shape, such as person or person/1, in place of the configuration's; "
        f"there are {', '.join(_names())}",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print every table and key of the configuration as a document"
    )


def run(args: argparse.Namespace) -> int:
    """Print the schema. An adapter that cannot be loaded is left out, named on stderr, and makes exit code 70."""
    if args.shape is None:
        return _configuration(markdown=args.markdown)
    if args.markdown:
        output.complain("--markdown is about the configuration: leave SHAPE out")
        return Exit.USAGE
    return _shape(args.shape)


def _shape(name: str) -> int:
    known = [*_names(), *KNOWN]
    versions = [one for id_, one in KNOWN.items() if name in (id_, id_.partition("/")[0])]
    found = max(versions, key=lambda one: one.version, default=None)
    if found is None:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KNOWN)}"
        output.complain(f"there is no shape {name}; {hint}")
        return Exit.USAGE
    output.emit(found.schema())
    return Exit.OK


def _names() -> list[str]:
    return list(dict.fromkeys(id_.partition("/")[0] for id_ in KNOWN))


def _configuration(*, markdown: bool) -> int:
    # Imported only now: a shape needs no adapter.
    from bridge.edge.config import reference
    from bridge.edge.config import schema as config_schema
    from bridge.edge.discovery import BrokenAdapter, Catalogue

    catalogue = Catalogue.from_environ(os.environ)
    code, usable = Exit.OK, {}
    for name in catalogue.names():
        try:
            usable[name] = catalogue.load(name)
        except BrokenAdapter as error:
            output.complain(str(error))
            code = Exit.SOFTWARE
    if markdown:
        output.say(reference.reference(usable).rstrip())
    else:
        output.emit(config_schema.schema(usable))
    return code
