"""`bridged asyncapi`: an AsyncAPI 3 document of what this configuration publishes, for those who consume it.

Touches no network and needs no vendor's secret. The order is fixed: two documents can be compared line by line.
"""

from __future__ import annotations

import argparse
from typing import Any

from bridge import __version__
from bridge.adapter import Adapter
from bridge.cli import configuration, output
from bridge.cli.exits import Exit
from bridge.core.asyncapi import document
from bridge.core.asyncapi_topic import Publisher
from bridge.edge.config.loader import Config


def configure(parser: argparse.ArgumentParser) -> None:
    """The output is JSON in any case."""


def run(args: argparse.Namespace) -> int:
    """Print. Raises ConfigErrors."""
    output.emit(report(configuration.load(args, vendor_secrets=False)))
    return Exit.OK


def report(config: Config) -> dict[str, Any]:
    """The document of a configuration, as JSON values."""
    publishers = [publisher(config.adapter(source)) for source in config.sources]
    return document(publishers, config.nats, alerts=[one.name for one in config.alerts], version=__version__)


def publisher(adapter: Adapter[Any]) -> Publisher:
    """What the document must know of a source."""
    found = adapter.entities
    schemas = {one.entity: adapter.schema(one.entity) for one in found if one.entity is not None}
    return Publisher(
        vendor=adapter.vendor,
        source=adapter.settings.name,
        type_prefix=adapter.type_prefix,
        entities=found,
        schemas={entity: schema for entity, schema in schemas.items() if schema is not None},
    )
