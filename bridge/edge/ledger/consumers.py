"""The consumers in which alerts wait for their channels: names, shapes, and how a found one differs. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from bridge.core import own
from bridge.core.alerts.alert import ENTITY
from bridge.core.record import Json
from bridge.core.subject import EVENTS, token
from bridge.edge.ledger.layout import Difference, LayoutDiffers, LayoutMissing

CONSUMER_NOT_FOUND = 10014
PREFIX = "bridged-alert-"
LONGEST = 200
"""Characters of a name. It becomes part of a subject, and a folder on the server's disk."""
ACK_WAIT_S = 5
"""An alert that is not acknowledged, nor said to be in work, is handed out again after so long: after a crash, say."""


_FIELDS = ("filter_subject", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")
_BEGINNING = ("deliver_policy", "opt_start_seq", "opt_start_time")


class ConsumerMissing(LayoutMissing):
    """An alert's consumer is missing and may not be made."""


class ConsumerDiffers(LayoutDiffers):
    """An alert's consumer exists and is not what it must be."""


def alert_subjects(alert: str) -> str:
    """Every event that is an alert of that rule."""
    return f"{EVENTS}.{own.VENDOR}.{token(alert)}.{ENTITY}.occurred.*"


def consumer_name(alert: str, channel: str) -> str:
    """The same for the same alert and channel, for ever; another for every other pair."""
    # Without a hyphen in its first part a name is that of one pair only.
    name = f"{PREFIX}{token(alert).replace('-', '=2D')}-{token(channel)}"
    return name if len(name) <= LONGEST else f"{PREFIX}=h{hashlib.sha256(name.encode()).hexdigest()}"


def is_ours(name: str) -> bool:
    """Whether a consumer of that name holds alerts for a channel."""
    return name.startswith(PREFIX)


def consumer_config(alert: str, channel: str) -> dict[str, Json]:
    """It begins with what comes after it was made, hands out one alert at a time, and never gives up."""
    name = consumer_name(alert, channel)
    return {
        "name": name,
        "durable_name": name,
        "description": f"bridged: what {channel} is still to be told of alert {alert}",
        "deliver_policy": "new",
        "filter_subject": alert_subjects(alert),
        "ack_policy": "explicit",
        "ack_wait": ACK_WAIT_S * 1_000_000_000,
        "max_deliver": -1,
        "max_ack_pending": 1,
        "replay_policy": "instant",
    }


def consumer_differences(name: str, wanted: Mapping[str, Json], found: Mapping[str, Json]) -> Sequence[Difference]:
    """What a consumer has otherwise than it must. Where it began is its own affair."""
    return [
        Difference(name, field, wanted[field], found.get(field), "alter it with `nats consumer edit`, or remove it")
        for field in _FIELDS
        if wanted[field] != found.get(field)
    ]


def beginning(found: Mapping[str, Json]) -> dict[str, Json]:
    """Where a consumer began: it can be altered in everything else."""
    return {field: found[field] for field in _BEGINNING if field in found}
