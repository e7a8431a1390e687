"""GraphQL subscriptions that an operator supplies: the session they make, and the records in what arrives.

Nobody documents these vendors' subscriptions. So the document, its variables and what an entity is in the answer come
from the configuration (`Subscription`), and an adapter adds what it knows: addresses, its own mappings, failures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from bridge.core import fields
from bridge.core.canonical import legible
from bridge.core.errors import Malformed, Refused, Throttled, Unauthorized
from bridge.core.event import timestamp
from bridge.core.facts import GraphqlSession, Operation, Token
from bridge.core.graphql import Failures, fault
from bridge.core.record import Json, Record
from bridge.core.secret import Secret
from bridge.core.settings import GraphqlSettings, Subscription

__all__ = [
    "Shape", "Subscription", "first_seen", "observed", "operations", "records", "session", "subscription_of",
    "walk_of", "ws_url",
]  # fmt: skip

Shape = Callable[[Json], Record]
"""One of an adapter's own mappings. Raises Malformed."""

OBSERVED = "subscription-"
"""Cursors whose walk begins so are no reading: they remember that a subscription has told us something."""

_PLACEHOLDER = re.compile(r"\{(\{[A-Za-z]\w*\})\}|\{([A-Za-z]\w*)\}")
_COMPANY = "company"


def ws_url(http_url: str) -> str:
    """The same address for a WebSocket: http becomes ws, https wss."""
    return re.sub(r"^http", "ws", http_url, flags=re.IGNORECASE)


def session(
    settings: GraphqlSettings,
    token: Token,
    *,
    url: str | None = None,
    headers: Mapping[str, str | Secret] | None = None,
    init: Json = None,
    companies: Iterable[str] = (),
    channel: str = "GraphqlChannel",
) -> GraphqlSession:
    """The session that the settings describe, for as long as the token is valid.

    `url` is where the vendor listens unless `ws_url` says otherwise: ws(s)://, or http(s):// for the same path.
    `headers`, `init` and `channel` are as in `GraphqlSession`; `companies` fill "{company}". Raises Refused.
    """
    s, address = settings, settings.ws_url or ws_url(url or "")
    if not address:
        raise Refused("nobody says where the WebSocket is: set `ws_url`")
    return GraphqlSession(
        url=address,
        subprotocol=s.ws_subprotocol,
        operations=operations(s.subscription, token.facts, companies),
        headers=headers or {},
        init=init,
        channel=channel,
        settle_s=s.ws_settle_s,
        beat_timeout_s=s.ka_timeout_s,
        idle_timeout_s=s.ws_idle_timeout_s,
        ping_interval_s=s.ws_ping_interval_s or None,
        ping_timeout_s=s.ws_ping_timeout_s or None,
        max_message_mb=s.ws_max_message_mb,
        proxy=s.ws_proxy,
        close_codes=s.close_codes,
    )


def operations(
    subscriptions: Sequence[Subscription], facts: Mapping[str, str], companies: Iterable[str] = ()
) -> list[Operation]:
    """The operations to hold: one for each subscription, or one for each company where "{company}" is used.

    Those are named `<subscription>.<company>`. In variables "{fact}" is a fact of the login, "{{fact}}" the text
    `{fact}`. Raises Refused for a placeholder that nothing fills.
    """
    known = dict.fromkeys(companies)
    found: list[Operation] = []
    for one in subscriptions:
        if _COMPANY not in _placeholders(one.variables):
            found.append(Operation(one.name, one.document, _filled(one, facts)))
            continue
        if not known:
            raise Refused(f"subscription {one.name}: no company fills {{company}}; set `companies`")
        for company in known:
            variables = _filled(one, {**facts, _COMPANY: company})
            found.append(Operation(f"{one.name}.{company}", one.document, variables))
    return found


def records(
    frame: Json,
    subscriptions: Sequence[Subscription],
    shapes: Mapping[str, Shape] | None = None,
    failures: Failures | None = None,
) -> list[Record]:
    """What one frame tells: `{"operation": name, "payload": <GraphQL response object>}`.

    `shapes` are the adapter's own mappings, by name; `failures` is how the vendor reports a failure as data. A list
    under `path` is one unit: if one of its records cannot be read, none is taken.

    Raises Malformed, with the payload as `raw`; Unauthorized, Throttled or what `failures` says for what the vendor
    reports, which is not a record and not to be kept.
    """
    operation = frame.get("operation") if isinstance(frame, dict) else None
    payload = frame.get("payload") if isinstance(frame, dict) else None
    told = payload if isinstance(frame, dict) and "payload" in frame else frame
    name = _subscription_of(operation) if isinstance(operation, str) else None
    one = next((known for known in subscriptions if known.name == name), None)
    if one is None:
        raise Malformed("the live frame belongs to no subscription that is configured", raw=legible(told))
    what = f"subscription {one.name}"
    if payload == {"data": {}}:
        # What graphql-ruby answers when a subscription begins: nothing has happened yet.
        return []
    try:
        return list(_read(one, payload, what, shapes or {}, failures))
    except Malformed as error:
        # Only now: to spell a large frame again takes longer than all the rest.
        raise Malformed(f"{what}: {error}", raw=legible(told)) from None


