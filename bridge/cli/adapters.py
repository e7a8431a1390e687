"""`bridged adapters`: which vendors can be read, and every setting a source of each may have."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from typing import Any

from bridge.cli import output
from bridge.cli.exits import Exit
from bridge.edge.config.convert import describe, fields_of, is_required
from bridge.edge.config.schema import default_of
from bridge.edge.discovery import AdapterClass, BrokenAdapter, Catalogue, UnknownAdapter, summary


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged adapters [NAME …]`."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these")


def run(args: argparse.Namespace) -> int:
    """List them. One that cannot be loaded is named and makes exit code 70; an unknown name 64."""
    catalogue = Catalogue.from_environ(os.environ)
    code, found = Exit.OK, []
    for name in args.names or catalogue.names():
        try:
            found.append(facts(name, catalogue.load(name)))
        except UnknownAdapter as error:
            output.complain(f"{name}: {error}")
            return Exit.USAGE
        except BrokenAdapter as error:
            output.complain(str(error))
            code = Exit.SOFTWARE
    if args.json:
        output.emit(found)
        return code
    for adapter in found:
        _show(adapter)
    if found:
        output.say("inferred: the vendor does not document it; check it with the vendor before relying on it")
    return code


def facts(name: str, cls: AdapterClass) -> dict[str, Any]:
    """What there is to say about an adapter, as JSON."""
    return {
        "name": name, "vendor": cls.vendor, "summary": summary(cls), "omit": list(cls.omit),
        "settings": _settings(cls.Settings),
    }  # fmt: skip


def _settings(cls: type, within: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key, (field, hint) in fields_of(cls).items():
        found.append(
            {
                "key": f"{within}{key}",
                "type": describe(hint),
                "required": is_required(field),
                "default": default_of(field),
                "inferred": bool(field.metadata.get("inferred")),
                "doc": field.metadata.get("doc", ""),
            }
        )
        inner = next((part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)), None)
        if isinstance(inner, type):
            # A table that may stand there any number of times: its keys follow it.
            found += _settings(inner, f"{within}{key}.")
    return found


def _show(adapter: dict[str, Any]) -> None:
    output.say(f"{adapter['name']}  (vendor {adapter['vendor']})  {adapter['summary']}")
    output.columns(_row(setting) for setting in adapter["settings"])
    output.say()


def _row(setting: dict[str, Any]) -> tuple[str, str, str]:
    if setting["required"]:
        default = "required"
    else:
        default = "–" if setting["default"] is None else f"= {output.compact(setting['default'])}"
    mark = " (inferred)" if setting["inferred"] else ""
    return setting["key"], default, f"{setting['doc']}: {setting['type']}{mark}"
