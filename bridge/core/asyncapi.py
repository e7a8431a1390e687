"""The AsyncAPI 3.0 document of what one configuration publishes: `bridged asyncapi` prints it.

Two channels for each topic: the stored one, in a stream, and the live one that repeats what is stored to plain
subscribers. Everything is in a fixed order, so that two documents can be compared line by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from bridge.core.asyncapi_message import CONTENT, CORRELATION, correlation, message
from bridge.core.asyncapi_schemas import DATA, schemas
from bridge.core.asyncapi_topic import Publisher, Topic, topics
from bridge.core.config import NatsSettings
from bridge.core.record import Json
from bridge.core.subject import TELEMETRY, token

VERSION: Final = "3.0.0"
"""Of the specification."""
PORT: Final = 4222
"""NATS's own, for addresses that name none."""

_ABOUT = """\
Every change that the configured sources tell of, each stored once in a JetStream stream and repeated to plain \
subscribers. Messages are CloudEvents 1.0. Whoever consumes from a stream names it (`x-bridged.stream`), since it is \
written through other subjects; acknowledges; and knows repeated deliveries by the event's id. Order events by their \
sequence in the stream: for one entity that is the order of its versions. `created`, `updated` and `snapshot` all hold \
the whole entity in `after`; `snapshot` is not news."""
_EMBEDDED = """\
The daemon runs this server itself. Port and login are in `nats.json` in the daemon's state directory while it runs."""
_LIVE = "The same events as they are stored, to plain subscribers: best effort, never twice, and gone for who is away."
_ID = """\
The entity's id as a subject token: of its UTF-8, A-Z a-z 0-9 _ - stay, every other byte is = and two upper-case hex \
digits; the empty text is =; what would exceed 180 bytes is =h and its SHA-256 in hex. The data has the id as it is."""


def document(
    publishers: Iterable[Publisher], nats: NatsSettings, *, alerts: Sequence[str] = (), version: str
) -> dict[str, Json]:
    """The document, as JSON values. `version` is the program's, `alerts` the names of the configured ones."""
    named = _named(topics(publishers, alerts))
    mode = nats.content_mode
    channels: dict[str, Json] = {}
    for name, topic in named.items():
        channels[name] = _stored(name, topic, nats)
        channels[f"{name}.live"] = _live(name, topic)
    used = {topic.schema or DATA for topic in named.values()}
    components: dict[str, Json] = {
        "schemas": schemas(used, mode),
        "messages": {name: message(topic, mode) for name, topic in named.items()},
        "parameters": _parameters(named.values()),
        "correlationIds": {CORRELATION: correlation(mode)},
    }
    return {
        "asyncapi": VERSION,
        "info": {"title": "bridged", "version": version, "description": _ABOUT},
        "defaultContentType": CONTENT[mode],
        "servers": _servers(nats),
        "channels": channels,
        "operations": {name: _operation(name, channel) for name, channel in channels.items()},
        "components": components,
        "x-bridged": {"content_mode": mode},
    }


def _named(found: Sequence[Topic]) -> dict[str, Topic]:
    """By names that are unique, since two sources may be called alike but for signs that a name here cannot hold."""
    named: dict[str, Topic] = {}
    for topic in found:
        name, number = topic.key, 2
        while name in named:
            name, number = f"{topic.key}-{number}", number + 1
        named[name] = topic
    return named


def _servers(nats: NatsSettings) -> dict[str, Json]:
    if nats.embedded:
        return {"embedded": {"host": "127.0.0.1", "protocol": "nats", "description": _EMBEDDED}}
    return {f"nats-{number}": _server(url) for number, url in enumerate(nats.urls, 1)}


def _server(url: str) -> dict[str, Json]:
    # What stands before an @ is nobody's business.
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else f"{parts.hostname}"
    port = parts.port or {"ws": 80, "wss": 443}.get(parts.scheme, PORT)
    how = {"tls": " with TLS", "ws": " on a WebSocket", "wss": " on a WebSocket with TLS"}.get(parts.scheme, "")
    return {"host": f"{host}:{port}", "protocol": "nats", "description": f"NATS{how}, with JetStream."}


def _stored(name: str, topic: Topic, nats: NatsSettings) -> dict[str, Json]:
    telemetry, tail = topic.lane is TELEMETRY, topic.tail
    about: dict[str, Json] = {
        "stream": nats.telemetry_stream if telemetry else nats.stream,
        "filter": f"{topic.lane.events}.{_wild(tail)}.*.*",
        "max_age_s": round(86_400 * (nats.telemetry_max_age_days if telemetry else nats.max_age_days)),
        "history": f"{topic.lane.events}.{tail}.*.{{id}}",
        "stored": "each change once; it is refused unless it follows its entity's last event",
        "live": f"{name}.live",
    }
    if topic.has_state:
        about["view"] = {"bucket": nats.state_bucket, "key": f"{tail}.{{id}}"}
    said = "Stored in JetStream."
    return _channel(name, topic, topic.lane.events, said, about)


def _live(name: str, topic: Topic) -> dict[str, Json]:
    about: dict[str, Json] = {"filter": f"{topic.lane.live}.{_wild(topic.tail)}.*.*", "of": name}
    return _channel(name, topic, topic.lane.live, _LIVE, about)


def _channel(name: str, topic: Topic, prefix: str, doc: str, about: Mapping[str, Json]) -> dict[str, Json]:
    change = "{change}" if len(topic.changes) > 1 else topic.changes[0]
    parameters: dict[str, Json] = {}
    if topic.source is None:
        parameters["source"] = {
            "enum": [token(one) for one in topic.names],
            "description": topic.own.about if topic.own else "the source",
        }
    if topic.entity is None:
        parameters["entity"] = {"$ref": "#/components/parameters/entity"}
    if len(topic.changes) > 1:
        parameters["change"] = {"enum": list(topic.changes), "description": "what happened"}
    parameters["id"] = {"$ref": "#/components/parameters/id"}
    return {
        "address": f"{prefix}.{topic.tail}.{change}.{{id}}",
        "description": doc,
        "messages": {"event": {"$ref": f"#/components/messages/{name}"}},
        "parameters": parameters,
        "x-bridged": dict(about),
    }


def _operation(name: str, channel: Mapping[str, Json]) -> dict[str, Json]:
    said = f"Publish to {channel['address']}"
    return {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, "summary": said}


def _parameters(found: Iterable[Topic]) -> dict[str, Json]:
    said: dict[str, Json] = {"id": {"description": _ID, "examples": ["4711", "M=C3=BCller"]}}
    if any(topic.entity is None for topic in found):
        said["entity"] = {"description": "What the vendor calls it, as a subject token; see `id`."}
    return said


def _wild(tail: str) -> str:
    return ".".join("*" if part.startswith("{") else part for part in tail.split("."))
