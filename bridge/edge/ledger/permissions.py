"""The smallest list of subjects that the bridge's NATS user needs. Pure.

Tests run under exactly this list, and show of every entry that something breaks without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.core import micro
from bridge.core.record import Json
from bridge.core.subject import CURSOR, INGEST, LIVE, OWNER, TELEMETRY
from bridge.edge.ledger.consumers import consumer_name
from bridge.edge.ledger.shape import LedgerNames

ANSWER_S = 180
"""How long an answer may take, in seconds."""


def permissions(
    names: LedgerNames,
    inbox_prefix: str = "_INBOX",
    *,
    telemetry: bool = False,
    alerts: Sequence[tuple[str, str]] | None = None,
    services: bool = False,
) -> dict[str, Json]:
    """As `permissions` of a user in the server's configuration: what it may publish and subscribe to.

    `telemetry`: for sources that have any; without, its stream does not exist. `alerts`: every alert's name with each
    of its channels' names; None: there are no alerts. `services`: to be asked by `bridged status` and `bridged reload`,
    and to answer whoever asks.
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
    subscribe = [f"{inbox_prefix}.>"]
    if alerts is not None:
        for alert, channel in alerts:
            consumer = consumer_name(alert, channel)
            publish += [f"{api}.CONSUMER.{verb}.{ledger}.{consumer}" for verb in ("INFO", "MSG.NEXT")]
            publish.append(f"$JS.ACK.{ledger}.{consumer}.>")
        if names.manage == "create":
            publish += [f"{api}.CONSUMER.CREATE.{ledger}.>", f"{api}.CONSUMER.NAMES.{ledger}"]
            publish.append(f"{api}.CONSUMER.DELETE.{ledger}.*")
        # What is republished says that it is time to look.
        subscribe.append(f"{LIVE}.>")
    answers: dict[str, Json] = {}
    if services:
        subscribe += micro.listened()
        # Inboxes of who asks are anybody's. An answer comes in parts, and after a reload has ended.
        answers["allow_responses"] = {"max": micro.MOST_PARTS, "expires": f"{ANSWER_S}s"}
    return {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}, **answers}


def operator_permissions(inbox_prefix: str = "_INBOX") -> dict[str, Json]:
    """What `bridged status` and `bridged reload` need of their user to ask instances; no more than that.

    Who may publish `bridge.srv.*.reload` can have every daemon load its configuration anew.
    """
    return {"publish": {"allow": micro.asked()}, "subscribe": {"allow": [f"{inbox_prefix}.>"]}}
