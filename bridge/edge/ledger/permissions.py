"""The smallest list of subjects that the bridge's NATS user needs. Pure.

Tests run under exactly this list, and show of every entry that something breaks without it.
"""

from __future__ import annotations

from bridge.core.record import Json
from bridge.core.subject import CURSOR, INGEST, OWNER, TELEMETRY
from bridge.edge.ledger.shape import LedgerNames


def permissions(names: LedgerNames, inbox_prefix: str = "_INBOX", *, telemetry: bool = False) -> dict[str, Json]:
    """As `permissions` of a user in the server's configuration: what it may publish and subscribe to.

    `telemetry`: for sources that have any; without, its stream does not exist.
    With `manage = "create"` the list holds what it takes to make the streams, to make the view anew, and, where it has
    replicas, to have another of them lead it.
    """
    api, ledger, view, leases = names.api, names.stream, names.state_stream, names.lease_stream
    lease = names.lease_subject("*")
    publish = [
        f"{INGEST}.>",
        f"{CURSOR}.>",
        f"{OWNER}.*",
        # Beyond a domain's border the API's prefix carries it.
        lease if api == "$JS.API" else f"{api}.{lease}",
        f"{api}.INFO",
        *(f"{api}.STREAM.INFO.{stream}" for stream in (ledger, view, leases)),
        *(f"{api}.STREAM.MSG.GET.{stream}" for stream in (ledger, view)),
        *(f"{api}.DIRECT.GET.{stream}" for stream in (ledger, view, leases)),
        *(f"{api}.CONSUMER.{verb}" for verb in (f"CREATE.{view}", f"MSG.NEXT.{view}.*", f"DELETE.{view}.*")),
    ]
    if names.manage == "create":
        publish += [f"{api}.STREAM.CREATE.{stream}" for stream in (ledger, view, leases)]
        publish.append(f"{api}.STREAM.DELETE.{view}")
        if names.replicas > 1:
            publish.append(f"{api}.STREAM.LEADER.STEPDOWN.{view}")
    if telemetry:
        aside = names.telemetry_stream
        publish += [f"{TELEMETRY.ingest}.>", f"{TELEMETRY.cursor}.>"]
        publish += [f"{api}.{verb}.{aside}" for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")]
        if names.manage == "create":
            publish.append(f"{api}.STREAM.CREATE.{aside}")
    return {"publish": {"allow": publish}, "subscribe": {"allow": [f"{inbox_prefix}.>"]}}
