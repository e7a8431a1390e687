"""The channels of an alert, made from its table. Nothing is loaded or connected before something is sent."""

from __future__ import annotations

from bridge.core.alerts.settings import AlertSettings
from bridge.edge.alert_webhook import WebhookChannel
from bridge.edge.apprise import AppriseChannel
from bridge.engine.alert_ports import Channel
from bridge.engine.ports import Http, Wall


def channels(alert: AlertSettings, http: Http, wall: Wall) -> list[Channel]:
    """One for each `notify` and each `[[alert.webhook]]`, in this order. Their names differ.

    `alert` has passed the configuration's checks; otherwise raises BadSetting for a key that cannot sign.
    """
    return [
        *(AppriseChannel(secret) for secret in alert.notify),
        *(WebhookChannel(webhook, http, wall) for webhook in alert.webhook),
    ]
