"""What the end of a live session, or its refusal at the door, means for what happens next.

Sources: RFC 6455 section 7.4.1 and the IANA registry for codes below 4000; for those above,
https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md and the `CloseCode` list of its `src/common.ts`, which
servers of the other sub-protocols use as well. That client gives up at some of them; a daemon only slows down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from bridge.core.answer import harmless, retry_after
from bridge.core.errors import BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Subprotocol
from bridge.core.session import Upgrade

SLOW_S = 900.0
"""What only a human can mend is tried again after this long."""

Reaction = Literal["refresh", "retry", "slow"]
"""refresh: renew the token. retry: connect again, by the back-off. slow: call a human, and try after `SLOW_S`."""

_TOKEN = "the token is not accepted"  # noqa: S105 -- a sentence about it
_SPEECH = "check the settings `ws_url` and `ws_subprotocol`"

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


def closed(code: int, reason: str, session: Upgrade) -> BridgeError:
    """The error for a session closed with this code; `session.close_codes` go first, unknown codes are a Retry.

    `reason` is the server's and quoted only where it is one plain sentence. Unauthorized, Retry, or Refused with
    `SLOW_S`.
    """
    reaction, meaning, advice = CODES.get(code, ("retry", "a code of the vendor's own" if code >= 4000 else "", ""))
    said = f"the live session ended with close code {code}" + (f" ({meaning})" if meaning else "") + harmless(reason)
    reaction, advice = _ORDERED.get(session.close_codes.get(code, ""), (reaction, advice))
    if code == 1009:
        advice = f"a message was larger than {session.max_message_mb:g} MiB: raise `ws_max_message_mb`"
    text = f"{said}; {advice}" if advice else said
    if reaction == "refresh":
        return Unauthorized(text)
    return Refused(text, after=SLOW_S) if reaction == "slow" else Retry(text)


def upgrade_refused(status: int, headers: Mapping[str, str], subprotocol: str | None, session: Upgrade) -> BridgeError:
    """The error for an upgrade request that was answered, but not with a session in our sub-protocol.

    `headers`: lower-case names. `subprotocol`: what the server agreed to instead (status 101; None: nothing).
    Unauthorized (401, 403), Throttled (429), Retry (408, 425, 5xx), or Refused with `SLOW_S`.
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
    if status in (401, 403):
        return Unauthorized(f"{said}: {_TOKEN}")
    if status == 429:
        return Throttled(f"{said}: over the quota", after=retry_after(headers))
    if status in (408, 425) or status >= 500:
        return Retry(f"{said}: a fault at the vendor", after=retry_after(headers))
    return Refused(f"{said}: {_advice(status)}", after=SLOW_S)


def _advice(status: int) -> str:
    if 300 <= status <= 399:
        return "redirects are not followed, so that no secret goes astray; set `ws_url` to the final address"
    if status == 407:
        return "the proxy wants credentials; check the setting `ws_proxy`"
    if status in (400, 426):
        return f"mostly this means the sub-protocol; {_SPEECH}"
    if status in (404, 405, 410) or 200 <= status <= 299:
        return "there is no WebSocket at this address; check the setting `ws_url`"
    return f"{_SPEECH}, and whether the vendor changed the interface"
