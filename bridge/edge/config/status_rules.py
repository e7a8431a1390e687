"""Rules about `[status]`: what tells how things are is told to this machine alone, or to whoever has the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.core.config import StatusSettings
from bridge.edge.config.convert import Converter
from bridge.edge.ingress.sockets import address, is_loopback
from bridge.edge.ingress.trouble import IngressMisconfigured

SHORTEST_TOKEN = 16
"""Characters: what can be guessed keeps nobody out."""


def check_status(converter: Converter, status: StatusSettings, given: Mapping[str, Any]) -> None:
    """Report an address that is none, and one that others reach without a token. `given`: the table as written."""
    if status.token and len(status.token.reveal()) < SHORTEST_TOKEN:
        converter.fail(("status", "token"), f"is too short: expected at least {SHORTEST_TOKEN} characters")
    if not status.enabled:
        for key in [key for key in ("listen", "token") if key in given]:
            converter.warn(("status", key), "has no effect, as enabled is false")
        return
    if status.listen is None:
        return
    path = ("status", "listen")
    try:
        host, _ = address(status.listen)
    except IngressMisconfigured as error:
        converter.fail(path, str(error).partition(": ")[2])
        return
    if not is_loopback(host) and not status.token:
        example = '{ file = "/etc/bridged/status-token" }'
        converter.fail(
            path, f"{host} can be reached from other machines: set token, such as {example}, or listen on 127.0.0.1"
        )
    elif not is_loopback(host):
        converter.warn(
            path,
            "page and token travel unencrypted: keep this address within a network you trust, or have a proxy in front "
            "that speaks TLS",
        )
