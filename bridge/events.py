"""For consumers in Python: a NATS message as a typed event.

    from bridge.events import event_of

    async for message in subscription.messages:
        event = event_of(message)
        print(event.vendor, event.entity, event.change, event.id, event.after)

It needs nothing but the standard library, and reads both content modes, message by message. It knows what is stored
(`events.…`, `telemetry.…`), what is repeated to plain subscribers (`live.…`) and what the KV view's stream holds
(`$KV.<bucket>.…`), and copies under any other subject that ends in the five tokens of an event's: those of `bridged
replay`, or what an account's import has made of it. What the fields mean is in `docs/events.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from bridge.core.content import attributes_of, data_of, source_of, strictly
from bridge.core.record import Change, Json, Via
from bridge.core.subject import EVENTS, LIVE, TELEMETRY, token, untoken

__all__ = ["Event", "Message", "NotAnEvent", "event_of", "parse"]

_PREFIXES = {EVENTS: False, LIVE: False, TELEMETRY.events: True}
"""What stands before the five tokens of an event, and whether that makes it telemetry."""
_KV = "$KV"
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_FOREIGN = "the subject is not one of the bridge's"


class NotAnEvent(ValueError):
    """The message is none of ours. The text says why, and shows nothing of its content."""


class Message(Protocol):
    """What nats-py hands over, and anything that looks like it."""

    @property
    def subject(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str] | None: ...
    @property
    def data(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change. `change` of the bridge's own entities may be another word: `opened`, `lost`, `blocked`, ….

    `ce_id` names the change for good: recognise repeated deliveries by it. `time` is when it happened at the vendor,
    `observed` when the bridge saw it. `after` is the whole entity, `before` what it was.
    """

    vendor: str
    source: str
    entity: str
    change: Change | str
    id: str
    ce_id: str
    type: str
    time: datetime
    observed: datetime
    via: Via | str
    schema: str | None = None
    traceparent: str | None = None
    version: str | None = None
    after: Any = field(default=None, repr=False)
    before: Any = field(default=None, repr=False)
    changed: tuple[str, ...] = ()
    raw: Any = field(default=None, repr=False)
    omitted: tuple[str, ...] = ()
    telemetry: bool = False

    def variables(self) -> dict[str, Json]:
        """What expressions and templates may name: the fields above, times as RFC 3339 text."""
        return {
            "vendor": self.vendor,
            "source": self.source,
            "entity": self.entity,
            "change": self.change,
            "id": self.id,
            "ce_id": self.ce_id,
            "type": self.type,
            "time": _stamp(self.time),
            "observed": _stamp(self.observed),
            "via": self.via,
            "version": self.version,
            "after": self.after,
            "before": self.before,
            "changed": list(self.changed),
        }


class _Place(NamedTuple):
    """What a subject says. `change` is None for an entry of the view: there only the data say it."""

    vendor: str
    source: str
    entity: str
    change: str | None
    id_token: str
    telemetry: bool
    ours: bool
    """Whether the subject itself tells that it is one of ours."""


def event_of(message: Message) -> Event:
    """The event in a message. Raises NotAnEvent."""
    return parse(message.subject, message.headers, message.data)


def parse(subject: str, headers: Mapping[str, str] | None, payload: bytes) -> Event:
    """The event of a message with these parts. Raises NotAnEvent."""
    place = _place(subject)
    attributes, data = _content(headers or {}, payload)
    if attributes.get("specversion") != "1.0" or not attributes.get("id") or not attributes.get("type"):
        raise NotAnEvent("the message lacks the attributes of a CloudEvent")
    id_, change = _text(data, "id"), _text(data, "change")
    if token(id_) != place.id_token or place.change not in (None, change):
        raise NotAnEvent("the data are not those of the subject")
    if not place.ours and attributes.get("source") != source_of(place.vendor, place.source):
        raise NotAnEvent(_FOREIGN)
    happened = _moment(attributes.get("time"))
    version = data.get("version")
    return Event(
        vendor=place.vendor,
        source=place.source,
        entity=place.entity,
        change=change,
        id=id_,
        ce_id=attributes["id"],
        type=attributes["type"],
        time=happened,
        observed=_moment(attributes["observedtime"]) if "observedtime" in attributes else happened,
        via=attributes.get("via", ""),
        schema=attributes.get("dataschema"),
        traceparent=attributes.get("traceparent"),
        version=None if version is None else _text(data, "version"),
        after=data.get("after"),
        before=data.get("before"),
        changed=_texts(data, "changed"),
        raw=data.get("raw"),
        omitted=_texts(data, "omitted"),
        telemetry=place.telemetry,
    )


def _place(subject: str) -> _Place:
    tokens = subject.split(".")
    if len(tokens) < 5:
        raise NotAnEvent(_FOREIGN)
    before = tokens[-6] if len(tokens) > 5 else ""
    vendor, source, entity, *change, id_ = tokens[-4:] if before == _KV else tokens[-5:]
    try:
        # One that is longer than a subject takes is a hash there, and stays it here.
        vendor, source, entity = (
            text if (name := untoken(text)) is None else name for text in (vendor, source, entity)
        )
    except ValueError:
        raise NotAnEvent(_FOREIGN) from None
    ours = before == _KV or before in _PREFIXES
    return _Place(vendor, source, entity, change[0] if change else None, id_, _PREFIXES.get(before, False), ours)


def _content(headers: Mapping[str, str], payload: bytes) -> tuple[dict[str, str], dict[str, Json]]:
    """The attributes and the data. Names of headers are read in any case; ours, in lower case, come first."""
    try:
        lower = {name.lower(): value for name, value in headers.items()}
        lower |= {name: value for name, value in headers.items() if name in lower}
        # What is no text, or no UTF-8, or nested too deeply, or has endless digits, is none of ours.
        body = json.loads(payload, parse_constant=_no_constant)
        attributes, data = attributes_of(lower, body, strictly), data_of(lower, body)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise NotAnEvent("headers or payload cannot be read") from None
    if not isinstance(data, dict):
        raise NotAnEvent("the data is no JSON object")
    return attributes, data


def _text(data: Mapping[str, Json], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise NotAnEvent(f"`{name}` is no text")
    return value


def _texts(data: Mapping[str, Json], name: str) -> tuple[str, ...]:
    values = data.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise NotAnEvent(f"`{name}` is no list of texts")
    return tuple(values)


def _moment(text: str | None) -> datetime:
    try:
        # Thirteen months, or the first moment of year 1 in the east.
        found = datetime.fromisoformat(text).astimezone(UTC) if text and _MOMENT.fullmatch(text) else None
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise NotAnEvent("the message lacks a readable time")
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