def observed(operation: str, now_ms: int) -> tuple[str, dict[str, Json]]:
    """What the stream is to remember when the first record of an operation was stored: the walk and its cursor.

    One memory serves all companies of a subscription: what is in doubt is the document, not who it is asked for.
    """
    return walk_of(_subscription_of(operation)), {"first_ms": now_ms, "first": timestamp(now_ms)}


def walk_of(subscription: str) -> str:
    """The walk under whose name the stream remembers that a subscription has told us something."""
    return OBSERVED + subscription


def subscription_of(walk: str) -> str | None:
    """The subscription that a cursor remembers; None for the cursor of a walk that reads."""
    return walk.removeprefix(OBSERVED) if walk.startswith(OBSERVED) else None


def first_seen(cursor: Json) -> str | None:
    """When a subscription first told us something, as RFC 3339 text; None if it never did."""
    first = cursor.get("first") if isinstance(cursor, dict) else None
    return first if isinstance(first, str) else None


def _subscription_of(operation: str) -> str:
    return operation.partition(".")[0]


def _placeholders(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield from (found[2] for found in _PLACEHOLDER.finditer(value) if found[2])
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _placeholders(item)


def _filled(one: Subscription, facts: Mapping[str, str]) -> dict[str, Json]:
    def fill(value: Json, variable: str) -> Json:
        if isinstance(value, dict):
            return {key: fill(item, variable) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, variable) for item in value]
        return _PLACEHOLDER.sub(lambda found: put(found, variable), value) if isinstance(value, str) else value

    def put(found: re.Match[str], variable: str) -> str:
        if found[1]:
            return found[1]
        if found[2] not in facts:
            known = ", ".join(f"{{{name}}}" for name in (_COMPANY, *facts))
            raise Refused(f"subscription {one.name}: nothing fills {{{found[2]}}} in `{variable}`; there are: {known}")
        return facts[found[2]]

    return {name: fill(value, name) for name, value in one.variables.items()}


def _read(
    one: Subscription, payload: Json, what: str, shapes: Mapping[str, Shape], failures: Failures | None
) -> Iterator[Record]:
    if not isinstance(payload, dict):
        raise Malformed(f"the answer is {fields.kind(payload)}, expected an object")
    data = payload.get("data")
    _no_failure(data.values() if isinstance(data, dict) else (), what, failures)
    if errors := payload.get("errors"):
        error = fault(errors, what)
        if isinstance(error, (Unauthorized, Throttled)):
            raise error
        raise Malformed(str(error).removeprefix(f"{what}: "))
    if not isinstance(data, dict):
        raise Malformed(f"data is {fields.kind(data)}, expected an object")
    if one.path is None and len(data) != 1:
        raise Malformed(f"data holds {len(data)} fields and `path` does not say which is the record")
    found = fields.at(data, one.path) if one.path is not None else next(iter(data.values()))
    rows = found if isinstance(found, list) else [found]
    _no_failure(rows, what, failures)
    for row in rows:
        yield _mapped(one, row, data, shapes)


def _no_failure(values: Iterable[Json], what: str, failures: Failures | None) -> None:
    if failures is None:
        return
    for value in values:
        if (error := failures.found(value, what)) is not None:
            raise error


def _mapped(one: Subscription, row: Json, data: Json, shapes: Mapping[str, Shape]) -> Record:
    if row is None and not one.null_is_gone:
        raise Malformed("the record is null")
    if one.shape is not None:
        if one.shape not in shapes:
            raise Malformed(f"the adapter has no mapping called {one.shape}")
        return shapes[one.shape](row)

    def at(path: str | None) -> Json:
        if path is None or (row is None and not path.startswith("/")):
            return None
        return fields.at(data, path[1:]) if path.startswith("/") else fields.at(row, path)

    mark = at(one.gone)
    gone = row is None or not (mark is None or mark is False)
    return Record(
        one.entity or "",
        fields.key({"id": at(one.id)}, "id"),
        None if gone else {ours: _tidy(at(path)) for ours, path in one.fields.items()},
        version=_version(at(one.version)),
        at_ms=_moment(at(one.at)),
        raw=row,
        gone=gone,
        occurred=one.occurred,
    )


def _version(value: Json) -> str | None:
    found = fields.text({"version": _tidy(value)}, "version")
    if found == "":
        raise Malformed("version is empty")
    return found


def _moment(value: Json) -> int | None:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Malformed("at is text, expected milliseconds or an RFC 3339 time") from None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        value = round(moment.timestamp() * 1000)
    return fields.millis({"at": value}, "at")


def _tidy(value: Json) -> Json:
    """The value as it is, but for whole numbers that are spelled as floats (1.6094592e12)."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= fields.EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items()}
    return [_tidy(item) for item in value] if isinstance(value, list) else value
