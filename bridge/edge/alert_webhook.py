"""Alerts as outbound webhooks: CloudEvents in structured mode, signed by Standard Webhooks."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

import anyio

from bridge.core import trace
from bridge.core.alerts.alert import ENTITY, Alert
from bridge.core.alerts.settings import AlertWebhook
from bridge.core.answer import retry_after
from bridge.core.errors import Refused, Retry
from bridge.core.event import timestamp
from bridge.core.facts import Request
from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key, SignEd25519
from bridge.core.own import PREFIX, VENDOR
from bridge.core.record import Json
from bridge.core.settings import BadSetting
from bridge.core.url import problem as url_problem
from bridge.edge.codec import encode
from bridge.engine.ports import Http, Wall

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
TYPE = f"{PREFIX}.{ENTITY}.occurred"

_AGAIN = frozenset({408, 425, 429})
"""Statuses of the four hundreds that mean "not now"; all others mean "never like this"."""

_SPARE_S = 5.0


def problem(settings: AlertWebhook) -> str | None:
    """Why nothing can be sent with these settings, in words that show no secret; None if it can."""
    if said := url_problem(settings.url):
        return said
    try:
        key = Key.parse(settings.secret)
    except BadSetting as error:
        return str(error)
    return (
        None
        if key.signs
        else f"the key of {settings.secret.origin or 'the webhook'} can only verify: take whsec_ or whsk_"
    )


class WebhookChannel:
    """Implements `bridge.engine.alert_ports.Channel` for one `[[alert.webhook]]`.

    `http` is shared with everybody else; plain HTTP goes to this machine only, and redirects are not followed. What is
    posted twice has the same `webhook-id` both times. Raises BadSetting for a key that cannot sign.
    """

    def __init__(self, settings: AlertWebhook, http: Http, wall: Wall) -> None:
        self.name = settings.name
        self._url = settings.url
        self._http = http
        self._wall = wall
        self._key = Key.parse(settings.secret)
        if not self._key.signs:
            raise BadSetting(str(problem(settings)), "secret")

    async def send(self, alert: Alert, *, timeout_s: float) -> None:
        """Returns when the receiver answered with 2xx. Raises Retry and Refused, see the port."""
        request = self._request(alert)
        answer = None
        with anyio.move_on_after(timeout_s):
            try:
                answer = await self._http.send(request, timeout_s=timeout_s + _SPARE_S, max_bytes=1)
            except Refused as error:
                raise Refused(f"{self.name}: {error}") from None
            except Retry as error:
                raise Retry(f"{self.name}: {error}") from None
        if answer is None:
            raise Retry(f"{self.name}: no answer within {timeout_s:g} s")
        status = answer.status
        if 200 <= status <= 299:
            return
        said = f"{self.name}: answered with HTTP status {status}"
        if 300 <= status <= 399:
            raise Refused(f"{said}, a redirect, which is not followed; configure the address it leads to")
        if status == 410:
            raise Refused(f"{said}: the receiver wants no more of these; take the webhook out of the configuration")
        if 400 <= status <= 499 and status not in _AGAIN:
            raise Refused(f"{said}; check the address, and that the receiver verifies with this key")
        raise Retry(said, after=retry_after(answer.headers))

    def _request(self, alert: Alert) -> Request:
        told = document(alert)
        body = _encoded(told)
        headers = standard.sign([self._key], _delivery(alert.id), self._wall(), body, _ed25519(self._key))
        if "traceparent" in told:
            headers["traceparent"] = told["traceparent"]
        return Request(
            "POST", self._url, {"Content-Type": CONTENT_TYPE, **headers}, body=body, redirects=True, status_only=True
        )


def document(alert: Alert) -> dict[str, Json]:
    """The CloudEvent that tells of an alert: the event stored under `events.bridge.<alert>.alert.…`, in short."""
    told: dict[str, Json] = {
        "specversion": "1.0",
        "id": alert.id,
        "source": f"/{VENDOR}/{quote(alert.alert, safe='')}",
        "type": TYPE,
        "time": timestamp(alert.at_ms),
        "datacontenttype": "application/json",
        "data": {
            **alert.data,
            "alert": alert.alert,
            "title": alert.title,
            "body": alert.body,
            "severity": alert.severity,
            "group": alert.group,
            "count": alert.count,
            "held": alert.held,
        },
    }
    if traceparent := trace.parse(alert.traceparent):
        told["traceparent"] = traceparent
    return told


def _delivery(id_: str) -> str:
    """The alert's id, or a digest of one that no webhook can have: others may write under alerts' subjects."""
    return id_ if standard.is_id(id_) else hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _encoded(told: Json) -> bytes:
    try:
        return encode(told)
    except UnicodeEncodeError:
        # Half of a surrogate pair, which a vendor's text may hold and no JSON in UTF-8 can.
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def _ed25519(key: Key) -> SignEd25519 | None:
    if key.kind != "private":
        return None
    from bridge.edge import ed25519

    return ed25519.sign
