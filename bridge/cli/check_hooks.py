"""What `bridged check` says of a source that takes webhooks: where senders post, how they prove themselves."""

from __future__ import annotations

from typing import Any

from bridge.adapter import BaseSettings, WebhookSettings
from bridge.core.config import IngressSettings
from bridge.core.hooks.settings import PREFIX

_WAYS = {
    "standard": "Standard Webhooks",
    "hmac": "a signature in the header {header}",
    "bearer": "a token in the header {header}",
    "basic": "user and password",
    "mtls": "a client certificate",
}


def takes(source: BaseSettings, ingress: IngressSettings) -> dict[str, Any] | None:
    """As JSON; None for a source of another kind."""
    if not isinstance(source, WebhookSettings):
        return None
    header = source.hmac.header if source.hmac is not None else source.header
    return {
        "path": f"{PREFIX}{source.name}",
        "listen": ingress.listen,
        "tls": ingress.tls is not None,
        "verify": source.verify,
        "header": header if source.verify in ("hmac", "bearer") else None,
        "retired": source.retired,
        "events": len(source.event),
        "unmatched": source.unmatched if source.event else "publish",
    }


def told(takes: dict[str, Any]) -> str:
    """The same for people."""
    if takes["retired"]:
        return "nothing any more: senders are answered with 410"
    way = _WAYS[takes["verify"]].format(header=takes["header"])
    tables = f"{takes['events']} event table" + ("" if takes["events"] == 1 else "s")
    mapped = f"by {tables}, others: {takes['unmatched']}" if takes["events"] else "published as they are"
    scheme = "https" if takes["tls"] else "http"
    return f"webhooks at {scheme}://{takes['listen']}{takes['path']}, proven by {way}; {mapped}"
