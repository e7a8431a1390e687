"""The handshake by which a sender of webhooks asks whether they are wanted here: OPTIONS with `WebHook-Request-Origin`.

Source: CloudEvents, HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4. It authenticates nobody; it only keeps
senders from being used against strangers. `WebHook-Request-Callback` is never called: whoever sends a request would
choose which address this machine connects to. The answer is in the response, always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

REQUEST_ORIGIN = "webhook-request-origin"
REQUEST_RATE = "webhook-request-rate"

# A DNS name or an expression of one, perhaps with a port. It goes back into a header of ours.
_ORIGIN = re.compile(r"[A-Za-z0-9*_.:\[\]-]{1,255}", re.ASCII)
_RATE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Permission:
    """What the validation request is answered with."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def permission(headers: Mapping[str, str], allowed: Sequence[str] = (), rate: int | None = None) -> Permission:
    """The answer to OPTIONS. Header names are lower case.

    `allowed`: the origins that may send, in any case (empty: all). `rate`: requests per minute that are granted, and at
    most as many as asked for (None: no limit). Without the question, and for others, 405: nothing is consented to.
    """
    refusal = Permission(405, {"Allow": "POST"})
    origin = headers.get(REQUEST_ORIGIN, "").strip()
    if not _ORIGIN.fullmatch(origin) or not allows(origin, allowed):
        return refusal
    asked = headers.get(REQUEST_RATE, "").strip()
    if asked and not _RATE.fullmatch(asked):
        return refusal
    granted = "*" if rate is None else str(min(rate, int(asked)) if asked else rate)
    return Permission(200, {"Allow": "POST", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": granted})


def allows(origin: str, allowed: Sequence[str]) -> bool:
    """Whether a delivery or a question with this `WebHook-Request-Origin` ("" for none) is welcome."""
    return not allowed or origin.strip().lower() in [one.lower() for one in allowed]
