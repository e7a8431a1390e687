"""One webhook's deliveries as frames: what of a request goes on once its sender is verified, and by which name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from bridge.adapter import HookSession, Json
from bridge.core.errors import Malformed
from bridge.core.fields import LONGEST_ID
from bridge.core.hooks import cloudevents, strict
from bridge.core.hooks.attributes import media_type
from bridge.core.hooks.event_table import CREDENTIAL
from bridge.core.hooks.refusal import Unsupported
from bridge.core.hooks.verification import Shown

Frames = Sequence[Json | Malformed]

_JSON = ("", "application/json", "text/json", "text/plain")
"""What a body in JSON may be called: some senders, of notices to any address, call it text."""


def frames(session: HookSession, shown: Shown) -> Frames:
    """The frames for `Adapter.live`, in order; those that nobody can name are `Malformed`, for the quarantine.

    Raises Malformed for a body that no reader could be sure of, with the body as `raw`, and Unsupported.
    """
    encoding = shown.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Unsupported("the body is compressed; send it as it is")
    public = {
        "headers": _public(shown.headers, session.credentials),
        "query": _public(shown.query),
    }
    mode = cloudevents.mode(shown.headers) if session.content != "json" else None
    if mode is None and session.content == "cloudevents":
        raise Unsupported("no CloudEvent: its attributes are neither in headers nor in the body")
    if mode is not None:
        told = cloudevents.read(shown.headers, shown.body)
        # The attributes of binary mode are headers that no signature covers.
        signed = session.proof.delivery_id(shown) if mode == "binary" and session.proof.signs else ""
        frames = (
            {"delivery": signed or _joined(one), "body": one.data, **public, "event": one.attributes} for one in told
        )
        return [_named(session, shown, frame) for frame in frames]
    kind, charset = media_type(shown.headers.get("content-type", ""))
    if kind not in _JSON and not kind.endswith("+json"):
        raise Unsupported("the content type is not JSON; set it to application/json at the sender")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Unsupported("JSON is UTF-8, whatever charset is named")
    body = strict.decode(shown.body)
    return [_named(session, shown, {"delivery": "", "body": body, **public, "event": None})]


def trace_of(frame: Json | Malformed) -> str | None:
    """The trace that a frame belongs to, as its sender spells it: an event's own comes before the request's."""
    if isinstance(frame, Malformed):
        return None
    found = (frame["event"] or {}).get("traceparent") or frame["headers"].get("traceparent")
    return found if isinstance(found, str) else None


def _named(session: HookSession, shown: Shown, frame: dict[str, Json]) -> Json | Malformed:
    """The frame with its name. By it the stream knows a delivery that is repeated."""
    name: Json = None
    if session.named is not None:
        try:
            name = session.named(frame)
        except Malformed as error:
            return Malformed(f"delivery_id: {error}", raw=shown.body)
    if not isinstance(name, str) or not name:
        name = frame["delivery"] or session.proof.delivery_id(shown) or _digest(session, shown)
    frame["delivery"] = name if len(name) <= LONGEST_ID else _hashed(name.encode("utf-8", "surrogatepass"))
    return frame


def _joined(event: cloudevents.CloudEvent) -> str:
    # A source is a URI reference, which holds no space: no two pairs are joined to the same text.
    return " ".join(event.id)


def _digest(session: HookSession, shown: Shown) -> str:
    """Where nobody names a delivery, its content does, with the time it was signed."""
    return _hashed(session.proof.signed_at(shown).encode("utf-8", "surrogatepass"), shown.body)


def _hashed(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _public(given: Mapping[str, str], credentials: Sequence[str] = ()) -> dict[str, str]:
    return {
        name: value for name, value in given.items() if name not in credentials and not CREDENTIAL.search(name.lower())
    }
