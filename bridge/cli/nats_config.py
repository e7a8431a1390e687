"""`bridged nats-config`: what an operator who keeps the keys has to make on the NATS server, and to grant.

Touches no network. With `--stream NAME` it prints one stream alone, as `nats stream add --config FILE` reads it.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from bridge.cli import configuration, output
from bridge.cli.broker import ledger_names
from bridge.cli.exits import Exit
from bridge.core.alerts.settings import channel_names
from bridge.edge.config.loader import Config
from bridge.edge.ledger.consumers import consumer_config
from bridge.edge.ledger.layout import lease_config, state_config, stream_config, telemetry_config
from bridge.edge.ledger.permissions import operator_permissions, permissions
from bridge.edge.ledger.shape import LedgerNames

HOW = """\
Streams, in this order. Each as a file for `nats stream add --config FILE`; print one alone with `--stream NAME`:
"""
GRANT = """
Permissions of the bridge's user when everything exists and `nats.manage = "verify"`, in the server's configuration:
"""
MORE = """
With `nats.manage = "create"` it needs these to publish to, besides:
"""

TELEMETRY = """
Where a source has telemetry (none has unless its adapter says so), this stream besides, and these to publish to:
"""

ASKING = """
Whoever asks the daemons by `bridged status` needs these to publish to, and `bridged reload` does; the last one lets a
user have every daemon load its configuration anew:
"""

ALERTS = """
For the alerts: a consumer of the stream for each channel, as a file for `nats consumer add STREAM --config FILE`, and
these to publish and to subscribe to (`create`: with `nats.manage = "create"`, which makes the consumers, besides):
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged nats-config [--stream NAME]`."""
    parser.add_argument("--stream", metavar="NAME", help="print this stream's configuration alone, as JSON")


def run(args: argparse.Namespace) -> int:
    """Print. Raises ConfigErrors."""
    told = report(configuration.load(args, vendor_secrets=False))
    if args.stream:
        streams = [*told["streams"], told["telemetry"]["stream"]]
        chosen = [stream for stream in streams if stream["name"] == args.stream]
        if not chosen:
            names = ", ".join(stream["name"] for stream in streams)
            output.complain(f"there is no stream {args.stream}; there are {names}")
            return Exit.USAGE
        output.emit(chosen[0])
    elif args.json:
        output.emit(told)
    else:
        _show(told)
    return Exit.OK


def report(config: Config) -> dict[str, Any]:
    """Streams and permissions, as JSON."""
    names = ledger_names(config.nats)
    verify = permissions(dataclasses.replace(names, manage="verify"), config.nats.inbox_prefix, services=True)
    create = permissions(dataclasses.replace(names, manage="create"), config.nats.inbox_prefix)
    publish = verify["publish"]["allow"]
    aside = permissions(dataclasses.replace(names, manage="verify"), config.nats.inbox_prefix, telemetry=True)
    told = _alerts(config, names, publish)
    return {
        "streams": [stream_config(names), state_config(names), lease_config(names)],
        "permissions": verify,
        "create": [subject for subject in create["publish"]["allow"] if subject not in publish],
        "telemetry": {
            "stream": telemetry_config(names),
            "publish": [subject for subject in aside["publish"]["allow"] if subject not in publish],
        },
        "asking": operator_permissions(config.nats.inbox_prefix)["publish"]["allow"],
        **({"alerts": told} if config.alerts else {}),
    }


def _alerts(config: Config, names: LedgerNames, publish: list[str]) -> dict[str, Any]:
    """What the configured alerts need besides: a consumer for each channel, and the subjects to reach it by."""
    pairs = [(alert.name, channel) for alert in config.alerts for channel in channel_names(alert)]
    verify, create = (
        permissions(dataclasses.replace(names, manage=manage), config.nats.inbox_prefix, alerts=pairs)
        for manage in ("verify", "create")
    )
    more = [subject for subject in verify["publish"]["allow"] if subject not in publish]
    plain = permissions(dataclasses.replace(names, manage="create"), config.nats.inbox_prefix)["publish"]["allow"]
    return {
        "consumers": [consumer_config(*pair) for pair in pairs],
        "publish": more,
        "subscribe": verify["subscribe"]["allow"][1:],
        "create": [subject for subject in create["publish"]["allow"] if subject not in {*plain, *more}],
    }


def _show(told: dict[str, Any]) -> None:
    output.say(HOW)
    for stream in told["streams"]:
        output.emit(stream)
    output.say(GRANT)
    output.emit({"permissions": told["permissions"]})
    output.say(MORE)
    for subject in told["create"]:
        output.say(f"  {subject}")
    output.say(TELEMETRY)
    output.emit(told["telemetry"])
    output.say(ASKING)
    for subject in told["asking"]:
        output.say(f"  {subject}")
    if "alerts" in told:
        output.say(ALERTS)
        output.emit(told["alerts"])
