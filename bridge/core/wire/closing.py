"""What the end of a live session, or its refusal at the door, means for what happens next.

Sources: RFC 6455 section 7.4.1 and the IANA registry for codes below 4000; for those above,
https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md and the `CloseCode` list of its `src/common.ts`, which
servers of the other sub-protocols use as well. That client gives up at some of them; a daemon only slows down. For
Socket.IO, see `packets.py`, and npm engine.io's `server.ts` for what it writes into a connection that it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from bridge.core.answer import harmless, retry_after
from bridge.core.ending import Ending, by_close_code, marked
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Subprotocol
from bridge.core.record import Json
from bridge.core.session import SocketioSession, StreamSession, Upgrade

SLOW_S = 900.0
"""What only a human can mend is tried again after this long."""

Reaction = Literal["refresh", "retry", "slow"]
"""refresh: renew the token. retry: connect again, by the back-off. slow: call a human, and try after `SLOW_S`."""

_TOKEN = "the token is not accepted"  # noqa: S105 -- a sentence about it
_SPEECH = "check the settings `ws_url` and `ws_subprotocol`"
_SOCKETIO = "check the settings `base_url` and `engineio`"
_STREAM = "check the settings `base_url` and `transport`"
_HTTP = re.compile(r"HTTP/1\.[01] ([1-5][0-9][0-9])\b", re.ASCII)

_ORDERED: Mapping[str, tuple[Reaction, str]] = {
    "refresh": ("refresh", _TOKEN),
    "retry": ("retry", ""),
    "slow": ("slow", "to be looked into, by `ws_close_codes`"),
}
"""What the operator may say of a code."""

CODES: Mapping[int, tuple[Reaction, str, str]] = {
    # code: what to do, what the code means, what to tell the operator
    1000: ("retry", "normal closure", ""),  # not success: some servers refuse credentials with it
    1001: ("retry", "going away", ""),
    1002: ("slow", "protocol error", _SPEECH),  # how the stock legacy server refuses a sub-protocol
    1003: ("slow", "data it cannot accept", _SPEECH),
    1005: ("retry", "no code given", ""),
    1006: ("retry", "connection lost", ""),
    1007: ("slow", "inconsistent data", _SPEECH),
    1008: ("refresh", "policy violation", _TOKEN),  # general, but mostly used for credentials
    1009: ("retry", "message too big", ""),
    1011: ("retry", "fault at the server", ""),
    1012: ("retry", "restart", ""),
    1013: ("retry", "try again later", ""),
    1014: ("retry", "bad gateway", ""),
    1015: ("retry", "TLS failure", ""),
    3000: ("refresh", "unauthorized", _TOKEN),
    3003: ("refresh", "forbidden", _TOKEN),
    3008: ("retry", "timeout", ""),
    4004: ("slow", "bad response", _SPEECH),
    4005: ("slow", "internal client error", _SPEECH),
    4400: ("slow", "a message it does not understand", _SPEECH),
    4401: ("refresh", "unauthorized", _TOKEN),
    4403: ("refresh", "forbidden", _TOKEN),
    4406: ("slow", "sub-protocol not acceptable", _SPEECH),
    4408: ("retry", "connection initialisation timeout", ""),
    4409: ("retry", "subscriber already exists", ""),
    4429: ("retry", "too many initialisation requests", ""),
    4500: ("retry", "internal server error", ""),
    4504: ("retry", "acknowledgement timeout", ""),
}

_FORBIDDEN: tuple[Reaction, str] = ("slow", "the credentials are accepted, and may not do this; ask for that right")
DOOR: Mapping[type, Mapping[int, tuple[Reaction, str]]] = {
    # kind of session: status of a refused upgrade: what to do, what to tell the operator
    SocketioSession: {
        # Its servers have this one answer for all they refuse here, credentials first of all.
        400: ("refresh", f"{_TOKEN}, or it does not speak this revision; {_SOCKETIO}"),
        403: _FORBIDDEN,
    },
    StreamSession: {403: _FORBIDDEN},
}
"""Where a kind of session differs from what is said of all in `upgrade_refused`."""


def closed(code: int, reason: str, session: Upgrade) -> BridgeError:
    """The error for a session closed with this code; `session.close_codes` go first, unknown codes are a Retry.

    `reason` is the server's and quoted only where it is one plain sentence. Unauthorized, Retry, or Refused with
    `SLOW_S`.
    """
    reaction, meaning, advice = CODES.get(code, ("retry", "a code of the vendor's own" if code >= 4000 else "", ""))
    said = f"the live session ended with close code {code}" + (f" ({meaning})" if meaning else "") + harmless(reason)
    if advice == _SPEECH:
        advice = _speech(session)
    reaction, advice = _ORDERED.get(session.close_codes.get(code, ""), (reaction, advice))
    if code == 1009:
        advice = f"a message was larger than {session.max_message_mb:g} MiB: raise `ws_max_message_mb`"
    text = f"{said}; {advice}" if advice else said
    if reaction == "refresh":
        return Unauthorized(text)
    return Refused(text, after=SLOW_S) if reaction == "slow" else marked(Retry(text), by_close_code(code))


def upgrade_refused(status: int, headers: Mapping[str, str], subprotocol: str | None, session: Upgrade) -> BridgeError:
    """The error for an upgrade request that was answered, but not with a session in our sub-protocol.

    `headers`: lower-case names. `subprotocol`: what the server agreed to instead (status 101; None: nothing).
    What `DOOR` says of this kind of session goes first; else Unauthorized (401, 403), Throttled (429), Retry (408,
    425, 5xx), or Refused with `SLOW_S`.
    """
    if status == 101:
        chosen = "none" if not subprotocol else subprotocol if subprotocol in get_args(Subprotocol) else "another one"
        return Refused(
            f"the server agreed to the connection with sub-protocol {chosen}, "
            f"{session.subprotocol or 'none'} was asked for; "
            + ("check the setting `ws_subprotocol`" if session.subprotocol else "check the configured URL"),
            after=SLOW_S,
        )
    said = f"the upgrade to a WebSocket was answered with HTTP status {status}"
    if (rule := DOOR.get(type(session), {}).get(status)) is not None:
        reaction, advice = rule
        text = f"{said}: {advice}"
        return Unauthorized(text) if reaction == "refresh" else Refused(text, after=SLOW_S)
    if status in (401, 403):
        return Unauthorized(f"{said}: {_TOKEN}")
    if status == 429:
        return Throttled(f"{said}: over the quota", after=retry_after(headers))
    if status in (408, 425) or status >= 500:
        return marked(Retry(f"{said}: a fault at the vendor", after=retry_after(headers)), Ending.FAULT)
    return Refused(f"{said}: {_advice(status, session)}", after=SLOW_S)


Farewell = Literal["stranger", "revision", "http", "engine", "namespace", "refusal"]
"""How a Socket.IO server ends a session, or shows that it is none: its first frame is no open packet; it connects a
namespace as the other revision does; text of HTTP in the WebSocket; packets `1`, `41` and `44`."""


def ended(how: Farewell, payload: Json, session: SocketioSession, *, welcomed: bool) -> BridgeError:
    """The error for what a Socket.IO server ended the session with. Never raises.

    `payload`: the data of `44`, the text of HTTP, else None; of it only a plain sentence and a status are quoted.
    `welcomed`: `44`: our namespace was connected before; HTTP: an open packet had come. Unauthorized, Throttled,
    Retry, or Refused with `SLOW_S`.
    """
    match how:
        case "stranger":
            text = f"the server's first frame is no open packet: it does not speak Engine.IO; {_SOCKETIO}"
            return Refused(text, after=SLOW_S)
        case "revision":
            text = f"the server does not speak Engine.IO revision {session.revision}, but another one"
            return Refused(f"{text}; {_other(session)}", after=SLOW_S)
        case "http":
            return _http(payload if isinstance(payload, str) else "", session, welcomed)
        case "engine":
            return marked(Retry("the server closed the session (Engine.IO packet 1)"), Ending.CLOSED)
        case "namespace":
            return marked(Retry("the server disconnected the namespace (Socket.IO packet 1)"), Ending.CLOSED)
    return _refused(payload, welcomed)


def _http(text: str, session: SocketioSession, welcomed: bool) -> BridgeError:
    """How npm engine.io refuses what has been upgraded already, and how a proxy speaks of a server that went away."""
    found = _HTTP.match(text)
    status = int(found[1]) if found else 0
    said = f"the server sent text of HTTP inside the WebSocket, with status {status or 'unknown'}"
    if status == 401:
        return Unauthorized(f"{said}: {_TOKEN}")
    if status == 403:
        return Refused(f"{said}: {_FORBIDDEN[1]}", after=SLOW_S)
    if status == 429:
        return Throttled(f"{said}: over the quota")
    if welcomed or status in (408, 425) or status >= 500:
        return marked(Retry(said), Ending.FAULT)
    text = f"{said}: it does not speak Engine.IO revision {session.revision}"
    return Refused(f"{text}; {_other(session)}", after=SLOW_S)


def _other(session: SocketioSession) -> str:
    return f"set `engineio = {3 if session.revision == 4 else 4}`, or check the setting `base_url`"


def _refused(payload: Json, welcomed: bool) -> BridgeError:
    """Revision 3 sends the text itself, revision 4 an object with `message`."""
    message = payload.get("message") if isinstance(payload, dict) else payload
    if not welcomed and message == "Invalid namespace":  # the one text that the servers themselves have
        return Refused("the server has no such namespace; check the setting `namespace`", after=SLOW_S)
    if welcomed:
        return marked(Retry(f"the server reported an error (Socket.IO packet 4){harmless(message)}"), Ending.FAULT)
    return Unauthorized(f"the server refused the namespace (Socket.IO packet 4){harmless(message)}; {_TOKEN}")


def _speech(session: Upgrade) -> str:
    if isinstance(session, SocketioSession):
        return _SOCKETIO
    return _STREAM if isinstance(session, StreamSession) else _SPEECH


def _advice(status: int, session: Upgrade) -> str:
    speech = _speech(session)
    address = "ws_url" if speech == _SPEECH else "base_url"
    if 300 <= status <= 399:
        return f"redirects are not followed, so that no secret goes astray; set `{address}` to the final address"
    if status == 407:
        return "the proxy wants credentials; check the setting `ws_proxy`"
    if status in (400, 426):
        return f"mostly this means the sub-protocol; {speech}" if speech == _SPEECH else speech
    if status in (404, 405, 410) or 200 <= status <= 299:
        return f"there is no WebSocket at this address; check the setting `{address}`"
    return f"{speech}, and whether the vendor changed the interface"
