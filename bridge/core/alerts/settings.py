"""What `[[alert]]` may say, as plain data: the loader, the JSON Schema and `check` are made from these classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.core.secret import Secret
from bridge.core.settings import setting

Severity = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True, kw_only=True)
class AlertWebhook:
    """One `[[alert.webhook]]`: where alerts are posted, signed by Standard Webhooks."""

    name: str = setting(doc="unique name within the alert; the deliveries of one name go on where they were")
    url: str = setting(doc="the address to post to, https://")
    secret: Secret = setting(doc="the signing key, whsec_… or whsk_…")


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """`[alert.quiet]`: when nothing is sent. What would have been is told afterwards, in one message."""

    begin: str = setting(doc="when they begin, such as 22:00")
    end: str = setting(doc="when they end, such as 06:30; before `begin`: on the next day")
    zone: str = setting("UTC", doc="the time zone of both, such as Europe/Berlin")
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = setting(
        [], doc="on which days they begin; empty: every day"
    )


@dataclass(frozen=True, kw_only=True)
class AlertSettings:
    """One `[[alert]]`: which events, in which words, to whom, and how often. Lengths of time are texts such as 10m."""

    name: str = setting(doc="unique name of the alert; becomes a subject token")
    preset: Literal["health"] | None = setting(
        None, doc='"health": the bridge\'s own troubles, said once when something breaks and once when it heals'
    )
    subjects: list[str] = setting(["events.>"], doc="subject filters with the usual wildcards; any of them")
    where: str | None = setting(None, doc="a CEL expression over the event; only where it is true")
    title: str | None = setting(None, doc="the first line; {after.name} stands for a field of the event")
    body: str | None = setting(
        None, doc="the text; {after.name | unknown} says what stands for a field that is missing"
    )
    severity: Severity = setting("info", doc="how channels present it")
    notify: list[Secret] = setting([], doc='Apprise URLs, each a reference such as { env = "OPS_CHANNEL" }')
    webhook: list[AlertWebhook] = setting([], doc="where to post alerts as signed webhooks")
    group_by: list[str] = setting([], doc="paths such as source or after.site.id: each group is throttled by itself")
    throttle: str | None = setting(
        None, doc="at most one alert of a group in so long; the next one says how many were held"
    )
    digest: str | None = setting(None, doc="collect for so long and send one message; in place of `throttle`")
    quiet: QuietHours | None = setting(None, doc="when nothing is sent, and told afterwards")


def channel_names(alert: AlertSettings) -> list[str]:
    """What an alert's channels are called, in their order: where the secret comes from, and the webhook's name."""
    return [*(secret.origin for secret in alert.notify), *(webhook.name for webhook in alert.webhook)]


def is_alone(alert: AlertSettings) -> bool:
    """Whether each event is told by itself, whatever came before it and whatever the time is."""
    return alert.preset is None and alert.throttle is None and alert.digest is None and alert.quiet is None
