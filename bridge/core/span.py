"""A span: one step of a trace, with when it began and ended. Pure; names and attributes are those of the conventions.

Messaging conventions (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, status "Development"),
CloudEvents' (…/semconv/cloudevents/cloudevents-spans/), and names under `bridged.` for what neither knows.
No attribute holds what a vendor wrote: no id, no text, no address. An event's `ce-id` is a digest of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from bridge.core.content import source_of
from bridge.core.event import Event
from bridge.core.own import VENDOR
from bridge.core.subject import token

SCOPE = "bridged"
NATS = "nats"


class Kind(StrEnum):
    """What a span is to the step before it, as OpenTelemetry has it."""

    INTERNAL = "internal"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Via(StrEnum):
    """How the bridge heard of something: `bridged.via`."""

    LIVE = "live"
    """A frame of a live session."""
    WEBHOOK = "webhook"
    PAGE = "page"
    """A page that was read."""
    NOTICE = "notice"
    """Nothing came: the bridge noticed something by itself, such as an absence or a lost session."""


class Context(NamedTuple):
    """Which trace, and which step of it: 32 and 16 hexadecimal digits."""

    trace: str
    span: str


@dataclass(slots=True, kw_only=True)
class Span:
    """One that has ended. Times are nanoseconds since the Unix epoch. `error`: what kind of error ended it, or ""."""

    name: str
    kind: Kind
    context: Context
    parent: Context | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str | int]
    links: Sequence[Context] = ()
    error: str = ""


class Origin(NamedTuple):
    """Whose spans these are. `open`: what its entities are called may be the sender's word, which is not told."""

    vendor: str
    source: str
    open: bool = False


def context_of(traceparent: str) -> Context:
    """Of a valid one, see `bridge.core.trace.parse`."""
    return Context(traceparent[3:35], traceparent[36:52])


def is_sampled(traceparent: str) -> bool:
    """Whether its flag says that the trace is recorded."""
    return bool(int(traceparent[53:55], 16) & 1)


def is_chosen(trace: str, ratio: float) -> bool:
    """Whether this share of all traces holds this one: everybody who asks so of the same trace hears the same.

    As OpenTelemetry's `TraceIdRatioBased` decides: by the last eight bytes of the trace id.
    """
    return int(trace[16:], 16) < round(ratio * (1 << 64))


def received(origin: Origin, via: Via, entity: str = "") -> tuple[str, Kind, Mapping[str, str | int]]:
    """Name, kind and attributes of what has come in. `entity`: what a page was asked for."""
    return _received(origin, via, entity)


@lru_cache(maxsize=1024)
def _received(origin: Origin, via: Via, entity: str) -> tuple[str, Kind, Mapping[str, str | int]]:
    operation = "notice" if via is Via.NOTICE else "receive"
    attributes: dict[str, str | int] = {
        "messaging.system": origin.vendor,
        "messaging.operation.name": operation,
        "messaging.destination.name": origin.source,
        "bridged.vendor": origin.vendor,
        "bridged.source": origin.source,
        "bridged.via": via,
    }
    if via is Via.NOTICE:
        del attributes["messaging.system"], attributes["messaging.operation.name"]
        return f"notice {origin.source}", Kind.INTERNAL, attributes
    attributes["messaging.operation.type"] = "receive"
    if entity:
        attributes["bridged.entity"] = entity
    return f"{operation} {origin.source}", Kind.CLIENT if via is Via.PAGE else Kind.CONSUMER, attributes


def created(origin: Origin, event: Event) -> tuple[str, Mapping[str, str | int]]:
    """Name and attributes of a record's becoming an event."""
    key = event.key
    # What a thing is called is ours to say; what has occurred is often called by the vendor's own word for it.
    theirs = key.vendor != VENDOR and (origin.open or event.change == "occurred")
    entity = "" if theirs else key.entity
    name, common = _created(event.lane.events, key.vendor, key.source, entity, event.change)
    return name, {**common, "messaging.message.id": event.ce_id, "cloudevents.event_id": event.ce_id}


@lru_cache(maxsize=4096)
def _created(prefix: str, vendor: str, source: str, entity: str, change: str) -> tuple[str, Mapping[str, str | int]]:
    template = f"{prefix}.{token(vendor)}.{token(source)}.{token(entity) if entity else '*'}.{change}.*"
    attributes: dict[str, str | int] = {
        "messaging.system": NATS,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.template": template,
        "cloudevents.event_source": source_of(vendor, source),
        "cloudevents.event_spec_version": "1.0",
        "bridged.vendor": vendor,
        "bridged.source": source,
        "bridged.change": change,
    }
    if entity:
        attributes["bridged.entity"] = entity
    return f"create {template}", attributes


def published(origin: Origin, events: Sequence[Event], *, batch: bool) -> tuple[str, Mapping[str, str | int]]:
    """Name and attributes of one write to the stream. `batch`: all of it or nothing."""
    name, common = _published(origin, events[0].lane.events, batch)
    if len(events) == 1:
        return name, {**common, "messaging.message.id": events[0].ce_id}
    return name, {**common, "messaging.batch.message_count": len(events)}


@lru_cache(maxsize=1024)
def _published(origin: Origin, prefix: str, batch: bool) -> tuple[str, Mapping[str, str | int]]:
    # Alerts are written side by side, each under its own name; a source writes its own news beside the vendor's.
    template = f"{prefix}.{token(VENDOR)}.>" if origin.vendor == VENDOR else f"{prefix}.*.{token(origin.source)}.>"
    return f"publish {template}", {
        "messaging.system": NATS,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": template,
        "bridged.vendor": origin.vendor,
        "bridged.source": origin.source,
        "bridged.atomic": "yes" if batch else "no",
    }


def alerted(alert: str, channel: str, id_: str, tries: int) -> tuple[str, Mapping[str, str | int]]:
    """Name and attributes of one attempt to tell an alert. `channel`: its name, which is not its address."""
    attributes: dict[str, str | int] = {
        "messaging.system": SCOPE,
        "messaging.operation.name": "alert",
        "messaging.operation.type": "send",
        "messaging.destination.name": channel,
        "bridged.alert": alert,
        "bridged.tries": tries,
    }
    # Others may write under alerts' subjects: only what looks like a digest of ours is told.
    if len(id_) == 32 and all(digit in "0123456789abcdef" for digit in id_):
        attributes["messaging.message.id"] = attributes["cloudevents.event_id"] = id_
    return f"alert {alert}", attributes
